"""Engines for real, each in a pod of its own: EleutherAI's harness in process and on a server, and an image of anybody's."""

from typing import Any

import pytest
import yaml

from e2e.demo.stage import Stage
from e2e.hub.hub import MANIFESTS as HUB
from e2e.hub.hub import stand_up
from e2e.kube import condition

EVALUATION = 300.0


@pytest.fixture(scope="module")
def hub(stage: Stage) -> Stage:
    stand_up(stage.kube)
    return stage


def language_model(**parameters: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((HUB / "language-model.yaml").read_text(encoding="utf-8"))
    body["spec"]["evaluator"]["parameters"] |= parameters
    return body


def ended(stage: Stage, body: dict[str, Any]) -> dict[str, Any]:
    name = body["metadata"]["name"]
    stage.kube.run("delete", "evaluationjob", name, "--ignore-not-found", "--timeout=60s")
    stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(body))
    found: dict[str, Any] = {}
    for found in stage.kube.changes("evaluationjob", name, EVALUATION):
        if found.get("status", {}).get("phase", "") in ("Passed", "Failed", "Inconclusive", "Error", "Refused"):
            break
    return found


def test_a_language_model_is_asked_in_process(hub: Stage) -> None:
    job = ended(hub, language_model())
    assert job["status"]["phase"] == "Passed", condition(job, "Ready")
    (metric,) = job["status"]["results"]["metrics"]
    assert (metric["name"], metric["n"], metric["direction"], metric["unit"]) == ("next-word/acc", 8, "maximize", "ratio")
    assert metric["value"] >= 0.875


def test_a_task_that_reads_what_is_not_pinned_ends_without_a_score(hub: Stage) -> None:
    body = language_model(tasks="hellaswag")
    body["metadata"]["name"] = "unpinned"
    job = ended(hub, body)
    assert job["status"]["phase"] == "Error"
    assert condition(job, "Ready")["reason"] == "EvaluatorMisconfigured"
    assert "results" not in job["status"]


def test_a_misspelt_engine_gets_no_pod(hub: Stage) -> None:
    body = language_model()
    body["metadata"]["name"] = "misspelt"
    body["spec"]["evaluator"]["engine"] = "lm-evil"
    job = ended(hub, body)
    assert job["status"]["phase"] == "Refused"
    assert condition(job, "Ready")["reason"] == "EngineUnknown"
