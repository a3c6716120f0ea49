"""What the operator tells Prometheus. One shelf per process, given to whoever counts.

Counters carry no names of objects; gauges over objects (`gauges`) may, since they go with them. docs/metrics.md is made from here.
"""

import platform
from datetime import datetime
from typing import Protocol, get_args

from prometheus_client import disable_created_metrics, generate_latest

from .. import __version__
from ..api import KINDS
from ..api.base import Key
from ..api.modelregistry import RegistryKind
from .gauges import GAUGES, Inventory, ObjectGauges
from .milestones import Milestones
from .queue import Priority
from .rollbacks import REASONS
from .series import Series, Shelf

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAITS = (0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300)
_KINDS = tuple(kind.info.kind for kind in KINDS)
_OUTCOMES = ("changed", "unchanged", "gone", "unreadable", "conflict", "failed", "unavailable", "error")
_CALLS = ("server", "model", "dataset", "write")
_VERBS = ("GET", "POST", "PATCH", "DELETE")
_REGISTRIES = get_args(RegistryKind)


class Backlog(Protocol):
    """The queue, as far as it is measured."""

    @property
    def depth(self) -> int: ...
    @property
    def oldest(self) -> float: ...


class Metrics:
    """The metrics of one operator process."""

    def __init__(self, backlog: Backlog, inventory: Inventory) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._shelf = shelf = Shelf()
        self._checks: dict[Key, datetime] = {}
        self._objects = ObjectGauges(inventory, self._checks.get)
        self.milestones = Milestones(shelf)
        self.rollbacks = shelf.counter(
            "weighbridge_rollbacks_total",
            "Targets that were taken away from a version and given to another, by why.",
            ("reason",),
            {"reason": REASONS},
        )
        self.rollback_seconds = shelf.histogram(
            "weighbridge_rollback_seconds",
            "From the start of the pass that saw the need for a rollback to the pointer patched.",
            _SECONDS,
        )
        self._registry_metrics(shelf)
        self.passes = shelf.counter(
            "weighbridge_reconcile_total",
            "Passes over objects, by how they ended: failed, an action could not be carried out; unavailable, the API server; "
            "error, a bug.",
            ("kind", "outcome"),
            {"kind": _KINDS, "outcome": _OUTCOMES},
        )
        self.pass_seconds = shelf.histogram(
            "weighbridge_reconcile_seconds", "Length of a pass.", _SECONDS, ("kind",), {"kind": _KINDS}
        )
        self.unexpected = shelf.counter(
            "weighbridge_unexpected_errors_total", "Errors nobody foresaw: each is a bug.", ("kind",), {"kind": _KINDS}
        )
        self._process_metrics(shelf, backlog)

    def _registry_metrics(self, shelf: Shelf) -> None:
        self.registry_requests = shelf.counter(
            "weighbridge_registry_requests_total",
            "Questions and writes to model registries, by the kind of the registry and how they ended: Known, or the reason.",
            ("registry", "operation", "outcome"),
            {"registry": _REGISTRIES, "operation": _CALLS},
        )
        self.registry_seconds = shelf.histogram(
            "weighbridge_registry_seconds",
            "Length of a question or write to a registry, without the wait for its turn.",
            _SECONDS,
            ("registry", "operation"),
            {"registry": _REGISTRIES, "operation": _CALLS},
        )
        self.webhooks = shelf.counter(
            "weighbridge_webhooks_total",
            "Webhooks of model registries, by what became of them.",
            ("registry", "outcome"),
            {"registry": (*_REGISTRIES, "unknown")},
        )
        self.alerts = shelf.counter("weighbridge_alerts_total", "Alerts that were sent here, by what became of them.", ("outcome",))

    def _process_metrics(self, shelf: Shelf, backlog: Backlog) -> None:
        depth = shelf.gauge("weighbridge_queue_depth", "Objects waiting for a pass.")
        depth.set_function(lambda: backlog.depth)
        oldest = shelf.gauge("weighbridge_queue_oldest_seconds", "How long the longest-waiting object has waited.")
        oldest.set_function(lambda: backlog.oldest)
        self.waits = shelf.histogram(
            "weighbridge_queue_wait_seconds",
            "How long objects waited for their pass, by lane: URGENT holds rollbacks and decisions of people.",
            _WAITS,
            ("lane",),
            {"lane": tuple(each.name for each in Priority)},
        )
        self.kube_requests = shelf.counter(
            "weighbridge_kube_requests_total",
            "Requests to the API server without watches, by HTTP status; none where no answer came.",
            ("verb", "code"),
            {"verb": _VERBS},
        )
        self.kube_seconds = shelf.histogram(
            "weighbridge_kube_request_seconds", "Length of a request to the API server.", _SECONDS, ("verb",), {"verb": _VERBS}
        )
        self.watch_restarts = shelf.counter("weighbridge_watch_restarts_total", "How often a watch gave up and was started again.")
        self.leader = shelf.gauge("weighbridge_leader", "1 where this process may act.")
        self.lease = shelf.gauge(
            "weighbridge_lease_seconds_left",
            "For how long this process may still act where the Lease is not renewed. 0: another leads; Inf: there is no election.",
        )
        self.won = shelf.counter("weighbridge_leadership_won_total", "How often this process became the leader.")
        build = shelf.gauge("weighbridge_build_info", "Always 1: versions of the operator and of Python.", ("version", "python"))
        build.labels(__version__, platform.python_version()).set(1)

    @property
    def catalogue(self) -> tuple[Series, ...]:
        """All metrics there are."""
        return (*GAUGES, *self._shelf)

    def registry_request(self, registry: str, operation: str, outcome: str, seconds: float) -> None:
        """One request to a model registry of that kind has ended."""
        self.registry_requests.labels(registry, operation, outcome).inc()
        self.registry_seconds.labels(registry, operation).observe(seconds)

    def kube_request(self, verb: str, status: int | None, seconds: float) -> None:
        """One request to the API server has ended, with this HTTP status, or None."""
        self.kube_requests.labels(verb, str(status) if status is not None else "none").inc()
        self.kube_seconds.labels(verb).observe(seconds)

    def waited(self, lane: str, seconds: float) -> None:
        """An object's turn has come."""
        self.waits.labels(lane).observe(seconds)

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
        return generate_latest(self._shelf.registry) + self._objects.text().encode()
