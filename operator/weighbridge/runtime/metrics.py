"""What the operator tells Prometheus. One registry per process, given to whoever counts.

Counters carry no names of objects; gauges over objects (`gauges`) may, since they go with them.
"""

from datetime import datetime
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from ..api.base import Key
from .gauges import Inventory, ObjectGauges

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Backlog(Protocol):
    """The queue, as far as it is measured."""

    @property
    def depth(self) -> int: ...
    @property
    def oldest(self) -> float: ...


class Metrics:
    """The counters of one operator process."""

    def __init__(self, backlog: Backlog, inventory: Inventory) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._checks: dict[Key, datetime] = {}
        self._registry.register(ObjectGauges(inventory, self._checks.get))
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
        self.alerts = Counter(
            "weighbridge_alerts", "Alerts that were sent here, by what became of them.", ("outcome",), registry=self._registry
        )
        self.rollback_seconds = Histogram(
            "weighbridge_rollback_seconds",
            "From the start of the pass that saw the need for a rollback to the pointer patched.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.rollbacks = Counter(
            "weighbridge_rollbacks",
            "Targets that were taken away from a version and given to another, by why.",
            ("reason",),
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

    def checked(self, key: Key, at: datetime) -> None:
        """A pass over the object has come to a decision."""
        self._checks[key] = at

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._checks.pop(key, None)

    def rolled_back(self, reason: str, seconds: float) -> None:
        """A target was taken away from a version, so long after the start of the pass that saw why."""
        self.rollbacks.labels(reason).inc()
        self.rollback_seconds.observe(seconds)

    def webhook(self, registry: str, outcome: str) -> None:
        """A webhook has come in; `registry` is the kind of the registry it is for, as far as that is known."""
        self.webhooks.labels(registry, outcome).inc()

    def alert(self, outcome: str) -> None:
        """An alert has come in, or a request that no alert was taken from."""
        self.alerts.labels(outcome).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format. With many objects it takes its time; it may be called in any thread."""
        return generate_latest(self._registry)
