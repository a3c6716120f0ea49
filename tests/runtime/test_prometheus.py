"""A real Prometheus scrapes the real operator process: it takes every line, and keeps our namespaces."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.conftest import RealServer
from tests.runtime.stage import free_port, operating

from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.store import ObjectStore

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "weighbridge" / "files" / "alerts.yaml"
PHASE = "weighbridge_modelversion_phase"


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.port, self.session = port, session

    async def ask(self, path: str, **query: str) -> Any:
        async with self.session.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=query) as answer:
            return (await answer.json())["data"]

    async def found(self, query: str) -> list[dict[str, str]]:
        """The labels of what a query gives, once it gives anything."""
        async with asyncio.timeout(60):
            while True:
                try:
                    if result := (await self.ask("query", query=query))["result"]:
                        return [each["metric"] for each in result]
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)


@asynccontextmanager
async def prometheus(folder: Path, target: int) -> AsyncIterator[Prometheus]:
    """Scrapes the operator twice, as it should be and without honouring its labels, each into a job of its own."""
    port = free_port()
    where = {"static_configs": [{"targets": [f"127.0.0.1:{target}"], "labels": {"namespace": "weighbridge-system"}}]}
    jobs = [{"job_name": name, "honor_labels": name == "weighbridge", **where} for name in ("weighbridge", "careless")]
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": jobs,
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    log = (folder / "log").open("w")
    command = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(ROOT / "e2e" / "tools" / "prometheus", *command, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(port, session)
    finally:
        process.terminate()
        await process.wait()
        log.close()


@pytest.mark.usefixtures("connection")
async def test_prometheus_takes_what_the_operator_tells(
    api_server: RealServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    spec = {"source": {"registryRef": {"name": "missing"}, "name": 'a "model"', "version": "1"}}
    await cluster.create(
        {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": "v1", "namespace": namespace}, "spec": spec}
    )
    async with (
        operating(api_server.kubeconfig, namespace, NAMESPACES=namespace) as process,
        prometheus(tmp_path, process.metrics) as server,
    ):
        [kept] = await server.found(f'{PHASE}{{job="weighbridge"}}')
        assert (kept["namespace"], kept["name"]) == (namespace, "v1")
        [renamed] = await server.found(f'{PHASE}{{job="careless"}}')
        assert (renamed["namespace"], renamed["exported_namespace"]) == ("weighbridge-system", namespace)
        [info] = await server.found('weighbridge_modelversion_info{job="weighbridge"}')
        assert info["model"] == 'a "model"'
        assert await server.found('weighbridge_kube_requests_total{job="weighbridge",verb="GET",code="200"}')

        targets = (await server.ask("targets"))["activeTargets"]
        assert [(each["health"], each["lastError"]) for each in targets] == [("up", "")] * 2
        described = await server.ask("metadata")
        for series in Metrics(Queue[object](lambda key: key), ObjectStore()).catalogue:
            assert {(each["type"], each["help"]) for each in described[series.name]} == {(series.kind, series.text)}

        rules = [rule for group in (await server.ask("rules"))["groups"] for rule in group["rules"]]
        assert {rule.get("lastError", "") for rule in rules} == {""}
        firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
        assert firing == set()
        assert await server.found('ALERTS{alertname="WeighbridgeLabelsNotHonored",alertstate="pending"}')
