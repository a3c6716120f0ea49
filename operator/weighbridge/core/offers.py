"""Evaluation results offered to a model's owners: which measurements count for a pin, and what they are known again by."""

import hashlib
from collections.abc import Iterable

from ..api.evaluationjob import EvaluationJob
from ..api.references import ModelPin
from .entry import PREFIX
from .facts import EvaluationResult

RESULTS_TAG = f"{PREFIX}results"
"""Own tag that stands for the evaluation results offered to the model's owners; in a snapshot, all that were, by blanks."""


def results(jobs: Iterable[EvaluationJob], pin: ModelPin) -> tuple[EvaluationResult, ...]:
    """What passed evaluations measured of exactly this content on datasets of the same registry. With several datasets the slice of
    a metric names its dataset."""
    return tuple(
        EvaluationResult(dataset.path, dataset.revision, metric.name, metric.value)
        for job in sorted(jobs, key=lambda each: each.metadata.name)
        if _counts(job, pin) and job.status.resolved is not None and job.status.results is not None
        for dataset in job.status.resolved.datasets
        if dataset.registry == pin.registry
        for metric in job.status.results.metrics
        if metric.slice == (dataset.name if len(job.status.resolved.datasets) > 1 else None)
    )


def told_apart(offered: tuple[EvaluationResult, ...]) -> str:
    """A short word for them, by which the same are known again."""
    return hashlib.sha256(repr(offered).encode()).hexdigest()[:12]


def _counts(job: EvaluationJob, pin: ModelPin) -> bool:
    status = job.status
    passed = status.verdict is not None and status.verdict.result == "Passed"
    return passed and status.resolved is not None and status.resolved.model.digest == pin.digest and not status.resolved.fallback
