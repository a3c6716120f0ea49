"""A bench for the runtime: its real parts on the real API server, with a controller that a test scripts."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from weighbridge.api import ModelRegistry
from weighbridge.api.base import API_VERSION, Condition, Key
from weighbridge.api.modelregistry import ModelRegistryStatus
from weighbridge.controllers.ports import Ports, Store
from weighbridge.core.facts import Failed, WriteOrder
from weighbridge.core.plan import Action, Plan
from weighbridge.runtime.actions import Actions
from weighbridge.runtime.clock import now
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.events import Recorder
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.news import News, group_of
from weighbridge.runtime.queue import Priority, Queue
from weighbridge.runtime.reconciler import Reconciler
from weighbridge.runtime.store import ObjectStore
from weighbridge.runtime.tracing import OFF, Tracer

Decision = Callable[[ModelRegistry, Failed | None], Plan]


@dataclass
class Scripted:
    """A controller of ModelRegistries whose decision and dependencies a test provides."""

    decision: Decision
    dependents: Callable[[str, Mapping[str, Any]], Iterable[Key]] = lambda _kind, _body: ()
    before_decision: Callable[[], Any] | None = None
    kind = ModelRegistry

    def group(self, resource: ModelRegistry, store: Store) -> str:
        return str(resource.key)

    def urgent(self, resource: ModelRegistry) -> bool:
        return False

    async def observe(self, resource: ModelRegistry, ports: Ports) -> Failed | None:
        if self.before_decision is not None:
            await self.before_decision()
        return ports.failure(resource.key)

    def decide(self, resource: ModelRegistry, observed: Failed | None, now: datetime) -> Plan:
        return self.decision(resource, observed)

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:
        return self.dependents(kind, body)


@dataclass
class Orders:
    """Stands where the guarded registries stand, and keeps what it is told to write."""

    given: list[WriteOrder] = field(default_factory=list)

    def write(self, registry: ModelRegistry, order: WriteOrder, asker: Key) -> None:
        self.given.append(order)


class Bench:
    """The parts, wired as in `runtime.process`, with one difference: passes run when the test says so."""

    def __init__(self, connection: Connection, namespace: str, controller: Scripted, tracer: Tracer = OFF) -> None:
        self.namespace, self.controller = namespace, controller
        self.leads = True
        self.cluster = Cluster(connection, lambda: self.leads)
        self.store = ObjectStore()
        controllers = {"ModelRegistry": controller}
        self.queue: Queue[Key] = Queue(lambda key: group_of(self.store, controllers, key))
        self.news = News(self.store, self.queue, controllers)
        self.metrics = Metrics(self.queue, self.store)
        self.orders = Orders()
        actions = Actions(
            cluster=self.cluster,
            registries=self.orders,
            store=self.store,
            queue=self.queue,
            news=self.news,
            metrics=self.metrics,
            tracer=tracer,
        )
        self.recorder = Recorder(self.cluster, "bench", now)
        self.reconciler = Reconciler(
            controllers=controllers,
            store=self.store,
            queue=self.queue,
            news=self.news,
            cluster=self.cluster,
            actions=actions,
            recorder=self.recorder,
            metrics=self.metrics,
            ports=Ports(self.store, self.cluster, None, None, None, now, lambda _: None),  # type: ignore[arg-type]
            may_write=lambda: self.leads,
            tracer=tracer,
        )

    async def create(self, name: str = "mlflow", **spec: Any) -> dict[str, Any]:
        """Creates a ModelRegistry and lets the bench hear of it."""
        body = await self.cluster.create(
            {
                "apiVersion": API_VERSION,
                "kind": "ModelRegistry",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"mlflow": {"url": "https://mlflow.example.com"}, **spec},
            }
        )
        self.news.seen(body, Priority.FRESH)
        return body

    async def settle(self, most: int = 20) -> int:
        """Runs passes until nothing is ready; returns how many. Fails where that takes more than `most`."""
        for count in range(most + 1):
            key = self.queue.take()
            if key is None:
                await self.recorder.write_all()
                return count
            await self.reconciler.reconcile(key)
            self.queue.done(key)
        raise AssertionError(f"not settled after {most} passes")

    async def live(self, name: str = "mlflow") -> dict[str, Any]:
        """The object as the API server has it."""
        body = await self.cluster.get(API_VERSION, "ModelRegistry", self.namespace, name)
        assert body is not None
        return body

    def outcomes(self) -> dict[str, float]:
        """Passes so far, by outcome."""
        return {outcome: count for (_, outcome), count in self.metrics.passes.samples().items()}


def status(message: str, ready: bool = True, reason: str = "Fine") -> ModelRegistryStatus:
    """A status that says one thing, always with the same time."""
    condition = Condition(
        type="Ready",
        status="True" if ready else "False",
        reason=reason,
        message=message,
        last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return ModelRegistryStatus(observed_generation=1, conditions=(condition,))


def always_plan(*actions: Action, message: str = "fine", requeue_after: float | None = None) -> Decision:
    """Decides the same each time."""
    return lambda _resource, _failure: Plan(status(message), actions, requeue_after)


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Waits for something that other parts bring about; fails after so many seconds."""
    async with asyncio.timeout(seconds):
        while not (result := condition()):  # noqa: ASYNC110 - other parts tell nobody when they are done
            await asyncio.sleep(0.01)
    return result
