"""Evaluations made again: when, and what counts meanwhile.

Each round is an EvaluationJob of its own. While a round runs, and where it ends without a verdict, the verdict of the one before
stands; a failed round is evidence like any other.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ..api.base import seconds
from ..api.evaluationjob import EvaluationJob
from ..api.modelversion import Evaluation, ModelVersion
from ..api.references import DatasetPin
from ..api.versionstatus import EvaluationState
from .attempts import RETRIED
from .conditions import find
from .facts import Fact, Known

RETRY, LONGEST = 3600.0, 86400.0
"""Seconds after which a round that had bad luck is made anew: twice as long each time, and the longest."""
KEPT = 2
"""Rounds whose EvaluationJobs are kept."""


def round_name(first: str, number: int) -> str:
    """Name of the EvaluationJob of a round; `first` is that of round 1."""
    return first if number == 1 else f"{first}-{number}"


def is_round(name: str, first: str) -> bool:
    """Whether an EvaluationJob of this name is a round of the evaluation whose round 1 has the name `first`."""
    return name == first or (name.startswith(f"{first}-") and name.removeprefix(f"{first}-").isdecimal())


def last_round(version: ModelVersion, evaluation: Evaluation, first: str) -> EvaluationState | None:
    """What status remembers of this evaluation, unless it was another one then: of other content, or with another template."""
    found = next((state for state in version.status.evaluations if state.name == evaluation.name), None)
    return found if found is not None and found.job == round_name(first, found.round) else None


def cause(evaluation: Evaluation, state: EvaluationState, datasets: Sequence[Fact[DatasetPin]], serving: str, now: datetime) -> str:
    """Why a decided evaluation is to be made again, in words; empty where it is not. What was begun goes on.

    `serving`: the EvaluationJob of what it must not be worse than now; empty where there is none. Only a Passed verdict ages: a
    failed one is not asked again until it pleases.
    """
    if state.again:
        return state.again
    if state.verdict == "Passed" and stale(evaluation, state, now):
        return f"older than {evaluation.max_age}"
    if outrun(state, serving):
        return f"to be compared with what serves now, {serving}"
    for fact in datasets:
        if isinstance(fact, Known) and state.datasets.get(fact.value.name, fact.value.fingerprint) != fact.value.fingerprint:
            return f"dataset {fact.value.name} has changed"
    return ""


def outrun(state: EvaluationState, serving: str) -> bool:
    """Whether it was compared with something else than what serves now."""
    return bool(serving) and state.champion is not None and state.champion != serving


def stale(evaluation: Evaluation, state: EvaluationState, now: datetime) -> bool:
    """Whether the verdict is older than the evaluation allows."""
    return evaluation.max_age is not None and state.ended_at is not None and now >= expires(state.ended_at, evaluation.max_age)


def expires(ended_at: datetime, max_age: str) -> datetime:
    """When a verdict becomes too old."""
    return ended_at + timedelta(seconds=seconds(max_age))


def failed_round(job: EvaluationJob, failures: int, now: datetime) -> float | None:
    """Seconds until a round without a verdict is made anew, 0 where it is time; None where the next one would end the same."""
    ready = find(job.status.conditions, "Ready")
    ended = job.status.job.finished_at if job.status.job is not None else None
    if ended is None or ready is None or (ready.reason not in RETRIED and job.status.phase == "Error"):
        return None
    return max(0.0, min(RETRY * 2.0**failures, LONGEST) - (now - ended).total_seconds())
