"""Task files that a pinned dataset brings: plain YAML that names templates and pinned data, and nothing that runs Python.

They are read here just as the harness will read them, before it does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..core.engines import GENERATION
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, TaskDataset

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp")}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The harness's own parser, without its tags."""
_CODE = ("include", "class", "custom_dataset", "hf_evaluate", "unsafe_code")
"""Keys by which a task reaches for other files or for Python."""


def brings_tasks(dataset: TaskDataset, folder: Path) -> bool:
    """Whether the dataset has YAML files at all. Raises Refusal where one of them is more than settings and templates."""
    files = [path for path in sorted(folder.rglob("*")) if path.name.lower().endswith((".yaml", ".yml")) and path.is_file()]
    for path in files:
        if (problem := _problem(path.read_bytes())) is not None:
            raise Refusal(EXIT_MISCONFIGURED, f"{path.relative_to(folder)} of dataset {dataset.path} {problem}")
    return bool(files)


def _problem(content: bytes) -> str | None:
    try:
        content.decode("utf-8")
        root = yaml.compose(content, Loader=_LOADER)
        tags = {node.tag for node in _nodes(root)}
        if tags - _PLAIN:
            return "runs Python of its own, or has other tags; a task of a dataset is plain YAML and templates alone"
        settings = yaml.load(content, Loader=_LOADER)  # noqa: S506 (a safe loader)
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError, RecursionError):
        return "is no YAML file in UTF-8 with one document"
    for mapping in _mappings(settings):
        if strange := [key for key in _CODE if key in mapping]:
            return f"sets {strange[0]}; a task of a dataset stands alone and runs no Python of its own"
        generation = mapping.get("generation_kwargs") or {}
        if not isinstance(generation, Mapping) or not set(generation) <= GENERATION:
            return f"has generation_kwargs beyond those that are offered: {', '.join(sorted(GENERATION))}"
        if not _measured_by_the_harness(mapping.get("metric_list") or []):
            return "has a metric that the harness does not bring itself"
    return None


def _nodes(root: yaml.Node | None) -> Iterator[yaml.Node]:
    """Every node once, whatever refers to it."""
    seen: set[int] = set()
    waiting: list[Any] = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            waiting.extend(node)
        elif id(node) not in seen:
            seen.add(id(node))
            yield node
            if not isinstance(node, yaml.ScalarNode):
                waiting.extend(node.value)


def _mappings(settings: Any) -> Iterator[Mapping[Any, Any]]:
    seen: set[int] = set()
    waiting = [settings]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or not isinstance(found, Mapping | list):
            continue
        seen.add(id(found))
        if isinstance(found, Mapping):
            yield found
        waiting.extend(found.values() if isinstance(found, Mapping) else found)


def _measured_by_the_harness(metrics: Any) -> bool:
    """Other names are looked for as Python files, or on the Hub."""
    import lm_eval.api.metrics  # noqa: F401 (fills the registry)
    from lm_eval.api.registry import metric_registry

    if not isinstance(metrics, list):
        return False
    names = [each.get("metric") if isinstance(each, Mapping) else None for each in metrics]
    return all(isinstance(name, str) and name in metric_registry for name in names)
