"""The reference has every field, every rule and every setting."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from weighbridge.settings import VARIABLES

from .pages import ROOT

CRDS = sorted((ROOT / "crds").glob("*.weighbridge.dev.yaml"))
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("path", CRDS, ids=lambda path: path.name)
def test_every_field_and_rule_of_a_kind_is_there(path: Path) -> None:
    crd = yaml.safe_load(path.read_text(encoding="utf-8"))
    page = (REFERENCE / f"{crd['spec']['names']['singular']}.md").read_text(encoding="utf-8")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    fields = [field for part in ("spec", "status") for field in _fields(schema[part], part)]
    assert len(fields) > 10
    assert [field for field in fields if f"| `{field}` |" not in page] == []
    messages = set(_messages(schema["spec"]))
    assert messages
    assert [message for message in messages if " ".join(message.split()).rstrip(".").replace("<", "&lt;") not in page] == []


def test_every_setting_is_there() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    assert [each.name for each in VARIABLES if f"| `{each.name}` | `{each.flag}` |" not in page] == []


def _fields(node: dict[str, Any], path: str) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _fields(child, f"{path}.{name}")
    if "items" in node:
        yield from _fields(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _fields(node["additionalProperties"], f"{path}.KEY")


def _messages(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations", ()):
            yield rule["message"]
        for key, value in node.items():
            if key != "x-kubernetes-validations":
                yield from _messages(value)
    elif isinstance(node, list):
        for value in node:
            yield from _messages(value)
