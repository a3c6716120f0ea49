"""The webhook endpoint: the real server, store, queue and guard; senders of all kinds, and a real MLflow."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from cryptography.fernet import Fernet
from mlflow.entities.webhook import WebhookEvent
from mlflow.webhooks.delivery import _generate_hmac_signature
from tests.registries.mlflowserver import MlflowServer, running
from tests.runtime.bench import until

from weighbridge.api.base import API_VERSION, Key
from weighbridge.api.modelregistry import ModelRegistry
from weighbridge.controllers.evaluationjob import EvaluationJobController
from weighbridge.controllers.modelregistry import ModelRegistryController
from weighbridge.controllers.modelversion import ModelVersionController
from weighbridge.controllers.ports import ClusterError
from weighbridge.runtime import inbound
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.store import ObjectStore
from weighbridge.runtime.webhooks import Webhooks
from weighbridge.settings import Address

SECRET = "canary-webhook-4711"
START = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = {"registryRef": {"name": "mlflow"}, "name": "fraud", "version": "7"}
ON_HUB = {"registryRef": {"name": "hub"}, "name": "org/m", "revision": "main"}


class Desk:
    """The endpoint and what is behind it."""

    def __init__(self) -> None:
        self.time = START
        self.leads = True
        self.secrets: dict[str, Mapping[str, str] | ClusterError] = {"hook": {"WEBHOOK_SECRET": f"{SECRET}\n"}}
        self.reads: list[str] = []
        self.hints: list[tuple[str, frozenset[str] | None]] = []
        self.wait = 0.0
        """What the guard says to a hint."""
        self.store = ObjectStore()
        self.ticks = 0.0
        self.queue: Queue[Key] = Queue(lambda key: key, clock=lambda: self.ticks)
        self.metrics = Metrics(self.queue, self.store)
        self.port = 0
        kinds = (ModelRegistryController(), EvaluationJobController("", ""), ModelVersionController())
        self.webhooks = Webhooks(
            store=self.store,
            queue=self.queue,
            controllers={each.kind.info.kind: each for each in kinds},
            registries=self,
            secrets=self.secret,
            leads=lambda: self.leads,
            now=lambda: self.time,
            observe=self.metrics.webhook,
        )

    def hint(self, registry: ModelRegistry, names: frozenset[str] | None) -> float:
        self.hints.append((registry.metadata.name, names))
        return self.wait

    async def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        self.reads.append(f"{namespace}/{name}")
        found = self.secrets.get(name)
        if isinstance(found, ClusterError):
            raise found
        return found

    def put(self, kind: str, name: str, spec: Mapping[str, Any]) -> Key:
        meta = {"name": name, "namespace": "fraud", "uid": f"{kind}-{name}", "resourceVersion": "1"}
        self.store.put({"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec})
        return Key(kind, "fraud", name)

    async def post(self, name: str, body: str, headers: Mapping[str, str], namespace: str = "fraud") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}/webhooks/{namespace}/{name}"
        async with aiohttp.ClientSession() as session, session.post(url, data=body.encode(), headers=headers) as response:
            return response.status, await response.text()

    def signed(self, body: str, number: str = "d-1") -> dict[str, str]:
        stamp = str(int(self.time.timestamp()))
        signature = _generate_hmac_signature(SECRET, number, stamp, body)
        return {"X-MLflow-Signature": signature, "X-MLflow-Delivery-Id": number, "X-MLflow-Timestamp": stamp}

    def queued(self) -> set[Key]:
        """All keys that are ready now; they are worked on at once."""
        keys = set()
        while (key := self.queue.take()) is not None:
            keys.add(key)
        for key in keys:
            self.queue.done(key)
        return keys

    def outcomes(self) -> dict[tuple[str, ...], float]:
        return self.metrics.webhooks.samples()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    found = Desk()
    found.put("ModelRegistry", "mlflow", {"mlflow": {"url": "http://mlflow"}, "webhookSecretRef": {"name": "hook"}})
    found.put("ModelRegistry", "hub", {"huggingFace": {}, "webhookSecretRef": {"name": "hook"}})
    found.put("ModelRegistry", "deaf", {"mlflow": {"url": "http://mlflow"}})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        found.port = int(listener.getsockname()[1])
    async with AsyncExitStack() as stack:
        await inbound.serve(stack, Address("127.0.0.1", found.port), found.webhooks.routes())
        yield found


BODY = json.dumps({"entity": "model_version_tag", "action": "set", "data": {"name": "fraud", "version": "7"}})


async def test_a_signed_webhook_makes_everything_of_that_registry_be_looked_at(desk: Desk) -> None:
    mine = {
        Key("ModelRegistry", "fraud", "mlflow"),
        desk.put("ModelVersion", "v7", {"source": MODEL, "stage": "Production"}),
        desk.put("EvaluationJob", "e", {"model": MODEL}),
        desk.put("EvaluationJob", "with-fallback", {"model": ON_HUB, "fallback": {"models": [MODEL]}}),
    }
    desk.put("ModelVersion", "other", {"source": ON_HUB, "stage": "Production"})
    assert await desk.post("mlflow", BODY, desk.signed(BODY)) == (200, "ok\n")
    assert desk.hints == [("mlflow", frozenset({"fraud"}))]
    assert desk.queued() == mine
    assert desk.outcomes() == {("mlflow", "accepted"): 1}


async def test_a_webhook_of_the_hub(desk: Desk) -> None:
    body = json.dumps({"event": {"action": "update"}, "repo": {"type": "model", "name": "org/m"}})
    key = desk.put("ModelVersion", "v", {"source": ON_HUB, "stage": "Production"})
    assert (await desk.post("hub", body, {"X-Webhook-Secret": SECRET}))[0] == 200
    assert desk.hints == [("hub", frozenset({"org/m"}))]
    assert desk.queued() == {key, Key("ModelRegistry", "fraud", "hub")}
    assert (await desk.post("hub", body, {"X-Webhook-Secret": SECRET}))[1] == "known\n"
    desk.time += timedelta(minutes=2)
    assert (await desk.post("hub", body, {"X-Webhook-Secret": SECRET}))[1] == "ok\n", "the same again is news after a while"


async def test_hints_that_come_too_soon_are_followed_later(desk: Desk) -> None:
    desk.wait = 3.0
    await desk.post("mlflow", BODY, desk.signed(BODY))
    assert desk.queued() == set()
    desk.ticks += 3.2
    assert desk.queued() == {Key("ModelRegistry", "fraud", "mlflow")}


async def test_a_repetition_is_answered_and_not_followed(desk: Desk) -> None:
    headers = desk.signed(BODY)
    answers = [await desk.post("mlflow", BODY, headers) for _ in range(3)]
    assert answers == [(200, "ok\n"), (200, "known\n"), (200, "known\n")]
    desk.time += timedelta(minutes=4.9)
    assert await desk.post("mlflow", BODY, headers) == (200, "known\n")
    desk.time += timedelta(minutes=0.2)
    assert (await desk.post("mlflow", BODY, headers))[0] == 401
    assert len(desk.hints) == 1
    assert desk.outcomes() == {("mlflow", "accepted"): 1, ("mlflow", "duplicate"): 3, ("mlflow", "refused"): 1}


async def test_all_that_is_not_accepted_is_answered_alike(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    signed = desk.signed(BODY)
    desk.secrets["empty"] = {"WEBHOOK_SECRET": ""}
    desk.put("ModelRegistry", "empty", {"mlflow": {"url": "http://m"}, "webhookSecretRef": {"name": "empty"}})
    desk.put("ModelRegistry", "no-secret", {"mlflow": {"url": "http://m"}, "webhookSecretRef": {"name": "nowhere"}})
    unsigned = {**signed, "X-MLflow-Signature": _generate_hmac_signature("", "d-1", signed["X-MLflow-Timestamp"], BODY)}
    answers = {
        await desk.post("mlflow", BODY, {}),
        await desk.post("mlflow", BODY + " ", signed),
        await desk.post("mlflow", BODY, {"X-Webhook-Secret": SECRET}),
        await desk.post("hub", BODY, {"X-Webhook-Secret": "guess"}),
        await desk.post("deaf", BODY, signed),
        await desk.post("empty", BODY, unsigned),
        await desk.post("no-secret", BODY, unsigned),
        await desk.post("nobody", BODY, signed),
        await desk.post("mlflow", BODY, signed, namespace="other"),
    }
    assert answers == {(401, "not accepted\n")}
    assert (desk.hints, desk.queued()) == ([], set())
    assert SECRET not in caplog.text
    assert SECRET not in desk.metrics.text().decode()


async def test_other_ways_in_are_closed(desk: Desk) -> None:
    async with aiohttp.ClientSession() as session:
        for method, path, status in (
            ("GET", "/webhooks/fraud/mlflow", 405),
            ("POST", "/webhooks/fraud", 404),
            ("POST", "/webhooks/fraud/mlflow/more", 404),
            ("GET", "/metrics", 404),
        ):
            async with session.request(method, f"http://127.0.0.1:{desk.port}{path}") as response:
                assert response.status == status


async def test_port_0_opens_nothing(desk: Desk) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    async with AsyncExitStack() as stack:
        await inbound.serve(stack, Address("", 0), desk.webhooks.routes())
        assert set(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


async def test_who_does_not_lead_lets_the_registry_try_again(desk: Desk) -> None:
    """MLflow repeats what was answered by 503, with the same delivery id: it must still be new to the leader, and to this one."""
    headers = desk.signed(BODY)
    desk.leads = False
    assert (await desk.post("mlflow", BODY, headers))[0] == 503
    assert desk.hints == []
    desk.leads = True
    assert await desk.post("mlflow", BODY, headers) == (200, "ok\n")


async def test_a_cluster_that_does_not_answer_is_no_refusal(desk: Desk) -> None:
    desk.secrets["hook"] = ClusterError("ApiServerUnavailable", "the API server does not answer")
    assert (await desk.post("mlflow", BODY, desk.signed(BODY)))[0] == 503
    desk.secrets["hook"] = {"WEBHOOK_SECRET": SECRET}
    assert (await desk.post("mlflow", BODY, desk.signed(BODY)))[0] == 200


async def test_the_secret_is_read_when_needed_and_not_each_time(desk: Desk) -> None:
    for number in range(20):
        await desk.post("mlflow", BODY, desk.signed(BODY, str(number)))
        await desk.post("nobody", BODY, {})
        await desk.post("deaf", BODY, {})
    assert desk.reads == ["fraud/hook"]
    desk.secrets["hook"] = {"WEBHOOK_SECRET": "changed"}
    desk.time += timedelta(seconds=31)
    assert (await desk.post("mlflow", BODY, desk.signed(BODY, "new")))[0] == 401
    assert desk.reads == ["fraud/hook"] * 2


async def test_large_bodies_are_refused_before_they_are_in(desk: Desk) -> None:
    assert (await desk.post("mlflow", "x" * (64 * 1024 + 1), {}))[0] == 413
    body = json.dumps({"data": {"name": "fraud"}, "filler": "x" * 60_000})
    assert (await desk.post("mlflow", body, desk.signed(body)))[0] == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(b"POST /webhooks/fraud/mlflow HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n")
    writer.write(b"x" * 70_000)
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()


HEAD = b"POST /webhooks/fraud/mlflow HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("start", [b"", HEAD + b"X-A: ", HEAD + b"Content-Length: 9\r\n\r\n"])
async def test_who_drips_is_cut_off(desk: Desk, start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.inbound._SECONDS", 0.3)
    monkeypatch.setattr("weighbridge.runtime.inbound._SECONDS_TO_READ", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(start)

    async def drip() -> None:
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip()) if start and not start.endswith(b"\r\n\r\n") else None
    async with asyncio.timeout(5):
        await reader.read()
    if dripping:
        dripping.cancel()
    writer.close()
    assert (await desk.post("mlflow", BODY, desk.signed(BODY)))[0] == 200


async def test_connections_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.inbound._MOST_CONNECTIONS", 3)
    held = [await asyncio.open_connection("127.0.0.1", desk.port) for _ in range(3)]
    await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    for _, each in [*held, (reader, writer)]:
        each.close()


@pytest.mark.parametrize("line", [b"X-Webhook-Secret canary", b"Content-Length: canary", b"X: " + b"canary" * 2000])
async def test_what_is_no_http_is_not_logged(desk: Desk, line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(HEAD + line + b"\r\n\r\n")
    async with asyncio.timeout(5):
        assert b" 400 " in await reader.readline()
    writer.close()
    assert "canary" not in caplog.text


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server that may send webhooks to this machine, and looks for new ones each time."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    folder = tmp_path_factory.mktemp("mlflow")
    environment = {
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    }
    with running(folder, environment=environment) as url:
        yield MlflowServer(url, folder / "artifacts")


async def test_mlflow_itself_wakes_us(desk: Desk, mlflow_server: MlflowServer) -> None:
    """Its own signature, its own clock, its own payloads: an alias that moves and a tag that is set."""
    desk.time = datetime.now(UTC)  # noqa: TID251 - MLflow signs the time of day
    url = f"http://127.0.0.1:{desk.port}/webhooks/fraud/mlflow"
    events = [
        WebhookEvent.from_str(each) for each in ("model_version_alias.created", "model_version_tag.set", "model_version.created")
    ]
    name = mlflow_server.new_name()

    def change() -> None:
        mlflow_server.client.create_webhook("wb", url, events, secret=SECRET)
        version = mlflow_server.register(name)
        mlflow_server.client.set_registered_model_alias(name, "champion", version)
        mlflow_server.client.set_model_version_tag(name, version, "by", "hand")

    await asyncio.to_thread(change)
    await until(lambda: len(desk.hints) >= 3, 30)
    assert set(desk.hints) == {("mlflow", frozenset({name}))}
    assert desk.queued() == {Key("ModelRegistry", "fraud", "mlflow")}
    assert desk.outcomes() == {("mlflow", "accepted"): 3}


async def test_mlflow_tries_again_until_there_is_a_leader(desk: Desk, mlflow_server: MlflowServer) -> None:
    desk.time = datetime.now(UTC)  # noqa: TID251 - MLflow signs the time of day
    desk.leads = False
    url, name = f"http://127.0.0.1:{desk.port}/webhooks/fraud/mlflow", mlflow_server.new_name()

    def change() -> None:
        mlflow_server.client.create_webhook("wb", url, [WebhookEvent.from_str("model_version.created")], secret=SECRET)
        mlflow_server.register(name)

    await asyncio.to_thread(change)
    await until(lambda: desk.outcomes().get(("mlflow", "not-leading"), 0) >= 1, 30)
    desk.leads = True
    await until(lambda: desk.hints, 30)
    assert desk.hints == [("mlflow", frozenset({name}))]
