"""What became of evaluations and versions, counted from the difference between two statuses.

Called once for each status that was written, with the one it was written over: the API server takes a status only over the one it
was decided from, so a step is counted by one replica, once. It is not counted at all where the answer to the write was lost, or the
process ended between the two. It must not decide anything.
"""

from datetime import datetime
from typing import get_args

from ..api import EvaluationJob, ModelVersion
from ..api.base import Resource
from ..api.evaluationjob import EvaluationJobStatus
from ..api.evaluationpod import JobState
from ..api.gate import VerdictName
from ..api.versionstatus import DriftType, ModelVersionStatus, ServingState
from ..core.attempts import RETRIED
from ..core.conditions import find
from ..core.engines import BUILT_IN
from .series import OTHER, Shelf

_WAITS = (1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400)
_RUNS = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_PROMOTIONS = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
_VERDICTS = get_args(VerdictName)
_ENDS = (*_VERDICTS, "Retried", "Evicted")
_BROKEN = (
    *("DeadlineExceeded", "EvaluatorMisconfigured", "InvalidImageName", "NameTaken", "OutOfMemory", "OutOfStorage"),
    *("QueueDeadlineExceeded", "ResultInvalid", "ResultMissing", "SubjectChanged"),
)
"""What ends an evaluation and would end the next attempt as well."""


class Milestones:
    """The counters, and the one method that moves them."""

    def __init__(self, shelf: Shelf) -> None:
        outcomes = {"outcome": _ENDS}
        self.evaluations = shelf.counter(
            "weighbridge_evaluations_total",
            "Evaluations that came to a verdict; engines of third parties are Other.",
            ("engine", "verdict"),
            {"engine": (*BUILT_IN, OTHER), "verdict": _VERDICTS},
        )
        self.attempts = shelf.counter(
            "weighbridge_evaluation_attempts_total",
            "Attempts that ended: Measured, or the reason why there is no result.",
            ("outcome",),
            {"outcome": ("Measured", *sorted(RETRIED), *_BROKEN, OTHER)},
        )
        self.refused = shelf.counter(
            "weighbridge_evaluations_refused_total", "Evaluations that pre-flight refused, before any pod was made.", ("reason",)
        )
        self.gpus_refused = shelf.counter(
            "weighbridge_evaluation_gpus_refused_total",
            "GPUs that evaluations asked for which pre-flight refused. For how long they would have held them is not known.",
        )
        self.queue_seconds = shelf.histogram(
            "weighbridge_evaluation_queue_seconds",
            "From a Job that was to be made, or a pod that was taken away, to the engine's start: queue, node and image.",
            _WAITS,
        )
        self.run_seconds = shelf.histogram(
            "weighbridge_evaluation_run_seconds",
            "From the engine's start to its end, by what it came to: the verdict, Retried where it broke and another follows, "
            "Evicted where the pod was taken away.",
            _RUNS,
            ("outcome",),
            outcomes,
        )
        self.gpu_seconds = shelf.counter(
            "weighbridge_evaluation_gpu_seconds_total",
            "The same seconds times the GPUs of the pod's limits, counted when they end.",
            ("outcome",),
            outcomes,
        )
        self.gpu_seconds_reused = shelf.counter(
            "weighbridge_evaluation_gpu_seconds_reused_total",
            "GPU seconds of earlier evaluations whose result was taken instead of measuring again.",
        )
        self.promotions = shelf.counter(
            "weighbridge_promotions_total",
            "Promotions on a target that ended: Served, RolledBack, or Overtaken by another version.",
            ("result",),
            {"result": ("Served", "RolledBack", "Overtaken")},
        )
        self.promotion_seconds = shelf.histogram(
            "weighbridge_promotion_seconds", "From the pointer given to a version to the proof that it serves.", _PROMOTIONS
        )
        self.recovery_seconds = shelf.histogram(
            "weighbridge_rollback_recovery_seconds",
            "The same for a version that was given the target back: how long a rollback takes to serve again.",
            _PROMOTIONS,
        )
        self.drift = shelf.counter(
            "weighbridge_drift_total", "Differences that were newly seen, by type.", ("type",), {"type": get_args(DriftType)}
        )

    def tell(self, before: Resource, status: object, now: datetime) -> None:
        """This status was written over the one that the resource had."""
        if isinstance(before, EvaluationJob) and isinstance(status, EvaluationJobStatus):
            self._evaluation(before, status, now)
        elif isinstance(before, ModelVersion) and isinstance(status, ModelVersionStatus):
            self._version(before.status, status)

    def _evaluation(self, job: EvaluationJob, after: EvaluationJobStatus, now: datetime) -> None:
        before, gpus = job.status, _gpus(job)
        if before.phase != "Refused" and after.phase == "Refused":
            validated = find(after.conditions, "Validated")
            self.refused.labels(validated.reason if validated is not None else OTHER).inc()
            self.gpus_refused.inc(gpus)
        ended = before.verdict is None and after.verdict is not None
        if ended and after.verdict is not None:
            engine = job.spec.evaluator.engine
            self.evaluations.labels(engine, after.verdict.result).inc()
            if after.results is not None and after.results.reused_from:
                self.gpu_seconds_reused.inc(gpus * (_run(after.job, now) or 0.0))
                return
            complete = find(after.conditions, "Complete")
            broke = complete.reason if complete is not None else OTHER
            self.attempts.labels("Measured" if after.results is not None else broke).inc()
            self._ran(after.verdict.result, after.job, gpus, now)
        was, state = before.job, after.job
        if state is None or before.verdict is not None:
            return
        if was is not None and state.attempt > was.attempt:
            self.attempts.labels(state.last_failure or OTHER).inc()
            self._ran("Retried", was, gpus, now)
            return
        if was is not None and was.started_at is not None and state.started_at is None:
            self._ran("Evicted", was, gpus, now)
        if state.started_at is not None and (was is None or was.started_at is None):
            validated = find(before.conditions, "Validated")
            since = (was and (was.waiting_since or was.next_attempt_at)) or (validated and validated.last_transition_time)
            if since:
                self.queue_seconds.observe(max(0.0, (state.started_at - since).total_seconds()))

    def _ran(self, outcome: str, state: JobState | None, gpus: int, now: datetime) -> None:
        if (seconds := _run(state, now)) is not None:
            self.run_seconds.labels(outcome).observe(seconds)
            self.gpu_seconds.labels(outcome).inc(gpus * seconds)

    def _version(self, before: ModelVersionStatus, after: ModelVersionStatus) -> None:
        known = {each.type for each in before.drift}
        for kind in {each.type for each in after.drift} - known:
            self.drift.labels(kind).inc()
        standing = {each.target: each for each in before.serving}
        for state in after.serving:
            self._target(standing.get(state.target), state)

    def _target(self, was: ServingState | None, state: ServingState) -> None:
        last = was.state if was is not None else "Waiting"
        if state.state == "Serving" and last != "Serving":
            took = self.recovery_seconds if state.rollback else self.promotion_seconds
            if not state.rollback:
                self.promotions.labels("Served").inc()
            if state.since is not None and state.repointed_at is not None:
                took.observe(max(0.0, (state.since - state.repointed_at).total_seconds()))
        elif last == "Progressing" and was is not None and not was.rollback:
            if state.state == "RolledBack":
                self.promotions.labels("RolledBack").inc()
            elif state.state == "Superseded":
                self.promotions.labels("Overtaken").inc()


def _run(state: JobState | None, now: datetime) -> float | None:
    """Seconds an attempt has run; None where it was never seen to start."""
    if state is None or state.started_at is None:
        return None
    return max(0.0, ((state.finished_at or now) - state.started_at).total_seconds())


def _gpus(job: EvaluationJob) -> int:
    """Whole GPUs of the pod: `nvidia.com/gpu`, `amd.com/gpu`, `gpu.intel.com/…`. Slices of one (MIG) are none."""
    limits = job.spec.resources.limits.items()
    return sum(int(count) for name, count in limits if _is_gpu(name) and count.isdigit())


def _is_gpu(name: str) -> bool:
    return name.endswith("/gpu") or name.startswith("gpu.intel.com/")
