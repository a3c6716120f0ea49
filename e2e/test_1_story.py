"""The loop on the cluster: the demo's own chapters, then what must hold when the story is over."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.demo.stage import Stage
from e2e.demo.story import CHAPTERS, epilogue

QUIET = 120.0
"""Seconds in which nothing may be written when nothing changes."""


@pytest.mark.parametrize("chapter", [chapter for _, chapter in CHAPTERS], ids=[title for title, _ in CHAPTERS])
def test_chapter(chapter: Callable[[Stage], None], stage: Stage) -> None:
    chapter(stage)


def test_the_end_is_as_told(stage: Stage) -> None:
    epilogue(stage)


def test_ready_can_be_waited_for_and_fields_explained(stage: Stage) -> None:
    stage.kube.run("wait", "--for=condition=Ready", "modelversion/tumour-classifier-3", "--timeout=10s")
    for field in ("modelversion.spec", "evaluationjob.spec.gate", "modelregistry.spec.writeBack"):
        text = stage.kube.run("explain", field)
        assert "<no description>" not in text, field


def test_the_operator_is_small(stage: Stage) -> None:
    status = stage.operator.run("exec", "deployment/weighbridge", "--", "cat", "/proc/1/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    peak = int(found[1]) / 1024
    stage.say(f"operator: {peak:.0f} MiB at its peak")
    assert peak < 200


def test_nothing_is_written_when_nothing_changes(stage: Stage) -> None:
    before = _versions(stage)
    time.sleep(QUIET)
    assert _versions(stage) == before


def _versions(stage: Stage) -> dict[str, str]:
    """resourceVersions of everything the operator writes to, its lease excepted."""
    kinds = "modelversions,evaluationjobs,modelregistries,jobs,events.events.k8s.io"
    items: list[dict[str, Any]] = json.loads(stage.kube.run("get", kinds, "--output", "json"))["items"]
    ours = [each for each in items if each["kind"] != "Event" or each.get("reportingController", "").startswith("weighbridge")]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in ours}
