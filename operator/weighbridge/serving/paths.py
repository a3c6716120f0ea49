"""A place in an object: what stands there, who applies it, and what has to be written to change it and nothing else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .base import FIELD_MANAGER


@dataclass(frozen=True)
class Named:
    """The item of a list that has this name; the last one where several have it, as the kubelet reads them."""

    name: str


Path: TypeAlias = tuple[str | Named, ...]
"""Keys of maps and names of items, from the outside in."""


def read(node: Any, path: Path) -> Any | None:
    """What stands there; None where nothing does."""
    for step in path:
        node = _child(node, step)
    return node


def manifest(path: Path, value: Any) -> Any:
    """The least document that says that `value` stands there. Only for schemas in which lists on the way merge by name."""
    for step in reversed(path):
        value = [{"name": step.name, **value}] if isinstance(step, Named) else {step: value}
    return value


def operation(node: Any, path: Path, value: Any) -> dict[str, Any]:
    """JSON patch operation that puts `value` there, with whatever on the way is missing; true only of this very state of `node`."""
    at = ""
    for number, step in enumerate(path):
        rest = path[number + 1 :]
        child = _child(node, step)
        if isinstance(step, Named):
            if child is None:
                return {"op": "add", "path": f"{at}/-", "value": manifest((step, *rest), value)[0]}
            at += f"/{max(index for index, item in enumerate(node) if _is(item, step))}"
        else:
            at += pointer((step,))
            if not rest or child is None:
                return {"op": "add", "path": at, "value": manifest(rest, value)}
        node = child
    raise ValueError("an operation needs a path that ends in a key")


def pointer(keys: Iterable[str]) -> str:
    """JSON pointer (RFC 6901) through maps."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def applier(body: Mapping[str, Any], path: Path) -> str | None:
    """Field manager, other than the operator, that owns the place by server-side apply. Where a list or map on the way is one
    piece (atomic), who applies any of it owns all of it."""
    steps = _steps(path)
    reached = [(entry, *_walk(entry.get("fieldsV1", {}), steps)) for entry in body["metadata"].get("managedFields", ())]
    deepest = max((depth for _, depth, _ in reached), default=0)
    there = read(body, path) is not None
    for entry, depth, is_leaf in reached:
        if entry.get("operation") != "Apply" or entry.get("manager") == FIELD_MANAGER or entry.get("subresource"):
            continue
        # An empty map that somebody declared looks as one piece too; but then whoever set the value is listed further in.
        one_piece = there and is_leaf and 0 < depth == deepest
        if depth == len(steps) or one_piece:
            return str(entry.get("manager", "unknown"))
    return None


def applied_elsewhere(body: Mapping[str, Any], path: Path) -> bool:
    """Whether the operator owns something else there by server-side apply: to apply this place alone would remove that."""
    entries = [each for each in body["metadata"].get("managedFields", ()) if each.get("manager") == FIELD_MANAGER]
    trees = [each.get("fieldsV1", {}) for each in entries if each.get("operation") == "Apply" and not each.get("subresource")]
    return any(_walk(tree, _steps(path))[0] < len(path) for tree in trees)


def _steps(path: Path) -> list[str]:
    """The path as managed fields have it."""
    return [
        f"k:{json.dumps({'name': each.name}, separators=(',', ':'))}" if isinstance(each, Named) else f"f:{each}" for each in path
    ]


def _walk(node: Any, steps: Sequence[str]) -> tuple[int, bool]:
    """How many steps the tree of owned fields goes along, and whether it ends there."""
    for depth, step in enumerate(steps):
        if step not in node:
            return depth, not node
        node = node[step]
    return len(steps), True


def _child(node: Any, step: str | Named) -> Any | None:
    if isinstance(step, Named):
        found = [item for item in node if _is(item, step)] if isinstance(node, list) else []
        return found[-1] if found else None
    return node.get(step) if isinstance(node, Mapping) else None


def _is(item: Any, step: Named) -> bool:
    return isinstance(item, Mapping) and item.get("name") == step.name
