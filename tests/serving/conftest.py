"""The kinds of other people's serving targets, on the real API server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import RealServer
from weighbridge.runtime.connection import Connection, Surroundings

_CRDS = Path(__file__).parent / "crds"


@pytest.fixture(scope="session")
def foreign_kinds(api_server: RealServer) -> RealServer:
    """The API server with Rollout, InferenceService and a kind that the operator does not know."""
    manifests = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(_CRDS.glob("*.yaml"))]
    asyncio.run(_install(api_server, manifests))
    return api_server


async def _install(server: RealServer, manifests: list[dict[str, Any]]) -> None:
    connection = Connection(Surroundings(str(server.kubeconfig)))
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for manifest in manifests:
        await connection.request("POST", where, body=manifest)
    names = [manifest["metadata"]["name"] for manifest in manifests]
    async with asyncio.timeout(30):
        while names:
            body = await connection.request("GET", f"{where}/{names[0]}")
            conditions = body.get("status", {}).get("conditions", [])
            if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
                names.pop(0)
            await asyncio.sleep(0.05)
    await connection.close()
