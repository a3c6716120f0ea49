"""The operator as its users start it: a process that comes up, says that it is ready, stays small, and goes when told."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from tests.conftest import RealServer

from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster

LEASE = ("coordination.k8s.io/v1", "Lease")


@dataclass
class Started:
    """A running `weighbridge run`."""

    process: asyncio.subprocess.Process
    health: int

    async def ready(self) -> None:
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{self.health}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.05)

    def resident(self) -> int:
        """Memory in MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


@pytest.fixture
async def started(api_server: RealServer, namespace: str) -> AsyncIterator[Started]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        health = listener.getsockname()[1]
    environment = {
        **os.environ,
        "KUBECONFIG": str(api_server.kubeconfig),
        "POD_NAMESPACE": namespace,
        "PYTHONPATH": str(Path(__file__).parents[2] / "operator"),
        "WEIGHBRIDGE_NAMESPACES": namespace,
        "WEIGHBRIDGE_METRICS_ADDRESS": ":0",
        "WEIGHBRIDGE_HEALTH_ADDRESS": f"127.0.0.1:{health}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from weighbridge.cli import main; raise SystemExit(main())", "run", env=environment
    )
    yield Started(process, health)
    if process.returncode is None:
        process.kill()
        await process.wait()


async def _mlflow_alone() -> int:
    """Memory in MB of a Python that has only imported MLflow's transport. The image has mlflow-skinny; here it is the whole MLflow,
    and how much that takes is not the operator's doing."""
    code = "import mlflow.utils.rest_utils; print(open('/proc/self/statm').read().split()[1])"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return int(out) * os.sysconf("SC_PAGE_SIZE") // 2**20


async def test_it_works_stays_small_and_leaves_the_lease_behind_when_told_to_go(
    started: Started, cluster: Cluster, namespace: str
) -> None:
    await started.ready()
    body = {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": namespace},
        "spec": {"mlflow": {"url": "http://127.0.0.1:9"}},
    }
    await cluster.create(body)
    async with asyncio.timeout(15):
        while True:
            found = await cluster.get(API_VERSION, "ModelRegistry", namespace, "mlflow")
            conditions = (found or {}).get("status", {}).get("conditions", [])
            if any(each["reason"] == "AddressRefused" for each in conditions):
                break
            await asyncio.sleep(0.05)
    assert started.resident() < await _mlflow_alone() + 80
    started.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await started.process.wait() == 0
    lease = await cluster.get(*LEASE, namespace, "weighbridge")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""
