"""Shared fixtures: a real API server for the whole run, and for each test a namespace of its own in it.

Kubernetes is never imitated: what a test says about a write, it says about a real kube-apiserver. No controllers run there, so a
test plays the Job controller or the Deployment controller where it needs one.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.apiserver import ApiServer, Request
from weighbridge.api import KINDS
from weighbridge.api.crd import crd
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


settings.register_profile("patient", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("patient")


@dataclass(frozen=True)
class RealServer:
    """A running API server with the kinds installed."""

    server: ApiServer

    @property
    def kubeconfig(self) -> Path:
        """An administrator's."""
        return self.server.kubeconfig()

    async def writes(self, namespace: str, ignore: tuple[str, ...] = ()) -> list[str]:
        """Successful writes in the namespace so far, oldest first, as `verb resource/subresource name`."""

        def found(answered: bool) -> list[Request]:
            requests = self.server.requests(answered=answered)
            return [each for each in requests if each.namespace == namespace and each.verb in _WRITES]

        received = len(found(answered=False))
        async with asyncio.timeout(10):
            while len(answered := found(answered=True)) < received:  # noqa: ASYNC110 - a log tells nobody when it grows
                await asyncio.sleep(0.01)
        return [
            f"{each.verb} {each.resource}{'/' + each.subresource if each.subresource else ''} {each.name}".strip()
            for each in answered
            if each.resource not in ignore and each.status is not None and each.status < 300
        ]


@pytest.fixture(scope="session")
def api_server() -> Iterator[RealServer]:
    """etcd and kube-apiserver on free ports, with the CRDs of this tree established."""
    with ApiServer() as server:
        asyncio.run(_install(server.kubeconfig()))
        yield RealServer(server)


@pytest.fixture
async def connection(api_server: RealServer) -> AsyncIterator[Connection]:
    """An administrator's connection, for set-up that the operator has no words for."""
    connection = Connection(Surroundings(str(api_server.kubeconfig)))
    yield connection
    await connection.close()


@pytest.fixture
def cluster(connection: Connection) -> Cluster:
    """An administrator's view of the cluster through the operator's own client."""
    return Cluster(connection)


@pytest.fixture
async def namespace(connection: Connection) -> str:
    """A fresh namespace; it goes with the server."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    await connection.request(
        "POST", "/api/v1/namespaces", body={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    return name


async def _install(kubeconfig: Path) -> None:
    connection = Connection(Surroundings(str(kubeconfig)))
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = []
    for kind in KINDS:
        created = await connection.request("POST", where, body=crd(kind))
        names.append(created["metadata"]["name"])
    async with asyncio.timeout(30):
        while names:
            body = await connection.request("GET", f"{where}/{names[0]}")
            conditions = body.get("status", {}).get("conditions") or []
            if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                names.pop(0)
            await asyncio.sleep(0.05)
    await connection.close()
