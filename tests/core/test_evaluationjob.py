"""EvaluationJob: no Job before every check is positive and fresh; one Job; a verdict from evidence alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from weighbridge.api import EvaluationJob
from weighbridge.api.evaluationjob import EvaluationJobStatus, Metric, Results
from weighbridge.core.conditions import find
from weighbridge.core.evaluationfacts import EvaluationFacts, JobFacts, ResultProblem
from weighbridge.core.evaluationjob import decide
from weighbridge.core.facts import Absent, Failed, Known, Pending
from weighbridge.core.names import job_name
from weighbridge.core.plan import Create, Delete, Plan

from .things import START, dataset_pin, evaluation_job, registry, snapshot

FACTS = EvaluationFacts(
    registries={"mlflow": registry()},
    model=Known(snapshot("1"), START),
    datasets=(),
    job=None,
    report=None,
    failure=None,
)
RESULTS = Results(metrics=(Metric(name="accuracy", value=0.95, direction="maximize", n=100),), sha256="0" * 64)


def look(job: EvaluationJob, /, now: Any = START, **facts: Any) -> Plan:
    def manifest(_job: Any, _resolved: Any, _registry: Any, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}}

    return decide(job, replace(FACTS, **facts), now, manifest)


def with_status(job: EvaluationJob, status: EvaluationJobStatus) -> EvaluationJob:
    return job.model_copy(update={"status": status})


def ready(plan: Plan) -> tuple[str, str]:
    condition = find(plan.status.conditions, "Ready")
    assert condition is not None
    return condition.status, condition.reason


def scheduled() -> EvaluationJob:
    job = evaluation_job()
    return with_status(job, look(job).status)


def running(state: str, **kind: Any) -> JobFacts:
    return JobFacts(uid="job", ours=True, state=state, started_at=START, **kind)  # type: ignore[arg-type]


def test_everything_available_schedules_one_job_on_the_pin() -> None:
    job = evaluation_job(datasets=True)
    plan = look(job, datasets=(Known(dataset_pin(), START),))
    assert plan.actions == (Create({"metadata": {"name": job_name(job)}}),)
    assert plan.status.resolved is not None
    assert plan.status.resolved.model.version == "1"
    assert [check.result for check in plan.status.preflight] == ["Passed", "Passed"]
    assert plan.status.job is not None


@pytest.mark.parametrize(
    ("facts", "reason", "stalled"),
    [
        ({"registries": {"mlflow": None}, "model": Pending()}, "RegistryNotFound", "True"),
        ({"model": Absent("VersionNotFound", "no version 1", START)}, "VersionNotFound", "True"),
        ({"model": Absent("AccessDenied", "not yours", START)}, "AccessDenied", "True"),
        ({"model": Failed("RegistryUnavailable", "no answer", START, 5.0)}, "RegistryUnavailable", "False"),
        ({"model": Pending()}, "Checking", "False"),
        ({"model": Known(snapshot("1"), START - timedelta(seconds=60))}, "Checking", "False"),
    ],
)
def test_nothing_is_created_unless_everything_is_there(facts: dict[str, Any], reason: str, stalled: str) -> None:
    plan = look(evaluation_job(), **facts)
    assert plan.actions == ()
    assert ready(plan) == ("False", reason)
    condition = find(plan.status.conditions, "Stalled")
    assert condition is not None
    assert condition.status == stalled
    assert plan.requeue_after


def test_a_missing_dataset_refuses_a_present_model() -> None:
    plan = look(evaluation_job(datasets=True), datasets=(Absent("DatasetNotFound", "no dataset", START),))
    assert plan.actions == ()
    assert ready(plan) == ("False", "DatasetNotFound")
    assert plan.status.phase == "Refused"


def test_a_dataset_of_another_registry_is_refused() -> None:
    reference = {"name": "holdout", "registryRef": {"name": "other"}, "path": "holdout"}
    job = EvaluationJob.model_validate(
        {
            "metadata": {"name": "evaluation", "namespace": "ns"},
            "spec": {**evaluation_job().spec.to_json(), "datasets": [reference]},
        }
    )
    plan = look(job, registries={"mlflow": registry(), "other": registry()}, datasets=(Known(dataset_pin(), START),))
    assert plan.actions == ()
    assert ready(plan) == ("False", "DatasetUnsupported")


def test_a_crash_between_status_and_job_creates_the_same_job() -> None:
    job = scheduled()
    again = look(job)
    assert again.actions == (Create({"metadata": {"name": job_name(job)}}),)
    assert again.status == job.status


def test_a_job_that_cannot_be_created_says_why_and_is_tried_again_without_more_writing() -> None:
    job = scheduled()
    plan = look(job, failure=Failed("Invalid", "quota exceeded", START, 4.0))
    assert ready(plan) == ("False", "Invalid")
    assert plan.status.phase == "Waiting"
    assert [type(action) for action in plan.actions] == [Create]
    refused = with_status(job, plan.status)
    for failure in (Failed("Invalid", "exceeded: quota", START, 4.0), None):
        again = look(refused, failure=failure)
        assert (again.status, len(again.actions)) == (refused.status, 1)
    stale = look(refused, now=START + timedelta(seconds=30))
    assert (stale.status, stale.actions) == (refused.status, ())
    other = look(refused, failure=Failed("Forbidden", "no right", START, 4.0))
    assert ready(other) == ("False", "Forbidden")
    found = look(refused, job=running("Running"))
    assert found.status.phase == "Running"


@pytest.mark.parametrize(
    ("facts", "verdict", "reason"),
    [
        ({"job": running("Complete"), "report": RESULTS}, "Passed", "GatePassed"),
        ({"job": running("Complete")}, "Error", "ResultMissing"),
        ({"job": running("Complete"), "report": ResultProblem("WrongSubject", "other model")}, "Error", "WrongSubject"),
        ({"job": running("Failed", reason="OutOfMemory", message="memory")}, "Error", "OutOfMemory"),
        ({"job": running("Failed", reason="DeadlineExceeded"), "report": RESULTS}, "Error", "DeadlineExceeded"),
        ({"job": replace(running("Running"), ours=False)}, "Error", "NameTaken"),
    ],
)
def test_the_end_of_the_job_is_a_verdict(facts: dict[str, Any], verdict: str, reason: str) -> None:
    plan = look(scheduled(), **facts)
    assert plan.status.verdict is not None
    assert plan.status.verdict.result == verdict
    assert ready(plan)[1] == reason
    assert (ready(plan)[0] == "True") == (verdict == "Passed")
    assert plan.actions == ()


def test_a_running_job_is_followed_and_one_deleted_while_it_ran_is_an_error() -> None:
    job = scheduled()
    plan = look(job, job=running("Running"))
    assert plan.status.phase == "Running"
    assert plan.actions == ()
    gone = look(with_status(job, plan.status))
    assert gone.status.verdict is not None
    assert gone.status.verdict.result == "Error"
    assert ready(gone)[1] == "JobDeleted"


def test_a_verdict_stands_and_the_pod_goes_after_its_time() -> None:
    job = scheduled()
    finished = with_status(job, look(job, job=running("Complete", finished_at=START), report=RESULTS).status)
    soon = look(finished, job=running("Complete"))
    assert (soon.status, soon.actions) == (finished.status, ())
    late = look(finished, now=START + timedelta(hours=25), job=running("Complete"))
    assert late.actions == (Delete("batch/v1", "Job", job_name(job), "job"),)
    assert late.status == finished.status
    assert look(finished, model=Absent("VersionNotFound", "gone", START)).status == finished.status


def test_a_new_object_of_the_same_name_has_its_own_job() -> None:
    assert job_name(evaluation_job()) != job_name(evaluation_job(metadata={"uid": "another"}))
    assert len(job_name(evaluation_job(metadata={"name": "a" * 253}))) <= 63
