"""What became of evaluations and versions is counted once, from the difference of two statuses."""

from datetime import timedelta
from typing import Any

from tests.core.things import START, evaluation_job, model_version

from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.runtime.milestones import Milestones
from weighbridge.runtime.series import Shelf

GPUS = {"limits": {"nvidia.com/gpu": "2", "nvidia.com/mig-1g.5gb": "4", "memory": "8Gi"}}
REFUSED = [{"type": "Validated", "status": "False", "reason": "ModelNotFound", "message": "", "lastTransitionTime": START}]
VALID = [{"type": "Validated", "status": "True", "reason": "Available", "message": "", "lastTransitionTime": START}]


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def job(**state: Any) -> dict[str, Any]:
    return {"phase": "Running", "conditions": VALID, "job": {"name": "evaluation", **state}}


def ended(verdict: str, reason: str = "", results: bool = True, **state: Any) -> dict[str, Any]:
    complete = {"type": "Complete", "status": "True", "reason": reason or "GatePassed", "message": "", "lastTransitionTime": START}
    found = {"results": {"sha256": "0"}} if results else {}
    return {**job(**state), "conditions": [*VALID, complete], "verdict": {"result": verdict}, **found}


class Life:
    """An object that goes from status to status, and the counters beside it."""

    def __init__(self, first: EvaluationJob | ModelVersion) -> None:
        self.object = first
        self.counted = Milestones(Shelf())

    def becomes(self, status: dict[str, Any], seconds: float = 0.0) -> "Life":
        after = type(self.object).model_validate({**self.object.model_dump(by_alias=True), "status": status})
        self.counted.tell(self.object, after.status, START + timedelta(seconds=seconds))
        self.object = after
        return self


def total(counted: Any, *words: str) -> float:
    """The sum of a histogram's values."""
    return float(counted.labels(*words)._sum.get()) if words else float(counted._family._sum.get())


def test_an_evaluation_that_waits_runs_and_passes() -> None:
    life = Life(evaluation_job(resources=GPUS))
    life.becomes(job()).becomes(job(waitingSince=at(5))).becomes(job(startedAt=at(65), waitingSince=None))
    life.becomes(ended("Passed", startedAt=at(65), finishedAt=at(165)), 170)
    life.becomes(ended("Passed", startedAt=at(65), finishedAt=at(165)), 500)
    counted = life.counted
    assert counted.evaluations.samples() == {("mlflow", "Passed"): 1}
    assert counted.attempts.samples() == {("Measured",): 1}
    assert total(counted.queue_seconds) == 60
    assert total(counted.run_seconds, "Passed") == 100
    assert counted.gpu_seconds.samples() == {("Passed",): 200}
    assert counted.gpus_refused.samples() == {}


def test_an_attempt_that_broke_and_a_pod_that_was_taken_away_cost_what_they_held() -> None:
    life = Life(evaluation_job(resources=GPUS))
    life.becomes(job()).becomes(job(startedAt=at(10)), 10)
    life.becomes(job(waitingSince=at(40)), 40)
    life.becomes(job(startedAt=at(60)), 60)
    life.becomes(job(attempt=2, nextAttemptAt=at(90), lastFailure="EngineFailed"), 80)
    life.becomes(job(attempt=2, startedAt=at(100), lastFailure="EngineFailed"), 100)
    life.becomes(ended("Error", "OutOfMemory", results=False, attempt=2, startedAt=at(100), finishedAt=at(130)), 130)
    counted = life.counted
    assert counted.attempts.samples() == {("EngineFailed",): 1, ("OutOfMemory",): 1}
    assert counted.gpu_seconds.samples() == {("Evicted",): 60, ("Retried",): 40, ("Error",): 60}
    assert counted.queue_seconds.samples() == {(): 3}
    assert total(counted.queue_seconds) == 10 + 20 + 10
    assert counted.evaluations.samples() == {("mlflow", "Error"): 1}


def test_what_preflight_refuses_costs_no_gpu() -> None:
    life = Life(evaluation_job(resources=GPUS))
    life.becomes({"phase": "Refused", "conditions": REFUSED}).becomes({"phase": "Refused", "conditions": REFUSED}, 300)
    counted = life.counted
    assert counted.refused.samples() == {("ModelNotFound",): 1}
    assert counted.gpus_refused.samples() == {(): 2}
    assert counted.gpu_seconds.samples() == counted.evaluations.samples() == {}


def test_a_result_that_is_taken_again_is_no_attempt() -> None:
    life = Life(evaluation_job(resources=GPUS))
    status = ended("Passed", startedAt=at(-900), finishedAt=at(-800))
    life.becomes({**status, "results": {"sha256": "0", "reusedFrom": "earlier"}})
    counted = life.counted
    assert counted.evaluations.samples() == {("mlflow", "Passed"): 1}
    assert counted.gpu_seconds_reused.samples() == {(): 200}
    assert counted.gpu_seconds.samples() == counted.attempts.samples() == counted.queue_seconds.samples() == {}


def serving(state: str, **more: Any) -> dict[str, Any]:
    return {"phase": state, "serving": [{"target": "Deployment/server", "state": state, **more}]}


def test_promotions_by_how_they_end() -> None:
    given = {"repointedAt": at(0)}
    life = Life(model_version("1")).becomes(serving("Progressing", **given)).becomes(serving("Serving", since=at(40), **given))
    life.becomes(serving("Serving", since=at(40), **given)).becomes(serving("Superseded", **given))
    assert life.counted.promotions.samples() == {("Served",): 1}
    assert total(life.counted.promotion_seconds) == 40
    life.becomes(serving("Progressing", rollback=True, repointedAt=at(100)))
    life.becomes(serving("Serving", rollback=True, repointedAt=at(100), since=at(107)))
    assert life.counted.promotions.samples() == {("Served",): 1}, "a rollback is no promotion"
    assert total(life.counted.recovery_seconds) == 7
    for end, word in (("RolledBack", "RolledBack"), ("Superseded", "Overtaken")):
        other = Life(model_version("2")).becomes(serving("Progressing", **given)).becomes(serving(end, **given))
        assert other.counted.promotions.samples() == {(word,): 1}


def test_drift_is_counted_where_it_begins() -> None:
    def seen(*types: str) -> dict[str, Any]:
        return {"drift": [{"type": each, "message": "", "since": START} for each in types]}

    life = Life(model_version("1")).becomes(seen("Pointer")).becomes(seen("Pointer", "Serving")).becomes(seen("Serving"))
    life.becomes(seen("Pointer", "Serving"))
    assert life.counted.drift.samples() == {("Pointer",): 2, ("Serving",): 1}
