"""The dashboard asks for what the operator tells, in words that Prometheus takes, and counts nothing twice."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.test_alerts import ROOT, rules
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.store import ObjectStore

BOARD: dict[str, Any] = json.loads((ROOT / "charts" / "weighbridge" / "files" / "dashboard.json").read_text(encoding="utf-8"))
SERIES = {series.name: series for series in Metrics(Queue[object](lambda key: key), ObjectStore()).catalogue}
METRIC = re.compile(r"\b(weighbridge_\w+)(?:{([^}]*)})?")
GROUPED = re.compile(r"\b(?:by|on|group_left) \(([^)]*)\)")


def panels() -> Iterator[dict[str, Any]]:
    yield from (each for each in BOARD["panels"] if each["type"] != "row")


QUERIES = {f"{panel['title']}: {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}
ALL = {**QUERIES, **{name: rule["expr"] for name, rule in rules().items()}}


def series_of(name: str) -> Any:
    return SERIES.get(name) or SERIES[re.sub(r"_(bucket|sum|count)$", "", name)]


def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    plain = [query.replace("$__rate_interval", "5m").replace("$namespace", ".*") for query in QUERIES.values()]
    records = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}), encoding="utf-8")
    command: list[str | Path] = [ROOT / "e2e" / "tools" / "promtool", "check", "rules", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(records)} rules found" in done.stdout


@pytest.mark.parametrize("title", sorted(QUERIES))
def test_every_query_asks_for_what_the_operator_tells(title: str) -> None:
    query = QUERIES[title]
    known = {"le"}
    for name, matchers in METRIC.findall(query):
        labels = set(series_of(name).labels)
        known |= labels
        assert {each.strip() for each in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)} <= labels
    grouped = {word.strip() for group in GROUPED.findall(query) for word in group.split(",") if word.strip()}
    assert grouped <= known
    legends = [target["legendFormat"] for panel in panels() for target in panel["targets"] if target["expr"] == query]
    assert all(set(re.findall(r"{{(\w+)}}", legend)) <= grouped for legend in legends)


@pytest.mark.parametrize("title", sorted(ALL))
def test_two_replicas_that_tell_the_same_count_once(title: str) -> None:
    query = re.sub(r"\s+", " ", ALL[title])
    for found in METRIC.finditer(query):
        if title != "WeighbridgeLabelsNotHonored" and series_of(found[1]).objects:
            assert re.search(r"\bmax(?: by \([^)]*\))? ?\((?:max_over_time\()?$", query[: found.start()]), found[0]
        elif series_of(found[1]).kind == "counter":
            assert re.search(r"\bsum(?: by \([^)]*\))? ?\( ?(?:rate|increase)\($", query[: found.start()]), found[0]


def test_it_can_be_installed_anywhere() -> None:
    assert BOARD["uid"] == "weighbridge"
    assert "id" not in BOARD
    assert [each["name"] for each in BOARD["templating"]["list"]] == ["datasource", "namespace"]
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_its_rows_are_the_questions_people_have() -> None:
    titles = [each["title"] for each in BOARD["panels"] if each["type"] == "row"]
    assert titles == ["What serves", "Drift", "Evaluations and GPUs", "Registries", "Operator"]
