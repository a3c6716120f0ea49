"""ModelRegistry: asks the server whether it answers and takes the credentials."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ..api.base import Key, seconds
from ..api.modelregistry import ModelRegistry
from ..core.modelregistry import RegistryFacts, decide
from ..core.plan import Plan
from .ports import Ports, Store


class ModelRegistryController:
    """One connection to a registry."""

    kind = ModelRegistry

    def group(self, resource: ModelRegistry, store: Store) -> str:  # noqa: ARG002
        return str(resource.key)

    def urgent(self, resource: ModelRegistry) -> bool:  # noqa: ARG002
        return False

    async def observe(self, resource: ModelRegistry, ports: Ports) -> RegistryFacts:
        wait = seconds(resource.spec.poll_interval)
        return RegistryFacts(ports.registries.server(resource, resource.key, max_age=wait))

    def decide(self, resource: ModelRegistry, observed: RegistryFacts, now: datetime) -> Plan:
        return decide(resource, observed, now)

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:  # noqa: ARG002
        return ()
