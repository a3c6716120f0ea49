"""Results that are taken from an earlier evaluation, where that was asked for: of the same content, measured in the same way."""

from collections.abc import Iterable

from ..api.evaluationjob import EvaluationJob, Resolved
from .incumbent import asked

_DIGEST = "@sha256:"


def earlier(job: EvaluationJob, pins: Resolved, image: str, others: Iterable[EvaluationJob]) -> EvaluationJob | None:
    """The newest evaluation whose result may stand for this one's; None where there is none, or where that was not asked for.

    `image` is the reference of the engine's image. Only one by digest says what would run. A regression is measured together with
    what it is compared with, and a server behind an endpoint may be another one today.
    """
    if not job.spec.reuse or _DIGEST not in image or asked(job.spec) or "endpoint" in job.spec.evaluator.parameters:
        return None
    found = [each for each in others if _same(job, each) and _measured_on(each, pins, image)]
    return max(found, key=lambda each: (_ended(each), each.metadata.name), default=None)


def _same(job: EvaluationJob, other: EvaluationJob) -> bool:
    return other.metadata.uid != job.metadata.uid and other.spec.evaluator == job.spec.evaluator


def _measured_on(other: EvaluationJob, pins: Resolved, image: str) -> bool:
    status = other.status
    if status.results is None or status.results.reused_from or status.resolved is None or status.job is None:
        return False
    same = status.resolved.model.digest == pins.model.digest and status.resolved.fingerprints == pins.fingerprints
    return same and status.job.image.endswith(image[image.index(_DIGEST) :]) and status.job.finished_at is not None


def _ended(job: EvaluationJob) -> str:
    state = job.status.job
    return state.finished_at.isoformat() if state is not None and state.finished_at is not None else ""
