"""No secret leaves: a whole operator with credentials that would be known again anywhere, and registries that give back all they
are sent, in every place an HTTP answer has. Afterwards everything the operator says is searched: objects, Events, logs, metrics,
terminal."""

import asyncio
import base64
import json
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from tests.conftest import RealServer
from tests.registries.oddserver import Answer, OddServer, odd, raw, reply
from tests.runtime.collector import collector

from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Surroundings
from weighbridge.runtime.process import controllers_for, operator
from weighbridge.runtime.tracing import tracer
from weighbridge.settings import read

MARK = "canary4711"


def echo(handler: BaseHTTPRequestHandler) -> str:
    """What was sent as credentials: as it was sent, and as it was meant."""
    sent = handler.headers.get("Authorization", "")
    scheme, _, value = sent.partition(" ")
    meant = base64.b64decode(value).decode() if scheme == "Basic" else value
    return f"{sent} {meant}"


def echoed(make: Callable[[str], Answer]) -> Answer:
    return lambda handler, server: make(echo(handler))(handler, server)


def fields(text: str) -> dict[str, Any]:
    """A record of MLflow or of the Hub, with the text wherever there is room."""
    version = {"name": text, "version": "7", "source": text, "run_id": text, "status": text, "creation_timestamp": "1"}
    record = dict.fromkeys(("error_code", "message", "error", "id", "sha", "modelId", "gated", "name", "author"), text)
    return record | {
        "model_version": version | {"tags": text},
        "registered_model": version,
        "run": version,
        "siblings": [{"rfilename": text, "size": 1}],
        "experiments": [{"experiment_id": text, "name": text}],
        "auth": {"accessToken": {"displayName": text}},
        "cardData": {"x": text},
    }


RUDE: Mapping[str, Answer] = {
    "error": echoed(lambda text: reply(500, text.encode(), X_Error_Message=text, X_Request_Id=text, Server=text)),
    "unauthorised": echoed(lambda text: reply(401, text.encode(), WWW_Authenticate=text, X_Error_Code=text, X_Error_Message=text)),
    "bad-token": echoed(lambda text: reply(401, json.dumps(fields(text)).encode(), X_Error_Message=f"Invalid credentials {text}")),
    "forbidden": echoed(lambda text: reply(403, json.dumps(fields(text)).encode(), X_Error_Message=text)),
    "gated": echoed(lambda text: reply(403, text.encode(), X_Error_Code="GatedRepo", X_Error_Message=text)),
    "missing": echoed(
        lambda text: reply(404, json.dumps(fields(text) | {"error_code": "RESOURCE_DOES_NOT_EXIST"}).encode(), X_Error_Message=text)
    ),
    "no-repo": echoed(lambda text: reply(404, b'{"error": "x"}', X_Error_Code="RepoNotFound", X_Error_Message=text)),
    "bad-request": echoed(
        lambda text: reply(400, json.dumps(fields(text) | {"error_code": "INVALID_PARAMETER_VALUE"}).encode(), X_Error_Message=text)
    ),
    "redirect": echoed(lambda text: reply(302, text.encode(), Location=f"http://127.0.0.1:9/{quote(text)}?token={quote(text)}")),
    "redirect-here": echoed(lambda text: reply(307, text.encode(), Location=f"/{quote(text)}?token={quote(text)}")),
    "limit": echoed(lambda text: reply(429, text.encode(), Retry_After=text, RateLimit=text)),
    "text": echoed(lambda text: reply(200, text.encode(), Content_Type=text)),
    "page": echoed(lambda text: reply(200, f"<html><title>{text}".encode(), Set_Cookie=f"x={quote(text)}")),
    "record": echoed(lambda text: reply(200, json.dumps(fields(text)).encode(), ETag=text, X_Repo_Commit=text)),
    "list": echoed(lambda text: reply(200, json.dumps([fields(text)]).encode(), Link=f"<{text}>; rel=next")),
    "broken": echoed(lambda text: reply(200, f'{{"model_version": {{"name": "{text}'.encode())),
    "coding": echoed(lambda text: reply(200, text.encode(), Content_Encoding="gzip")),
    "length": echoed(lambda text: reply(200, text.encode(), Content_Length=text)),
    "no-http": echoed(lambda text: raw(f"{text}\r\n\r\n".encode())),
    "status": echoed(lambda text: raw(f"HTTP/1.1 {text}\r\n\r\n".encode())),
    "header": echoed(lambda text: raw(f"HTTP/1.1 200 OK\r\n{text}\r\nContent-Length: 0\r\n\r\n".encode())),
    "chunks": echoed(lambda text: raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}\r\n".encode())),
}


@dataclass(frozen=True)
class Kind:
    """A way to hold credentials."""

    name: str
    registry: Callable[[str], Mapping[str, Any]]
    secret: Callable[[str], Mapping[str, str]]
    model: Mapping[str, str]
    dataset: Mapping[str, str]


KINDS = (
    Kind(
        "bearer",
        lambda url: {"mlflow": {"url": url}},
        lambda mark: {"MLFLOW_TRACKING_TOKEN": mark},
        {"name": "fraud", "version": "7"},
        {"path": "holdout"},
    ),
    Kind(
        "basic",
        lambda url: {"mlflow": {"url": url}},
        lambda mark: {"MLFLOW_TRACKING_USERNAME": f"user-{mark}", "MLFLOW_TRACKING_PASSWORD": mark},
        {"name": "fraud", "alias": "champion"},
        {"path": "holdout", "revision": "0a1b2c3d"},
    ),
    Kind(
        "hub",
        lambda url: {"huggingFace": {"url": url}},
        lambda mark: {"HF_TOKEN": f"hf_{mark}"},
        {"name": "org/model", "revision": "main"},
        {"path": "org/data", "revision": "main"},
    ),
)


class Everything(logging.Handler):
    """Every record of every logger, as a careless configuration would print it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {getattr(record, 'fields', '')!r} {record.args!r} {record.stack_info}")


@pytest.fixture
def said() -> Any:
    """Everything that is logged."""
    handler, loggers = Everything(), [logging.getLogger(), logging.getLogger("weighbridge"), logging.getLogger("kopf")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    yield handler
    loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Site:
    """A namespace full of registries that give everything back."""

    def __init__(self, cluster: Cluster, namespace: str, kubeconfig: str) -> None:
        self._cluster, self.namespace, self._kubeconfig = cluster, namespace, kubeconfig
        self.metrics, self.webhooks = free_port(), free_port()

    async def add(self, kind: Kind, fault: str, url: str) -> None:
        """A ModelRegistry with its Secret, and two objects that ask it."""
        name = f"{kind.name}-{fault}"
        values = {**kind.secret(f"{MARK}-{name}"), "WEBHOOK_SECRET": f"{MARK}-hook-{name}"}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        await self._create("v1", "Secret", name, {"data": data})
        ref = {"credentialsSecretRef": {"name": name}, "webhookSecretRef": {"name": name}, "requestTimeout": "2s"}
        await self._create(API_VERSION, "ModelRegistry", name, {"spec": {**kind.registry(url), **ref}})
        model = {"registryRef": {"name": name}, **kind.model}
        dataset = {"name": "holdout", "registryRef": {"name": name}, **kind.dataset}
        job = {"model": model, "datasets": [dataset], "evaluator": {"engine": "container", "image": "engine:1"}}
        await self._create(API_VERSION, "EvaluationJob", name, {"spec": job})
        await self._create(API_VERSION, "ModelVersion", name, {"spec": {"source": model, "stage": "Production"}})

    async def _create(self, api_version: str, kind: str, name: str, body: Mapping[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        await self._cluster.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **body})

    @asynccontextmanager
    async def operated(self) -> AsyncIterator[None]:
        """With an operator at work."""
        flags = {
            "namespaces": self.namespace,
            "allow_addresses": "127.0.0.0/8",
            "metrics_address": f"127.0.0.1:{self.metrics}",
            "health_address": ":0",
            "webhook_address": f"127.0.0.1:{self.webhooks}",
            "leader_election": "false",
            "reporter_image": "reporter:1",
        }
        settings, surroundings = read({}, flags), Surroundings(self._kubeconfig, self.namespace)
        async with operator(settings, surroundings, controllers_for(settings), tracer(os.environ)):
            yield

    async def objects(self) -> list[Mapping[str, Any]]:
        kinds = ("ModelRegistry", "EvaluationJob", "ModelVersion")
        found = [await self._cluster.list(API_VERSION, kind, self.namespace, {}) for kind in kinds]
        return [each for listed in found for each in listed]

    async def settled(self, count: int) -> None:
        """Waits until every object tells of an answer."""
        async with asyncio.timeout(120):
            while True:
                reasons = {(each["kind"], each["metadata"]["name"]): _reason(each) for each in await self.objects()}
                if len(reasons) == count and not {"", "Checking", "Resolving", "Pending"} & set(reasons.values()):
                    return
                await asyncio.sleep(0.2)

    async def page(self, method: str, url: str, **more: Any) -> str:
        async with aiohttp.ClientSession() as session, session.request(method, url, **more) as response:
            return f"{dict(response.headers)} {await response.text()}"

    async def told(self) -> dict[str, str]:
        """Everything the operator has told, by where."""
        events = await self._cluster.list("events.k8s.io/v1", "Event", self.namespace, {})
        jobs = await self._cluster.list("batch/v1", "Job", self.namespace, {})
        return {
            "objects": json.dumps(await self.objects()),
            "events": json.dumps(events),
            "jobs": json.dumps(jobs),
            "metrics": await self.page("GET", f"http://127.0.0.1:{self.metrics}/metrics"),
        }


def _reason(body: Mapping[str, Any]) -> str:
    conditions = body.get("status", {}).get("conditions", [])
    return next((each["reason"] for each in conditions if each["type"] == "Ready"), "")


def hidden(text: str) -> list[str]:
    """Where a canary shows, plain, quoted or in base64 at any of its three alignments."""
    marks = {MARK}
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + MARK.encode() + b"yyy").decode()
        marks.add(encoded[4 if shift else 0 : (len(MARK) * 4) // 3 - 2])
    found = re.finditer("|".join(re.escape(mark) for mark in sorted(marks)), text)
    return [text[max(0, each.start() - 150) : each.end() + 50] for each in found]


def test_the_search_finds_what_is_hidden() -> None:
    for before in ("", "a", "ab", "user-"):
        assert hidden(base64.b64encode(f"{before}:{MARK}-x".encode()).decode())
    assert hidden(f"Bearer {MARK}")
    assert not hidden("Bearer hidden")


async def test_nothing_that_is_secret_is_told_whatever_registries_say(  # noqa: PLR0917
    api_server: RealServer,
    cluster: Cluster,
    namespace: str,
    said: Everything,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(cluster, namespace, str(api_server.kubeconfig))
    servers = dict[str, OddServer]()
    async with AsyncExitStack() as stack:
        for kind in KINDS:
            for fault, answer in RUDE.items():
                server = servers[f"{kind.name}-{fault}"] = stack.enter_context(odd(answer))
                await site.add(kind, fault, server.url)
        spans = await stack.enter_async_context(collector())
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", spans.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{MARK}-collector,not a header {MARK}")
        async with site.operated():
            await site.settled(3 * len(servers))
            refused = [
                await site.page(
                    "POST", f"http://127.0.0.1:{site.webhooks}/webhooks/{namespace}/{name}", headers=headers, data=b"{}"
                )
                for name in ("hub-error", "bearer-error")
                for headers in ({"X-Webhook-Secret": f"{MARK}-hook-{name}"}, {"X-MLflow-Signature": f"v1,{MARK}"})
            ]
            told = await site.told()
    told["spans"] = spans.text()
    told |= {"webhooks": " ".join(refused), "log": "\n".join(said.lines), "terminal": "".join(capfd.readouterr())}

    for name, server in servers.items():
        sent = " ".join(" ".join(seen.headers.values()) for seen in server.seen)
        assert hidden(sent), f"{name} was never sent anything to give back"
    assert "weighbridge_registry_requests_total" in told["metrics"]
    assert 'weighbridge_webhooks_total{outcome="accepted",registry="huggingFace"} 1.0' in told["metrics"]
    assert len(said.lines) > len(servers), "the log is listened to"
    assert json.loads(told["events"]), "there are Events to search"
    assert json.loads(told["jobs"]) == []
    assert hidden(spans.headers[0]["Authorization"]), "the collector is sent its own"
    assert "Unauthorized" in told["spans"]
    assert "registry model" in told["spans"]
    leaks = {where: hidden(text) for where, text in told.items()}
    assert not any(leaks.values()), "\n".join(f"{where}: {leak}" for where, each in leaks.items() for leak in each[:20])
