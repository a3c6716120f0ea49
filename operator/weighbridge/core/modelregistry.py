"""What to say of a ModelRegistry: reachable, unauthorised, misconfigured."""

from dataclasses import dataclass
from datetime import datetime

from ..api.base import seconds
from ..api.modelregistry import ModelRegistry, ModelRegistryStatus
from .conditions import Summary, settle
from .facts import Absent, Fact, Failed, Known, Pending, ServerInfo
from .plan import Plan


@dataclass(frozen=True)
class RegistryFacts:
    """The server's answer."""

    server: Fact[ServerInfo]


def decide(registry: ModelRegistry, facts: RegistryFacts, now: datetime) -> Plan:
    """Status from the server's answer; asked again at every poll interval, sooner after a failure."""
    wait = seconds(registry.spec.poll_interval)
    version = registry.status.server_version
    match facts.server:
        case Known(value=info):
            summary = Summary("Ready", "Reachable", "the registry answers what it is asked")
            version = info.version
        case Absent(reason=reason, message=message):
            summary = Summary("Stalled", reason, message)
        case Failed(reason=reason, message=message, retry_after=retry_after):
            summary, wait = Summary("InProgress", reason, message), min(wait, retry_after)
        case Pending():
            summary = Summary("InProgress", "Checking", "waiting for the registry's first answer")
            if registry.status.conditions and registry.status.observed_generation == registry.metadata.generation:
                return Plan(status=registry.status, requeue_after=wait)
    status = ModelRegistryStatus(
        observed_generation=registry.metadata.generation,
        server_version=version[:64],
        url=registry.spec.url,
        conditions=settle(registry.status.conditions, summary.drafts(), registry.metadata.generation, now),
    )
    return Plan(status=status, requeue_after=wait)
