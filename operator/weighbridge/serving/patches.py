"""Requests that change an object only if it is the one that was seen.

What is known of an object when its state is read goes to the patch in `TargetState.basis`, with a hole where the value will stand.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.plan import Repoint
from .base import Patch

HOLE = "{value}"
"""Where the value stands in an operation of a basis."""


def applied(action: Repoint, content: Mapping[str, Any]) -> Patch:
    """Server-side apply of `content`, the object without its name, which becomes the operator's own."""
    target = action.target
    metadata = {"name": target.name, "uid": action.uid, "resourceVersion": action.resource_version}
    body = {"apiVersion": target.api_version, "kind": target.kind, "metadata": metadata, **content}
    return Patch(target.api_version, target.kind, target.name, "Apply", body)


def edited(action: Repoint, operations: Iterable[Mapping[str, Any]]) -> Patch:
    """JSON patch of the target: for schemas that are not known, or in which the list or map is one piece."""
    target = action.target
    tests = unchanged(action.uid, action.resource_version)
    return Patch(target.api_version, target.kind, target.name, "Json", [*tests, *operations])


def unchanged(uid: str, resource_version: str) -> list[dict[str, Any]]:
    """Operations that let the others pass only on the object that was seen."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
    ]


def filled(shape: Any, value: str) -> Any:
    """An operation with the value in its hole."""
    match shape:
        case str():
            return shape.replace(HOLE, value)
        case Mapping():
            return {key: filled(each, value) for key, each in shape.items()}
        case list():
            return [filled(each, value) for each in shape]
    return shape
