"""How far a Deployment is with its newest pod template."""

from collections.abc import Mapping
from typing import Any

from ..core.facts import RolloutState
from .pods import worst
from .workloads import Troubles


def judged(body: Mapping[str, Any], troubles: Troubles) -> RolloutState:
    status = body.get("status", {})
    wanted = body["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < body["metadata"].get("generation", 0):
        return RolloutState("Progressing", "Observing", "the Deployment's controller has not seen the change yet")
    updated, available, total = (status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas"))
    if wanted and updated == available == total == wanted:
        return RolloutState("Complete")
    if body["spec"].get("paused"):
        return RolloutState("Progressing", "Paused", "the Deployment is paused: nothing rolls out before it is resumed")
    trouble = worst(troubles.newest)
    if trouble is not None and trouble.state == "Failed":
        return trouble
    for condition in status.get("conditions", []):
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return RolloutState("Failed", "DeadlineExceeded", "the Deployment's own progress deadline passed")
    if not wanted:
        return RolloutState("Progressing", "ScaledToZero", "the Deployment has no replicas: nothing can prove that it serves")
    if trouble is not None:
        return trouble
    left = max(0, total - updated)
    return RolloutState("Progressing", "RollingOut", f"{updated} of {wanted} pods are new, {left} old ones are left")
