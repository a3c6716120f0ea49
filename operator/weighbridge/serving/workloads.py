"""Serving targets with a pod template of their own: Deployment, StatefulSet, Rollout. They differ in how a rollout is judged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ..api.serving import Serving
from ..core.facts import Misfit, RolloutState, TargetState
from ..core.plan import Repoint
from . import configmaps, paths
from .base import Patch, Seen, Wants
from .patches import applied, edited, filled
from .paths import Path
from .pods import Pod, addresses, is_ready, living, made_since, selects, trouble
from .pointers import PodPointer, pod_pointer

_TEMPLATE: Path = ("spec", "template")
_EDITION = ("spec", "template", "metadata", "annotations", configmaps.EDITION)


@dataclass(frozen=True)
class Troubles:
    """What keeps pods from serving."""

    newest: tuple[RolloutState, ...] = ()
    """Pods that were told the pointer's value, and made since it was given: evidence about this version."""
    older: tuple[RolloutState, ...] = ()
    """Pods that were told something else."""


class Judge(Protocol):
    def __call__(self, body: Mapping[str, Any], troubles: Troubles, /) -> RolloutState: ...


class Traffic(Protocol):
    def __call__(self, body: Mapping[str, Any], pods: Sequence[Pod], /) -> list[Pod]: ...


def all_of_them(_body: Mapping[str, Any], pods: Sequence[Pod]) -> list[Pod]:
    return list(pods)


@dataclass(frozen=True)
class Workload:
    """A kind with a pod template."""

    judged: Judge
    with_traffic: Traffic = all_of_them
    merges: bool = True
    """Whether lists of its pod template are known to merge by name. Only then may a part of one be applied."""

    def wants(self, body: Mapping[str, Any], entry: Serving) -> Wants:
        labels = (body["spec"].get("selector") or {}).get("matchLabels") or {}
        where = entry.pointer.config_map
        return Wants(labels, (configmaps.name_of(where),) if where else ())

    def state(self, seen: Seen, entry: Serving, wished: str, since: datetime | None) -> TargetState:
        body, where = seen.body, f"{entry.target_ref.kind}/{entry.target_ref.name}"
        pods = self._pods(seen)
        template = body["spec"].get("template") or {}
        if "spec" not in template:
            text = f"{where} takes its pods from another workload (workloadRef); write its pod template into it"
            return self._state(body, misfit=Misfit("PointerHasOtherSource", text), rollout=self.judged(body, Troubles()))
        lens = pod_pointer(entry.pointer)
        told = lens.read(template)
        newest = [pod for pod in pods if told is not None and lens.read(pod) == told and made_since(pod, since)]
        older = [pod for pod in pods if lens.read(pod) != told]
        ready = [pod for pod in self.with_traffic(body, pods) if is_ready(pod)]
        found = {
            "pointer": told,
            "rollout": self.judged(body, Troubles(_troubles(newest, lens), _troubles(older, lens))),
            "serving": dict(Counter(lens.read(pod) or "" for pod in ready)),
            "misfit": lens.misfit(where, template),
            "undeclared": lens.undeclared(where, template),
            "other_applier": paths.applier(body, (*_TEMPLATE, *lens.path(template))),
        }
        if found["misfit"] is None:
            found["basis"] = self._basis(body, lens)
        if entry.pointer.config_map is not None:
            found |= self._in_config_map(seen, entry, template, wished, found)
        return self._state(body, **found)

    def _state(self, body: Mapping[str, Any], **found: Any) -> TargetState:
        metadata = body["metadata"]
        empty: dict[str, Any] = {"pointer": None, "other_applier": None, "serving": {}}
        return TargetState(uid=metadata["uid"], resource_version=metadata["resourceVersion"], **(empty | found))

    def _in_config_map(
        self, seen: Seen, entry: Serving, template: Mapping[str, Any], wished: str, found: Mapping[str, Any]
    ) -> dict[str, Any]:
        where = entry.pointer.config_map
        assert where is not None
        config_map = seen.others.get(configmaps.name_of(where))
        misfit = configmaps.misfit(where, config_map)
        if config_map is None or misfit is not None:
            return {"misfit": misfit, "pointer": None}
        return {
            "pointer": configmaps.pointer(where, config_map, template, wished),
            "undeclared": configmaps.undeclared(where, config_map),
            "other_applier": configmaps.applier(where, config_map) or found["other_applier"],
            "basis": {**found["basis"], "configMap": configmaps.basis(where, config_map, template)},
        }

    def _basis(self, body: Mapping[str, Any], lens: PodPointer) -> dict[str, Any]:
        path = (*_TEMPLATE, *lens.path(body["spec"]["template"]))
        if self.merges and not lens.one_piece and not paths.applied_elsewhere(body, path):
            return {"path": path}
        operation = lens.operation(body["spec"]["template"])
        return {"operation": {**operation, "path": f"/spec/template{operation['path']}"}}

    def patches(self, action: Repoint) -> tuple[Patch, ...]:
        where, basis = action.pointer.config_map, action.basis
        if where is None:
            return (self._patch(action, None),)
        seen = basis["configMap"]
        # The ConfigMap first: pods that start anew must find the new value.
        return (configmaps.patch(where, seen, action), self._patch(action, configmaps.edition(seen, action.value)))

    def _patch(self, action: Repoint, edition: str | None) -> Patch:
        lens = pod_pointer(action.pointer)
        if not self.merges or lens.one_piece or "operation" in action.basis:
            operations = [filled(action.basis["operation"], action.value)]
            if edition is not None:
                operations.append({"op": "add", "path": paths.pointer(_EDITION), "value": edition})
            return edited(action, operations)
        content = paths.manifest(action.basis.get("path") or (*_TEMPLATE, *lens.path({})), action.value)
        if edition is not None:
            content["spec"]["template"]["metadata"]["annotations"][configmaps.EDITION] = edition
        return applied(action, content)

    def addresses(self, seen: Seen, entry: Serving, value: str) -> tuple[str, ...]:
        lens = pod_pointer(entry.pointer)
        return addresses(pod for pod in self.with_traffic(seen.body, self._pods(seen)) if lens.read(pod) == value)

    def _pods(self, seen: Seen) -> list[Pod]:
        selector = seen.body["spec"].get("selector") or {}
        return [pod for pod in living(seen.pods) if selects(selector, pod)]


def _troubles(pods: Sequence[Pod], lens: PodPointer) -> tuple[RolloutState, ...]:
    return tuple(found for pod in pods if (found := trouble(pod, lens.container)) is not None)
