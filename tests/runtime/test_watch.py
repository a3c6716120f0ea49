"""The whole operator behind a network that breaks: it lives, and hears of everything that happened meanwhile, deletions too."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import RealServer
from tests.runtime.bench import Scripted, always_plan, until
from tests.runtime.proxy import Proxy

from weighbridge.api.base import API_VERSION, Key
from weighbridge.api.modelversion import FINALIZER
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Surroundings
from weighbridge.runtime.process import operator
from weighbridge.settings import read

PLURAL = "modelregistries"


@dataclass
class Running:
    """An operator at work, and what its controller was told."""

    failed: "asyncio.Future[None]"
    told: list[tuple[str, str]]
    stumble: set[str]
    """Names of objects over which the controller fails."""

    def heard_of(self, kind: str, name: str) -> int:
        return self.told.count((kind, name))


@pytest.fixture
async def proxy(api_server: RealServer) -> AsyncIterator[Proxy]:
    config = yaml.safe_load(api_server.kubeconfig.read_text(encoding="utf-8"))
    async with Proxy(config) as proxy:
        yield proxy


@pytest.fixture
def start(proxy: Proxy, namespace: str, tmp_path: Path) -> Callable[..., Any]:
    file = tmp_path / "kubeconfig"
    file.write_text(proxy.kubeconfig(), encoding="utf-8")

    @asynccontextmanager
    async def start(election: bool = False) -> AsyncIterator[Running]:
        told: list[tuple[str, str]] = []
        stumble: set[str] = set()

        def listen(kind: str, body: Mapping[str, Any]) -> Iterable[Key]:
            told.append((kind, body["metadata"]["name"]))
            if body["metadata"]["name"] in stumble:
                raise KeyError("a bug")
            return ()

        settings = read(
            {
                "WEIGHBRIDGE_NAMESPACES": namespace,
                "WEIGHBRIDGE_METRICS_ADDRESS": ":0",
                "WEIGHBRIDGE_HEALTH_ADDRESS": ":0",
                "WEIGHBRIDGE_LEADER_ELECTION": str(election).lower(),
                "WEIGHBRIDGE_LEASE_DURATION": "5s",
            },
            {},
        )
        async with operator(settings, Surroundings(str(file), namespace), (Scripted(always_plan(), listen),)) as failed:
            yield Running(failed, told, stumble)

    return start


def registry(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"mlflow": {"url": "https://mlflow.example.com"}},
    }


async def has_status(cluster: Cluster, namespace: str, name: str, seconds: float = 15.0) -> dict[str, Any]:
    """Waits until the operator has written a status."""
    async with asyncio.timeout(seconds):
        while True:
            body = await cluster.get(API_VERSION, "ModelRegistry", namespace, name)
            if body is not None and "status" in body:
                return body
            await asyncio.sleep(0.02)


def lives() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kopf"]


def error_event(code: int) -> bytes:
    body = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": "Expired", "message": "broken by the test"}
    return json.dumps({"type": "ERROR", "object": body}).encode() + b"\n"


async def gone(proxy: Proxy) -> None:
    proxy.inject(PLURAL, error_event(410))


async def broken(proxy: Proxy) -> None:
    proxy.inject(PLURAL, error_event(500))


async def garbled(proxy: Proxy) -> None:
    proxy.inject(PLURAL, b'{"type": "MODIF\xff\x00 nonsense}\n')


async def cut_in_mid_line(proxy: Proxy) -> None:
    proxy.inject(PLURAL, b'{"type": "MODIFIED", "obj', end=True)


async def watch_refused_as_gone(proxy: Proxy) -> None:
    proxy.refuse["watch", PLURAL] = 410
    proxy.inject(PLURAL, b"", end=True)
    await until(lambda: proxy.refused)
    del proxy.refuse["watch", PLURAL]


async def lists_fail_for_long(proxy: Proxy) -> None:
    proxy.refuse["list", PLURAL] = 500
    proxy.inject(PLURAL, error_event(410))
    await until(lambda: proxy.refused > 4, 20)
    del proxy.refuse["list", PLURAL]


@pytest.mark.parametrize("fault", [gone, broken, garbled, cut_in_mid_line, watch_refused_as_gone, lists_fail_for_long])
async def test_the_operator_survives_and_misses_nothing(
    start: Any, proxy: Proxy, cluster: Cluster, namespace: str, fault: Callable[[Proxy], Awaitable[None]]
) -> None:
    before = await cluster.create(registry(namespace, "before"))
    async with start() as running:
        await has_status(cluster, namespace, "before")
        # kopf's first list is followed by a sweep; what comes later is not its merit.
        await until(lambda: proxy.streams(PLURAL) and proxy.lists[PLURAL] >= 3)
        proxy.hold(PLURAL)
        trouble = asyncio.create_task(fault(proxy))
        await until(lambda: not proxy.streams(PLURAL))
        known = running.heard_of("ModelRegistry", "before")
        # Deleted while nobody watches: no event will ever tell.
        await cluster.delete(API_VERSION, "ModelRegistry", namespace, "before", before["metadata"]["uid"])
        # Made in the same gap: a list with nothing in it would tell nothing, and the loss be found by the next sweep only.
        await cluster.create(registry(namespace, "after"))
        proxy.let_go(PLURAL)
        await trouble
        await has_status(cluster, namespace, "after", 20)
        await until(lambda: running.heard_of("ModelRegistry", "before") > known, 20)
        assert not running.failed.done()
        # What gave up must be gone: it would watch for ever beside its successor.
        await until(lambda: proxy.streams(PLURAL) == 1 and len(lives()) == 2)  # one for our own kinds, one for workloads
    await until(lambda: not lives())


async def test_crds_that_come_after_the_operator_are_watched(
    start: Any, proxy: Proxy, cluster: Cluster, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Discovery and lists say that there is no such kind, as on a cluster where the CRDs are installed second."""
    proxy.refuse["list", "v1alpha1"] = proxy.refuse["list", PLURAL] = 404
    async with start() as running:
        await until(lambda: {"first lists not possible yet", "watch waits"} <= set(caplog.messages))
        assert any("install" in str(record.__dict__.get("fields")) for record in caplog.records)
        proxy.refuse.clear()
        await until(lambda: proxy.streams(PLURAL))
        await cluster.create(registry(namespace, "late"))
        await has_status(cluster, namespace, "late", 2)
        assert not running.failed.done()


async def test_a_body_that_a_controller_stumbles_over_stops_nothing(
    start: Any, proxy: Proxy, cluster: Cluster, namespace: str
) -> None:
    async with start() as running:
        running.stumble.add("strange")
        await until(lambda: proxy.streams(PLURAL))
        await cluster.create(registry(namespace, "strange"))
        await cluster.create(registry(namespace, "usual"))
        await has_status(cluster, namespace, "usual")
        await has_status(cluster, namespace, "strange")
        assert not running.failed.done()


async def test_events_of_every_watched_kind_arrive(start: Any, proxy: Proxy, cluster: Cluster, namespace: str) -> None:
    async with start() as running:
        await until(lambda: proxy.streams("jobs") and proxy.streams("deployments"))
        pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
        for name, labels in (("ours", {"app.kubernetes.io/managed-by": "weighbridge"}), ("theirs", {})):
            metadata = {"name": name, "namespace": namespace, "labels": labels}
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": {"spec": pod}}}
            await cluster.create(job)
        template = {"metadata": {"labels": {"app": "s"}}, "spec": {"containers": pod["containers"]}}
        spec = {"selector": {"matchLabels": {"app": "s"}}, "template": template}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "serving", "namespace": namespace},
            "spec": spec,
        }
        await cluster.create(deployment)
        await until(lambda: running.heard_of("Deployment", "serving") and running.heard_of("Job", "ours"))
        assert not running.heard_of("Job", "theirs"), "the server filters Jobs by label"


async def test_nothing_is_written_but_what_was_decided(
    start: Any, cluster: Cluster, proxy: Proxy, namespace: str, api_server: RealServer
) -> None:
    """kopf by itself would add annotations and finalizers, and take away a finalizer that has the name it was given."""
    body = registry(namespace, "one")
    body["metadata"]["finalizers"] = [FINALIZER, "example.com/theirs"]
    await cluster.create(body)
    async with start():
        await has_status(cluster, namespace, "one")
        await until(lambda: proxy.streams(PLURAL))
        await cluster.merge(API_VERSION, "ModelRegistry", namespace, "one", {"metadata": {"labels": {"touched": "yes"}}})
        await cluster.create(registry(namespace, "two"))
        now = await has_status(cluster, namespace, "two")
    assert set(now["metadata"]) == {
        "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"
    }  # fmt: skip
    first = await cluster.get(API_VERSION, "ModelRegistry", namespace, "one")
    assert first is not None
    assert first["metadata"]["finalizers"] == [FINALIZER, "example.com/theirs"]
    assert "annotations" not in first["metadata"]
    assert sorted(write for write in await api_server.writes(namespace, ignore=("events",)) if not write.startswith("create")) == [
        "patch modelregistries one",
        "patch modelregistries/status one",
        "patch modelregistries/status two",
    ]


async def test_a_second_replica_waits_warm_and_takes_over_at_once(
    start: Any, cluster: Cluster, proxy: Proxy, namespace: str, api_server: RealServer
) -> None:
    async with start(election=True):
        await cluster.create(registry(namespace, "one"))
        await has_status(cluster, namespace, "one")
        async with start(election=True) as second:
            await until(lambda: second.heard_of("ModelRegistry", "one"))
            await cluster.create(registry(namespace, "two"))
            await has_status(cluster, namespace, "two")
            # The inner one leaves first and had nothing to release; the lease stays with the outer one.
        lease = await cluster.get("coordination.k8s.io/v1", "Lease", namespace, "weighbridge")
        assert lease is not None
        assert lease["spec"]["holderIdentity"]
        assert lease["spec"]["leaseTransitions"] == 0
    lease = await cluster.get("coordination.k8s.io/v1", "Lease", namespace, "weighbridge")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""
    async with start(election=True):
        await cluster.create(registry(namespace, "three"))
        await has_status(cluster, namespace, "three", 5)
    assert (await api_server.writes(namespace)).count("patch modelregistries/status one") == 1
