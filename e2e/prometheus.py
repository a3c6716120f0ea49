"""A real Prometheus beside the cluster, which asks the operator's pods through the API server."""

import json
import os
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from e2e.helm import kubeconfig
from e2e.kube import ROOT, Kube

RULES = ROOT / "charts" / "weighbridge" / "files" / "alerts.yaml"
INTERVAL = 5.0
"""Seconds between scrapes, and between looks at the rules."""


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector."""
        return list(self._get(f"query?query={urllib.parse.quote(expression)}")["result"])

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped."""
        return list(self._get("targets")["activeTargets"])

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """The alerts of this name, pending or firing."""
        return [each for each in self._get("alerts")["alerts"] if each["labels"]["alertname"] == name]

    def answers(self) -> bool:
        """Whether it is up."""
        with suppress(OSError):
            self._get("status/buildinfo")
            return True
        return False

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}/{path}", timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(folder: Path, namespace: str) -> Iterator[Prometheus]:
    """One that watches the operator in this namespace by the shipped rules."""
    config, port = folder / "prometheus.yaml", _free_port()
    config.write_text(yaml.safe_dump(_configuration(folder, namespace)), encoding="utf-8")
    command = [ROOT / "e2e" / "tools" / "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield Prometheus(port)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _configuration(folder: Path, namespace: str) -> dict[str, Any]:
    """As docs/monitoring.md writes it, but for the way through the API server."""
    view = json.loads(
        subprocess.run(
            [
                ROOT / "e2e" / "cluster" / "kubectl",
                "config",
                "view",
                "--raw",
                "--flatten",
                "--output=json",
                f"--kubeconfig={kubeconfig()}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    cluster, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
    files = {
        "ca_file": ("ca.crt", cluster["certificate-authority-data"]),
        "cert_file": ("client.crt", user["client-certificate-data"]),
        "key_file": ("client.key", user["client-key-data"]),
    }
    tls = {}
    for key, (name, data) in files.items():
        path = folder / name
        subprocess.run(["base64", "--decode"], input=data.encode(), stdout=path.open("wb"), check=True)
        path.chmod(0o600)
        tls[key] = str(path)
    # Debian's Prometheus cannot ask Kubernetes what there is, so it is told.
    pods = Kube(namespace).list("pods", "--selector=app.kubernetes.io/name=weighbridge", "--field-selector=status.phase=Running")
    names = [each["metadata"]["name"] for each in pods if "deletionTimestamp" not in each["metadata"]]
    targets = [
        {
            "targets": [cluster["server"].removeprefix("https://")],
            "labels": {
                "__metrics_path__": f"/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/metrics",
                "namespace": namespace,
                "pod": name,
                "instance": name,
            },
        }
        for name in names
    ]
    scrape = {"job_name": "weighbridge", "honor_labels": True, "scheme": "https", "tls_config": tls, "static_configs": targets}
    return {
        "global": {"scrape_interval": f"{INTERVAL:.0f}s", "evaluation_interval": f"{INTERVAL:.0f}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [scrape],
    }


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
