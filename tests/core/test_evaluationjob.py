"""EvaluationJob: no Job before every check is positive and fresh; one Job; a verdict from evidence alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from weighbridge.api import EvaluationJob
from weighbridge.api.evaluationjob import EvaluationJobSpec, EvaluationJobStatus
from weighbridge.api.report import Report
from weighbridge.api.results import Metric, Results
from weighbridge.core.conditions import find
from weighbridge.core.evaluationfacts import EvaluationFacts, Heard, JobFacts, ResultProblem
from weighbridge.core.evaluationjob import decide
from weighbridge.core.facts import Absent, Failed, Known, Pending
from weighbridge.core.names import job_name
from weighbridge.core.plan import Create, Delete, Plan
from weighbridge.core.policy import policy_hash
from weighbridge.core.subjects import registry_not_found

from .things import START, dataset_pin, evaluation_job, registry, snapshot

FACTS = EvaluationFacts(
    registries={"mlflow": registry()},
    answers=((Known(snapshot("1"), START),),),
    job=None,
    report=None,
    failure=None,
)
RESULTS = Results(metrics=(Metric(name="accuracy", value=0.95, direction="maximize", n=100),), sha256="0" * 64)


def look(job: EvaluationJob, /, now: Any = START, model: Any = None, datasets: tuple[Any, ...] = (), **facts: Any) -> Plan:
    def manifest(_job: Any, _resolved: Any, _registries: Any, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}}

    said = FACTS.answers[0] if model is None else model if isinstance(model, tuple) else (model,)
    facts["answers"] = (said, *(each if isinstance(each, tuple) else (each,) for each in datasets))
    return decide(job, replace(FACTS, **facts), now, manifest)


def with_status(job: EvaluationJob, status: EvaluationJobStatus) -> EvaluationJob:
    return job.model_copy(update={"status": status})


def ready(plan: Plan) -> tuple[str, str]:
    condition = find(plan.status.conditions, "Ready")
    assert condition is not None
    return condition.status, condition.reason


def scheduled(**spec: Any) -> EvaluationJob:
    job = evaluation_job(**spec)
    return with_status(job, look(job).status)


def running(state: str, **kind: Any) -> JobFacts:
    return JobFacts(uid="job", ours=True, state=state, started_at=START, **kind)  # type: ignore[arg-type]


def test_everything_available_schedules_one_job_on_the_pin() -> None:
    job = evaluation_job(datasets=True)
    plan = look(job, datasets=(Known(dataset_pin(), START),))
    assert plan.actions == (Create({"metadata": {"name": job_name(job)}}),)
    assert plan.status.resolved is not None
    assert plan.status.resolved.model.version == "1"
    assert [(check.name, check.result) for check in plan.status.preflight] == [
        (name, "Passed")
        for name in (
            *("Registry/mlflow", "Model/Exists", "Model/Access", "Model/Complete", "Model/Format"),
            *("Dataset/holdout/Exists", "Dataset/holdout/Access", "Dataset/holdout/Complete", "Engine"),
        )
    ]
    assert plan.status.job is not None


@pytest.mark.parametrize(
    ("facts", "reason", "stalled"),
    [
        ({"registries": {}, "model": registry_not_found("mlflow", START)}, "RegistryNotFound", "True"),
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


def test_two_registries_of_one_kind_are_refused() -> None:
    reference = {"name": "holdout", "registryRef": {"name": "other"}, "path": "holdout"}
    job = evaluation_job(datasets=True)
    job = job.model_copy(update={"spec": EvaluationJobSpec.model_validate({**job.spec.to_json(), "datasets": [reference]})})
    elsewhere = dataset_pin().model_copy(update={"registry": "other"})
    plan = look(job, registries={"mlflow": registry(), "other": registry()}, datasets=(Known(elsewhere, START),))
    assert plan.actions == ()
    assert ready(plan) == ("False", "EngineUnsupported")
    hub = registry(mlflow=None, huggingFace={})
    assert look(job, registries={"mlflow": registry(), "other": hub}, datasets=(Known(elsewhere, START),)).actions


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
    stale = look(refused, now=START + timedelta(seconds=40))
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


def test_the_verdict_keeps_the_gate_it_was_reached_under_and_distrusts_a_cut_result() -> None:
    every = {"metric": "accuracy", "min": 0.9, "slices": "Every"}
    job = evaluation_job(gate=[every])
    job = with_status(job, look(job).status)
    metrics = (RESULTS.metrics[0].model_copy(update={"slice": "new"}),)
    for truncated, result in ((0, "Passed"), (1, "Error")):
        report = RESULTS.model_copy(update={"metrics": metrics, "truncated": truncated})
        status = look(job, job=running("Complete"), report=report).status
        assert status.verdict is not None
        assert (status.verdict.result, status.score) == (result, "accuracy 0.95")
        assert status.verdict.policy_hash == policy_hash(job.spec.gate)
    nothing = look(job, job=running("Complete")).status.verdict
    assert nothing is not None
    assert nothing.policy_hash is None


def test_a_running_job_is_followed_and_one_deleted_while_it_ran_is_an_error() -> None:
    job = evaluation_job(backoffLimit=0)
    job = with_status(job, look(job).status)
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


MISSING = Absent("VersionNotFound", "no version 1", START)
BASELINE = {"models": [{"registryRef": {"name": "mlflow"}, "name": "baseline", "version": "2"}]}


def fallback(job: EvaluationJob, plan: Plan) -> tuple[str, str]:
    condition = find(plan.status.conditions, "FallbackUsed")
    assert condition is not None
    return condition.status, condition.reason


def test_a_fallback_is_said_from_the_first_to_the_last() -> None:
    job = evaluation_job(fallback=BASELINE)
    plan = look(job, model=(MISSING, Known(snapshot("2"), START)))
    assert [type(action) for action in plan.actions] == [Create]
    assert fallback(job, plan) == ("True", "ModelFallback")
    assert plan.status.resolved.model.fallback
    job = with_status(job, plan.status)
    plan = look(job, job=running("Running"))
    assert fallback(job, plan) == ("True", "ModelFallback")
    plan = look(with_status(job, plan.status), job=running("Complete"), report=RESULTS)
    assert fallback(job, plan) == ("True", "ModelFallback")
    assert plan.status.results.model == snapshot("2").pin.uri
    assert "fallback" in (find(plan.status.conditions, "Ready") or plan).message  # type: ignore[union-attr]


def test_a_fallback_that_was_not_needed_is_said_too_and_none_where_none_was_named() -> None:
    job = evaluation_job(fallback=BASELINE)
    assert fallback(job, look(job)) == ("False", "NotNeeded")
    assert look(job).status.resolved.model.fallback is False
    assert find(look(evaluation_job()).status.conditions, "FallbackUsed") is None


@pytest.mark.parametrize("answer", [Failed("RegistryUnavailable", "no answer", START, 5.0), Pending()])
def test_a_fallback_is_not_used_in_an_outage(answer: Any) -> None:
    job = evaluation_job(fallback=BASELINE)
    plan = look(job, model=answer)
    assert plan.actions == ()
    assert fallback(job, plan) == ("Unknown", "NotValidated")
    assert find(plan.status.conditions, "Stalled").status == "False"  # type: ignore[union-attr]


def test_an_absence_that_is_not_fresh_is_asked_again_before_its_fallback_is_run() -> None:
    old = replace(MISSING, at=START - timedelta(minutes=5))
    plan = look(evaluation_job(fallback=BASELINE), model=(old, Known(snapshot("2"), START)))
    assert plan.actions == ()
    assert ready(plan) == ("False", "Checking")


def test_progress_is_told_seldom_and_only_where_it_is_news() -> None:
    job = scheduled()
    half = START + timedelta(minutes=10)

    def at(minutes: float, heard: Heard | None, job: EvaluationJob) -> EvaluationJob:
        plan = look(job, now=START + timedelta(minutes=minutes), job=running("Running"), progress=heard)
        return with_status(job, plan.status)

    begun = at(10, Heard(50, 200), job)
    told = begun.status.progress
    assert told is not None
    assert (told.done, told.total, told.percent, told.word, told.at) == (50, 200, 25, "25 %", half)
    assert told.eta == half + timedelta(minutes=30)
    assert at(10.4, Heard(80, 200), begun).status == begun.status
    assert at(11, Heard(51, 200), begun).status == begun.status
    assert at(11, None, begun).status == begun.status
    later = at(11, Heard(52, 200), begun).status.progress
    assert later is not None
    assert later.word == "26 %"
    done = look(begun, now=START + timedelta(minutes=20), job=running("Complete"), report=RESULTS)
    assert done.status.progress is None


def test_progress_that_was_not_begun_has_no_end_in_sight() -> None:
    told = look(scheduled(), now=START + timedelta(minutes=1), job=running("Running"), progress=Heard(0, 10)).status.progress
    assert told is not None
    assert (told.percent, told.eta) == (0, None)
    told = look(
        scheduled(activeDeadline="24h"), now=START + timedelta(hours=9), job=running("Running"), progress=Heard(1, 1 << 53)
    ).status.progress
    assert told is not None
    assert told.eta is None


REPORT = {"report": {"registryRef": {"name": "mlflow"}}}


@pytest.mark.parametrize(
    ("told", "problem", "says"),
    [
        (None, "ReportUnfinished", "the reporter was stopped"),
        (Report(problem="ReportRefused"), "ReportRefused", "reportCredentialsSecretRef"),
        (Report(uri="runs:/1", sha256="a" * 64, bytes=7), "", ""),
    ],
)
def test_a_report_that_is_not_there_is_told_and_changes_no_verdict(told: Report | None, problem: str, says: str) -> None:
    job = evaluation_job(**REPORT)
    job = with_status(job, look(job).status)
    plan = look(job, job=running("Complete"), report=RESULTS.model_copy(update={"report": told}))
    assert plan.status.verdict is not None
    assert plan.status.verdict.result == "Passed"
    assert plan.status.results is not None
    assert plan.status.results.report is not None
    assert plan.status.results.report.problem == problem
    condition = find(plan.status.conditions, "Ready")
    assert condition is not None
    assert says in condition.message
    assert ("full report" in condition.message) == bool(problem)


def test_a_report_that_nobody_asked_for_is_not_told() -> None:
    handed = RESULTS.model_copy(update={"report": Report(uri="runs:/1")})
    plan = look(scheduled(), job=running("Complete"), report=handed)
    assert plan.status.results is not None
    assert plan.status.results.report is None


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("elsewhere", {}, "RegistryNotFound"),
        ("mlflow", {"mlflow": None, "huggingFace": {}}, "ReportUnsupported"),
        ("mlflow", {}, ""),
    ],
)
def test_a_report_needs_a_place_to_go_before_anything_is_scheduled(name: str, kind: dict[str, Any], reason: str) -> None:
    job = evaluation_job(report={"registryRef": {"name": name}}, evaluator={"engine": "container", "image": "i"})
    plan = look(job, registries={"mlflow": registry(**kind)})
    assert (ready(plan)[1] == reason) == bool(reason)
    assert bool(plan.actions) == (not reason)
    (check,) = [each for each in plan.status.preflight if each.name == "Report"]
    assert check.result == ("Failed" if reason else "Passed")
