"""The targets of a ModelVersion as they are now: read once each, handed to the adapter of their kind, and probed."""

from collections.abc import Mapping
from typing import Any

from ..api.base import seconds
from ..api.modelversion import ModelVersion
from ..api.serving import Probe, Serving, TargetRef
from ..api.versionstatus import ServingState
from ..core.election import claimed, filled, pointer_value
from ..core.facts import Absent, Failed, Known, ProbeOutcome, TargetState
from ..core.stages import standing, target_name
from ..serving.base import ObjectName, Seen, Wants
from ..serving.targets import adapter
from ..settings import TARGETS
from .ports import ClusterError, Ports

_FORBIDDEN_WAIT = 30.0
TargetFact = Known[TargetState] | Absent | Failed


class Targets:
    """What one pass over one version reads; nothing is read twice."""

    def __init__(self, version: ModelVersion, ports: Ports) -> None:
        self._version, self._ports, self._namespace = version, ports, version.metadata.namespace
        self._objects: dict[ObjectName, Mapping[str, Any] | None] = {}

    async def look(self) -> tuple[dict[TargetRef, TargetFact], dict[TargetRef, ProbeOutcome]]:
        """Every target that is named in any stage, and what its pods answered where they were asked. Raises ClusterError where the
        API server does not answer."""
        facts: dict[TargetRef, TargetFact] = {}
        probes: dict[TargetRef, ProbeOutcome] = {}
        for named in self._version.spec.serving:
            ref = named.target_ref
            if ref in facts:
                continue
            # Where two stages name one target, the pointer of the present stage counts.
            fact, outcome = await self._target(claimed(self._version, ref) or named)
            facts[ref] = fact
            if outcome is not None:
                probes[ref] = outcome
        return facts, probes

    async def _target(self, entry: Serving) -> tuple[TargetFact, ProbeOutcome | None]:
        ref, now = entry.target_ref, self._ports.now()
        known, pin = standing(self._version, ref), self._version.status.resolved
        kind = adapter(ref)
        try:
            body = await self._read((ref.api_version, ref.kind, ref.name))
        except ClusterError as error:
            if error.reason not in ("UnknownKind", "Forbidden"):
                raise
            return self._unreadable(error, ref), None
        if body is None or "deletionTimestamp" in body["metadata"]:
            message = f"there is no {ref.kind} {ref.name} in this namespace; create it or correct serving.targetRef"
            return Absent("TargetNotFound", message, now), None
        wants = kind.wants(body, entry)
        try:
            others = {name: await self._read(name) for name in wants.others}
        except ClusterError as error:
            if error.reason != "Forbidden":
                raise
            return self._forbidden(wants), None
        pods = () if wants.pods is None else await self._ports.cluster.list("v1", "Pod", self._namespace, wants.pods)
        seen = Seen(body, pods, others)
        wished = pointer_value(entry, pin) if pin else ""
        state = kind.state(seen, entry, wished, known.repointed_at if known else None)
        if entry.probe is None or not _asks(entry.probe, known, state, wished):
            return Known(state, now), None
        through = entry.probe.service
        addresses = (f"{through}.{self._namespace}.svc",) if through else kind.addresses(seen, entry, wished)
        if wants.pods is None and not addresses:
            text = f"the pods of {target_name(ref)} are not known: name the Service to ask through in serving.probe.service"
            return Known(state, now), ProbeOutcome(0, 0, text)
        return Known(state, now), self._answers(entry, entry.probe, addresses, known) if addresses else None

    def _answers(self, entry: Serving, probe: Probe, addresses: tuple[str, ...], known: ServingState | None) -> ProbeOutcome | None:
        return self._ports.probes.ask(
            self._version.key,
            entry.target_ref,
            addresses,
            self._filled(entry, probe),
            since=known.repointed_at if known else None,
            period=seconds(probe.period),
            keep=_serves(known),
        )

    def _filled(self, entry: Serving, probe: Probe) -> Probe:
        """The probe with what this version must answer, instead of templates."""
        identity, pin = probe.identity, self._version.status.resolved
        if identity is None or pin is None:
            return probe
        default = {"OpenAI": entry.pointer.value, "OpenInference": "{version}"}.get(identity.protocol)
        value = default if identity.value is None else identity.value
        if value is None:
            return probe
        return probe.model_copy(update={"identity": identity.model_copy(update={"value": filled(value, pin)})})

    async def _read(self, name: ObjectName) -> Mapping[str, Any] | None:
        if name not in self._objects:
            api_version, kind, called = name
            self._objects[name] = await self._ports.cluster.get(api_version, kind, self._namespace, called)
        return self._objects[name]

    def _unreadable(self, error: ClusterError, ref: TargetRef) -> Absent | Failed:
        if error.reason == "UnknownKind":
            text = f"{error.public}; install what brings it, or correct serving.targetRef"
            return Absent("TargetKindUnknown", text, self._ports.now())
        value = (
            f"add {ref.kind} to the chart's servingTargets"
            if ref.kind in TARGETS
            else f"add the group and the resource of {ref.kind} to the chart's genericTargets"
        )
        return self._failed(f"the operator may not read {target_name(ref)}: {value}")

    def _forbidden(self, wants: Wants) -> Failed:
        names = ", ".join(f"{kind} {name}" for _, kind, name in wants.others)
        return self._failed(f"the operator may not read {names}: set configMapPointers in the chart's values")

    def _failed(self, message: str) -> Failed:
        return Failed("TargetForbidden", message, self._ports.now(), _FORBIDDEN_WAIT)


def _asks(probe: Probe, known: ServingState | None, state: TargetState, wished: str) -> bool:
    """Whether there is something to ask: the new pods when all is rolled out, and from then on whatever pods of it are ready."""
    if not wished:
        return False
    if state.pointer == wished and state.rollout.state == "Complete":
        return True
    # Behind one address nobody knows who answers, unless all say the same.
    there = set(state.serving) == {wished} if probe.service else bool(state.serving.get(wished))
    return _serves(known) and there


def _serves(known: ServingState | None) -> bool:
    return known is not None and known.state == "Serving"
