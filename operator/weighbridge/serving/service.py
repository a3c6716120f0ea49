"""A Service as serving target (blue/green): a label in its selector picks the pods of one version, which somebody else runs."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..api.serving import Serving
from ..core.facts import Misfit, RolloutState, TargetState
from ..core.plan import Repoint
from . import paths
from .base import Patch, Seen, Wants
from .patches import HOLE, edited, filled
from .pods import Pod, addresses, is_ready, labels, living, trouble, worst

_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", re.ASCII)


class ServiceTarget:
    """Blue/green by a Service's selector."""

    def wants(self, body: Mapping[str, Any], entry: Serving) -> Wants:
        """Pods of every version: those of the next one must be there before it gets the Service."""
        return Wants({key: value for key, value in _selector(body).items() if key != entry.pointer.selector})

    def state(self, seen: Seen, entry: Serving, wished: str, since: datetime | None) -> TargetState:
        body, key = seen.body, entry.pointer.selector or ""
        where, value = f"Service/{entry.target_ref.name}", _selector(body).get(key)
        behind = _behind(seen, key, value)
        ready = sum(1 for pod in behind if is_ready(pod))
        misfit = _misfit(where, body, key, wished)
        obstacle = ""
        if wished and not misfit and not any(is_ready(pod) for pod in _behind(seen, key, wished)):
            obstacle = f"{where} would have no endpoints: no ready pod of its selector has the label {key}={wished}"
        return TargetState(
            uid=body["metadata"]["uid"],
            resource_version=body["metadata"]["resourceVersion"],
            pointer=value,
            other_applier=paths.applier(body, ("spec", "selector")),
            rollout=_rollout(where, behind, ready, since),
            serving={value: ready} if value is not None and ready else {},
            misfit=misfit,
            undeclared=_undeclared(where, body, key),
            not_yet=obstacle,
            basis={"operation": paths.operation(body, ("spec", "selector", key), HOLE)},
        )

    def patches(self, action: Repoint) -> tuple[Patch, ...]:
        return (edited(action, [filled(action.basis["operation"], action.value)]),)

    def addresses(self, seen: Seen, entry: Serving, value: str) -> tuple[str, ...]:
        key = entry.pointer.selector or ""
        return addresses(_behind(seen, key, value)) if _selector(seen.body).get(key) == value else ()


def _selector(body: Mapping[str, Any]) -> Mapping[str, str]:
    return body["spec"].get("selector") or {}


def _behind(seen: Seen, key: str, value: str | None) -> list[Pod]:
    """Pods that the Service picks while its selector has this value."""
    wanted = {**_selector(seen.body), key: value}
    return [pod for pod in living(seen.pods) if value and all(labels(pod).get(each) == text for each, text in wanted.items())]


def _misfit(where: str, body: Mapping[str, Any], key: str, wished: str) -> Misfit | None:
    if not _selector(body):
        text = f"{where} has no selector; write one that picks the pods of all versions, and {key} with the one to begin with"
        return Misfit("PointerNotFound", text)
    if not _LABEL_VALUE.fullmatch(wished):
        text = f"{wished} is no label value: at most 63 letters, digits, `-`, `_` and `.`"
        text += "; write serving.pointer.value, such as v{version}"
        return Misfit("PointerValueInvalid", text)
    return None


def _undeclared(where: str, body: Mapping[str, Any], key: str) -> Misfit | None:
    if key in _selector(body):
        return None
    names = " and ".join(_selector(body))
    text = f"the selector of {where} has no {key}, only {names}; correct serving.pointer.selector, or write it there"
    return Misfit("PointerNotFound", text)


def _rollout(where: str, behind: Sequence[Pod], ready: int, since: datetime | None) -> RolloutState:
    if ready:
        return RolloutState("Complete")
    # Its pods were made before they got the Service: only what happened to them from then on speaks against the version.
    found = [each for pod in behind if (each := trouble(pod, None)) is not None]
    recent = [each for each in found if since is None or each.crashed_at is None or each.crashed_at >= since]
    return worst(recent) or RolloutState("Progressing", "NoReadyPods", f"{where} has no ready pod behind it")
