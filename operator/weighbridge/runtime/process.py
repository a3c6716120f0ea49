"""One operator process: builds all parts, runs them until it is told to stop, and stops them in the order that loses nothing.

The only place where parts are wired to each other. A part that ends by itself ends the process: nothing may run half.
"""

import asyncio
import logging
import math
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ..api.base import Key
from ..controllers.evaluationjob import EvaluationJobController
from ..controllers.modelapproval import ModelApprovalController
from ..controllers.modelregistry import ModelRegistryController
from ..controllers.modelversion import ModelVersionController
from ..controllers.ports import ClusterError, Controller, Ports
from ..evaluation.engines import installed
from ..registries.guard import GuardedRegistries, Observer
from ..settings import Settings
from . import endpoints, inbound, logs
from .actions import Actions
from .alerts import Alerts
from .clock import now
from .cluster import Cluster, always
from .connection import Connection, Surroundings
from .events import Recorder
from .kinds import watched
from .leader import Leader
from .metrics import Metrics
from .news import News, group_of
from .prober import HttpProber
from .probes import BackgroundProbes
from .progress import BackgroundProgress
from .queue import Priority, Queue
from .reconciler import Reconciler
from .secrets import Secrets
from .store import ObjectStore
from .sweep import Sweep
from .tracing import OFF, Tracer
from .watch import Event, Watch
from .webhooks import Webhooks

_WORKERS = 8
_TURN = 0.0005
_STOP_SECONDS = 5.0
"""For passes that are on their way when the order to stop comes."""


def controllers_for(settings: Settings) -> tuple[Controller[Any, Any], ...]:
    """One controller per kind."""
    return (
        ModelRegistryController(),
        EvaluationJobController(settings.evaluator_image, settings.reporter_image, kueue=settings.kueue, engines=installed()),
        ModelVersionController(settings.targets, settings.hold),
        ModelApprovalController(),
    )


async def run(settings: Settings, surroundings: Surroundings, tracer: Tracer = OFF) -> None:
    """Runs the operator until SIGTERM or SIGINT. Raises ClusterError where the surroundings name no cluster, OSError where an
    address to listen on is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # While kopf's thread reads a long list, this one would wait five milliseconds for its turn after each word of the network.
    sys.setswitchinterval(_TURN)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with operator(settings, surroundings, controllers_for(settings), tracer) as failed:
        stopping = loop.create_task(stop.wait())
        ends: tuple[asyncio.Future[Any], ...] = (stopping, failed)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        logs.event(logging.INFO, "stopping")
    if failed.done() and not failed.cancelled():
        failed.result()


@asynccontextmanager
async def operator(
    settings: Settings, surroundings: Surroundings, controllers: tuple[Controller[Any, Any], ...], tracer: Tracer = OFF
) -> AsyncIterator["asyncio.Future[None]"]:
    """A running operator; gives a future that ends only if a part of it broke. Left, it has stopped and released the lease."""
    by_kind: Mapping[str, Controller[Any, Any]] = {controller.kind.info.kind: controller for controller in controllers}
    store = ObjectStore()
    queue: Queue[Key] = Queue(lambda key: group_of(store, by_kind, key), waited=lambda *wait: metrics.waited(*wait))  # noqa: PLW0108 - made below
    metrics = Metrics(queue, store)
    news = News(store, queue, by_kind)
    identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"

    async with AsyncExitStack() as stack:
        stack.push_async_callback(tracer.close)
        connection = Connection(surroundings, tracer, metrics.kube_request)
        stack.push_async_callback(connection.close)
        reader = Cluster(connection)
        sweep = Sweep(reader, store, queue, news, settings.namespaces)
        await endpoints.serve(stack, metrics, lambda: sweep.complete, settings.metrics_address, settings.health_address)

        def won() -> None:
            metrics.won.inc()
            if sweep.complete:
                sweep.look_at_all()

        leader = Leader(
            Cluster(connection, always),
            namespace=await surroundings.namespace(),
            identity=identity,
            name=settings.lease_name,
            duration=settings.lease_duration,
            now=now,
            gained=won,
        )
        leads = leader.may_write if settings.leader_election else always
        metrics.leader.set_function(leads)
        metrics.lease.set_function(leader.seconds_left if settings.leader_election else lambda: math.inf)

        def may_write() -> bool:
            return sweep.complete and leads()

        cluster = Cluster(connection, may_write)
        secrets = Secrets(reader)
        registries = GuardedRegistries(
            secrets,
            queue.add,
            now,
            allow=settings.allow_addresses,
            observe=_observer(metrics, tracer),
            may_write=may_write,
        )
        stack.push_async_callback(registries.close)
        webhooks = Webhooks(
            store=store,
            queue=queue,
            controllers=by_kind,
            registries=registries,
            secrets=secrets,
            leads=may_write,
            now=now,
            observe=metrics.webhook,
        )
        alerts = Alerts(store=store, cluster=cluster, news=news, secrets=secrets, leads=may_write, now=now, observe=metrics.alert)
        await inbound.serve(stack, settings.webhook_address, (*webhooks.routes(), *alerts.routes()))
        prober = await stack.enter_async_context(HttpProber())
        probes = BackgroundProbes(prober, queue.add, asyncio.get_running_loop().time)
        stack.push_async_callback(probes.close)
        progress = BackgroundProgress(prober.fetch, queue.add, asyncio.get_running_loop().time)
        stack.push_async_callback(progress.close)
        actions = Actions(
            cluster=cluster,
            registries=registries,
            store=store,
            queue=queue,
            news=news,
            metrics=metrics,
            tracer=tracer,
        )
        recorder = Recorder(cluster, identity, now)
        reconciler = Reconciler(
            controllers=by_kind,
            store=store,
            queue=queue,
            news=news,
            cluster=cluster,
            actions=actions,
            recorder=recorder,
            metrics=metrics,
            tracer=tracer,
            ports=Ports(store, cluster, registries, probes, progress, now, lambda _: None),
            may_write=may_write,
        )

        def hear(event: Event) -> None:
            if event.type == "DELETED":
                news.gone(event.body, Priority.FRESH)
                return
            if event.type is None:
                sweep.ask(event.body["kind"])
            news.seen(event.body, sweep.priority(event.body["kind"]) if event.type is None else Priority.FRESH)

        watches = [
            Watch(
                access=surroundings.access,
                namespaces=settings.namespaces,
                sink=hear,
                restarted=metrics.watch_restarts.inc,
                serves=reader.serves,
                group=group,
            ).run
            for group in watched(settings.targets)
        ]
        election = [leader.run] if settings.leader_election else []
        async with _together(*watches, *election, recorder.run, _after(sweep, [reconciler.work] * _WORKERS)) as failed:
            yield failed
        if settings.leader_election:
            await leader.release()


def _observer(metrics: Metrics, tracer: Tracer) -> Observer:
    """Takes down every call to a registry."""

    def observe(kind: str, operation: str, outcome: str, seconds: float) -> None:
        metrics.registry_request(kind, operation, outcome, seconds)
        about = {"weighbridge.registry": kind, "weighbridge.operation": operation, "weighbridge.outcome": outcome}
        tracer.ended(f"registry {operation}", seconds, about, failed="" if outcome == "Known" else outcome)

    return observe


def _after(sweep: Sweep, workers: list[Callable[[], Awaitable[None]]]) -> Callable[[], Awaitable[None]]:
    """Sweeping, and the workers once the first sweep is complete."""

    async def run() -> None:
        await sweep.first()
        logs.event(logging.INFO, "ready")
        sweep.look_at_all()
        async with asyncio.TaskGroup() as group:
            group.create_task(_run(sweep.run))
            for worker in workers:
                group.create_task(_run(worker))

    return run


@asynccontextmanager
async def _together(*parts: Callable[[], Awaitable[None]]) -> AsyncIterator["asyncio.Future[None]"]:
    """Runs the parts, all of which run for ever; the future given ends with the first that does not."""

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(_run(part))

    task = asyncio.create_task(all_of_them())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_STOP_SECONDS)


async def _run(part: Callable[[], Awaitable[None]]) -> None:
    await part()
    raise ClusterError("PartEnded", "a part of the operator ended by itself")
