"""What should happen to an EvaluationJob: pre-flight, one Job an attempt, one result, one verdict.

Nothing is scheduled before every check is positive and fresh. A definite no ends with its own reason and no Job; an outage waits.
All attempts are made on the pins of the first.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..api.base import Condition
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.evaluationpod import JobState
from ..api.modelregistry import ModelRegistry
from .attempts import RETRIED, another, counted, followed, held_up, overdue
from .conditions import Draft, Summary, find
from .engines import BUILT_IN, Engine
from .evaluationend import RECHECK, clean_up, finish, reused
from .evaluationfacts import EvaluationFacts, ResultProblem
from .evaluationstatus import NOT_VALIDATED, later_attempt, not_scheduled, status_plan, told, validated
from .incumbent import asked
from .names import job_name
from .plan import Create, Delete, Plan
from .preflight import Examination, examine
from .progress import how_far
from .reuse import earlier
from .subjects import registry_not_found

FRESH = 30.0
"""Seconds an answer of the registry may be old when the Job is created: so many evaluations of one model ask for it twice a
minute at the most. The engine proves what it loads."""
_ASK_AGAIN = 10.0
"""Seconds between looks while an answer is on its way, which wakes by itself."""
RETRY_CREATE = 60.0
"""Seconds after which the registry is asked again for a Job that the cluster refuses, and its creation tried again."""
_LOOK = 30.0
"""Seconds between looks at a Job that tells nothing."""
_GOING = 5.0
"""Seconds between looks at a Job or pod that is to go before the next attempt."""
_NOT_REFUSED = frozenset({NOT_VALIDATED, "Queued", "Suspended"}) | RETRIED
"""Reasons of Scheduled that do not come from a cluster that refuses the Job."""

Manifest = Callable[[EvaluationJob, Resolved, Mapping[str, ModelRegistry], str], Mapping[str, Any]]
"""Builds the Job: evaluation, pins, registries by name, name of the Job."""


def decide(
    job: EvaluationJob, facts: EvaluationFacts, now: datetime, manifest: Manifest, engines: Mapping[str, Engine] = BUILT_IN
) -> Plan:
    """The whole life of an evaluation, one step at a time."""
    if job.metadata.deletion_timestamp is not None:
        return Plan(status=job.status)
    if job.status.verdict is not None:
        return clean_up(job, facts, now)
    state = job.status.job
    if state is not None and job.status.resolved is not None and (facts.job or state.uid or state.started_at):
        return _watch(job, facts, now)
    return _between(job, facts, now) or _preflight(job, facts, now, manifest, engines)


def _between(job: EvaluationJob, facts: EvaluationFacts, now: datetime) -> Plan | None:
    """Between two attempts: the Job of the earlier one goes, with its pod, and its pause passes."""
    state = job.status.job
    if state is None or state.next_attempt_at is None:
        return None
    if facts.earlier.uid:
        gone = Delete(api_version="batch/v1", kind="Job", name=job_name(job, state.attempt - 1), uid=facts.earlier.uid)
        return Plan(job.status, (gone,), requeue_after=_GOING)
    if now < state.next_attempt_at:
        return Plan(job.status, requeue_after=(state.next_attempt_at - now).total_seconds())
    if facts.earlier.pods:
        summary = Summary("InProgress", state.last_failure or NOT_VALIDATED, held_up(facts.earlier.pods))
        drafts = (validated(), *told(job), Draft("Scheduled", False, summary.reason, summary.message))
        return status_plan(job, now, summary, drafts, phase="Waiting", job_state=state, requeue=_GOING)
    return None


def _preflight(
    job: EvaluationJob, facts: EvaluationFacts, now: datetime, manifest: Manifest, engines: Mapping[str, Engine]
) -> Plan:
    found = examine(job.spec, facts.registries, facts.answers, engines)
    later = later_attempt(job)
    said = told(job, None if later else found)
    if found.decision == "Refused":
        summary = Summary("Stalled", found.reason, found.message)
        drafts: tuple[Draft, ...] = (Draft("Validated", False, found.reason, found.message), *said, not_scheduled())
        return status_plan(job, now, summary, drafts, phase="Refused", found=found, job_state=later, requeue=RECHECK)
    age = (now - found.oldest).total_seconds() if found.oldest else 0.0
    if age > FRESH and refused_creation(job):
        return Plan(job.status, requeue_after=max(1.0, RETRY_CREATE - age))
    if found.decision == "Waiting" or age > FRESH:
        waiting = found.decision == "Waiting"
        reason, message = (found.reason, found.message) if waiting else ("Checking", "asking the registry again before scheduling")
        phase = "Checking" if found.retry_after is None else "Waiting"
        drafts = (Draft("Validated", None, reason, message), *said, not_scheduled())
        summary = Summary("InProgress", reason, message)
        again = found.retry_after or _ASK_AGAIN
        return status_plan(job, now, summary, drafts, phase=phase, found=found, job_state=later, requeue=again)
    return _schedule(job, facts, found, now, manifest)


def refused_creation(job: EvaluationJob) -> Condition | None:
    """What the status says where the cluster refused the Job the last time; then it is tried again at longer intervals, and the
    status stays."""
    scheduled = find(job.status.conditions, "Scheduled")
    if scheduled is None or scheduled.status != "False" or scheduled.reason in _NOT_REFUSED:
        return None
    return scheduled


def _schedule(job: EvaluationJob, facts: EvaluationFacts, found: Examination, now: datetime, manifest: Manifest) -> Plan:
    later = later_attempt(job)
    pins = job.status.resolved if later else found.resolved
    assert pins is not None
    missing = [each for each in (pins.model.registry, *(pin.registry for pin in pins.datasets)) if each not in facts.registries]
    if missing:
        absent = registry_not_found(missing[0], now)
        drafts: tuple[Draft, ...] = (Draft("Validated", None, absent.reason, absent.message), *told(job), not_scheduled())
        summary = Summary("InProgress", absent.reason, absent.message)
        return status_plan(job, now, summary, drafts, phase="Waiting", found=found, job_state=later, requeue=_LOOK)
    if asked(job.spec) and job.status.champion is None:
        job = job.model_copy(update={"status": job.status.model_copy(update={"champion": facts.incumbent})})
    state = later or JobState(name=job_name(job))
    if (same := earlier(job, pins, facts.image, facts.reusable)) is not None:
        return reused(job, same, pins, found=found, facts=facts, now=now)
    create = Create(manifest(job, pins, facts.registries, state.name))
    last, failure = refused_creation(job), facts.failure
    if last is not None and (failure is None or failure.reason == last.reason):
        return Plan(job.status, (create,))  # the same refusal may be worded anew each time: no reason to write it anew
    if failure is not None:  # the Job could not be created: say why, and try again
        phase, summary = "Waiting", Summary("InProgress", failure.reason, failure.message)
        scheduled = Draft("Scheduled", False, failure.reason, failure.message)
    else:
        phase, summary = "Scheduled", Summary("InProgress", "Scheduled", "the evaluation's Job is being created")
        scheduled = Draft("Scheduled", None, "Creating", f"Job {state.name}")
    drafts = (validated(), *told(job, None if later else found), scheduled)
    plan = status_plan(job, now, summary, drafts, phase=phase, found=found, job_state=state)
    return Plan(plan.status, (create,))


def _watch(job: EvaluationJob, facts: EvaluationFacts, now: datetime) -> Plan:
    """The Job exists or existed: follow it to its end."""
    state = job.status.job
    assert state is not None
    found = facts.job
    if found is None:
        return _broke(job, ResultProblem("JobDeleted", "somebody deleted the evaluation's Job before it ended"), state, facts, now)
    if not found.ours:
        problem = ResultProblem("NameTaken", f"Job {state.name} belongs to something else; delete it or rename this evaluation")
        return finish(job, problem, state, facts, now)
    state = followed(state, found, now)
    if found.state == "Complete" and facts.report is not None:
        return finish(job, facts.report, state, facts, now)
    if found.state == "Complete":
        message = found.message or "the pod ended and left no result; see its log"
        return _broke(job, ResultProblem(found.reason or "ResultMissing", message), state, facts, now)
    if found.state == "Failed":
        return _broke(job, ResultProblem(found.reason or "EngineFailed", found.message), state, facts, now)
    if (problem_in_time := overdue(job.spec, state, found, now)) is not None:
        return _broke(job, problem_in_time, state, facts, now)
    scheduled = Draft("Scheduled", True, "JobCreated", f"Job {state.name}")
    match found.state:
        case "Running":
            message, phase, reason = "the evaluation runs", "Running", "Running"
        case "Queued":
            message, phase, reason = found.message, "Queued", found.reason
            scheduled = Draft("Scheduled", False, reason, message)
        case _:
            message, phase, reason = found.message or "waiting for a node and resources", "Scheduled", found.reason or "Scheduled"
    drafts = (validated(), *told(job), scheduled, Draft("Complete", False, reason, message))
    plan = status_plan(job, now, Summary("InProgress", reason, message), drafts, phase=phase, job_state=state, requeue=_LOOK)
    progress = how_far(job.status.progress, facts.progress, state.started_at, now) if found.state == "Running" else None
    return Plan(plan.status.model_copy(update={"progress": progress}), plan.actions, plan.requeue_after)


def _broke(job: EvaluationJob, problem: ResultProblem, state: JobState, facts: EvaluationFacts, now: datetime) -> Plan:
    """The attempt came to no result: another one follows, or the evaluation ends in error."""
    upcoming = another(job, state, problem, now)
    if upcoming is None or upcoming.next_attempt_at is None:
        if problem.reason in RETRIED and (which := counted(job, state.attempt)):
            problem = ResultProblem(problem.reason, f"{problem.message} ({which})")
        return finish(job, problem, state, facts, now)
    which, at = counted(job, state.attempt), f"{upcoming.next_attempt_at:%H:%M:%S} UTC"
    message = f"{which} broke: {problem.message}; its Job is deleted, and the next begins after {at}"
    drafts = (validated(), *told(job), Draft("Scheduled", False, problem.reason, message))
    summary = Summary("InProgress", problem.reason, message)
    status = status_plan(job, now, summary, drafts, phase="Waiting", job_state=upcoming).status
    found = facts.job
    gone = Delete(api_version="batch/v1", kind="Job", name=state.name, uid=found.uid) if found is not None else None
    return Plan(status, (gone,) if gone else (), requeue_after=_GOING)
