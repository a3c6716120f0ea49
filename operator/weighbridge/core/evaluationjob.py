"""What should happen to an EvaluationJob: pre-flight, one Job, one result, one verdict.

Nothing is scheduled before every check is positive and fresh. A definite no ends with its own reason and no Job; an outage waits.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..api.base import Condition, seconds
from ..api.evaluationjob import (
    EvaluationJob,
    EvaluationJobStatus,
    JobState,
    Resolved,
    Results,
)
from ..api.gate import GateLine, Verdict
from ..api.modelregistry import ModelRegistry
from .conditions import Draft, Summary, find, settle, stamp
from .evaluationfacts import EvaluationFacts, ResultProblem
from .gate import judge, score
from .names import job_name
from .plan import Action, Create, Delete, Plan
from .preflight import Examination, examine
from .progress import told
from .report import reported, without

FRESH = 30.0
"""Seconds an answer of the registry may be old when the Job is created: so many evaluations of one model ask for it twice a
minute at the most. The engine proves what it loads."""
_ASK_AGAIN = 10.0
"""Seconds between looks while an answer is on its way, which wakes by itself."""
RETRY_CREATE = 60.0
"""Seconds after which the registry is asked again for a Job that the cluster refuses, and its creation tried again."""
RECHECK = 300.0
"""Seconds between looks at a refused evaluation."""


_NOT_VALIDATED = "NotValidated"

Manifest = Callable[[EvaluationJob, Resolved, Mapping[str, ModelRegistry], str], Mapping[str, Any]]
"""Builds the Job: evaluation, pins, registries by name, name of the Job."""


def decide(job: EvaluationJob, facts: EvaluationFacts, now: datetime, manifest: Manifest) -> Plan:
    """The whole life of an evaluation, one step at a time."""
    if job.metadata.deletion_timestamp is not None:
        return Plan(status=job.status)
    if job.status.verdict is not None:
        return _clean_up(job, facts, now)
    if job.status.resolved is not None and job.status.job is not None and (facts.job or job.status.job.started_at):
        return _watch(job, facts, now)
    return _preflight(job, facts, now, manifest)


def _preflight(job: EvaluationJob, facts: EvaluationFacts, now: datetime, manifest: Manifest) -> Plan:
    found = examine(job.spec, facts.registries, facts.answers)
    told = _told(job, found)
    if found.decision == "Refused":
        summary = Summary("Stalled", found.reason, found.message)
        validated = Draft("Validated", False, found.reason, found.message)
        return _plan(job, now, summary, (validated, *told, _not_scheduled()), phase="Refused", found=found, requeue=RECHECK)
    age = (now - found.oldest).total_seconds() if found.oldest else 0.0
    if age > FRESH and refused_creation(job):
        return Plan(job.status, requeue_after=max(1.0, RETRY_CREATE - age))
    if found.decision == "Waiting" or age > FRESH:
        waiting = found.decision == "Waiting"
        reason, message = (found.reason, found.message) if waiting else ("Checking", "asking the registry again before scheduling")
        phase = "Checking" if found.retry_after is None else "Waiting"
        drafts = (Draft("Validated", None, reason, message), *told, _not_scheduled())
        summary = Summary("InProgress", reason, message)
        return _plan(job, now, summary, drafts, phase=phase, found=found, requeue=found.retry_after or _ASK_AGAIN)
    return _schedule(job, facts, found, now, manifest)


def _told(job: EvaluationJob, found: Examination | None = None) -> tuple[Draft, ...]:
    """FallbackUsed, for evaluations that name any fallback. Once decided it stays as it was said."""
    if not job.spec.fallback.models and not any(ref.fallback for ref in job.spec.datasets):
        return ()
    if found is None:
        said = find(job.status.conditions, "FallbackUsed")
        return (Draft(said.type, {"True": True, "False": False}.get(said.status), said.reason, said.message),) if said else ()
    if found.resolved is None:
        return (Draft("FallbackUsed", None, "NotValidated", "told once everything is validated"),)
    if not found.fallback:
        return (Draft("FallbackUsed", False, "NotNeeded", "everything that was asked for exists"),)
    reason = "ModelFallback" if found.resolved.model.fallback else "DatasetFallback"
    return (Draft("FallbackUsed", True, reason, found.fallback),)


def refused_creation(job: EvaluationJob) -> Condition | None:
    """What the status says where the cluster refused the Job the last time; then it is tried again at longer intervals, and the
    status stays."""
    scheduled = find(job.status.conditions, "Scheduled")
    if scheduled is None or scheduled.status != "False" or scheduled.reason == _NOT_VALIDATED:
        return None
    return scheduled


def _schedule(job: EvaluationJob, facts: EvaluationFacts, found: Examination, now: datetime, manifest: Manifest) -> Plan:
    assert found.resolved is not None
    name = job_name(job)
    create = Create(manifest(job, found.resolved, facts.registries, name))
    last, failure = refused_creation(job), facts.failure
    if last is not None and (failure is None or failure.reason == last.reason):
        return Plan(job.status, (create,))  # the same refusal may be worded anew each time: no reason to write it anew
    if failure is not None:  # the Job could not be created: say why, and try again
        phase, summary = "Waiting", Summary("InProgress", failure.reason, failure.message)
        scheduled = Draft("Scheduled", False, failure.reason, failure.message)
    else:
        phase, summary = "Scheduled", Summary("InProgress", "Scheduled", "the evaluation's Job is being created")
        scheduled = Draft("Scheduled", None, "Creating", f"Job {name}")
    drafts = (_validated(), *_told(job, found), scheduled)
    plan = _plan(job, now, summary, drafts, phase=phase, found=found, job_state=JobState(name=name))
    return Plan(plan.status, (create,))


def _watch(job: EvaluationJob, facts: EvaluationFacts, now: datetime) -> Plan:
    """The Job exists or existed: follow it to its end."""
    state = job.status.job
    assert state is not None
    found = facts.job
    if found is None:
        problem = ResultProblem(
            "JobDeleted", "the evaluation's Job was deleted before it ended; delete this EvaluationJob and make it anew"
        )
        return _finish(job, problem, state, now)
    if not found.ours:
        problem = ResultProblem("NameTaken", f"Job {state.name} belongs to something else; delete it or rename this evaluation")
        return _finish(job, problem, state, now)
    started = found.started_at or state.started_at
    state = JobState(name=state.name, started_at=started, finished_at=found.finished_at)
    match found.state:
        case "Complete" if facts.report is not None:
            return _finish(job, facts.report, state, now)
        case "Complete":
            problem = ResultProblem("ResultMissing", "the pod ended and left no result; see its log")
            return _finish(job, problem, state, now)
        case "Failed":
            return _finish(job, ResultProblem(found.reason or "EngineFailed", found.message), state, now)
        case "Running" | "Waiting" if started is not None:
            message, phase, reason = "the evaluation runs", "Running", "Running"
        case _:
            message, phase, reason = found.message or "waiting for a node and resources", "Scheduled", found.reason or "Scheduled"
    scheduled = Draft("Scheduled", True, "JobCreated", f"Job {state.name}")
    drafts = (_validated(), *_told(job), scheduled, Draft("Complete", False, reason, message))
    plan = _plan(job, now, Summary("InProgress", reason, message), drafts, phase=phase, job_state=state, requeue=30.0)
    progress = told(job.status.progress, facts.progress, started, now) if found.state == "Running" else None
    return Plan(plan.status.model_copy(update={"progress": progress}), plan.actions, plan.requeue_after)


def _finish(job: EvaluationJob, report: Results | ResultProblem, state: JobState, now: datetime) -> Plan:
    if state.finished_at is None:
        state = state.model_copy(update={"finished_at": stamp(now)})
    results: Results | None = None
    pins = job.status.resolved
    if isinstance(report, Results):
        results = reported(job, report).model_copy(update={"model": pins.model.uri if pins else ""})
        verdict = judge(job.spec.gate, report.metrics, report.truncated)
        worst = next((line for line in verdict.lines if line.verdict == verdict.result), None)
        message = worst.message if worst else "no gate rule: nothing was asked"
        reason = {"Passed": "GatePassed", "Failed": "GateFailed", "Inconclusive": "Inconclusive", "Error": "GateError"}[
            verdict.result
        ]
    else:
        reason, message = report.reason, report.message
        verdict = Verdict(result="Error", lines=(GateLine(rule="result", verdict="Error", message=message[:1024]),))
    if results is not None and results.report is not None and results.report.problem:
        message = f"{message} ({without(results.report)})"
    if pins is not None and pins.fallback:
        message = f"{message} (measured on a fallback: see FallbackUsed)"
    summary = Summary("Ready" if verdict.result == "Passed" else "Stalled", reason, message)
    drafts = (
        _validated(),
        *_told(job),
        Draft("Scheduled", True, "JobCreated", f"Job {state.name}"),
        Draft("Complete", True, reason, message),
    )
    ttl = seconds(job.spec.ttl_after_finished)
    plan = _plan(job, now, summary, drafts, phase=verdict.result, job_state=state, requeue=ttl)
    status = plan.status.model_copy(
        update={"results": results, "verdict": verdict, "score": score(job.spec.gate, verdict) if results else ""}
    )
    return Plan(status=status, requeue_after=ttl)


def _clean_up(job: EvaluationJob, facts: EvaluationFacts, now: datetime) -> Plan:
    """The result is recorded: the Job goes when its time has come."""
    finished = job.status.job.finished_at if job.status.job else None
    if facts.job is None or not facts.job.ours or finished is None:
        return Plan(status=job.status)
    due = finished + timedelta(seconds=seconds(job.spec.ttl_after_finished))
    if now < due:
        return Plan(status=job.status, requeue_after=(due - now).total_seconds())
    actions: tuple[Action, ...] = (
        Delete(api_version="batch/v1", kind="Job", name=job.status.job.name if job.status.job else "", uid=facts.job.uid),
    )
    return Plan(status=job.status, actions=actions, requeue_after=RECHECK)


def _validated() -> Draft:
    return Draft("Validated", True, "Available", "model and datasets are available and pinned")


def _not_scheduled() -> Draft:
    return Draft("Scheduled", False, _NOT_VALIDATED, "nothing is scheduled before every check is positive")


def _plan(
    job: EvaluationJob,
    now: datetime,
    summary: Summary,
    drafts: tuple[Draft, ...],
    *,
    phase: str,
    found: Examination | None = None,
    job_state: JobState | None = None,
    requeue: float | None = None,
) -> Plan:
    generation = job.metadata.generation
    if not any(draft.type == "Complete" for draft in drafts):
        drafts = (*drafts, Draft("Complete", False, summary.reason, summary.message))
    resolved = found.resolved if found else job.status.resolved
    status = EvaluationJobStatus(
        observed_generation=generation,
        phase=phase,
        version=job.spec.model.shown(resolved.model if resolved else None),
        preflight=found.checks if found else job.status.preflight,
        resolved=resolved if job_state else None,
        job=job_state,
        conditions=settle(job.status.conditions, (*drafts, *summary.drafts()), generation, now),
    )
    return Plan(status=status, requeue_after=requeue)
