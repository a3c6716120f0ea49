"""Argo CD's own code judges too: it reads the ConfigMap as the server does, and runs every case through its own Lua."""

import json
import subprocess
from typing import Any

import pytest
from e2e.tools.argocd_cm import CONFIG_MAP

from .customizations import KINDS, ROOT, TREE, action_cases, discovery_cases, health_cases, read, timeless


def answers(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    command = [str(ROOT / "e2e" / "tools" / "argocd-says"), str(CONFIG_MAP)]
    said = subprocess.run(command, input=json.dumps(questions), capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    found: list[dict[str, Any]] = json.loads(said.stdout)
    assert len(found) == len(questions)
    return found


def test_health() -> None:
    cases = health_cases()
    found = answers([{"ask": "health", "object": case.object} for case in cases])
    assert found == [{"health": {"status": case.status, "message": case.message}} for case in cases]


def test_actions_that_are_offered() -> None:
    cases = discovery_cases()
    for case, found in zip(cases, answers([{"ask": "actions", "object": case.object} for case in cases]), strict=True):
        offered = {each["name"]: each for each in found["actions"]}
        assert offered == {each["name"]: each for each in case.result}


def test_what_actions_do() -> None:
    cases = action_cases()
    questions = [{"ask": "run", "action": case.action, "object": case.object} for case in cases]
    for case, found in zip(cases, answers(questions), strict=True):
        assert timeless(found["resources"]) == timeless(case.output), case.action


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_scripts_there_is_no_health(kind: str) -> None:
    """Why they must be installed: Argo CD takes a hook without health for done."""
    path = sorted((TREE / kind / "testdata").glob("degraded_*.yaml"))[0]
    empty = {**read(path), "apiVersion": "elsewhere.example.com/v1"}
    assert answers([{"ask": "health", "object": empty}]) == [{"health": None}]
