"""Traces: off without a trace of OpenTelemetry, told to a real OTLP receiver, and never in the way of the work."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.conftest import RealServer
from tests.core.things import dataset_pin, evaluation_job, pin, registry
from tests.registries.oddserver import odd, reply
from tests.runtime.bench import Bench, Scripted, always_plan, until
from tests.runtime.collector import collector
from tests.runtime.stage import Stage, operating, uri

from weighbridge import __version__
from weighbridge.api.base import API_VERSION, Key
from weighbridge.api.evaluationjob import Resolved, ResolvedDataset, ResolvedModel
from weighbridge.core.plan import Create
from weighbridge.evaluation.manifest import TRACEPARENT, job_manifest
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings
from weighbridge.runtime.queue import Priority
from weighbridge.runtime.tracing import FLUSH_SECONDS, OFF, Tracer, tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
NOBODY = {ENDPOINT: "http://127.0.0.1:9"}


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, with the operator imported and `logging` set up."""
    head = "import os, sys, weighbridge.cli\nfrom weighbridge.runtime import logs, process, tracing\nlogs.configure('text', 'info')"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    command = [sys.executable, "-c", f"{head}\n{program}"]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: ""},
        {**NOBODY, "OTEL_SDK_DISABLED": "True"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SERVICE_NAME": "x", "OTEL_RESOURCE_ATTRIBUTES": "a=b"},
    ],
)
def test_off_nothing_of_opentelemetry_is_imported(variables: dict[str, str]) -> None:
    said = run(
        "found = tracing.tracer(os.environ)\n"
        "with found.root('a', {}) as span: span.tell({}); found.ended('b', 1.0, {})\n"
        "print(found is tracing.OFF, [name for name in sys.modules if name.startswith('opentelemetry')])",
        **variables,
    )
    assert (said.stdout, said.stderr) == ("True []\n", "")


def test_on_the_exporter_is_there() -> None:
    said = run("print(tracing.tracer(os.environ) is tracing.OFF, 'opentelemetry.sdk.trace' in sys.modules)", **NOBODY)
    assert said.stdout == "False True\n"


def test_without_the_extra_one_line_says_so_and_the_operator_runs() -> None:
    said = run(
        "sys.modules['opentelemetry.exporter'] = None\nprint(tracing.tracer(os.environ) is tracing.OFF)",
        **NOBODY,
    )
    assert said.stdout == "True\n"
    assert said.stderr.count("\n") == 1
    assert "install the extra otel" in said.stderr


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4711"}, "OTEL_*"),
    ],
)
def test_variables_that_cannot_be_followed_are_told_in_one_line(variables: dict[str, str], word: str) -> None:
    said = run("print(tracing.tracer(os.environ) is tracing.OFF)", **NOBODY, **variables)
    assert said.stdout == "True\n"
    assert said.stderr.count("\n") == 1
    assert word in said.stderr
    assert "4711" not in said.stderr


def test_a_header_that_cannot_be_read_is_not_printed() -> None:
    said = run("tracing.tracer(os.environ)", **NOBODY, OTEL_EXPORTER_OTLP_HEADERS="authorization canary4711")
    assert "traces on" in said.stderr
    assert "canary4711" not in said.stderr


def sending(to: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Tracer:
    """A tracer for this address, which sends at the end."""
    for name, value in {ENDPOINT: to, "OTEL_BSP_SCHEDULE_DELAY": "600000", **variables}.items():
        monkeypatch.setenv(name, value)
    found = tracer(os.environ)
    assert found is not OFF
    return found


async def test_a_rollback_as_a_trace_shows_it(
    api_server: RealServer, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator as its users start it, ended as Kubernetes ends it: what it was about to send, it sends then."""
    stage = Stage(cluster, namespace, api_server.server)
    with odd(reply(401, b"secret words")) as server:
        async with collector() as found:
            for name, value in {
                ENDPOINT: found.url,
                "OTEL_BSP_SCHEDULE_DELAY": "600000",
                "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=weighbridge-0,k8s.namespace.name=weighbridge-system",
            }.items():
                monkeypatch.setenv(name, value)
            await stage.create(API_VERSION, "ModelRegistry", "mlflow", spec={"mlflow": {"url": server.url}})
            await stage.rolling("shop")
            await stage.pod("shop", 1, ready=True)
            crashing = await stage.pod("shop", 2, ready=False)
            async with operating(api_server.kubeconfig, namespace, NAMESPACES=namespace) as process:
                await stage.pod_status(crashing, ready=False, crashes=5)
                async with asyncio.timeout(60):
                    while await stage.pointer("shop") != uri(1):  # noqa: ASYNC110 - the API server tells by watch only
                        await asyncio.sleep(0.05)
                await stage.settled("shop-v2", "RolledBack")
                async with asyncio.timeout(60):
                    while "Unauthorized" not in str(await stage.get("ModelRegistry", "mlflow", API_VERSION)):  # noqa: ASYNC110 - as above
                        await asyncio.sleep(0.05)
                os.kill(process.pid, signal.SIGTERM)
                await until(lambda: found.requests, 20)

    resource = found.resource()
    assert (resource["service.name"], resource["service.version"]) == ("weighbridge", __version__)
    assert resource["k8s.pod.name"] == "weighbridge-0"
    (back,) = found.spans("rollback")
    assert back.about == {"weighbridge.target": "Deployment/shop", "weighbridge.reason": "RolloutFailed"}
    (reconcile,) = [each for each in found.spans("reconcile ModelVersion") if each.id == back.parent]
    live = await stage.get("ModelVersion", reconcile.about["weighbridge.name"], API_VERSION)
    assert reconcile.parent == ""
    assert reconcile.about == {
        "weighbridge.kind": "ModelVersion",
        "k8s.namespace.name": namespace,
        "weighbridge.name": live["metadata"]["name"],
        "weighbridge.uid": live["metadata"]["uid"],
        "weighbridge.generation": 1,
        "weighbridge.trigger": reconcile.about["weighbridge.trigger"],
        "weighbridge.outcome": "changed",
    }
    assert reconcile.about["weighbridge.trigger"] in {"urgent", "fresh", "resync"}
    (patch,) = [each for each in found.spans() if each.parent == back.id]
    assert patch.name == "patch deployments"
    assert patch.about == {
        "weighbridge.verb": "patch",
        "weighbridge.resource": "deployments",
        "weighbridge.name": "shop",
        "k8s.namespace.name": namespace,
        "http.response.status_code": 200,
    }
    asked = found.spans("registry server")[0]
    assert asked.about == {
        "weighbridge.registry": "mlflow",
        "weighbridge.operation": "server",
        "weighbridge.outcome": "Unauthorized",
        "error.type": "Unauthorized",
    }
    assert asked.failed
    assert asked.parent in {each.id for each in found.spans("reconcile ModelRegistry")}
    assert {each.name for each in found.spans() if not each.parent} <= {
        f"reconcile {kind}" for kind in ("ModelRegistry", "ModelVersion", "EvaluationJob")
    }, "leases, Events and reads are in no trace of their own"
    assert all(each.said == "" and each.events == 0 for each in found.spans()), "no text of an exception"
    assert server.url not in found.text()
    assert "secret words" not in found.text()


@asynccontextmanager
async def traced_bench(api_server: RealServer, namespace: str, controller: Scripted, traces: Tracer) -> AsyncIterator[Bench]:
    connection = Connection(Surroundings(str(api_server.kubeconfig)), traces)
    yield Bench(connection, namespace, controller, traces)
    await connection.close()


def evaluation() -> dict[str, Any]:
    """A Job of an evaluation, as it is decided."""
    resolved = Resolved(
        model=ResolvedModel.model_validate(pin("1").to_json()),
        datasets=(ResolvedDataset.model_validate(dataset_pin().to_json()),),
    )
    found = {"mlflow": registry()}
    images = {"evaluator_image": "evaluator:1", "reporter_image": "operator:1"}
    manifest = job_manifest(evaluation_job(), resolved, found, name="evaluation-1", **images)
    del manifest["metadata"]["ownerReferences"]
    return manifest


async def test_an_evaluation_may_go_on_with_the_trace_and_keeps_its_name(
    api_server: RealServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collector() as found:
        traces = sending(found.url, monkeypatch)
        decided = evaluation()
        async with traced_bench(api_server, namespace, Scripted(always_plan(Create(decided))), traces) as one:
            await one.create()
            await one.settle()
            first = await one.cluster.get("batch/v1", "Job", namespace, "evaluation-1")
            one.queue.add(Key("ModelRegistry", namespace, "mlflow"), Priority.RESYNC)
            await one.settle()
            second = await one.cluster.get("batch/v1", "Job", namespace, "evaluation-1")
        await traces.close()
    assert first is not None
    assert second is not None
    assert first["metadata"]["uid"] == second["metadata"]["uid"], "created once, whatever the trace"
    pod = first["spec"]["template"]["spec"]
    (engine,) = pod["containers"]
    (value,) = [each["value"] for each in engine["env"] if each["name"] == TRACEPARENT]
    begun = found.spans("evaluation")[0]
    assert re.fullmatch(f"00-{begun.trace}-{begun.id}-0[13]", value)
    assert begun.about == {"weighbridge.job": "evaluation-1"}
    assert TRACEPARENT not in str(pod["initContainers"])
    assert decided == evaluation(), "the decision is left as it was"


async def test_without_traces_the_pod_hears_of_none(api_server: RealServer, namespace: str) -> None:
    async with traced_bench(api_server, namespace, Scripted(always_plan(Create(evaluation()))), OFF) as one:
        await one.create()
        await one.settle()
        job = await one.cluster.get("batch/v1", "Job", namespace, "evaluation-1")
    assert job is not None
    assert TRACEPARENT not in str(job)


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A collector that takes connections and never answers; the event: somebody has come."""
    came, over = asyncio.Event(), asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    finally:
        over.set()
        server.close()


async def test_a_collector_that_hangs_holds_up_neither_passes_nor_the_end(
    api_server: RealServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs for ten seconds with each request; twenty passes while it does would show any of that."""
    async with hanging() as (url, came):
        # Batches are full at once, and more comes than is kept.
        small = {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1", "OTEL_BSP_MAX_QUEUE_SIZE": "8"}
        traces = sending(url, monkeypatch, **small)
        async with traced_bench(api_server, namespace, Scripted(always_plan()), traces) as one:
            await one.create()
            await one.settle()
            await asyncio.wait_for(came.wait(), 10)
            longest = 0.0
            for _ in range(20):
                one.queue.add(Key("ModelRegistry", namespace, "mlflow"), Priority.RESYNC)
                started = time.monotonic()
                await one.settle()
                longest = max(longest, time.monotonic() - started)
            assert longest < 5.0
        started = time.monotonic()
        await traces.close()
        assert time.monotonic() - started < FLUSH_SECONDS + 1.5


def test_a_process_ends_though_its_collector_hangs() -> None:
    """Threads of the exporter are nobody's reason to stay: they would for most of a minute."""
    started = time.monotonic()
    run(
        "import asyncio, socket\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        "os.environ['OTEL_EXPORTER_OTLP_ENDPOINT'] = f'http://127.0.0.1:{listener.getsockname()[1]}'\n"
        "traces = tracing.tracer(os.environ)\n"
        "with traces.root('a', {}): pass\n"
        "asyncio.run(traces.close())\n",
        OTEL_EXPORTER_OTLP_TIMEOUT="50",
    )
    assert time.monotonic() - started < 40


async def test_trouble_with_the_collector_is_told_once_and_its_end_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="weighbridge")
    async with collector() as found:
        found.refuses = True
        traces = sending(found.url, monkeypatch, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1", OTEL_BSP_MAX_QUEUE_SIZE="8")
        for count in (1, 2):
            with traces.root("refused", {}):
                pass
            await until(lambda count=count: len(found.headers) == count)
        found.refuses = False
        with traces.root("taken", {}):
            pass
        await until(lambda: found.spans("taken"))
        await traces.close()
    lines = [record.getMessage() for record in caplog.records if record.name == "weighbridge"]
    assert lines == ["traces on", "traces not delivered", "traces delivered again"]
    assert "canary4711" not in caplog.text
