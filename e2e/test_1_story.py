"""The loop on the cluster: the demo's own chapters, then what must hold when the story is over."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.demo.stage import MODEL, OPERATOR_PODS, Stage
from e2e.demo.story import CHAPTERS, EVALUATION, ROLLOUT, epilogue, rollback_seconds
from e2e.kube import condition

QUIET = 120.0
"""Seconds in which nothing may be written when nothing changes."""


@pytest.mark.parametrize("chapter", [chapter for _, chapter in CHAPTERS], ids=[title for title, _ in CHAPTERS])
def test_chapter(chapter: Callable[[Stage], None], stage: Stage) -> None:
    chapter(stage)


def test_the_end_is_as_told(stage: Stage) -> None:
    epilogue(stage)


def test_a_rollback_needs_no_registry_and_the_registry_hears_of_it_later(stage: Stage) -> None:
    """Version 4 is given another chance, and while it crashes its registry cannot be reached."""
    far = '{"spec": {"mlflow": {"url": "http://mlflow.nosuch.svc:5000"}}}'
    near = '{"spec": {"mlflow": {"url": "http://mlflow.weighbridge-demo.svc:5000"}}}'
    again = '[{"op": "replace", "path": "/spec/serving/0/progressDeadline", "value": "9m"}]'
    stage.kube.run("patch", "modelversion", f"{MODEL}-4", "--type=json", "--patch", again)
    try:
        stage.kube.until("version 4 is tried again", 30, lambda: stage.pointer() == f"models:/{MODEL}/4")
        stage.kube.run("patch", "modelregistry", "mlflow", "--type=merge", "--patch", far)
        unreachable = "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=RegistryUnavailable"
        stage.kube.run("wait", "modelregistry/mlflow", unreachable, "--timeout=30s")
        stage.follow(f"{MODEL}-4", ("RolledBack",), ROLLOUT)
        stage.kube.until("version 3 has its target back", 5, lambda: stage.pointer() == f"models:/{MODEL}/3")
        assert rollback_seconds(stage) < 1.0
        registry = stage.kube.get("modelregistry", "mlflow")
        assert registry is not None
        assert condition(registry, "Ready")["reason"] == "RegistryUnavailable"
    finally:
        stage.kube.run("patch", "modelregistry", "mlflow", "--type=merge", "--patch", near)
    for number in (3, 4):
        version = f"modelversion/{MODEL}-{number}"
        stage.kube.run("wait", version, "--for=condition=RegistrySynced", "--timeout=90s")


def test_ready_can_be_waited_for_and_fields_explained(stage: Stage) -> None:
    stage.kube.run("wait", "--for=condition=Ready", "modelversion/tumour-classifier-3", "--timeout=10s")
    for field in ("modelversion.spec", "evaluationjob.spec.gate", "modelregistry.spec.writeBack"):
        text = stage.kube.run("explain", field)
        assert "<no description>" not in text, field


def test_the_operator_is_small(stage: Stage) -> None:
    pods = [each["metadata"]["name"] for each in stage.operator.list("pods", OPERATOR_PODS)]
    status = "".join(stage.operator.run("exec", pod, "--", "cat", "/proc/1/status") for pod in pods)
    found = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert found
    peak = max(map(int, found)) / 1024
    stage.say(f"operator: {peak:.0f} MiB at its peak")
    assert peak < 200


def test_nothing_is_written_when_nothing_changes(stage: Stage) -> None:
    before = _versions(stage)
    time.sleep(QUIET)
    assert _versions(stage) == before


def test_a_version_that_fails_a_later_evaluation_gives_its_target_back(stage: Stage) -> None:
    """The bar is raised above what version 3 reaches: it is weighed again while it serves, and version 1 gets the target back."""
    higher = '[{"op": "replace", "path": "/spec/evaluations/0/template/gate/0/min", "value": 0.9999}]'
    stage.kube.run("patch", "modelversion", f"{MODEL}-3", "--type=json", "--patch", higher)
    version = stage.follow(f"{MODEL}-3", ("Refused",), EVALUATION)
    assert condition(version, "Evaluated")["reason"] == "GateFailed"
    assert stage.pointer() == f"models:/{MODEL}/1"
    stage.follow(f"{MODEL}-1", ("Serving",), ROLLOUT)


def _versions(stage: Stage) -> dict[str, str]:
    """resourceVersions of everything the operator writes to, its lease excepted."""
    kinds = "modelversions,evaluationjobs,modelregistries,jobs,events.events.k8s.io"
    items: list[dict[str, Any]] = json.loads(stage.kube.run("get", kinds, "--output", "json"))["items"]
    ours = [each for each in items if each["kind"] != "Event" or each.get("reportingController", "").startswith("weighbridge")]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in ours}
