"""The receiver of alerts: a real API server behind it, senders of all kinds before it, and a real Alertmanager."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.conftest import RealServer
from tests.core.things import pin
from tests.runtime.bench import until

from weighbridge.api.annotations import ALERT
from weighbridge.api.base import API_VERSION, Key
from weighbridge.controllers.ports import ClusterError
from weighbridge.runtime import inbound
from weighbridge.runtime.alerts import Alerts
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.news import News
from weighbridge.runtime.queue import Priority, Queue
from weighbridge.runtime.secrets import Secrets
from weighbridge.runtime.store import ObjectStore
from weighbridge.settings import Address

ROOT = Path(__file__).parents[2]
TOKEN = "canary-alerts-4711"
GIVEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When the pointer was given to the versions of these tests."""
LABELS = {"alertname": "ScoresOff", "modelversion": "v7"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def alert(minutes: float = 1.0, fingerprint: str = "1a30ba71cca2921f", status: str = "firing", **labels: str) -> dict[str, Any]:
    """An alert that began so many minutes after the pointer was given."""
    began = (GIVEN + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    times = {"startsAt": began, "endsAt": "0001-01-01T00:00:00Z"}
    annotations = {"summary": "scores are off"}
    rest = {"annotations": annotations, "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint}
    return {"status": status, "labels": {**LABELS, **labels}, **times, **rest}


def notification(*alerts: Mapping[str, Any]) -> str:
    """What Alertmanager sends."""
    groups = {"groupKey": '{}:{alertname="ScoresOff"}', "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}}
    rest = {"receiver": "weighbridge", "status": "firing", "externalURL": "http://alertmanager", "truncatedAlerts": 0}
    return json.dumps({"version": "4", **groups, **rest, "alerts": alerts})


class Desk:
    """The receiver and what is behind it."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self.namespace, self.connection = namespace, connection
        self.leads, self.time, self.port = True, GIVEN + timedelta(hours=1), free_port()
        self.cluster = Cluster(connection, lambda: self.leads)
        self.store = ObjectStore()
        self.queue: Queue[Key] = Queue(lambda key: key)
        self.news = News(self.store, self.queue, {})
        self.metrics = Metrics(self.queue, self.store)
        self.reads = 0
        self.outage = False
        self.alerts = Alerts(
            store=self.store,
            cluster=self.cluster,
            news=self.news,
            secrets=self.secret,
            leads=lambda: self.leads,
            now=lambda: self.time,
            observe=self.metrics.alert,
        )

    async def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        self.reads += 1
        if self.outage:
            raise ClusterError("ApiServerUnavailable", "the API server does not answer")
        return await Secrets(self.cluster)(namespace, name)

    async def token(self, value: str = TOKEN, namespace: str = "") -> None:
        data = {"ALERTS_TOKEN": base64.b64encode(value.encode()).decode()}
        metadata = {"name": "weighbridge-alerts", "namespace": namespace or self.namespace}
        await self.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})

    async def version(self, name: str, *states: Mapping[str, Any], on: tuple[str, ...] = ("Alert",), **status: Any) -> None:
        """A ModelVersion with this standing on its targets, and what was heard of it forgotten."""
        spec = {
            "source": {"registryRef": {"name": "mlflow"}, "name": "fraud", "version": "7"},
            "stage": "Production",
            "rollback": {"triggers": list(on), "cooldown": "5m"},
        }
        metadata = {"name": name, "namespace": self.namespace}
        await self.cluster.create({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": spec})
        await self.hear(await self.change(name, {"status": {"serving": list(states), **status}}, "/status"))

    async def change(self, name: str, patch: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
        """A write of somebody else; the operator does not hear of it."""
        where = f"/apis/{API_VERSION}/namespaces/{self.namespace}/modelversions/{name}{subresource}"
        return await self.connection.request("PATCH", where, body=patch, content_type="application/merge-patch+json")

    async def hear(self, body: Mapping[str, Any]) -> None:
        self.news.seen(body, Priority.FRESH)
        while (key := self.queue.take()) is not None:
            self.queue.done(key)

    async def annotation(self, name: str = "v7") -> str:
        body = await self.cluster.get(API_VERSION, "ModelVersion", self.namespace, name)
        assert body is not None
        return str(body["metadata"].get("annotations", {}).get(ALERT, ""))

    async def post(self, body: str, token: str = f"Bearer {TOKEN}", namespace: str = "") -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}/alerts/{namespace or self.namespace}"
        headers = {"Authorization": token} if token else {}
        async with aiohttp.ClientSession() as session, session.post(url, data=body.encode(), headers=headers) as response:
            return response.status, await response.text()

    def outcomes(self) -> dict[str, float]:
        return {outcome: count for (outcome,), count in self.metrics.alerts.samples().items()}


def serves(target: str = "Deployment/server", state: str = "Serving", minutes: float = 0.0, **more: Any) -> dict[str, Any]:
    """A standing on a target that was given so many minutes after the usual time."""
    return {"target": target, "state": state, "repointedAt": (GIVEN + timedelta(minutes=minutes)).isoformat(), **more}


@pytest.fixture
async def desk(connection: Connection, namespace: str) -> AsyncIterator[Desk]:
    found = Desk(connection, namespace)
    await found.token()
    async with AsyncExitStack() as stack:
        await inbound.serve(stack, Address("127.0.0.1", found.port), found.alerts.routes())
        yield found


Writes = Callable[[], Any]


@pytest.fixture
def writes(api_server: RealServer, namespace: str) -> Writes:
    """The receiver's own writes: patches of ModelVersions, those of their status apart."""

    async def found() -> list[str]:
        return [each for each in await api_server.writes(namespace) if each.startswith("patch modelversions ")]

    return found


async def test_a_firing_alert_is_written_and_its_version_is_looked_at_first(desk: Desk, writes: Writes) -> None:
    await desk.version("v7", serves())
    other = Key("ModelVersion", desk.namespace, "other")
    desk.queue.add(other, Priority.FRESH)
    assert await desk.post(notification(alert())) == (200, "ok\n")
    assert await desk.annotation() == "2026-01-01T12:01:00Z 1a30ba71cca2921f ScoresOff"
    assert desk.queue.take() == Key("ModelVersion", desk.namespace, "v7"), "before what was there already"
    (heard,) = desk.store.versions(desk.namespace)
    assert heard.metadata.annotations[ALERT] == await desk.annotation()
    assert await writes() == ["patch modelversions v7"]
    assert desk.outcomes() == {"written": 1}


async def test_the_same_alert_a_hundred_times_is_one_write(desk: Desk, writes: Writes) -> None:
    await desk.version("v7", serves())
    answers = await asyncio.gather(*(desk.post(notification(alert(), alert(status="resolved"))) for _ in range(100)))
    assert set(answers) == {(200, "ok\n")}
    assert await writes() == ["patch modelversions v7"]
    assert desk.outcomes() == {"written": 1, "duplicate": 99, "resolved": 100}


async def test_what_was_followed_is_not_written_again_when_the_annotation_is_gone(desk: Desk, writes: Writes) -> None:
    followed = "2026-01-01T12:01:00Z 1a30ba71cca2921f ScoresOff"
    await desk.version("v7", serves(), requests={"rollback": "", "retry": "", "alert": followed})
    await desk.post(notification(alert()))
    assert (await desk.annotation(), await writes(), desk.outcomes()) == ("", [], {"duplicate": 1})


async def test_of_several_alerts_the_newest_is_kept(desk: Desk, writes: Writes) -> None:
    await desk.version("v7", serves())
    both = notification(alert(1, "aa"), alert(2, "bb"))
    for _ in range(3):
        await desk.post(both)
        await desk.post(notification(alert(1, "aa")))
    assert await desk.annotation() == "2026-01-01T12:02:00Z bb ScoresOff"
    assert await writes() == ["patch modelversions v7"]
    await desk.post(notification(alert(3, "aa")))
    assert await desk.annotation() == "2026-01-01T12:03:00Z aa ScoresOff", "it fires anew"


async def test_what_somebody_else_wrote_there_keeps_no_alert_out(desk: Desk) -> None:
    await desk.version("v7", serves())
    for strange in ("?", "2999-01-01T00:00:00Z me", "2026-01-01 12:30"):
        await desk.hear(await desk.change("v7", {"metadata": {"annotations": {ALERT: strange}}}))
        await desk.post(notification(alert()))
        assert await desk.annotation() == "2026-01-01T12:01:00Z 1a30ba71cca2921f ScoresOff"


@pytest.mark.parametrize("target", ["Deployment/server", "server"])
async def test_by_target_the_version_that_has_it_is_blamed(desk: Desk, target: str) -> None:
    """Also while one takes over from another, when both have it by their status."""
    await desk.version("v5", serves(state="Superseded", minutes=-60))
    await desk.version("v6", serves(minutes=-30), serves("Deployment/elsewhere", minutes=50))
    await desk.version("v7", serves(state="Progressing"), serves("StatefulSet/another", minutes=55))
    await desk.post(notification(alert(modelversion="", target=target)))
    assert [bool(await desk.annotation(name)) for name in ("v5", "v6", "v7")] == [False, False, True]


async def test_by_target_an_alert_from_before_blames_nobody(desk: Desk, writes: Writes) -> None:
    await desk.version("v6", serves(minutes=-30))
    await desk.version("v7", serves(state="Progressing"))
    await desk.post(notification(alert(-1, modelversion="", target="server")))
    assert (await writes(), desk.outcomes()) == ([], {"older": 1})


@pytest.mark.parametrize(
    "case",
    [
        (alert(status="resolved"), serves(), ("Alert",), "resolved"),
        (alert(namespace="elsewhere"), serves(), ("Alert",), "foreign"),
        (alert(modelversion="v8"), serves(), ("Alert",), "no-version"),
        (alert(modelversion=""), serves(), ("Alert",), "no-version"),
        (alert(modelversion="", target="Deployment/other"), serves(), ("Alert",), "no-version"),
        (alert(modelversion="", target="StatefulSet/server"), serves(), ("Alert",), "no-version"),
        (alert(modelversion="", target="server"), serves(state="Superseded"), ("Alert",), "no-version"),
        (alert(), serves(), ("RolloutFailed",), "not-asked"),
        (alert(), serves(state="Superseded"), ("Alert",), "not-serving"),
        (alert(-1), serves(), ("Alert",), "older"),
        (alert(-1), serves(rollback=True), ("Alert",), "older"),
        (alert(4.9), serves(rollback=True), ("Alert",), "cooling"),
    ],
)
async def test_alerts_that_are_not_followed(desk: Desk, writes: Writes, case: tuple[Any, Any, Any, str]) -> None:
    sent, standing, on, outcome = case
    await desk.version("v7", standing, on=on)
    assert await desk.post(notification(sent)) == (200, "ok\n")
    assert (await writes(), desk.outcomes()) == ([], {outcome: 1})


async def test_after_the_cooldown_an_alert_counts_again(desk: Desk) -> None:
    await desk.version("v7", serves(rollback=True))
    await desk.post(notification(alert(5, namespace=desk.namespace)))
    assert await desk.annotation() != ""


async def test_one_of_several_targets_is_enough(desk: Desk) -> None:
    await desk.version("v7", serves(minutes=30), serves("Deployment/second", minutes=-30))
    await desk.post(notification(alert()))
    assert await desk.annotation() != ""


async def test_all_that_is_not_proved_is_answered_alike(
    desk: Desk, writes: Writes, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await desk.version("v7", serves())
    body = notification(alert())
    names = [f"{desk.namespace}-{each}" for each in ("empty", "none", "two")]
    for name in names:
        metadata = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await connection.request("POST", "/api/v1/namespaces", body=metadata)
        # The operator knows a version there: only then it looks for the Secret.
        meta = {"name": "v", "namespace": name, "uid": name, "resourceVersion": "1"}
        desk.news.seen(
            {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": meta, "spec": {"source": {}}}, Priority.FRESH
        )
    await desk.token("", names[0])
    await desk.token("another", names[2])
    answers = {
        *[await desk.post(body, token) for token in ("", "Bearer", "Bearer ", "Bearer guess", f"Basic {TOKEN}", TOKEN)],
        *[await desk.post(body, f"Bearer {TOKEN}é"), await desk.post("{", "Bearer guess")],
        *[await desk.post(body, namespace=name) for name in names],
        *[await desk.post(body, "Bearer ", name) for name in names],
        await desk.post(body, namespace="nowhere"),
    }
    assert answers == {(401, "not accepted\n")}
    assert (await writes(), set(desk.outcomes())) == ([], {"refused"})
    assert TOKEN not in caplog.text


async def test_the_token_is_read_when_needed_and_not_each_time(desk: Desk) -> None:
    for _ in range(5):
        await desk.post(notification())
        await desk.post(notification(), namespace="nowhere")
    assert desk.reads == 0, "strangers do not make us ask for Secrets of namespaces without a version"
    await desk.version("v7", serves())
    for _ in range(10):
        assert (await desk.post(notification()))[0] == 200
        await desk.post(notification(), "Bearer guess")
    assert desk.reads == 1
    patch = {"data": {"ALERTS_TOKEN": base64.b64encode(b"another\n").decode()}}
    await desk.cluster.merge("v1", "Secret", desk.namespace, "weighbridge-alerts", patch)
    desk.time += timedelta(seconds=31)
    assert (await desk.post(notification()))[0] == 401
    assert (await desk.post(notification(), "bearer another"))[0] == 200
    assert desk.reads == 2


async def test_an_alert_is_answered_only_when_it_is_written(desk: Desk) -> None:
    await desk.version("v7", serves())
    body = notification(alert())
    desk.leads = False
    assert (await desk.post(body))[0] == 503
    desk.leads, desk.outage = True, True
    assert (await desk.post(body))[0] == 503
    desk.outage = False
    assert await desk.annotation() == ""
    assert (await desk.post(body))[0] == 200
    assert await desk.annotation() != ""
    assert desk.outcomes() == {"not-leading": 1, "unavailable": 1, "written": 1}


async def test_who_lost_the_lease_meanwhile_does_not_write(desk: Desk, writes: Writes) -> None:
    await desk.version("v7", serves())
    desk.alerts._leads = lambda: True
    desk.leads = False
    assert (await desk.post(notification(alert())))[0] == 503
    assert (await writes(), desk.outcomes()) == ([], {"unavailable": 1})


async def test_what_others_wrote_meanwhile_is_looked_at_at_once(desk: Desk, writes: Writes) -> None:
    await desk.version("v7", serves())
    await desk.change("v7", {"metadata": {"annotations": {"team": "fraud"}}})
    assert (await desk.post(notification(alert())))[0] == 200
    assert await desk.annotation() != ""
    body = await desk.cluster.get(API_VERSION, "ModelVersion", desk.namespace, "v7")
    assert body is not None
    assert body["metadata"]["annotations"]["team"] == "fraud"


@pytest.mark.parametrize("how", ["moved", "unasked", "deleted", "replaced"])
async def test_what_others_wrote_meanwhile_decides(desk: Desk, writes: Writes, how: str) -> None:
    await desk.version("v7", serves())
    (old,) = desk.store.versions(desk.namespace)
    if how == "moved":
        await desk.change("v7", {"status": {"serving": [serves(minutes=10)]}}, "/status")
    elif how == "unasked":
        await desk.change("v7", {"spec": {"rollback": {"triggers": ["Revoked"]}}})
    else:
        await desk.cluster.delete(API_VERSION, "ModelVersion", desk.namespace, "v7", old.metadata.uid)
    if how == "replaced":
        spec = old.to_json()["spec"]
        metadata = {"name": "v7", "namespace": desk.namespace}
        await desk.cluster.create({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": spec})
    own = len(await writes())
    assert (await desk.post(notification(alert())))[0] == 200
    outcome = {"moved": "older", "unasked": "not-asked", "deleted": "no-version", "replaced": "not-serving"}[how]
    assert desk.outcomes() == {outcome: 1}
    assert len(await writes()) == own


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"version": "4"}',
        '{"version": "3", "alerts": []}',
        '{"version": "4", "alerts": {}}',
        '{"version": "4", "alerts": [null]}',
        notification({"status": "firing"}),
        notification({**alert(), "status": "on"}),
        notification({**alert(), "labels": {"alertname": 7}}),
        notification({**alert(), "labels": None}),
        notification({**alert(), "startsAt": 1767265200}),
        notification({**alert(), "startsAt": "yesterday"}),
        notification({**alert(), "startsAt": "2026-01-01T12:01:00"}),
        notification({**alert(), "startsAt": "9999-12-31T23:59:59-10:00"}),
        notification({**alert(), "fingerprint": "a b"}),
        notification(alert(), {**alert(), "fingerprint": ""}),
    ],
)
async def test_what_is_no_notification_is_told_so(desk: Desk, writes: Writes, body: str) -> None:
    await desk.version("v7", serves())
    code, text = await desk.post(body)
    assert (code, "Alertmanager's webhook format, version 4" in text) == (400, True)
    assert (await writes(), desk.outcomes()) == ([], {"invalid": 1})


async def test_requests_are_bounded(desk: Desk, writes: Writes) -> None:
    await desk.version("v7", serves())
    assert (await desk.post("x" * (256 * 1024 + 1)))[0] == 413
    filler = [alert(status="resolved") for _ in range(200)]
    large = notification({**alert(fingerprint="bb"), "annotations": {"text": "x" * 100_000}}, *filler)
    assert (await desk.post(large))[0] == 200, "larger than a registry's webhook may be"
    assert (await desk.post(notification(*filler, alert(2))))[0] == 200
    assert desk.outcomes() == {"too-large": 1, "written": 1, "resolved": 199 + 200}


async def test_labels_of_strangers_do_no_harm(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    await desk.version("v7", serves())
    name = "\x1b[31mred\nline\u202e " + "x" * 200
    await desk.post(notification(alert(alertname=name, note="canary-label")))
    await desk.post(notification(alert(modelversion="canary-name"), alert(modelversion="", target="canary-target")))
    written = await desk.annotation()
    assert written.isprintable()
    assert written.startswith("2026-01-01T12:01:00Z 1a30ba71cca2921f ?[31mred?line? xxx")
    assert len(written) <= 160
    lines = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "alert"]
    assert [(each["version"], each["outcome"]) for each in lines] == [("v7", "written"), ("", "no-version"), ("", "no-version")]
    assert all(each["alert"].isprintable() and len(each["alert"]) <= 100 for each in lines)
    assert "canary" not in caplog.text + str(lines)


async def test_an_alert_without_a_name_is_written_too(desk: Desk) -> None:
    await desk.version("v7", serves())
    await desk.post(notification({**alert(), "startsAt": "2026-01-01T14:01:00.123456789+02:00", "labels": {"modelversion": "v7"}}))
    assert await desk.annotation() == "2026-01-01T12:01:00.123456Z 1a30ba71cca2921f unnamed"


@pytest.fixture(scope="session")
def alertmanager() -> Path:
    """Alertmanager; compiled on first use where the machine has none."""
    program = ROOT / "e2e" / "tools" / "alertmanager"
    subprocess.run([program, "--version"], check=True, capture_output=True)
    return program


@asynccontextmanager
async def running(program: Path, folder: Path, desk: Desk) -> AsyncIterator[str]:
    """An Alertmanager with the configuration of docs/alerts.md, in a hurry; gives its address."""
    text = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    (example,) = [each for each in text.split("```") if each.lstrip().startswith("yaml") and "webhook_configs" in each]
    config = yaml.safe_load(textwrap.dedent(example.split("\n", 1)[1]))
    (route,) = config["route"]["routes"]
    assert route["matchers"][1] == 'namespace="fraud"'
    route["matchers"][1] = f'namespace="{desk.namespace}"'
    route |= {"group_interval": "1s", "repeat_interval": "1s"}
    (hook,) = config["receivers"][1]["webhook_configs"]
    hook["url"] = f"http://127.0.0.1:{desk.port}/alerts/{desk.namespace}"
    (folder / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    hook["http_config"]["authorization"]["credentials_file"] = str(folder / "token")
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    flags = [f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder}", "--cluster.listen-address="]
    process = await asyncio.create_subprocess_exec(
        program, *flags, f"--web.listen-address={address}", stderr=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while process.returncode is None:
                try:
                    async with session.get(f"http://{address}/-/ready") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.05)
        yield f"http://{address}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_alertmanager_itself(desk: Desk, writes: Writes, alertmanager: Path, tmp_path: Path) -> None:
    """Its own format, token and repetitions: it goes on until there is a leader, and what it repeats is written once."""
    await desk.version("v7", serves())
    desk.leads = False
    labels = {**LABELS, "modelversion": "", "target": "Deployment/server", "rollback": "weighbridge", "namespace": desk.namespace}
    async with running(alertmanager, tmp_path, desk) as url, aiohttp.ClientSession() as session:

        async def send(labels: Mapping[str, str], **more: Any) -> None:
            alerts = [{"labels": labels, "startsAt": "2026-01-01T12:01:00Z", **more}]
            async with session.post(f"{url}/api/v2/alerts", json=alerts) as response:
                assert response.status == 200, await response.text()

        await send({**labels, "rollback": "no", "alertname": "NotForUs"})
        await send(labels)
        await until(lambda: desk.outcomes().get("not-leading", 0) >= 2, 30)
        assert await writes() == []
        desk.leads = True
        await until(lambda: desk.outcomes().get("duplicate", 0) >= 2, 30)
        began, fingerprint, name = (await desk.annotation()).split(" ")
        fingerprint, where = fingerprint.split("@")
        assert (began, len(fingerprint), where, name) == ("2026-01-01T12:01:00Z", 16, "Deployment/server", "ScoresOff")
        assert await writes() == ["patch modelversions v7"]
        await send(labels, endsAt="2026-01-01T12:02:00Z")
        await until(lambda: desk.outcomes().get("resolved", 0) >= 1, 30)
    assert set(desk.outcomes()) == {"not-leading", "written", "duplicate", "resolved"}
    assert await writes() == ["patch modelversions v7"]


def _stands(number: str, state: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Spec and status of a version that is or was promoted."""
    serving = {"targetRef": {"name": "server"}, "pointer": {"container": "server", "env": "MODEL"}}
    source = {"registryRef": {"name": "mlflow"}, "name": "model", "version": number}
    spec = {"source": source, "stage": "Production", "serving": [serving], "rollback": {"triggers": ["Alert"]}}
    at = GIVEN.isoformat()
    granted = [
        {"type": each, "status": "True", "reason": "Known", "message": "", "lastTransitionTime": at}
        for each in ("Resolved", "LineageComplete", "Evaluated")
    ]
    value = f"models:/model/{number}"
    standing = serves(state=state, wished=value, observed="models:/model/7")
    return spec, {"observedGeneration": 1, "resolved": pin(number).to_json(), "conditions": granted, "serving": [standing]}


def _deployment(namespace: str, value: str) -> dict[str, Any]:
    labels = {"app": "server"}
    container = {"name": "server", "image": "server", "env": [{"name": "MODEL", "value": value}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "server", "namespace": namespace}, "spec": spec}


@asynccontextmanager
async def operator(api_server: RealServer, desk: Desk) -> AsyncIterator[None]:
    """`weighbridge run` for the namespace, listening for alerts."""
    desk.port, health = free_port(), free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(api_server.kubeconfig),
        "POD_NAMESPACE": desk.namespace,
        "PYTHONPATH": str(ROOT / "operator"),
        "WEIGHBRIDGE_NAMESPACES": desk.namespace,
        "WEIGHBRIDGE_METRICS_ADDRESS": ":0",
        "WEIGHBRIDGE_HEALTH_ADDRESS": f"127.0.0.1:{health}",
        "WEIGHBRIDGE_WEBHOOK_ADDRESS": f"127.0.0.1:{desk.port}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from weighbridge.cli import main; raise SystemExit(main())", "run", env=environment
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def test_from_the_alert_to_the_pointer_without_the_registry(desk: Desk, api_server: RealServer, namespace: str) -> None:
    """The whole operator, a registry that does not answer, and an alert that is sent again until it is taken."""
    await desk.cluster.create(_deployment(namespace, "models:/model/7"))
    registry = {"mlflow": {"url": "http://mlflow.invalid"}, "writeBack": {"enabled": False}}
    metadata = {"name": "mlflow", "namespace": namespace}
    await desk.cluster.create({"apiVersion": API_VERSION, "kind": "ModelRegistry", "metadata": metadata, "spec": registry})
    for number, state in (("6", "Superseded"), ("7", "Serving")):
        spec, status = _stands(number, state)
        metadata = {"name": f"v{number}", "namespace": namespace}
        await desk.cluster.create({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": spec})
        await desk.change(f"v{number}", {"status": status}, "/status")

    async def pointer() -> str:
        body = await desk.cluster.get("apps/v1", "Deployment", namespace, "server")
        assert body is not None
        return str(body["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])

    async with operator(api_server, desk), asyncio.timeout(60):
        code = 0
        while code != 200:
            try:
                code, _ = await desk.post(notification(alert(modelversion="", target="Deployment/server")))
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
        assert await desk.annotation() != ""
        while await pointer() != "models:/model/6":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        body = await desk.cluster.get(API_VERSION, "ModelVersion", namespace, "v7")
    assert body is not None
    (standing,) = body["status"]["serving"]
    assert (standing["rejection"]["reason"], standing["rejection"]["message"]) == ("Alert", "alert ScoresOff is firing")
    assert body["status"]["requests"]["alert"] == await desk.annotation()
