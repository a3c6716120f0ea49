"""Results on a cluster: engines that lie, full reports in MLflow, and versions weighed against the champion sample by sample."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.demo.stage import MANIFESTS, MODEL, NAMESPACE, Stage
from e2e.kube import condition
from weighbridge import __version__

EVALUATOR = f"weighbridge/evaluator:{__version__}"
ENDS = ("Passed", "Failed", "Inconclusive", "Error", "Refused")
LIAR = """
import json, os, sys, time
digest = json.loads(os.environ["WEIGHBRIDGE_TASK"])["subject"]["digest"]
metric = {"name": "accuracy", "value": 0.99, "direction": "maximize", "n": 100, "unit": "ratio"}
document = {"schemaVersion": "v1", "subject": {"digest": digest}, "metrics": [metric]}
path = os.environ["WEIGHBRIDGE_RESULT"]

def write(text):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)

match sys.argv[1]:
    case "another subject":
        write(json.dumps(document | {"subject": {"digest": "sha256:" + "0" * 64}}))
    case "percent":
        write(json.dumps(document | {"metrics": [metric | {"value": 80.0}]}))
    case "no number":
        write(json.dumps(document | {"metrics": [metric | {"value": float("nan")}]}))
    case "no samples":
        write(json.dumps(document | {"metrics": [metric | {"n": 0}]}))
    case "another metric":
        write(json.dumps(document | {"metrics": [metric | {"name": "loss"}]}))
    case "twice":
        write(json.dumps(document))
        time.sleep(4)
        write(json.dumps(document | {"metrics": [metric | {"value": 1.0}]}))
    case "half":
        write(json.dumps(document)[:-9])
    case "a link":
        os.symlink("/etc/passwd", path)
    case "nothing":
        pass
"""
"""An engine that ends well, whatever it wrote."""


@pytest.fixture
def clean(stage: Stage) -> Iterator[Stage]:
    """Leaves no evaluation of these tests behind."""
    yield stage
    stage.kube.run("delete", "evaluationjobs", "--selector=test=results", "--timeout=120s")


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ("another subject", "WrongSubject"),
        ("percent", "ResultInvalid"),
        ("no number", "ResultInvalid"),
        ("no samples", "GateError"),
        ("another metric", "GateError"),
        ("twice", "ResultDuplicated"),
        ("half", "ResultInvalid"),
        ("a link", "ResultInvalid"),
        ("nothing", "ResultMissing"),
    ],
)
def test_an_engine_that_lies_never_passes(clean: Stage, lie: str, reason: str) -> None:
    evaluator = {"engine": "container", "image": EVALUATOR, "command": ["python", "-c", LIAR, lie]}
    job = _ended(clean, f"liar-{lie.replace(' ', '-')}", evaluator=evaluator)
    assert (job["status"]["phase"], condition(job, "Ready")["reason"]) == ("Error", reason)


def test_a_version_is_weighed_against_the_champion_sample_by_sample(clean: Stage) -> None:
    measure = _measure() | {"report": {"registryRef": {"name": "mlflow"}}}
    champion = _ended(clean, "champion", version="3", **measure)
    assert champion["status"]["phase"] == "Passed", condition(champion, "Ready")
    report = champion["status"]["results"]["report"]
    assert report["uri"].startswith("runs:/")
    assert not report["problem"]
    gate = [{"metric": "accuracy", "maxRegression": 0.05, "confidence": 0.9}]
    compare = measure | {"champion": {"name": "champion"}, "gate": gate}
    same = _ended(clean, "as-good", version="3", **compare)
    (comparison,) = same["status"]["results"]["comparisons"]
    assert (comparison["n"], comparison["difference"]) == (171, 0)
    # Version 2 learned the neighbours' diagnoses: about half of its answers are wrong.
    worse = _ended(clean, "worse", version="2", **compare)
    assert (worse["status"]["phase"], condition(worse, "Ready")["reason"]) == ("Failed", "GateFailed")
    (line,) = worse["status"]["verdict"]["lines"]
    assert line["champion"] > line["value"] + 0.05
    assert "p = " in line["message"]


def test_what_was_measured_otherwise_is_not_compared(clean: Stage) -> None:
    _ended(clean, "champion", version="3", **_measure())
    other = {"engine": "container", "image": EVALUATOR, "command": ["python", "-c", LIAR, "another metric"]}
    gate = [{"metric": "loss", "maxRegression": 0.05}]
    job = _ended(clean, "incomparable", version="3", evaluator=other, champion={"name": "champion"}, gate=gate)
    assert (job["status"]["phase"], condition(job, "Ready")["reason"]) == ("Inconclusive", "NotComparable")


def _measure() -> dict[str, Any]:
    version: dict[str, Any] = yaml.safe_load((MANIFESTS / "version-3.yaml").read_text(encoding="utf-8"))
    template: dict[str, Any] = version["spec"]["evaluations"][0]["template"]
    return template


def _ended(stage: Stage, name: str, *, version: str = "1", **spec: Any) -> dict[str, Any]:
    body = {
        "apiVersion": "weighbridge.dev/v1alpha1",
        "kind": "EvaluationJob",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"test": "results"}},
        "spec": {
            "model": {"registryRef": {"name": "mlflow"}, "name": MODEL, "version": version},
            "gate": [{"metric": "accuracy", "min": 0.9}],
            **spec,
        },
    }
    stage.kube.run("delete", "evaluationjob", name, "--ignore-not-found", "--timeout=60s")
    stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(body))
    found: dict[str, Any] = {}
    for found in stage.kube.changes("evaluationjob", name, 240.0):
        if found.get("status", {}).get("phase", "") in ENDS:
            break
    return found
