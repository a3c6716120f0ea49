"""Actions as Argo CD offers and runs them; what they ask for is what the operator's own commands ask for."""

from pathlib import Path
from typing import Any

import pytest

from tests.core.things import START
from weighbridge.api import ModelVersion
from weighbridge.api.annotations import HOLD, RE_EVALUATE, REQUESTED_BY, RETRY, ROLLBACK
from weighbridge.core.election import suspended
from weighbridge.core.requests import follow

from .customizations import KINDS, TREE, ActionCase, DiscoveryCase, action_cases, discovery_cases, read, timeless
from .lua import Script, mended

ACTIONS = TREE / "ModelVersion" / "actions"
NAMES = {path.parent.name for path in ACTIONS.glob("*/action.lua")}
CASES = {case.action: case for case in action_cases()}


def discovered(obj: Any) -> dict[str, Any]:
    found: dict[str, Any] = Script((ACTIONS / "discovery.lua").read_text(encoding="utf-8"))(obj)
    return found


def ran(action: str, obj: Any) -> Any:
    return Script((ACTIONS / action / "action.lua").read_text(encoding="utf-8"))(obj)


@pytest.mark.parametrize("case", discovery_cases(), ids=lambda case: Path(case.path).stem)
def test_it_is_offered_what_the_cases_say(case: DiscoveryCase) -> None:
    found = discovered(case.object)
    assert {each["name"] for each in case.result} == set(found) == NAMES
    for each in case.result:
        offered = found[each["name"]]
        assert {"disabled": False, **each} == {"name": each["name"], **offered}


@pytest.mark.parametrize("case", action_cases(), ids=lambda case: case.action)
def test_an_action_does_what_the_cases_say(case: ActionCase) -> None:
    made = ran(case.action, case.object)
    outputs = made if isinstance(made, list) else [{"operation": "patch", "resource": mended(made, case.object)}]
    assert timeless(outputs) == timeless(case.output)


def test_every_action_has_a_case_on_an_object_that_is_offered_it() -> None:
    assert set(CASES) == NAMES
    for name, case in CASES.items():
        assert not discovered(case.object)[name]["disabled"], name
    assert [kind for kind in KINDS if (TREE / kind / "actions").exists()] == ["ModelVersion"]


def test_they_are_offered_on_what_the_operator_writes() -> None:
    for path in {case.path for case in (*discovery_cases(), *action_cases())}:
        assert (ACTIONS / path).read_bytes() == (TREE / "ModelVersion" / path).read_bytes()


@pytest.mark.parametrize("path", sorted((TREE / "ModelVersion" / "testdata").iterdir()), ids=lambda path: path.stem)
def test_one_of_hold_and_release_is_offered_and_requests_are_not_while_nothing_may_change(path: Path) -> None:
    obj = read(path)
    held = obj["spec"]["suspend"] or "weighbridge.dev/hold" in obj["metadata"].get("annotations", {})
    offered = {name for name, each in discovered(obj).items() if not each["disabled"]}
    assert len(offered & {"hold", "release"}) == 1
    if held:
        assert not offered & {"rollback", "retry", "re-evaluate"}
    assert ("approve" in offered) == (path.stem == "suspended_awaitingApproval")


def changed(action: str) -> tuple[ModelVersion, ModelVersion]:
    """The version before, and as the operator understands it after the action."""
    case = CASES[action]
    before = ModelVersion.model_validate(case.object)
    after = ModelVersion.model_validate(mended(ran(action, case.object), case.object))
    assert after.spec == before.spec
    assert after.status == before.status
    return before, after


def test_a_rollback_is_followed_and_says_where_it_comes_from() -> None:
    _, after = changed("rollback")
    states = follow(after, START).status.serving
    assert [each.rejection.reason for each in states if each.rejection] == ["Requested"]
    assert "Argo CD" in after.metadata.annotations[REQUESTED_BY]
    assert set(after.metadata.annotations) == {ROLLBACK, REQUESTED_BY}


def test_a_retry_clears_what_was_seen_to_fail() -> None:
    before, after = changed("retry")
    assert [each.rejection.reason for each in before.status.serving if each.rejection] == ["RolloutFailed"]
    assert not any(each.rejection for each in follow(after, START).status.serving)
    assert set(after.metadata.annotations) == {RETRY}


def test_it_is_evaluated_again() -> None:
    _, after = changed("re-evaluate")
    assert all(each.again for each in follow(after, START).status.evaluations)
    assert set(after.metadata.annotations) == {RE_EVALUATE}


def test_hold_and_release_undo_each_other() -> None:
    before, after = changed("hold")
    assert (suspended(before), suspended(after)) == (False, True)
    assert set(after.metadata.annotations) == {HOLD}
    assert [suspended(each) for each in changed("release")] == [True, False]


def test_an_approval_is_of_what_is_shown() -> None:
    asked = CASES["approve"].object["status"]["approvals"]
    for action, decision in (("approve", "Approve"), ("reject", "Reject")):
        ((made),) = ran(action, CASES[action].object)
        spec = made["resource"]["spec"]
        assert made["operation"] == "create"
        assert (spec["decision"], spec["stage"], spec["subjectHash"]) == (decision, asked["stage"], asked["subjectHash"])
        assert spec["approver"] == "system:serviceaccount:argocd:argocd-server"
