"""What the status of an EvaluationJob says: the drafts that its steps have in common, and the status made of them."""

from datetime import datetime

from ..api.evaluationjob import EvaluationJob, EvaluationJobStatus
from ..api.evaluationpod import JobState
from .conditions import Draft, Summary, find, settle
from .plan import Plan
from .preflight import Examination

NOT_VALIDATED = "NotValidated"


def told(job: EvaluationJob, found: Examination | None = None) -> tuple[Draft, ...]:
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


def later_attempt(job: EvaluationJob) -> JobState | None:
    """The attempt that is to begin, where it is not the first."""
    return job.status.job if job.status.job is not None and job.status.job.attempt > 1 else None


def validated() -> Draft:
    return Draft("Validated", True, "Available", "model and datasets are available and pinned")


def not_scheduled() -> Draft:
    return Draft("Scheduled", False, NOT_VALIDATED, "nothing is scheduled before every check is positive")


def status_plan(
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
    later = job_state is not None and job_state.attempt > 1
    resolved = found.resolved if found and not later else job.status.resolved
    status = EvaluationJobStatus(
        observed_generation=generation,
        phase=phase,
        version=job.spec.model.shown(resolved.model if resolved else None),
        preflight=found.checks if found else job.status.preflight,
        resolved=resolved if job_state else None,
        champion=job.status.champion if job_state else None,
        job=job_state,
        conditions=settle(job.status.conditions, (*drafts, *summary.drafts()), generation, now),
    )
    return Plan(status=status, requeue_after=requeue)
