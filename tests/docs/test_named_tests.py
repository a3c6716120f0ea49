"""Every test that a page names exists: a control that nothing shows is none."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from .pages import ROOT, pages

NAMED = re.compile(r"`((?:tests|e2e)/[\w/]+\.py)::(\w+)`")
THREATS = ROOT / "docs" / "threat-model.md"


@cache
def _tests(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [f"{file}::{name}" for file, name in NAMED.findall(text) if not (ROOT / file).is_file() or name not in _tests(file)]
    assert missing == []


def test_every_control_of_the_threat_model_names_its_test() -> None:
    text = THREATS.read_text(encoding="utf-8").partition("## What remains")[0]
    controls = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(controls) > 30
    assert [line for line in controls if not NAMED.search(line)] == []
