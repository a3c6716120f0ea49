"""Who the champion is, that it is chosen once, and what the gate makes of it."""

from typing import Any

import pytest

from tests.core.test_evaluationjob import look, ready, running, with_status
from tests.core.things import START, evaluation_job, model_version, pin, resolved
from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.api.evaluationjob import Champion, EvaluationJobStatus
from weighbridge.api.evaluationpod import JobState
from weighbridge.api.gate import Verdict
from weighbridge.api.report import Report
from weighbridge.api.results import Metric, Results
from weighbridge.api.versionstatus import EvaluationState, ServingState
from weighbridge.core.incumbent import incumbent
from weighbridge.core.names import evaluation_name

GATE = [{"metric": "accuracy", "maxRegression": 0.01}]
IMAGE = "docker.io/weighbridge/evaluator@sha256:" + "0" * 64
REPORT = Report(uri="runs:/abc", sha256="1" * 64, bytes=5)


def version(number: str, *, state: str = "", evaluation: str = "holdout", verdict: str | None = "Passed") -> ModelVersion:
    found = model_version(number, evaluations=[{"name": evaluation, "template": {"gate": GATE}}])
    name = evaluation_name(found, found.spec.evaluations[0], pin(number).digest)
    serving = (ServingState.model_validate({"target": "Deployment/server", "state": state}),) if state else ()
    evaluated = (EvaluationState(name=evaluation, job=name, verdict=verdict),)  # type: ignore[arg-type]
    status = found.status.model_copy(update={"resolved": pin(number), "serving": serving, "evaluations": evaluated})
    return found.model_copy(update={"status": status})


def job_of(owner: ModelVersion, *, suffix: str = "") -> EvaluationJob:
    return evaluation_job(metadata={"name": f"{owner.status.evaluations[0].job}{suffix}"}, gate=GATE)


def measured(name: str, value: float, *, image: str = IMAGE, report: Report | None = None) -> EvaluationJob:
    metric = Metric(name="accuracy", value=value, direction="maximize", n=100)
    status = EvaluationJobStatus(
        resolved=resolved("7"),
        results=Results(metrics=(metric,), sha256="0" * 64, report=report),
        verdict=Verdict(result="Passed"),
        job=JobState(name="job", image=image),
    )
    return evaluation_job(metadata={"name": name, "uid": f"uid of {name}"}, gate=GATE).model_copy(update={"status": status})


def chosen(owner: ModelVersion, *rivals: ModelVersion, suffix: str = "", reported: bool = False) -> Champion:
    jobs = {each.status.evaluations[0].job: each for each in rivals}
    evaluations = {name: measured(name, 0.95, report=REPORT if reported else None) for name in jobs}
    return incumbent(job_of(owner, suffix=suffix), owner, rivals, evaluations.get)


def test_the_version_that_serves_is_the_champion() -> None:
    serving = version("1", state="Serving")
    found = chosen(version("2"), version("3"), serving, reported=True)
    name = serving.status.evaluations[0].job
    assert found == Champion(evaluation=name, uid=f"uid of {name}", report=REPORT)
    assert chosen(version("2"), serving, suffix="-2").evaluation == name


def test_what_is_proved_to_serve_goes_before_what_is_being_promoted() -> None:
    serving = version("1", state="Serving")
    assert chosen(version("3"), version("2", state="Progressing"), serving).evaluation == serving.status.evaluations[0].job


@pytest.mark.parametrize("rivals", [(), (version("1"),), (version("1", state="Superseded"),)])
def test_where_nothing_serves_there_is_none(rivals: tuple[ModelVersion, ...]) -> None:
    assert chosen(version("2"), *rivals) == Champion()


@pytest.mark.parametrize("state", ["Serving", "Superseded"])
def test_what_it_had_once_it_was_compared_for_then(state: str) -> None:
    served = version("2", state=state)
    states = tuple(each.model_copy(update={"repointed_at": START}) for each in served.status.serving)
    served = served.model_copy(update={"status": served.status.model_copy(update={"serving": states})})
    assert chosen(served, version("1", state="Serving")) == Champion()


def test_where_no_workload_is_named_nobody_knows_what_it_would_replace() -> None:
    owner = version("2")
    owner = owner.model_copy(update={"spec": owner.spec.model_copy(update={"serving": ()})})
    assert "names no workload" in chosen(owner, version("1", state="Serving")).problem


def test_versions_of_several_workloads_are_not_one_champion() -> None:
    first, second = version("1", state="Serving"), version("3", state="Serving")
    elsewhere = tuple(each.model_copy(update={"target": "Deployment/other"}) for each in second.status.serving)
    second = second.model_copy(update={"status": second.status.model_copy(update={"serving": elsewhere})})
    owner = version("2")
    target = owner.spec.serving[0].target_ref.model_copy(update={"name": "other"})
    more = owner.spec.serving[0].model_copy(update={"target_ref": target})
    owner = owner.model_copy(update={"spec": owner.spec.model_copy(update={"serving": (*owner.spec.serving, more)})})
    assert "several versions serve on its workloads (v1, v3)" in chosen(owner, first, second).problem


@pytest.mark.parametrize(
    "serving", [version("1", state="Serving", evaluation="other"), version("1", state="Serving", verdict=None)]
)
def test_a_champion_without_the_evaluation_is_said(serving: ModelVersion) -> None:
    assert "v1 serves and has no evaluation holdout" in chosen(version("2"), serving).problem


def test_an_evaluation_of_its_own_names_its_champion() -> None:
    alone = evaluation_job(gate=GATE)
    assert "name the evaluation to compare with in spec.champion" in incumbent(alone, None, (), {}.get).problem
    named = evaluation_job(gate=GATE, champion={"name": "baseline"})
    assert incumbent(named, None, (), {"baseline": measured("baseline", 0.9)}.get).uid == "uid of baseline"
    assert "there is no evaluation baseline" in incumbent(named, None, (), {}.get).problem


def judged(value: float, state: Champion | None, champion: EvaluationJob | None = None, image: str = IMAGE) -> tuple[str, str]:
    """Reason and message of a candidate's evaluation, which began with `state`."""
    job = evaluation_job(gate=GATE)
    job = with_status(job, look(job, incumbent=state).status)
    assert job.status.champion == state
    job = with_status(job, look(job, job=running("Running", image=image), incumbent=Champion(problem="too late")).status)
    assert job.status.champion == state, "chosen once"
    report = Results(metrics=(Metric(name="accuracy", value=value, direction="maximize", n=100),), sha256="0" * 64)
    plan = look(job, job=running("Complete"), report=report, champion=champion)
    return ready(plan)[1], plan.status.verdict.lines[0].message if plan.status.verdict else ""


def known(name: str = "baseline") -> Champion:
    return Champion(evaluation=name, uid=f"uid of {name}")


def test_a_regression_is_judged_against_the_champion() -> None:
    baseline: dict[str, Any] = {"state": known(), "champion": measured("baseline", 0.95)}
    assert judged(0.945, **baseline)[0] == "GatePassed"
    reason, message = judged(0.9, **baseline)
    assert reason == "GateFailed"
    assert "0.05 worse than the champion's 0.95" in message


def test_the_first_version_has_nothing_to_be_worse_than() -> None:
    reason, message = judged(0.6, Champion())
    assert reason == "GatePassed"
    assert "nothing serves yet" in message


@pytest.mark.parametrize(
    ("state", "champion", "says"),
    [
        (None, None, "it was not looked at"),
        (Champion(problem="nobody knows"), None, "nobody knows"),
        (known(), None, "is gone"),
        (known(), measured("other", 0.9), "is gone"),
        (known(), measured("baseline", 0.5, image=""), "not known which image"),
        (known(), measured("baseline", 0.5, image=f"{IMAGE}1"), "another image"),
    ],
)
def test_what_cannot_be_compared_never_passes(state: Champion | None, champion: EvaluationJob | None, says: str) -> None:
    reason, message = judged(0.99, state, champion)
    assert reason == "NotComparable"
    assert says in message
