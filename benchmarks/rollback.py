"""How long a rollback takes: from a Deployment's status turning bad in a real API server to its pointer patched, by the real
operator process, first with nothing else to do, then while thousands of other objects are listed and looked at all the time.

    e2e/tools/python -m benchmarks.rollback [--rollbacks 60] [--others 10000]

No kubelet and no controllers run: what takes minutes with real pods is not measured here. Both ends are seen from outside, so
the time includes the way of the event to the operator and the way of the news of the patch back.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.apiserver import ApiServer
from tests.runtime.proxy import Proxy
from tests.runtime.stage import Process, Stage, operating, pointer_of, uri, version_spec

from weighbridge.api import KINDS
from weighbridge.api.base import API_VERSION
from weighbridge.api.crd import crd
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings

_PER_NAMESPACE = 500
_TOGETHER = 5
_PATIENCE = 120.0
_REST = 0.2
"""Seconds for what the operator still has to look at after the last change; less than between its looks at a rollout."""
_GONE = json.dumps(
    {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "benchmark"}}
)


@dataclass(frozen=True)
class Times:
    """Seconds, in any order."""

    values: Sequence[float]

    def percentile(self, share: float) -> float:
        """The value that this share of all does not exceed."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def __str__(self) -> str:
        shares = ((0.5, "median"), (0.9, "p90"), (0.99, "p99"), (1.0, "longest"))
        text = ", ".join(f"{name} {self.percentile(share) * 1000:.0f} ms" for share, name in shares)
        return f"{len(self.values)} rollbacks: {text}"


@dataclass(frozen=True)
class Ready:
    """A Deployment that is about to fail."""

    name: str
    body: Mapping[str, Any]
    pod: Mapping[str, Any]


async def prepared(stage: Stage, name: str) -> Ready:
    """A Deployment on its way from version 1 to version 2, which the operator has seen."""
    body = await stage.rolling(name)
    await stage.pod(name, 1, ready=True)
    pod = await stage.pod(name, 2, ready=False)
    await stage.settled(f"{name}-v1", "Superseded", _PATIENCE)
    await stage.settled(f"{name}-v2", "Promoting", _PATIENCE)
    return Ready(name, body, pod)


async def rollback(stage: Stage, ready: Ready) -> float:
    """Seconds from the answer to the write of the bad status to the patch of the pointer seen."""
    async with stage.changes("deployments", ready.body) as changes:
        await stage.pod_status(ready.pod, ready=False, crashes=5)
        counts = {"replicas": 2, "updatedReplicas": 1, "unavailableReplicas": 1}
        await stage.status(ready.body, {"observedGeneration": 1, **counts})
        started = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            async for change in changes:
                if pointer_of(change) == uri(1):
                    return time.perf_counter() - started
    raise AssertionError("the watch ended")


async def rollbacks(stage: Stage, count: int, prefix: str) -> Times:
    """So many, one after the other; some are prepared together."""
    times: list[float] = []
    while len(times) < count:
        names = [f"{prefix}-{number}" for number in range(len(times), min(count, len(times) + _TOGETHER))]
        readies = await asyncio.gather(*(prepared(stage, name) for name in names))
        for ready in readies:
            await asyncio.sleep(_REST)  # what follows the rollback before is no part of this one
            times.append(await rollback(stage, ready))
        for ready in readies:
            await stage.strike(ready.name)
    return Times(times)


async def crowd(cluster: Cluster, connection: Connection, count: int) -> None:
    """ModelVersions that nobody needs now, half of them archived and half suspended."""
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        namespace = f"others-{number // _PER_NAMESPACE}"
        settled = {"stage": "Archived"} if number % 2 else {"suspend": True}
        metadata = {"name": f"model-{number}", "namespace": namespace}
        spec = version_spec(f"serving-{number}", number + 1, **settled)
        async with gate:
            await cluster.create({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": spec})

    for each in range(0, count, _PER_NAMESPACE):
        await add_namespace(connection, f"others-{each // _PER_NAMESPACE}")
    await asyncio.gather(*(one(number) for number in range(count)))


async def until(condition: Callable[[], Awaitable[bool]], pause: float = 0.02) -> None:
    """Waits for something that tells nobody when it happens."""
    while not await condition():  # noqa: ASYNC110 - as it says
        await asyncio.sleep(pause)


async def looked_at(operator: Process) -> None:
    """Waits until nothing is left to look at."""

    async def done() -> bool:
        return await operator.sample("weighbridge_queue_depth") == 0

    await until(done, 0.2)


async def quiet(server: ApiServer) -> bool:
    """Whether nothing was written for a second: Events of what was looked at come after it, one by one."""
    before = writes(server)
    await asyncio.sleep(1.0)
    return writes(server) == before


def writes(server: ApiServer) -> int:
    """Writes of anybody so far."""
    return sum(each.verb in ("create", "patch", "update") and each.resource != "leases" for each in server.requests())


@asynccontextmanager
async def listing(proxy: Proxy) -> AsyncIterator[None]:
    """All ModelVersions are listed by the watch, and then by a sweep, over and over."""

    async def watched() -> bool:
        return proxy.streams("modelversions") > 0

    async def not_watched() -> bool:
        return not await watched()

    async def again() -> None:
        while True:
            await until(watched)
            proxy.inject("modelversions", _GONE.encode() + b"\n")
            await until(not_watched)
            await until(watched)
            await asyncio.sleep(1.2)  # the sweep begins a second after the list

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()


async def install(cluster: Cluster, connection: Connection, namespace: str) -> None:
    """The kinds, and a namespace."""
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for kind in KINDS:
        await connection.request("POST", where, body=crd(kind))
    await add_namespace(connection, namespace)

    async def all_served() -> bool:
        return all([await cluster.serves(API_VERSION, kind.info.kind) for kind in KINDS])

    await until(all_served)


async def add_namespace(connection: Connection, name: str) -> None:
    """Creates a namespace."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await connection.request("POST", "/api/v1/namespaces", body=body)


async def measure(server: ApiServer, count: int, others: int) -> tuple[Times, Times]:
    """Times with nothing else to do, and amid others. Tells how far it is."""
    connection = Connection(Surroundings(str(server.kubeconfig())))
    cluster = Cluster(connection)
    await install(cluster, connection, "serving")
    stage = Stage(cluster, "serving", server)
    try:
        async with operating(server.kubeconfig(), "serving"):
            idle = await rollbacks(stage, count, "idle")
        tell(f"idle                     {idle}")
        started = time.perf_counter()
        await crowd(cluster, connection, others)
        tell(f"{others} others made in {time.perf_counter() - started:.0f} s")
        config = yaml.safe_load(server.kubeconfig().read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            async with Proxy(config) as proxy:
                path = Path(folder) / "kubeconfig"
                path.write_text(proxy.kubeconfig(), encoding="utf-8")
                started = time.perf_counter()
                async with operating(path, "serving") as operator:
                    tell(f"ready with them after {time.perf_counter() - started:.1f} s")
                    await looked_at(operator)
                    await until(lambda: quiet(server), 1.0)
                    tell(f"looked at each after {time.perf_counter() - started:.1f} s; {operator.resident()} MB resident")
                    before = proxy.lists["modelversions"]
                    async with listing(proxy):
                        busy = await rollbacks(stage, count, "busy")
                    pages = proxy.lists["modelversions"] - before
        tell(f"amid {others} others    {busy} ({pages} pages listed meanwhile)")
        return idle, busy
    finally:
        await connection.close()


def tell(line: str) -> None:
    """Says how far it is."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollbacks", type=int, default=60)
    parser.add_argument("--others", type=int, default=10_000)
    options = parser.parse_args()
    with ApiServer() as server:
        asyncio.run(measure(server, options.rollbacks, options.others))


if __name__ == "__main__":
    main()
