"""The tree of customizations as Argo CD's own tests read it: cases of `health_test.yaml` and `action_test.yaml`.

Must not know who judges: Lua alone, or Argo CD's own code.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from weighbridge.api.base import GROUP

ROOT = Path(__file__).parents[2]
TREE = ROOT / "manifests" / "argocd" / "resource_customizations" / GROUP
KINDS = tuple(sorted(path.name for path in TREE.iterdir()))
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_STAMP = re.compile(r"-\d{14}$")


@dataclass(frozen=True)
class HealthCase:
    """An object, and what Argo CD is to show of it."""

    kind: str
    path: str
    status: str
    message: str

    @property
    def object(self) -> dict[str, Any]:
        return read(TREE / self.kind / self.path)


@dataclass(frozen=True)
class DiscoveryCase:
    """An object, and the actions it is offered with."""

    kind: str
    path: str
    result: tuple[dict[str, Any], ...]

    @property
    def object(self) -> dict[str, Any]:
        return read(TREE / self.kind / "actions" / self.path)


@dataclass(frozen=True)
class ActionCase:
    """An object, an action, and what comes of it."""

    kind: str
    action: str
    path: str
    expected: str

    @property
    def object(self) -> dict[str, Any]:
        return read(TREE / self.kind / "actions" / self.path)

    @property
    def output(self) -> list[dict[str, Any]]:
        """What it changes or creates, as operation and resource."""
        written = read(TREE / self.kind / "actions" / self.expected)
        if isinstance(written, dict):
            return [{"operation": "patch", "resource": written}]
        return [{"operation": each["k8sOperation"], "resource": each["unstructuredObj"]} for each in written]


def read(path: Path) -> Any:
    """One document of YAML."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def health_cases() -> list[HealthCase]:
    """Of all kinds."""
    return [
        HealthCase(kind, each["inputPath"], each["healthStatus"]["status"], each["healthStatus"]["message"])
        for kind in KINDS
        for each in read(TREE / kind / "health_test.yaml")["tests"]
    ]


def _action_tests(kind: str, part: str) -> list[dict[str, Any]]:
    path = TREE / kind / "actions" / "action_test.yaml"
    found: list[dict[str, Any]] = read(path)[part] if path.exists() else []
    return found


def discovery_cases() -> list[DiscoveryCase]:
    """Of all kinds that have actions."""
    return [
        DiscoveryCase(kind, each["inputPath"], tuple(each["result"]))
        for kind in KINDS
        for each in _action_tests(kind, "discoveryTests")
    ]


def action_cases() -> list[ActionCase]:
    """Of all kinds that have actions."""
    return [
        ActionCase(kind, each["action"], each["inputPath"], each["expectedOutputPath"])
        for kind in KINDS
        for each in _action_tests(kind, "actionTests")
    ]


def timeless(resource: Any) -> Any:
    """The same with one time for all times, so that what was made just now can be compared."""
    match resource:
        case dict():
            return {key: timeless(value) for key, value in resource.items()}
        case list():
            return [timeless(value) for value in resource]
        case str():
            return _STAMP.sub("-20260101000000", _TIME.sub("2026-01-01T00:00:00Z", resource))
    return resource
