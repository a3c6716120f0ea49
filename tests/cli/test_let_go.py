"""`weighbridge let-go` on a real API server; the test plays an operator that has not quite gone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conftest import RealServer
from weighbridge.api.base import API_VERSION
from weighbridge.api.modelversion import FINALIZER
from weighbridge.cli import main
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.refusal import Invalid

KIND = "ModelVersion"
THEIRS = "example.com/theirs"
Said = tuple[int, str]
Type = Callable[..., Awaitable[Said]]


class Place:
    """A namespace with ModelVersions."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.connection, self.cluster, self.namespace = connection, Cluster(connection), namespace

    async def version(self, name: str, *finalizers: str) -> dict[str, Any]:
        spec = {"source": {"registryRef": {"name": "mlflow"}, "name": "model", "version": "1"}, "stage": "Candidate"}
        metadata = {"name": name, "namespace": self.namespace, "finalizers": list(finalizers)}
        return await self.cluster.create({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})

    async def finalizers(self, name: str) -> list[str] | None:
        body = await self.cluster.get(API_VERSION, KIND, self.namespace, name)
        return None if body is None else list(body["metadata"].get("finalizers", ()))

    async def delete(self, name: str) -> None:
        where = f"/apis/{API_VERSION}/namespaces/{self.namespace}/modelversions/{name}"
        await self.connection.request("DELETE", where)

    async def take_back(self, name: str, times: int) -> None:
        """What an operator does as soon as it sees that its finalizer is gone."""
        for _ in range(times):
            while FINALIZER in (await self.finalizers(name) or ()):  # noqa: ASYNC110 - played by the test
                await asyncio.sleep(0.02)
            body = {"metadata": {"finalizers": [FINALIZER]}}
            await self.cluster.merge(API_VERSION, KIND, self.namespace, name, body)


@pytest.fixture
def place(connection: Connection, namespace: str) -> Place:
    return Place(connection, namespace)


@pytest.fixture
def typed(api_server: RealServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types the command in a terminal with an administrator's kubeconfig, for the test's namespace."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))

    async def typed(*arguments: str, settle: str = "2s") -> Said:
        try:
            code = await asyncio.to_thread(main, ["let-go", "-n", namespace, "--settle", settle, *arguments])
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        told = capsys.readouterr()
        return code, told.out + told.err

    return typed


@asynccontextmanager
async def meanwhile(work: Awaitable[Any]) -> AsyncIterator["asyncio.Future[Any]"]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()


async def test_only_the_finalizer_goes(place: Place, typed: Type) -> None:
    before = await place.version("serving", THEIRS, FINALIZER, "example.com/more")
    await place.version("free")
    assert await typed() == (0, "let go of 1 ModelVersions, of 2 there are; what they serve stays as it is\n")
    after = await place.cluster.get(API_VERSION, KIND, place.namespace, "serving")
    assert after is not None
    assert after["metadata"]["finalizers"] == [THEIRS, "example.com/more"]
    assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])


async def test_what_waits_for_its_deletion_is_gone_at_once(place: Place, typed: Type) -> None:
    await place.version("serving", FINALIZER)
    await place.delete("serving")
    assert await place.finalizers("serving") == [FINALIZER]
    begun = time.monotonic()
    code, _ = await typed(settle="60s")
    assert (code, await place.finalizers("serving")) == (0, None)
    assert time.monotonic() - begun < 30, "there is nothing left that anybody could put it back on"


async def test_an_operator_on_its_way_out_is_outlasted(place: Place, typed: Type) -> None:
    await place.version("serving", FINALIZER)
    async with meanwhile(place.take_back("serving", times=2)) as operator:
        code, said = await typed()
        assert code == 0, said
        assert operator.done()
    assert await place.finalizers("serving") == []


async def test_an_operator_that_stays_is_named_as_the_trouble(place: Place, typed: Type) -> None:
    await place.version("serving", FINALIZER)
    async with meanwhile(place.take_back("serving", times=1000)):
        code, said = await typed("--timeout", "4s")
    assert code == 3
    assert f"taken back again and again ({place.namespace}/serving)" in said
    assert "an operator still works there" in said


async def test_several_namespaces_and_no_others(place: Place, typed: Type, connection: Connection) -> None:
    others = [Place(connection, f"{place.namespace}-{name}") for name in ("b", "c")]
    for each in (place, *others):
        if each is not place:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each.namespace}}
            await connection.request("POST", "/api/v1/namespaces", body=body)
        await each.version("serving", FINALIZER)
    code, said = await typed("-n", others[0].namespace, settle="0s")
    assert code == 0, said
    assert [await each.finalizers("serving") for each in (place, *others)] == [[], [], [FINALIZER]]


async def test_what_the_cluster_forbids_is_told_by_name(place: Place, typed: Type) -> None:
    await place.version("serving", FINALIZER)
    await _policy(place, "oldObject == null || object.metadata.name != 'serving'")
    try:
        code, said = await typed()
    finally:
        await _policy(place, None)
    assert code == 1
    assert f"{place.namespace}/serving: " in said
    assert "denied request" in said


async def _policy(place: Place, rule: str | None) -> None:
    """A rule of admission for the namespace's versions, in force when this returns; None takes it away."""
    where, name = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic", place.namespace
    if rule is None:
        for plural in ("ybindings", "ies"):
            await place.connection.request("DELETE", f"{where}{plural}/{name}")
        return
    match = {"apiGroups": ["weighbridge.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["modelversions"]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}}, "resourceRules": [match]}
    policy = {"metadata": {"name": name}, "spec": {"matchConstraints": here, "validations": [{"expression": rule}]}}
    await place.connection.request("POST", f"{where}ies", body=policy)
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    await place.connection.request("POST", f"{where}ybindings", body=binding)
    version = f"/apis/{API_VERSION}/namespaces/{place.namespace}/modelversions/serving"
    label = {"metadata": {"labels": {"tried": "yes"}}}
    async with asyncio.timeout(30):
        while True:
            try:
                kind = "application/merge-patch+json"
                await place.connection.request("PATCH", version, query=(("dryRun", "All"),), body=label, content_type=kind)
            except Invalid:
                return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--settle", "soon"), '--settle="soon" cannot be used'),
        (("--all-namespaces",), "not allowed with argument"),
        (("-n", ""), "-n is empty"),
    ],
)
async def test_what_makes_no_sense_is_refused(typed: Type, arguments: tuple[str, ...], sentence: str) -> None:
    code, said = await typed(*arguments)
    assert code == 2
    assert sentence in said
