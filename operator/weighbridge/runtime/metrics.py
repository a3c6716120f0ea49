"""What the operator tells Prometheus. One registry per process, given to whoever counts; no metric carries the name of an object.

Gauges over objects are computed from the store when they are asked for, so they cannot go stale.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..api import EvaluationJob, ModelVersion
from ..api.base import Resource
from ..core.conditions import find

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Backlog(Protocol):
    """The queue, as far as it is measured."""

    @property
    def depth(self) -> int: ...
    @property
    def oldest(self) -> float: ...


class Inventory(Protocol):
    """The store, as far as it is measured."""

    def resources(self) -> Iterable[Resource]: ...


class Metrics:
    """The counters of one operator process."""

    def __init__(self, backlog: Backlog, inventory: Inventory) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._registry.register(_Objects(inventory))
        self.passes = Counter(
            "weighbridge_reconcile", "Passes over objects, by how they ended.", ("kind", "outcome"), registry=self._registry
        )
        self.pass_seconds = Histogram(
            "weighbridge_reconcile_seconds", "Length of a pass.", ("kind",), buckets=_SECONDS, registry=self._registry
        )
        self.unexpected = Counter(
            "weighbridge_unexpected_errors", "Errors nobody foresaw: each is a bug.", ("kind",), registry=self._registry
        )
        self.registry_requests = Counter(
            "weighbridge_registry_requests",
            "Requests to model registries, by how they ended.",
            ("operation", "outcome"),
            registry=self._registry,
        )
        self.registry_seconds = Histogram(
            "weighbridge_registry_seconds",
            "Length of a request to a registry.",
            ("operation",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.webhooks = Counter(
            "weighbridge_webhooks",
            "Webhooks of model registries, by what became of them.",
            ("registry", "outcome"),
            registry=self._registry,
        )
        self.rollback_seconds = Histogram(
            "weighbridge_rollback_seconds",
            "From the start of the pass that saw the need for a rollback to the pointer patched.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.watch_restarts = Counter(
            "weighbridge_watch_restarts", "How often the watch gave up and was started again.", registry=self._registry
        )
        self.leader = Gauge("weighbridge_leader", "1 where this process may act.", registry=self._registry)
        depth = Gauge("weighbridge_queue_depth", "Objects waiting for a pass.", registry=self._registry)
        depth.set_function(lambda: backlog.depth)
        oldest = Gauge(
            "weighbridge_queue_oldest_seconds", "How long the longest-waiting object has waited.", registry=self._registry
        )
        oldest.set_function(lambda: backlog.oldest)

    def registry_request(self, operation: str, outcome: str, seconds: float) -> None:
        """One request to a model registry has ended."""
        self.registry_requests.labels(operation, outcome).inc()
        self.registry_seconds.labels(operation).observe(seconds)

    def webhook(self, registry: str, outcome: str) -> None:
        """A webhook has come in; `registry` is the kind of the registry it is for, as far as that is known."""
        self.webhooks.labels(registry, outcome).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)


class _Objects(Collector):
    """Gauges over what the store holds at the moment of asking."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def collect(self) -> Iterator[Metric]:
        """Called on each scrape."""
        states: Tally[tuple[str, str, str]] = Tally()
        drifts: Tally[tuple[str, str]] = Tally()
        fallbacks: Tally[tuple[str, str]] = Tally()
        for resource in self._inventory.resources():
            states[(resource.info.kind, *_ready(resource))] += 1
            if isinstance(resource, ModelVersion):
                drifts.update((resource.metadata.namespace, drift.type) for drift in resource.status.drift)
            if isinstance(resource, EvaluationJob) and (used := find(resource.status.conditions, "FallbackUsed")):
                fallbacks[resource.metadata.namespace, used.reason] += used.status == "True"
        text = "EvaluationJobs that were run on a fallback, since what they ask for does not exist."
        yield _gauge("weighbridge_evaluationjob_fallback", text, ("namespace", "reason"), +fallbacks)
        yield _gauge("weighbridge_resources", "Objects by their Ready condition.", ("kind", "ready", "reason"), states)
        yield _gauge("weighbridge_modelversion_drift", "Differences seen now, by type.", ("namespace", "type"), drifts)


def _gauge(name: str, text: str, labels: tuple[str, ...], tally: Mapping[Any, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, count in sorted(tally.items()):
        family.add_metric(values, count)
    return family


def _ready(resource: Resource) -> tuple[str, str]:
    for condition in getattr(getattr(resource, "status", None), "conditions", ()):
        if condition.type == "Ready":
            return condition.status, condition.reason
    return "Unknown", ""
