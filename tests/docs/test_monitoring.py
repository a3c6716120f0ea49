"""What docs/monitoring.md gives to Prometheus and Alertmanager is taken by these programs themselves."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .pages import ROOT, blocks

PAGE = ROOT / "docs" / "monitoring.md"
TOOLS = ROOT / "e2e" / "tools"
RULES = ROOT / "charts" / "weighbridge" / "files" / "alerts.yaml"
QUERIES = [
    query
    for block in blocks(PAGE)
    if block.language == "promql"
    for query in re.split(r"^#.*\n", block.text, flags=re.MULTILINE)
    if query
]


def _written(first: str) -> dict[str, Any]:
    """The file that begins with this key."""
    files = [yaml.safe_load(block.text) for block in blocks(PAGE) if block.language == "yaml"]
    (found,) = [each for each in files if next(iter(each)) == first]
    return dict(found)


def _checked(kind: str, file: Path, content: Any) -> subprocess.CompletedProcess[str]:
    file.write_text(json.dumps(content), encoding="utf-8")
    return subprocess.run([TOOLS / "promtool", "check", kind, file], check=False, capture_output=True, text=True, timeout=60)


def test_prometheus_takes_the_configuration(tmp_path: Path) -> None:
    config = _written("rule_files")
    (job,) = config["scrape_configs"]
    (discovery,) = job.pop("kubernetes_sd_configs")  # Debian's build of Prometheus does not know it
    done = _checked("config", tmp_path / "prometheus.yml", config | {"rule_files": [str(RULES)]})
    assert done.returncode == 0, done.stderr
    assert job["honor_labels"] is True
    installed = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8"))
    (service,) = [each for each in installed if each["kind"] == "Service"]
    (port,) = service["spec"]["ports"]
    assert job["relabel_configs"][0]["regex"] == f"{service['metadata']['name']};{port['name']}"
    assert discovery == {"role": "endpoints", "namespaces": {"names": [service["metadata"]["namespace"]]}}


def test_prometheus_takes_the_queries(tmp_path: Path) -> None:
    assert len(QUERIES) == 2
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    done = _checked("rules", tmp_path / "rules.json", {"groups": [{"name": "page", "rules": rules}]})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wrong", [False, True])
def test_alertmanager_takes_the_routes(wrong: bool, tmp_path: Path) -> None:
    config = _written("route")
    names = {each["receiver"] for each in config["route"]["routes"]} - ({"on-call"} if wrong else set())
    config["route"]["receiver"] = "people"
    config["receivers"] = [{"name": name} for name in sorted(names | {"people"})]
    file = tmp_path / "alertmanager.yml"
    file.write_text(json.dumps(config), encoding="utf-8")
    flags = [f"--config.file={file}", f"--storage.path={tmp_path}", "--cluster.listen-address=", "--web.listen-address=127.0.0.1:0"]
    program = TOOLS / "alertmanager"
    with subprocess.Popen([program, *flags], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = next((line for line in process.stderr if "Completed loading" in line or "failed" in line), "")
        finally:
            process.terminate()
    assert ("failed" if wrong else "Completed loading") in said
