"""A stage for tests of serving on a real API server: Deployments with two versions each, the newer of which is being rolled out,
and the parts of Kubernetes' controllers that a story needs.

No registry is there: what versions were pinned to is in their status, as after a restart of the operator in an outage.
"""

import asyncio
import json
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from tests.apiserver import ApiServer
from yarl import URL

from weighbridge.api.base import API_VERSION
from weighbridge.api.modelversion import FINALIZER
from weighbridge.runtime.cluster import Cluster

IMAGE = "registry.example.com/server:1"


def stamp(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat()


def uri(number: int) -> str:
    return f"models:/fraud/{number}"


def pin(number: int) -> dict[str, Any]:
    content = f"sha256:{number:064x}"
    made = stamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number))
    known = {"registry": "mlflow", "name": "fraud", "version": str(number), "uri": uri(number), "createdAt": made}
    return {**known, "fingerprint": content, "digest": content}


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00+00:00"}


def workload(name: str, value: str, kind: str = "Deployment") -> dict[str, Any]:
    container = {"name": "server", "image": IMAGE, "env": [{"name": "MODEL_URI", "value": value}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "spec": spec if kind != "StatefulSet" else {**spec, "serviceName": name}}


def version_spec(target: str, number: int, kind: str = "Deployment", **more: Any) -> dict[str, Any]:
    entry = {
        "targetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target},
        "pointer": {"container": "server", "env": "MODEL_URI"},
    }
    source = {"registryRef": {"name": "mlflow"}, "name": "fraud", "version": str(number)}
    return {"source": source, "stage": "Production", "serving": [entry], **more}


@dataclass
class Stage:
    """One namespace. Writes as an administrator, and as the controllers that do not run here."""

    cluster: Cluster
    namespace: str
    server: ApiServer

    async def create(self, api_version: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace, **body.pop("metadata", {})}
        return await self.cluster.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **body})

    async def get(self, kind: str, name: str, api_version: str = "apps/v1") -> dict[str, Any]:
        body = await self.cluster.get(api_version, kind, self.namespace, name)
        assert body is not None, f"{kind} {name} is gone"
        return body

    async def status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a status as its owner would."""
        metadata = {"name": body["metadata"]["name"], "namespace": self.namespace}
        manifest = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, "status": status}
        return await self.cluster.apply(manifest, "status")

    async def version(
        self,
        target: str,
        number: int,
        state: str,
        kind: str = "Deployment",
        *,
        api_version: str = "apps/v1",
        entry: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """A ModelVersion in the middle of its life: its target was given to it two minutes before."""
        name = f"{target}-v{number}"
        spec = version_spec(target, number, kind, **more)
        spec["serving"][0]["targetRef"]["apiVersion"] = api_version
        if entry is not None:
            spec["serving"] = [entry]
        ref = spec["serving"][0]["targetRef"]
        body = await self.create(API_VERSION, "ModelVersion", name, metadata={"finalizers": [FINALIZER]}, spec=spec)
        value = str(number) if entry is not None else uri(number)
        at = stamp(datetime.now(UTC) - timedelta(minutes=2))  # noqa: TID251 - what a test writes is not the operator's time
        where = f"{ref['kind']}/{ref['name']}"
        serving = {"target": where, "state": state, "wished": value, "observed": value, "repointedAt": at}
        answers = [condition(kind, "True", "Known") for kind in ("Resolved", "LineageComplete", "Evaluated")]
        since = {"since": at} if state == "Serving" else {}
        return await self.status(
            body, {"observedGeneration": 1, "resolved": pin(number), "serving": [serving | since], "conditions": answers}
        )

    async def rolling(self, name: str, **spec: Any) -> dict[str, Any]:
        """A Deployment on its way from version 1 to version 2, and the two versions."""
        made = workload(name, uri(2))
        body = await self.create("apps/v1", "Deployment", name, spec=made["spec"])
        await self.status(body, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1})
        # The newer one first: alone, the older one would be given the target.
        await self.version(name, 2, "Progressing", **spec)
        await self.version(name, 1, "Superseded", **spec)
        return body

    async def pod(
        self, owner: str, number: int, *, ready: bool, value: str = "", labels: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """A pod of a workload, told to serve that version, or that value."""
        template = workload(owner, value or uri(number))["spec"]["template"]
        metadata = {"labels": {"app": owner, **(labels or {})}}
        body = await self.create("v1", "Pod", f"{owner}-{number}", metadata=metadata, spec={**template["spec"], "nodeName": "node"})
        return await self.pod_status(body, ready=ready)

    async def pod_status(self, pod: Mapping[str, Any], *, ready: bool, crashes: int = 0) -> dict[str, Any]:
        """The pod is like this now."""
        now = {"waiting": {"reason": "CrashLoopBackOff"}} if crashes else {"running": {}}
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}} if crashes else {}
        container = {"name": "server", "ready": ready, "restartCount": crashes, "image": IMAGE, "imageID": ""}
        conditions = [{"type": "Ready", "status": str(ready)}]
        states = [{**container, "state": now, "lastState": ended}]
        status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": conditions, "containerStatuses": states}
        return await self.status(pod, status)

    async def settled(self, version: str, phase: str, seconds: float = 60.0) -> dict[str, Any]:
        """Waits until the operator says so of a ModelVersion."""
        async with asyncio.timeout(seconds):
            while True:
                body = await self.get("ModelVersion", version, API_VERSION)
                if body.get("status", {}).get("phase") == phase:
                    return body
                await asyncio.sleep(0.02)

    async def strike(self, name: str) -> None:
        """Removes a Deployment of `rolling` and all that goes with it."""
        await self._delete("apps/v1", "Deployment", name)
        for number in (1, 2):
            await self._delete("v1", "Pod", f"{name}-{number}")
            await self._delete(API_VERSION, "ModelVersion", f"{name}-v{number}")

    async def _delete(self, api_version: str, kind: str, name: str) -> None:
        body = await self.cluster.get(api_version, kind, self.namespace, name)
        if body is not None:
            await self.cluster.delete(api_version, kind, self.namespace, name, body["metadata"]["uid"])

    @asynccontextmanager
    async def changes(self, plural: str, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What an object is like from now on, as it changes."""
        metadata = body["metadata"]
        root = f"apis/{body['apiVersion']}" if "/" in body["apiVersion"] else f"api/{body['apiVersion']}"
        query = f"watch=true&fieldSelector=metadata.name%3D{metadata['name']}&resourceVersion={metadata['resourceVersion']}"
        tls = ssl.create_default_context(cafile=str(self.server.ca_file))
        headers = {"Authorization": f"Bearer {self.server.token()}"}
        url = URL(f"{self.server.url}/{root}/namespaces/{self.namespace}/{plural}?{query}", encoded=True)
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.get(url, ssl=tls) as response,
        ):
            assert response.status == 200

            async def bodies() -> AsyncIterator[dict[str, Any]]:
                async for line in response.content:
                    yield json.loads(line)["object"]

            yield bodies()

    async def pointer(self, name: str, kind: str = "Deployment") -> str:
        return pointer_of(await self.get(kind, name))


def pointer_of(body: Mapping[str, Any]) -> str:
    """The value of the pointer of a workload."""
    return str(body["spec"]["template"]["spec"]["containers"][0]["env"][0].get("value", ""))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Process:
    """A running `weighbridge run`."""

    pid: int
    metrics: int
    health: int

    async def page(self, path: str, port: int) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
            return response.status, await response.text()

    async def sample(self, name: str) -> float:
        """The value of a metric, named with its labels."""
        return (await self.samples())[name]

    async def samples(self) -> dict[str, float]:
        """All metrics by name with labels."""
        _, text = await self.page("/metrics", self.metrics)
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def resident(self) -> int:
        """Memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


@asynccontextmanager
async def operating(kubeconfig: Path, namespace: str, **settings: str) -> AsyncIterator[Process]:
    """The operator as its users start it, ready; `settings` are its variables without their prefix."""
    metrics, health = free_port(), free_port()
    variables = {
        "METRICS_ADDRESS": f"127.0.0.1:{metrics}",
        "HEALTH_ADDRESS": f"127.0.0.1:{health}",
        "ALLOW_ADDRESSES": "127.0.0.0/8",
        "LEADER_ELECTION": "false",
        "LOG_LEVEL": "warning",
        "REPORTER_IMAGE": "reporter:1",
        **settings,
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WEIGHBRIDGE_")},
        **{f"WEIGHBRIDGE_{name}": value for name, value in variables.items()},
        "KUBECONFIG": str(kubeconfig),
        "POD_NAMESPACE": namespace,
        "PYTHONPATH": str(Path(__file__).parents[2] / "operator"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from weighbridge.cli import main; raise SystemExit(main())", "run", env=environment
    )
    running = Process(process.pid, metrics, health)
    try:
        async with asyncio.timeout(60):
            while not await _ready(running):
                assert process.returncode is None, "the operator ended"
                await asyncio.sleep(0.02)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _ready(running: Process) -> bool:
    try:
        return (await running.page("/readyz", running.health))[0] == 200
    except aiohttp.ClientConnectionError:
        return False
