"""One pass over one object: observe, decide, report, act. The same for all kinds; what is particular to one is its controller's.

The status is written before the actions run (intent before effect), once, and only where it differs from what is stored. Nothing
is repeated within a pass: what failed is remembered as a fact for the next one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..api.base import API_VERSION, Key, Resource
from ..controllers.ports import ClusterError, Controller, Ports
from ..core.facts import Failed
from ..core.plan import Action, Plan
from . import logs
from .actions import Actions
from .cluster import Cluster, NotLeader
from .events import Recorder
from .metrics import Metrics
from .news import Controllers, News
from .queue import Priority, Queue
from .refusal import Conflict
from .store import ObjectStore, Unreadable
from .tracing import OFF, Span, Tracer
from .unreadable import invalid_status

_OBSERVE_SECONDS = 20.0
_FAILED = {"failed", "unavailable", "error"}
"""Ends of a pass that call for somebody's attention."""
_HASTY_CONFLICTS = 10
"""Conflicts in a row that are answered by looking again at once; after them the usual waits begin."""


class Reconciler:
    """Runs passes. `ports` is what controllers observe through; its `failure` is replaced by what is remembered here."""

    def __init__(
        self,
        *,
        controllers: Controllers,
        store: ObjectStore,
        queue: Queue[Key],
        news: News,
        cluster: Cluster,
        actions: Actions,
        recorder: Recorder,
        metrics: Metrics,
        ports: Ports,
        may_write: Callable[[], bool],
        tracer: Tracer = OFF,
    ) -> None:
        self._controllers, self._store, self._queue, self._news = controllers, store, queue, news
        self._cluster, self._actions, self._recorder, self._metrics = cluster, actions, recorder, metrics
        self._failures: dict[Key, Failed] = {}
        self._conflicts: dict[Key, int] = {}
        self._ports = replace(ports, failure=self._failures.get)
        self._may_write, self._tracer = may_write, tracer

    async def work(self) -> None:
        """Takes keys and runs passes for ever. A key taken without the right to write is dropped: who wins it queues all keys."""
        while True:
            key = await self._queue.get()
            try:
                if self._may_write():
                    await self.reconcile(key)
                else:
                    self._metrics.forget(key)  # who leads knows better
            finally:
                self._queue.done(key)

    async def reconcile(self, key: Key) -> None:
        """One pass over a key that was taken from the queue. Never raises, except when cancelled."""
        about = {"weighbridge.kind": key.kind, "k8s.namespace.name": key.namespace, "weighbridge.name": key.name}
        trigger = self._queue.lane(key).name.lower()
        with self._tracer.root(f"reconcile {key.kind}", {**about, "weighbridge.trigger": trigger}) as span:
            outcome = await self._reconcile(key, span)
            span.tell({"weighbridge.outcome": outcome})
            if outcome in _FAILED:
                span.fail(outcome)

    async def _reconcile(self, key: Key, span: Span) -> str:
        """How it ended."""
        started = time.monotonic()
        try:
            outcome = await self._pass(key, started, span)
            retry: float | None = None
        except NotLeader:
            return "not leader"
        except Conflict:
            outcome, retry = "conflict", await self._refresh(key)
        except ClusterError as error:
            outcome, retry = "unavailable", error.retry_after or 0.0
            logs.event(logging.WARNING, "pass not possible", key=str(key), reason=error.reason, message=error.public)
        except Exception:
            outcome, retry = "error", 0.0
            self._metrics.unexpected.labels(key.kind).inc()
            logs.LOG.exception("unexpected error", extra={"fields": {"key": str(key)}})
        if outcome != "conflict":
            self._conflicts.pop(key, None)
        if retry is not None:
            self._queue.retry(key, retry)
        seconds = time.monotonic() - started
        self._metrics.passes.labels(key.kind, outcome).inc()
        self._metrics.pass_seconds.labels(key.kind).observe(seconds)
        level = logging.DEBUG if outcome == "unchanged" else logging.INFO
        logs.event(level, "pass", key=str(key), outcome=outcome, seconds=round(seconds, 4))
        return outcome

    async def _pass(self, key: Key, started: float, span: Span) -> str:
        content = self._store.get(key)
        if content is None:
            self._forget(key)
            return "gone"
        if isinstance(content, Unreadable):
            return await self._report_unreadable(key, content)
        span.tell({"weighbridge.uid": content.metadata.uid, "weighbridge.generation": content.metadata.generation})
        controller = self._controllers[key.kind]
        plan = await self._plan(controller, content)
        changed = plan.status.to_json() != _status(content).to_json()
        resource = await self._write_status(content, plan) if changed else content
        self._metrics.checked(key, self._ports.now())
        if changed:
            self._metrics.milestones.tell(content, plan.status, self._ports.now())
        failed = await self._act(plan, resource, started)
        self._remember(key, failed)
        if changed:
            self._recorder.record(resource, _status(content), plan.status)
        if failed is not None:
            return "failed"
        self._queue.succeeded(key)
        if plan.requeue_after is not None:
            self._queue.add(key, Priority.FRESH, max(0.05, plan.requeue_after))
        return "changed" if changed or plan.actions else "unchanged"

    async def _plan(self, controller: Controller[Any, Any], resource: Resource) -> Plan:
        try:
            async with asyncio.timeout(_OBSERVE_SECONDS):
                observed = await controller.observe(resource, self._ports)
        except TimeoutError as error:
            raise ClusterError("ObserveTimeout", f"looking at the world took longer than {_OBSERVE_SECONDS:g} s") from error
        return controller.decide(resource, observed, _whole_seconds(self._ports.now()))

    async def _write_status(self, resource: Resource, plan: Plan) -> Resource:
        meta = resource.metadata
        manifest = {
            "apiVersion": API_VERSION,
            "kind": resource.info.kind,
            "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version},
            "status": plan.status.to_json(),
        }
        body = await self._cluster.apply(manifest, "status")
        self._news.seen(body, Priority.FRESH)
        return type(resource).model_validate(body)

    async def _act(self, plan: Plan, resource: Resource, started: float) -> Failed | None:
        """Runs the actions up to the first that fails, and returns that failure. Raises Conflict and NotLeader."""
        for action in plan.actions:
            try:
                await self._actions.run(action, resource, started)
            except (Conflict, NotLeader):
                raise
            except ClusterError as error:
                self._tell_failure(resource.key, action, error)
                wait = self._queue.retry(resource.key, error.retry_after or 0.0)
                return Failed(error.reason, error.public, self._ports.now(), wait)
        return None

    def _tell_failure(self, key: Key, action: Action, error: ClusterError) -> None:
        logs.event(
            logging.WARNING,
            "action failed",
            key=str(key),
            action=type(action).__name__,
            reason=error.reason,
            message=error.public,
        )

    def _remember(self, key: Key, failed: Failed | None) -> None:
        if failed is not None:
            self._failures[key] = failed
        elif self._failures.pop(key, None) is not None:
            # The status may still tell of the failure.
            self._queue.add(key, Priority.FRESH)

    async def _refresh(self, key: Key) -> float | None:
        """After a conflict: takes the newest state in and looks again at once; returns a wait instead where that did not help."""
        count = self._conflicts[key] = self._conflicts.get(key, 0) + 1
        with suppress(ClusterError):
            body = await self._cluster.get(API_VERSION, key.kind, key.namespace, key.name)
            if body is not None:
                self._news.seen(body, Priority.FRESH)
        if count > _HASTY_CONFLICTS:
            return 0.0
        self._queue.add(key, Priority.FRESH)
        return None

    async def _report_unreadable(self, key: Key, content: Unreadable) -> str:
        status = invalid_status(content, _whole_seconds(self._ports.now()))
        logs.event(logging.WARNING, "object not readable", key=str(key), message=content.message)
        if status == content.status:
            return "unreadable"
        manifest = {
            "apiVersion": API_VERSION,
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "resourceVersion": content.resource_version},
            "status": status,
        }
        self._news.seen(await self._cluster.apply(manifest, "status"), Priority.FRESH)
        return "unreadable"

    def _forget(self, key: Key) -> None:
        self._failures.pop(key, None)
        self._conflicts.pop(key, None)
        self._metrics.forget(key)
        self._queue.succeeded(key)


def _status(resource: Resource) -> Any:
    return resource.status  # type: ignore[attr-defined]


def _whole_seconds(at: datetime) -> datetime:
    # Statuses hold times in seconds; comparing them with finer ones would find a difference each time.
    return at.replace(microsecond=0)
