"""How far a StatefulSet is with its newest pod template."""

from collections.abc import Mapping
from typing import Any

from ..core.facts import RolloutState
from .pods import worst
from .workloads import Troubles


def judged(body: Mapping[str, Any], troubles: Troubles) -> RolloutState:
    """The pods of the newest revision are counted. That `currentRevision` equals `updateRevision` proves nothing: right after a
    template went back, both are the old one, while pods of the other are left."""
    spec, status = body["spec"], body.get("status", {})
    wanted = spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < body["metadata"].get("generation", 0):
        return RolloutState("Progressing", "Observing", "the StatefulSet's controller has not seen the change yet")
    updated, available, total = (status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas"))
    if wanted and updated == available == total == wanted:
        return RolloutState("Complete")
    trouble = worst(troubles.newest)
    if trouble is not None and trouble.state == "Failed":
        return trouble
    if not wanted:
        return RolloutState("Progressing", "ScaledToZero", "the StatefulSet has no replicas: nothing can prove that it serves")
    if updated < wanted and (waits := _waits_for_people(spec, wanted, updated, troubles)):
        return RolloutState("Progressing", "Paused", waits)
    if trouble is not None:
        return trouble
    text = f"{updated} of {wanted} pods are of the newest revision, {available} are available"
    return RolloutState("Progressing", "RollingOut", text)


def _waits_for_people(spec: Mapping[str, Any], wanted: int, updated: int, troubles: Troubles) -> str:
    """What nothing but a person's hand takes further; empty where it goes on by itself."""
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return f"{wanted - updated} pods are old, and the StatefulSet's update strategy is OnDelete: delete them"
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    if partition and updated >= max(0, wanted - partition):
        return f"the StatefulSet's partition {partition} keeps {wanted - updated} pods old; lower it to 0"
    old = worst(troubles.older)
    if old is not None and spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady":
        return f"an old {old.message}, and the StatefulSet waits until it is ready before it replaces any: delete that pod"
    return ""
