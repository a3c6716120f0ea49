"""Actions as Argo CD offers and runs them; what they ask for is what the operator's own commands ask for."""

from pathlib import Path
from typing import Any

import pytest

from tests.core.things import START, model_version
from tests.core.world import Behaviour, World
from weighbridge.api import ModelApproval, ModelVersion
from weighbridge.api.annotations import HOLD, RE_EVALUATE, REQUESTED_BY, RETRY, ROLLBACK
from weighbridge.core.election import suspended
from weighbridge.core.requests import follow

from .customizations import KINDS, TREE, ActionCase, DiscoveryCase, action_cases, discovery_cases, read, timeless
from .lua import Script, mended
from .stories import ACCOUNT, awaiting, counted, decision, seen, settled

ACTIONS = TREE / "ModelVersion" / "actions"
NAMES = {path.parent.name for path in ACTIONS.glob("*/action.lua")}
CASES = {case.action: case for case in action_cases()}
_DECISIONS = {
    "suspended_awaitingApproval": {"approve", "reject"},
    "suspended_approvedByArgoCD": {"reject"},
    "healthy_approvalOutdated": {"approve", "reject"},
    "degraded_approvalRejected": {"approve", "reject"},
    "degraded_rejectedByArgoCD": {"approve"},
}
"""Which of the two are offered on a story; on all others nobody is asked."""


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


@pytest.mark.parametrize("path", sorted((TREE / "ModelVersion" / "testdata").iterdir()), ids=lambda path: path.stem)
def test_a_decision_is_offered_where_one_more_of_argo_cd_would_count(path: Path) -> None:
    offered = {name for name, each in discovered(read(path)).items() if not each["disabled"]}
    assert offered & {"approve", "reject"} == _DECISIONS.get(path.stem, set())


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


def decide(made: World, action: str) -> ModelApproval:
    """Somebody clicks, where it is offered, and the operator looks."""
    obj = seen(made, "1")
    assert not discovered(obj)[action]["disabled"]
    (output,) = ran(action, obj)
    assert output["operation"] == "create"
    body = output["resource"]
    approval = ModelApproval.model_validate({**body, "metadata": {**body["metadata"], "creationTimestamp": made.now}})
    made.approvals.append(approval)
    made.settle()
    return approval


def test_an_approval_of_argo_cd_counts_and_the_version_serves() -> None:
    made = awaiting()
    approval = decide(made, "approve")
    state = made.versions["1"].status.approvals
    assert state is not None
    assert (made.pointer, made.versions["1"].status.phase) == ("models:/model/1", "Serving")
    assert [(each.name, each.approver) for each in state.approved_by] == [(approval.metadata.name, ACCOUNT)]
    assert counted(made, approval)["status"]["counted"]
    assert discovered(seen(made, "1"))["approve"]["disabled"]


def test_a_rejection_of_argo_cd_refuses_the_version_until_it_is_taken_back() -> None:
    made = awaiting()
    rejection = decide(made, "reject")
    assert (made.pointer, made.versions["1"].status.phase) == ("unset", "Refused")
    assert discovered(seen(made, "1"))["reject"]["disabled"]
    approval = decide(made, "approve")
    assert (made.pointer, made.versions["1"].status.phase) == ("models:/model/1", "Serving")
    assert [counted(made, each)["status"]["counted"] for each in (rejection, approval)] == [False, True]


def test_a_rejection_of_argo_cd_takes_the_target_away_from_what_serves() -> None:
    made = settled("0")
    metadata = {"name": "v1", "uid": "uid-1"}
    made.behaviours["1"] = Behaviour()
    made.versions["1"] = model_version("1", metadata=metadata, approvals={"required": 1})
    made.settle()
    decide(made, "approve")
    assert made.pointer == "models:/model/1"
    decide(made, "reject")
    assert made.pointer == "models:/model/0"


def test_all_who_decide_in_argo_cd_are_one_approver() -> None:
    made = awaiting(required=2)
    decide(made, "approve")
    assert made.versions["1"].status.phase == "AwaitingApproval"
    assert discovered(seen(made, "1"))["approve"]["disabled"]
    made.approvals.append(decision(made, who="jane"))
    made.settle()
    assert made.versions["1"].status.phase == "Serving"
