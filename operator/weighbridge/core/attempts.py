"""The attempts of an evaluation: how far the current one is, what ends it before its own end, and whether another one follows.

One attempt is one Job with one pod that counts (ADR 14). What may have been bad luck is attempted again; what would end the same is
not, and a verdict never is.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ..api.base import seconds
from ..api.evaluationjob import EvaluationJob, EvaluationJobSpec
from ..api.evaluationpod import JobState
from .conditions import stamp
from .evaluationfacts import JobFacts, ResultProblem
from .names import job_name

RETRIED = frozenset({"JobDeleted", "PodLost", "ResultLost", "ImageUnavailable", "EngineFailed"})
"""Reasons that another attempt may not have."""
IMAGE_PATIENCE = 600.0
"""Seconds an attempt waits for an image that cannot be pulled."""
DEADLINE_SLACK = 120.0
"""Seconds after activeDeadline in which the pod's node ends it; then the operator does."""
_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 300.0


def pause(attempt: int) -> float:
    """Seconds between the end of this attempt and the next."""
    return min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE)


def followed(state: JobState, found: JobFacts, now: datetime) -> JobState:
    """The state of an attempt whose Job was found like this."""
    started, since = found.started_at or state.started_at, None
    if found.state in ("Queued", "Waiting"):
        # A pod that was evicted waits anew, and what it has waited before it ran is forgotten.
        anew = stamp(now) if state.started_at else found.created_at or stamp(now)
        started, since = None, state.waiting_since or anew
    missing = (state.image_missing_since or stamp(now)) if found.reason == "ImageUnavailable" and since else None
    return JobState(
        name=state.name,
        attempt=state.attempt,
        uid=found.uid,
        waiting_since=since,
        image_missing_since=missing,
        started_at=started or (stamp(now) if found.state == "Running" else None),
        finished_at=found.finished_at,
        image=found.image[:512] or state.image,
        last_failure=state.last_failure,
    )


def overdue(spec: EvaluationJobSpec, state: JobState, found: JobFacts, now: datetime) -> ResultProblem | None:
    """Why an attempt that has not ended is ended."""
    if found.reason == "InvalidImageName":
        return ResultProblem(found.reason, found.message)
    if _is_past(state.image_missing_since, IMAGE_PATIENCE, now):
        return ResultProblem("ImageUnavailable", f"{found.message}, for {IMAGE_PATIENCE / 60:.0f} minutes")
    if _is_past(state.waiting_since, seconds(spec.queue_deadline), now):
        why = f": {found.message}" if found.message else ""
        return ResultProblem("QueueDeadlineExceeded", f"the evaluation waited longer than spec.queueDeadline to run{why}")
    if _is_past(state.started_at, seconds(spec.active_deadline) + DEADLINE_SLACK, now) and found.state == "Running":
        return ResultProblem("DeadlineExceeded", "the evaluation ran longer than spec.activeDeadline, and its node did not end it")
    return None


def another(job: EvaluationJob, state: JobState, problem: ResultProblem, now: datetime) -> JobState | None:
    """The attempt that follows one that broke like this; None where none does."""
    if problem.reason not in RETRIED or state.attempt > job.spec.backoff_limit:
        return None
    number = state.attempt + 1
    return JobState(
        name=job_name(job, number),
        attempt=number,
        next_attempt_at=stamp(now) + timedelta(seconds=pause(state.attempt)),
        last_failure=problem.reason,
    )


def counted(job: EvaluationJob, attempt: int) -> str:
    """Which attempt of how many, for people; empty where there is but one."""
    most = job.spec.backoff_limit + 1
    return f"attempt {attempt} of {most}" if most > 1 else ""


def held_up(pods: Sequence[str]) -> str:
    """Why an attempt whose time has come does not begin."""
    return f"pod {', '.join(pods[:3])} of the attempt before has not ended yet"


def _is_past(since: datetime | None, most: float, now: datetime) -> bool:
    return since is not None and now >= since + timedelta(seconds=most)
