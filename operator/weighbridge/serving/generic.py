"""Kinds that are not known: a field names the model, a condition tells that the newest spec serves, and its pods stay unknown."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..api.serving import Serving
from ..core.facts import Misfit, RolloutState, TargetState
from ..core.plan import Repoint
from . import paths
from .base import Patch, Seen, Wants
from .patches import HOLE, edited, filled
from .paths import Path

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}", re.ASCII)


class FieldTarget:
    """Any kind with a field for the model. Its schema is not known here, so that the field is written by JSON patch: applying a
    part of a map that is one piece would drop the rest."""

    def wants(self, body: Mapping[str, Any], entry: Serving) -> Wants:  # noqa: ARG002
        return Wants()

    def state(self, seen: Seen, entry: Serving, wished: str, since: datetime | None) -> TargetState:  # noqa: ARG002
        rollout = judged(seen.body, entry)
        value = field(seen.body, entry)
        return target_state(seen.body, entry, rollout, {value: 1} if value and rollout.state == "Complete" else {})

    def patches(self, action: Repoint) -> tuple[Patch, ...]:
        return (edited(action, [filled(action.basis["operation"], action.value)]),)

    def addresses(self, seen: Seen, entry: Serving, value: str) -> tuple[str, ...]:  # noqa: ARG002
        return ()


def field_path(entry: Serving) -> Path:
    return tuple((entry.pointer.field_path or "").split("."))


def field(body: Mapping[str, Any], entry: Serving) -> str | None:
    """What the field says; None where it is not there."""
    found = paths.read(body, field_path(entry))
    return found if isinstance(found, str) else None


def target_state(body: Mapping[str, Any], entry: Serving, rollout: RolloutState, serving: Mapping[str, int]) -> TargetState:
    """What all targets with a field have in common."""
    where, path = f"{entry.target_ref.kind}/{entry.target_ref.name}", field_path(entry)
    misfit = _misfit(where, body, path)
    return TargetState(
        uid=body["metadata"]["uid"],
        resource_version=body["metadata"]["resourceVersion"],
        pointer=field(body, entry),
        other_applier=paths.applier(body, path),
        rollout=rollout,
        serving=serving,
        misfit=misfit,
        undeclared=None if misfit else _undeclared(where, body, path),
        basis={} if misfit else {"operation": paths.operation(body, path, HOLE)},
    )


def judged(body: Mapping[str, Any], entry: Serving) -> RolloutState:
    """Whether the condition holds for the newest spec. Where neither it nor the status says of which generation it speaks, it is
    believed as it stands."""
    where, name = f"{entry.target_ref.kind}/{entry.target_ref.name}", entry.ready_condition
    status = body.get("status") or {}
    condition = condition_of(body, name)
    if condition is None:
        return RolloutState("Progressing", "Observing", f"{where} has no condition {name} yet (serving.readyCondition)")
    observed = condition.get("observedGeneration", status.get("observedGeneration"))
    if isinstance(observed, int) and observed < body["metadata"].get("generation", 0):
        return RolloutState("Progressing", "Observing", f"the controller of {where} has not seen the change yet")
    if condition.get("status") == "True":
        believed = (
            "" if isinstance(observed, int) else f"{name} of {where} does not say of which generation it speaks; it is believed"
        )
        return RolloutState("Complete", "", believed)
    reason = str(condition.get("reason", ""))
    why = f" ({reason})" if _WORD.fullmatch(reason) else ""
    return RolloutState("Progressing", "NotReady", f"{name} of {where} is {condition.get('status', 'Unknown')}{why}")


def condition_of(body: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if isinstance(each, Mapping) and each.get("type") == name), None)


def _misfit(where: str, body: Mapping[str, Any], path: Path) -> Misfit | None:
    dotted = ""
    node: Any = body
    for step in path:
        if not isinstance(node, Mapping):
            text = f"{dotted} of {where} has no fields; correct serving.pointer.fieldPath"
            return Misfit("PointerNotFound", text)
        dotted += f".{step}" if dotted else str(step)
        if (node := paths.read(node, (step,))) is None:
            return None
    if not isinstance(node, str):
        return Misfit("PointerNotFound", f"{dotted} of {where} is no text; correct serving.pointer.fieldPath")
    return None


def _undeclared(where: str, body: Mapping[str, Any], path: Path) -> Misfit | None:
    if isinstance(paths.read(body, path[:-1]), Mapping):
        return None
    missing = next(number for number in range(len(path)) if paths.read(body, path[: number + 1]) is None)
    here, below = ".".join(map(str, path[:missing])), ", ".join(paths.read(body, path[:missing]) or ())
    text = f"{here} of {where} has no {path[missing]}{f', only {below}' if below else ''}"
    return Misfit("PointerNotFound", f"{text}; correct serving.pointer.fieldPath")
