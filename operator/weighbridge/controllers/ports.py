"""What controllers need of the world, as protocols; `runtime` and `registries` provide it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from ..api.base import Key, Resource
from ..api.evaluationjob import EvaluationJob
from ..api.modelapproval import ModelApproval
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.references import DatasetPin, DatasetReference, ModelReference
from ..api.serving import Probe, TargetRef
from ..core.evaluationfacts import Heard
from ..core.facts import Fact, Failed, ModelSnapshot, ProbeOutcome, ServerInfo
from ..core.plan import Plan


class Store(Protocol):
    """The kinds as last seen by the watch or returned by an own write, whichever is newer."""

    def registry(self, namespace: str, name: str) -> ModelRegistry | None: ...
    def evaluation(self, namespace: str, name: str) -> EvaluationJob | None: ...
    def version(self, namespace: str, name: str) -> ModelVersion | None: ...
    def approvals(self, namespace: str, version: str) -> tuple[ModelApproval, ...]:
        """ModelApprovals that name this ModelVersion."""
        ...

    def versions(self, namespace: str) -> tuple[ModelVersion, ...]: ...
    def claimants(self, namespace: str, kind: str, name: str) -> tuple[ModelVersion, ...]:
        """ModelVersions whose serving entries name this object, as target or as the ConfigMap the pointer lives in."""
        ...

    def tied(self, namespace: str, kind: str, name: str) -> tuple[str, str]:
        """Kind and name that stand for a target and all that are tied to it: two are where one version names both."""
        ...

    def evaluations(self, namespace: str) -> tuple[EvaluationJob, ...]: ...


class ClusterError(Exception):
    """The API server did not answer, or refused. `reason` is one stable word, `public` a sentence for people, `retry_after`
    seconds where the server said when to ask again."""

    def __init__(self, reason: str, public: str, retry_after: float | None = None) -> None:
        super().__init__(public)
        self.reason, self.public, self.retry_after = reason, public, retry_after


class Cluster(Protocol):
    """Live reads. Raises `ClusterError` where the API server does not answer or refuses."""

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None: ...
    async def list(
        self, api_version: str, kind: str, namespace: str, labels: Mapping[str, str]
    ) -> tuple[Mapping[str, Any], ...]: ...


class Registries(Protocol):
    """Questions to registries. Each returns at once with what is known; where that is older than `max_age` seconds it is asked
    again in the background and `asker` is woken by the answer."""

    def server(self, registry: ModelRegistry, asker: Key, max_age: float) -> Fact[ServerInfo]: ...
    def model(self, registry: ModelRegistry, ref: ModelReference, asker: Key, max_age: float) -> Fact[ModelSnapshot]: ...
    def dataset(self, registry: ModelRegistry, ref: DatasetReference, asker: Key, max_age: float) -> Fact[DatasetPin]: ...
    def last_write(self, registry: ModelRegistry, asker: Key) -> Failed | None: ...


class Probes(Protocol):
    """Questions to pods. Returns at once what they answered last, None where they never did; `asker` is woken by an answer that
    says something else.

    Right answers are asked for again when they are older than `period` seconds, others after a moment. What was asked before
    `since` (the time the pointer was given) counts for nothing, nor does what other pods answered, unless `keep`: then it counts
    until these have answered."""

    def ask(
        self,
        asker: Key,
        target: TargetRef,
        addresses: tuple[str, ...],
        probe: Probe,
        *,
        since: datetime | None,
        period: float,
        keep: bool,
    ) -> ProbeOutcome | None: ...


class ProgressOf(Protocol):
    """Questions to running evaluations how far they are. Returns at once what the pod (by uid) said last, None where it says
    nothing; asks again in the background, not often, and wakes `asker` when something else is said."""

    def ask(self, asker: Key, pod: str, address: str) -> Heard | None: ...


@dataclass(frozen=True)
class Ports:
    """Everything an `observe` may use."""

    store: Store
    cluster: Cluster
    registries: Registries
    probes: Probes
    progress: ProgressOf
    now: Callable[[], datetime]
    failure: Callable[[Key], Failed | None]
    """The action that failed in the last pass of this object, if one did."""


R = TypeVar("R", bound=Resource)
Observed = TypeVar("Observed")


class Controller(Protocol[R, Observed]):
    """One kind: what it depends on, how its facts are gathered, and the pure decision."""

    kind: type[R]

    def group(self, resource: R, store: Store) -> str:
        """Passes of one group never run at the same time (e.g. all claims on one target)."""
        ...

    def urgent(self, resource: R) -> bool:
        """Whether news of what it depends on may mean a rollback: then its pass goes before those of others."""
        ...

    async def observe(self, resource: R, ports: Ports) -> Observed: ...

    def decide(self, resource: R, observed: Observed, now: datetime) -> Plan: ...

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:
        """Objects of this kind to look at after an event on another object (`kind` and its body)."""
        ...
