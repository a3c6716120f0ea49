"""Gauges over objects, computed from the store when they are asked for: they cannot go stale, and vanish with their objects."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..api import EvaluationJob, ModelVersion
from ..api.base import Key, Resource
from ..core.conditions import find


class Inventory(Protocol):
    """The store, as far as it is measured. It is read in another thread than it is filled in."""

    def resources(self) -> Iterable[Resource]: ...


class ObjectGauges(Collector):
    """What the store holds at the moment of asking, which is called on each scrape."""

    def __init__(self, inventory: Inventory, checked: Callable[[Key], datetime | None]) -> None:
        """`checked`: when the last pass over an object came to a decision."""
        self._inventory, self._checked = inventory, checked

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        states: Tally[tuple[str, str, str]] = Tally()
        fallbacks: Tally[tuple[str, str]] = Tally()
        versions = []
        for resource in self._inventory.resources():
            states[(resource.info.kind, *_ready(resource))] += 1
            if isinstance(resource, ModelVersion):
                versions.append(resource)
            if isinstance(resource, EvaluationJob) and (used := find(resource.status.conditions, "FallbackUsed")):
                fallbacks[resource.metadata.namespace, used.reason] += used.status == "True"
        text = "EvaluationJobs that were run on a fallback, since what they ask for does not exist."
        yield _gauge("weighbridge_evaluationjob_fallback", text, ("namespace", "reason"), +fallbacks)
        yield _gauge("weighbridge_resources", "Objects by their Ready condition.", ("kind", "ready", "reason"), states)
        yield from self._versions(versions)

    def _versions(self, versions: Iterable[ModelVersion]) -> Iterator[Metric]:
        names = ("namespace", "name")
        phases, checks, ways_back, drifts = {}, {}, {}, {}
        for version in versions:
            who = (version.metadata.namespace, version.metadata.name)
            phases[*who, version.status.phase] = 1.0
            if (at := self._checked(version.key)) is not None:
                checks[who] = at.timestamp()
            back = find(version.status.conditions, "RollbackReady")
            if back is not None and back.status != "Unknown":
                ways_back[who] = float(back.status == "True")
            drifts.update({(*who, drift.type): 1.0 for drift in version.status.drift})
        yield _gauge("weighbridge_modelversion_phase", "1 for the phase a ModelVersion is in.", (*names, "phase"), phases)
        text = "Seconds since 1970 at which a pass last came to a decision on a ModelVersion."
        yield _gauge("weighbridge_modelversion_last_check_timestamp_seconds", text, names, checks)
        text = "Whether there is a way back: for what serves, a version behind it; for what was replaced, itself. Absent: unknown."
        yield _gauge("weighbridge_modelversion_rollback_ready", text, names, ways_back)
        yield _gauge("weighbridge_modelversion_drift", "1 while a difference is seen, by type.", (*names, "type"), drifts)


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for words, value in sorted(values.items()):
        family.add_metric(words, value)
    return family


def _ready(resource: Resource) -> tuple[str, str]:
    ready = find(getattr(getattr(resource, "status", None), "conditions", ()), "Ready")
    return (ready.status, ready.reason) if ready is not None else ("Unknown", "")
