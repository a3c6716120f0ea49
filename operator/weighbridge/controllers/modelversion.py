"""ModelVersion: its registry's word, its evaluations, the others' claims, and the targets as they are."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ..api.base import Key, seconds
from ..api.modelversion import ModelVersion
from ..api.references import pinned_source
from ..api.serving import Serving, TargetRef
from ..core.election import pointer_value, standing
from ..core.facts import Absent, Fact, Failed, Known, ModelSnapshot, Pending, ProbeOutcome, TargetState
from ..core.modelversion import CONFIRMED, confirmed_since, decide
from ..core.plan import Plan
from ..core.versionfacts import VersionFacts
from ..serving.deployment import newest_addresses, target_state
from .ports import Ports, Store


class ModelVersionController:
    """One version of one model."""

    kind = ModelVersion

    def group(self, resource: ModelVersion) -> str:
        return f"{self.kind.info.kind} {resource.metadata.namespace}"

    async def observe(self, resource: ModelVersion, ports: Ports) -> VersionFacts:
        namespace, name = resource.metadata.namespace, resource.metadata.name
        store = ports.store
        registry = store.registry(namespace, resource.spec.source.registry_ref.name)
        targets: dict[TargetRef, Known[TargetState] | Absent | Failed] = {}
        probes: dict[TargetRef, ProbeOutcome] = {}
        for entry in resource.spec.serving:
            fact, probe = await self._target(resource, entry, ports)
            targets[entry.target_ref] = fact
            if probe is not None:
                probes[entry.target_ref] = probe
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
            siblings=tuple(each for each in store.versions(namespace) if each.metadata.name != name),
            targets=targets,
            probes=probes,
            last_write=last_write,
            failure=ports.failure(resource.key),
        )

    async def _target(
        self, resource: ModelVersion, entry: Serving, ports: Ports
    ) -> tuple[Known[TargetState] | Absent, ProbeOutcome | None]:
        namespace, ref = resource.metadata.namespace, entry.target_ref
        body = await ports.cluster.get(ref.api_version, ref.kind, namespace, ref.name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            message = f"there is no {ref.kind} {ref.name} in this namespace; create it or correct serving.targetRef"
            return Absent("TargetNotFound", message, ports.now()), None
        pods = await ports.cluster.list("v1", "Pod", namespace, body["spec"]["selector"].get("matchLabels", {}))
        known = standing(resource, ref)
        state = target_state(body, pods, entry.pointer, known.repointed_at if known else None)
        pin = resource.status.resolved
        if entry.probe is None or pin is None or state.rollout.state != "Complete":
            return Known(state, ports.now()), None
        wished = pointer_value(entry, pin)
        if state.pointer != wished:
            return Known(state, ports.now()), None
        outcome = await ports.probe(newest_addresses(pods, entry.pointer, wished), entry.probe)
        return Known(state, ports.now()), outcome

    def decide(self, resource: ModelVersion, observed: VersionFacts, now: datetime) -> Plan:
        return decide(resource, observed, now)

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:
        metadata = body["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        if kind == "EvaluationJob":
            owners = metadata.get("ownerReferences", ())
            return [Key("ModelVersion", namespace, owner["name"]) for owner in owners if owner["kind"] == "ModelVersion"]
        versions = store.versions(namespace)
        if kind == "ModelRegistry":
            return [version.key for version in versions if version.spec.source.registry_ref.name == name]
        if kind == "ModelVersion":
            changed = next((version for version in versions if version.metadata.name == name), None)
            wanted = _targets(changed) if changed else {entry["targetRef"]["name"] for entry in body["spec"].get("serving", ())}
            return [version.key for version in versions if version.metadata.name != name and _targets(version) & wanted]
        if kind == "Deployment":
            return [version.key for version in versions if name in _targets(version)]
        return ()


def _targets(version: ModelVersion) -> set[str]:
    return {entry.target_ref.name for entry in version.spec.serving}
