"""ModelVersion: its registry's word, its evaluations, the others' claims, and the targets as they are."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..api.base import Key, seconds
from ..api.modelversion import ModelVersion
from ..api.references import DatasetPin, DatasetReference, pinned_source
from ..core.facts import Fact, Failed, ModelSnapshot, Pending
from ..core.modelversion import CONFIRMED, confirmed_since, decide
from ..core.plan import Plan
from ..core.stages import HOLDING, entries, named_targets, standing
from ..core.versionfacts import VersionFacts
from .ports import Ports, Store
from .rivals import rivals
from .targets import Targets

_POLL = 10.0
"""Seconds between looks at a target of which no event tells."""
_HOLD = "the operator is on hold (WEIGHBRIDGE_HOLD): it looks and tells, and changes nothing"


class ModelVersionController:
    """One version of one model."""

    kind = ModelVersion

    def __init__(self, watched: Iterable[str] = ("Deployment", "StatefulSet", "Service"), hold: bool = False) -> None:
        """`watched`: kinds of targets whose changes are heard of; others are looked at every ten seconds. `hold`: nothing is
        changed for any version."""
        self._watched, self._hold = frozenset(watched), _HOLD if hold else ""

    def group(self, resource: ModelVersion, store: Store) -> str:
        """By target: all versions that claim it, and those that claim another target of one of them. Others do not wait."""
        namespace, named = resource.metadata.namespace, named_targets(resource)
        return f"{namespace} {'/'.join(store.tied(namespace, *min(named)))}" if named else str(resource.key)

    def urgent(self, resource: ModelVersion) -> bool:
        return any(state.state in HOLDING for state in resource.status.serving)

    async def observe(self, resource: ModelVersion, ports: Ports) -> VersionFacts:
        namespace, store = resource.metadata.namespace, ports.store
        registry = store.registry(namespace, resource.spec.source.registry_ref.name)
        targets, probes = await Targets(resource, ports).look()
        snapshot: Fact[ModelSnapshot] = Pending()
        last_write: Failed | None = None
        if registry is not None:
            # The answer comes from memory; a slow registry never holds up a rollback. Last, since its age counts.
            pin, source = resource.status.resolved, resource.spec.source
            wanted = pinned_source(source, pin) if pin else source
            wait, since = seconds(registry.spec.poll_interval), confirmed_since(resource)
            if since is not None:
                wait = min(CONFIRMED, max(0.0, (ports.now() - since).total_seconds()))
            snapshot = ports.registries.model(registry, wanted, resource.key, max_age=wait)
            last_write = ports.registries.last_write(registry, resource.key)
        return VersionFacts(
            registry=registry,
            snapshot=snapshot,
            evaluations={
                job.metadata.name: job
                for job in store.evaluations(namespace)
                if any(owner.uid == resource.metadata.uid for owner in job.metadata.owner_references)
            },
            datasets=_datasets(resource, ports),
            approvals=store.approvals(namespace, resource.metadata.name),
            siblings=rivals(resource, store),
            targets=targets,
            probes=probes,
            last_write=last_write,
            failure=ports.failure(resource.key),
            hold=self._hold,
        )

    def decide(self, resource: ModelVersion, observed: VersionFacts, now: datetime) -> Plan:
        plan = decide(resource, observed, now)
        if not self._polls(resource):
            return plan
        return replace(plan, requeue_after=min(_POLL, plan.requeue_after or _POLL))

    def _polls(self, version: ModelVersion) -> bool:
        """Whether the version depends on something of whose changes nobody tells."""
        for entry in entries(version):
            # No event of a Service tells of its pods.
            silent = entry.target_ref.kind == "Service" or entry.pointer.config_map is not None
            unheard = silent or entry.target_ref.kind not in self._watched
            state = standing(version, entry.target_ref)
            if unheard and (state is None or state.state not in ("Superseded", "RolledBack")):
                return True
        return False

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:
        metadata = body["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        if kind == "EvaluationJob":
            owners = metadata.get("ownerReferences", ())
            return [Key("ModelVersion", namespace, owner["name"]) for owner in owners if owner["kind"] == "ModelVersion"]
        if kind == "ModelRegistry":
            return [each.key for each in store.versions(namespace) if each.spec.source.registry_ref.name == name]
        if kind == "ModelApproval":
            return [Key("ModelVersion", namespace, body["spec"]["modelVersionRef"]["name"])]
        if kind == "ModelVersion":
            refs = [entry["targetRef"] for entry in body["spec"].get("serving", ())]
            targets = {(ref.get("kind", "Deployment"), ref["name"]) for ref in refs}
            # What the last pass saw may be named no more, which concerns the others too.
            targets |= {tuple(state["target"].split("/", 1)) for state in body.get("status", {}).get("serving", ())}
            concerned = {each.key for target in targets for each in store.claimants(namespace, *target)}
            return concerned - {Key("ModelVersion", namespace, name)}
        return [each.key for each in store.claimants(namespace, kind, name)]


def _datasets(version: ModelVersion, ports: Ports) -> dict[str, tuple[Fact[DatasetPin], ...]]:
    """What registries say now of the datasets of each decided evaluation, from memory, at most one poll interval old."""
    decided = {state.name for state in version.status.evaluations if state.datasets}
    if version.spec.stage == "Archived":
        return {}
    return {
        evaluation.name: tuple(_dataset(version, reference, ports) for reference in evaluation.template.datasets)
        for evaluation in version.spec.evaluations
        if evaluation.name in decided
    }


def _dataset(version: ModelVersion, reference: DatasetReference, ports: Ports) -> Fact[DatasetPin]:
    registry = ports.store.registry(version.metadata.namespace, reference.registry_ref.name)
    if registry is None:
        return Pending()
    return ports.registries.dataset(registry, reference, version.key, max_age=seconds(registry.spec.poll_interval))
