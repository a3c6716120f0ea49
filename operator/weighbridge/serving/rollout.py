"""How far an Argo Rollout is with its newest pod template, and which of its pods get traffic."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.facts import RolloutState
from .pods import Pod, labels, worst
from .workloads import Troubles

_HASH = "rollouts-pod-template-hash"
_WHY_DEGRADED = {
    "RolloutAborted": ("Aborted", "the Rollout was aborted, by a person or by its analysis"),
    "ProgressDeadlineExceeded": ("DeadlineExceeded", "the Rollout's own progress deadline passed"),
}
_WHY_PAUSED = {
    "CanaryPauseStep": "a step of its canary",
    "BlueGreenPause": "its blue-green promotion",
    "InconclusiveAnalysisRun": "an inconclusive analysis",
    "InconclusiveExperiment": "an inconclusive experiment",
}


def judged(body: Mapping[str, Any], troubles: Troubles) -> RolloutState:
    spec, status = body["spec"], body.get("status", {})
    observed = str(status.get("observedGeneration", ""))
    if not observed.isdecimal() or int(observed) < body["metadata"].get("generation", 0):
        return RolloutState("Progressing", "Observing", "the Rollout's controller has not seen the change yet")
    phase, wanted = status.get("phase"), spec.get("replicas", 1)
    stable = bool(status.get("stableRS")) and status["stableRS"] == status.get("currentPodHash")
    if phase == "Healthy" and stable and wanted:
        return RolloutState("Complete")
    trouble = worst(troubles.newest)
    if trouble is not None and trouble.state == "Failed":
        return trouble
    if phase == "Degraded" or status.get("abort"):
        return _degraded(status)
    if not wanted:
        return RolloutState("Progressing", "ScaledToZero", "the Rollout has no replicas: nothing can prove that it serves")
    if phase == "Paused":
        reasons = [each.get("reason", "") for each in status.get("pauseConditions") or ()]
        what = next(
            (_WHY_PAUSED[each] for each in reasons if each in _WHY_PAUSED), "a person" if spec.get("paused") else "its strategy"
        )
        return RolloutState(
            "Progressing", "Paused", f"the Rollout is paused by {what}: it goes on when that ends or it is promoted"
        )
    if trouble is not None:
        return trouble
    return RolloutState("Progressing", "RollingOut", f"{status.get('updatedReplicas', 0)} of {wanted} pods are new")


def _degraded(status: Mapping[str, Any]) -> RolloutState:
    conditions = status.get("conditions") or ()
    if any(each["type"] == "InvalidSpec" and each["status"] == "True" for each in conditions):
        return RolloutState("Failed", "InvalidSpec", "the Rollout's controller says that its spec is invalid")
    reasons = [each.get("reason") for each in conditions if each["type"] == "Progressing"]
    if status.get("abort"):
        reasons.insert(0, "RolloutAborted")
    for each in reasons:
        if each in _WHY_DEGRADED:
            return RolloutState("Failed", *_WHY_DEGRADED[each])
    return RolloutState("Failed", "Degraded", "the Rollout's controller says that it is degraded")


def with_traffic(body: Mapping[str, Any], pods: Sequence[Pod]) -> list[Pod]:
    """Pods kept ready for a quick way back, and previews, are there and ready, but serve nobody."""
    strategy, status = body["spec"].get("strategy") or {}, body.get("status", {})
    stable, current = status.get("stableRS"), status.get("currentPodHash")
    if "blueGreen" in strategy:
        hashes = {(status.get("blueGreen") or {}).get("activeSelector")}
    elif (strategy.get("canary") or {}).get("trafficRouting"):
        hashes = {stable, current}
    else:
        hashes = set()
    known = hashes - {None, ""}
    return [pod for pod in pods if not known or labels(pod).get(_HASH) in known]
