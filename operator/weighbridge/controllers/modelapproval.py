"""ModelApproval: tells whether it counts, by the ModelVersion it names."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ..api.base import Key
from ..api.modelapproval import ModelApproval
from ..core.modelapproval import ApprovalFacts, decide
from ..core.plan import Plan
from .ports import Ports, Store


class ModelApprovalController:
    """One decision of a person."""

    kind = ModelApproval

    def group(self, resource: ModelApproval, store: Store) -> str:  # noqa: ARG002
        return str(resource.key)

    def urgent(self, resource: ModelApproval) -> bool:  # noqa: ARG002
        return False

    async def observe(self, resource: ModelApproval, ports: Ports) -> ApprovalFacts:
        return ApprovalFacts(ports.store.version(resource.metadata.namespace, resource.spec.model_version_ref.name))

    def decide(self, resource: ModelApproval, observed: ApprovalFacts, now: datetime) -> Plan:
        return decide(resource, observed, now)

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:
        if kind != "ModelVersion":
            return ()
        metadata = body["metadata"]
        return [each.key for each in store.approvals(metadata["namespace"], metadata["name"])]
