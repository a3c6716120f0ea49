"""Health as Argo CD shows it, by its own rules for Lua: true for every status that the operator can write, and never Unknown."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import weighbridge.core
from tests.core.laboratory import Laboratory
from tests.core.things import model_version
from tests.exploration.explorer import Explorer
from tests.exploration.worlds import WORLDS
from weighbridge.api.base import Resource
from weighbridge.core import modelapproval
from weighbridge.core.attempts import RETRIED

from .customizations import KINDS, TREE, HealthCase, health_cases, read
from .lua import Script, health
from .stories import STORIES, decided, shown, written

_PHASES = {
    "Archived": {"Healthy"},
    "AwaitingApproval": {"Suspended"},
    "Blocked": {"Degraded", "Progressing"},
    "Deleting": {"Progressing"},
    "Demoted": {"Healthy"},
    "Evaluating": {"Progressing"},
    "Promoting": {"Progressing", "Degraded"},
    "Refused": {"Degraded"},
    "Resolving": {"Progressing"},
    "RolledBack": {"Degraded"},
    "Serving": {"Healthy", "Progressing", "Degraded"},
    "Superseded": {"Healthy", "Progressing", "Degraded"},
    "Suspended": {"Suspended"},
    "Waiting": {"Progressing"},
    "Weighed": {"Healthy", "Degraded"},
}
"""What Argo CD may show of a ModelVersion in a phase. Serving, but Degraded: a version that may not, or must be seen to."""
_LEFT_ALONE = {"NoEligibleClaim", "EntryRemoved"}
_WAITS_FOR_PEOPLE = {"Suspended", "ApprovalRequired"}
_STATES = 40
"""Of each explored world: its first states have every phase already that it comes to."""


def script(kind: str) -> Script:
    return Script((TREE / kind / "health.lua").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", health_cases(), ids=lambda case: f"{case.kind}/{Path(case.path).stem}")
def test_health_is_what_the_cases_say(case: HealthCase) -> None:
    assert health(script(case.kind), case.object) == (case.status, case.message)
    assert Path(case.path).stem.startswith(case.status.lower())


@pytest.mark.parametrize("kind", KINDS)
def test_every_testdata_is_a_case_and_what_the_operator_writes(kind: str) -> None:
    files = {path.stem: path.read_text(encoding="utf-8") for path in (TREE / kind / "testdata").iterdir()}
    assert files == {name: shown(story()) for name, story in STORIES[kind].items()}, "write it anew: python -m tests.argocd.stories"
    assert {Path(case.path).stem for case in health_cases() if case.kind == kind} == set(files)


def versions() -> Iterator[Resource]:
    """Every ModelVersion that comes up in the first states of the explored worlds, and what people decide about one."""
    for words in ([], ["Approve"], ["Reject"], ["Approve", "Reject"], ["Reject", "Approve"]):
        made = decided(*words)
        yield made.versions["1"]
        made.approvals.clear()
        yield made.versions["1"].model_copy(update={"status": made.plan("1").status})
    for rules in WORLDS:
        explorer = Explorer(rules, most=_STATES)
        explorer.run()
        for status in explorer.model.statuses:
            yield model_version("1", metadata={"generation": status.observed_generation or 1}).model_copy(update={"status": status})


def said(obj: Any) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in obj["status"]["conditions"]}


def test_every_status_of_a_version_has_its_health() -> None:
    judge, seen, met = script("ModelVersion"), set(), set()
    for version in versions():
        obj = written(version)
        found, message = health(judge, obj)
        phase = obj["status"]["phase"]
        if not phase:
            assert found == "Progressing"
            continue
        conditions = said(obj)
        ready, reason = conditions["Ready"]
        met.add(phase)
        seen.add(found)
        assert found in _PHASES[phase], (phase, reason)
        assert message.startswith(reason)
        assert (found == "Degraded") == (conditions["Stalled"][0] == "True" or reason in _LEFT_ALONE), (phase, reason)
        assert (found == "Healthy") == (ready == "True"), (phase, reason)
        assert (found == "Suspended") == (reason in _WAITS_FOR_PEOPLE), (phase, reason)
    assert seen == {"Healthy", "Progressing", "Suspended", "Degraded"}
    told = {read(path).get("status", {}).get("phase") for path in (TREE / "ModelVersion" / "testdata").iterdir()}
    assert (met | told) - {None} == set(_PHASES)


def test_no_phase_is_forgotten() -> None:
    """What `summarise` and `release` can say of a version: string constants beside a Summary, all of them known here."""
    found = set()
    for name in ("summary", "release"):
        path = Path(next(iter(weighbridge.core.__path__))) / f"{name}.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Call):
                found |= {each.value for each in ast.walk(node.elts[1]) if isinstance(each, ast.Constant)}
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "phase":
                found |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)} - {"Checking"}
    assert found >= {"Refused", "Suspended", "Weighed"}
    assert found <= set(_PHASES)


def test_every_word_on_a_decision_has_its_health() -> None:
    """The reasons are those that `judge` can give: the second word of each Summary."""
    tree = ast.parse(Path(modelapproval.__file__).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Summary"]
    reasons = {ast.literal_eval(call.args[1]) for call in calls}
    told = [read(path) for path in (TREE / "ModelApproval" / "testdata").iterdir()]
    assert {said(obj)["Ready"][1] for obj in told if "status" in obj} == reasons
    for obj in (each for each in told if "status" in each):
        found, _ = health(script("ModelApproval"), obj)
        conditions = {kind: status == "True" for kind, (status, _) in said(obj).items()}
        assert conditions == {"Ready": found == "Healthy", "Reconciling": found == "Progressing", "Stalled": found == "Degraded"}
        assert found == "Healthy" or not obj["status"]["counted"]


@pytest.mark.parametrize("end", ["Result", *sorted(RETRIED), "OutOfMemory"])
def test_a_hook_waits_until_there_is_a_verdict_and_passes_on_passed_alone(end: str) -> None:
    laboratory, judge = Laboratory([end] * 4), script("EvaluationJob")
    words = []
    for _ in range(400):
        words.append(health(judge, written(laboratory.job))[0])
        if laboratory.job.status.verdict is not None:
            break
        laboratory.reconcile()
        laboratory.step()
    verdict = laboratory.job.status.verdict
    assert verdict is not None
    assert set(words[:-1]) == {"Progressing"}
    assert words[-1] == ("Healthy" if verdict.result == "Passed" else "Degraded")
    assert (verdict.result == "Passed") == (end == "Result")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "status",
    [{}, {"conditions": []}, {"observedGeneration": 1}, {"observedGeneration": 1, "conditions": []}],
    ids=["empty", "no generation", "no conditions", "nothing said"],
)
def test_what_says_nothing_yet_is_waited_for(kind: str, status: dict[str, Any]) -> None:
    obj = {"metadata": {"name": "x", "generation": 1}, "spec": {}, "status": status}
    assert health(script(kind), obj)[0] == "Progressing"
    assert health(script(kind), {"metadata": {"name": "x", "generation": 1}})[0] == "Progressing"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_said_of_an_earlier_spec_does_not_count(kind: str) -> None:
    for path in (TREE / kind / "testdata").glob("healthy_*.yaml"):
        obj = read(path)
        obj["metadata"]["generation"] += 1
        assert health(script(kind), obj)[0] == "Progressing"


@pytest.mark.parametrize(("value", "held"), [("", True), ("incident", True), ("false", False)])
def test_a_hold_is_one_as_the_operator_reads_it(value: str, held: bool) -> None:
    obj = read(TREE / "ModelVersion" / "testdata" / "healthy_serving.yaml")
    obj["metadata"]["annotations"] = {"weighbridge.dev/hold": value}
    assert health(script("ModelVersion"), obj)[0] == ("Suspended" if held else "Healthy")
