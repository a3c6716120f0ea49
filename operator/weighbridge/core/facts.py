"""What the outside said, as values: an answer, a definite no, a failure to tell, or no answer yet.

Failures are facts too: a time-out is a row in a table of `decide`, never an exception in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from ..api.references import Lineage, ModelPin

T = TypeVar("T")


@dataclass(frozen=True)
class Known(Generic[T]):
    """The outside answered."""

    value: T
    at: datetime
    """When the answer was received."""


@dataclass(frozen=True)
class Absent:
    """The outside said no: what was asked for does not exist, is incomplete or may not be read. Evidence, unlike `Failed`."""

    reason: str
    """Stable word, e.g. `VersionNotFound`."""
    message: str
    """Public sentence: what, where, what to do. Never text of an exception."""
    at: datetime


@dataclass(frozen=True)
class Failed:
    """It could not be told. Never evidence against anything."""

    reason: str
    """Stable word, e.g. `RegistryUnavailable`."""
    message: str
    """Public sentence."""
    at: datetime
    retry_after: float
    """Seconds until it makes sense to ask again."""


@dataclass(frozen=True)
class Pending:
    """Asked, no answer yet; the asker is woken by the answer."""


Fact: TypeAlias = Known[T] | Absent | Failed | Pending


@dataclass(frozen=True)
class ModelSnapshot:
    """What a registry says about one model version now."""

    pin: ModelPin
    lineage: Lineage
    tags: Mapping[str, str]
    """Own tags (`weighbridge.dev/…`) of the version."""
    aliases: frozenset[str]
    """Aliases of the model that point at this version now."""
    formats: frozenset[str] = frozenset()
    """What its files can be loaded as: `mlflow`, `safetensors`, `gguf`, `onnx`, `pickle`, …"""
    unsafe: str = ""
    """Why loading it runs code that came with it, for people: `weights only as pickle (model.bin)`; empty where it does not."""
    notice: str = ""
    """What people should know though nothing is wrong: `was renamed to organisation/name`."""


@dataclass(frozen=True)
class ServerInfo:
    """A registry that answers with valid credentials."""

    version: str


@dataclass(frozen=True)
class EvaluationResult:
    """A measured value on a dataset, for registries that publish such."""

    dataset: str
    """Name of the dataset in the registry."""
    revision: str
    metric: str
    value: float


@dataclass(frozen=True)
class WriteOrder:
    """What one model version's entry in the registry should say. Idempotent: same order, same end."""

    pin: ModelPin
    tags: Mapping[str, str]
    """Own tags with their values; other tags stay as they are."""
    alias: str | None
    """Alias that should point at the version; None leaves all aliases alone."""
    results: tuple[EvaluationResult, ...] = ()
    """To be offered to the model's owners, where the registry takes such and the ModelRegistry asks for it. They are offered once
    for each value of the tag `weighbridge.dev/results`."""


@dataclass(frozen=True)
class RolloutState:
    """How far a workload is with its newest pod template."""

    state: str
    """`Progressing`, `Complete` or `Failed`."""
    reason: str = ""
    """Why it failed: `CrashLoop`, `ImageUnavailable`, `OutOfMemory`, `DeadlineExceeded`, …"""
    message: str = ""
    crashed_at: datetime | None = None
    """When a container of it crashed last, where that is the reason."""


@dataclass(frozen=True)
class Misfit:
    """Why a target cannot be pointed at a model the way the version wants it."""

    reason: str
    """Stable word, e.g. `ContainerNotFound`."""
    message: str


@dataclass(frozen=True)
class TargetState:
    """A serving workload as it is now."""

    uid: str
    resource_version: str
    pointer: str | None
    """Value of the pointer; None where it is not set."""
    other_applier: str | None
    """Field manager that owns the pointer by server-side apply, other than the operator."""
    rollout: RolloutState
    serving: Mapping[str, int]
    """Census: value of the pointer in ready pods, to their number. Without known pods: the pointer's value, once it serves."""
    misfit: Misfit | None = None
    """What makes the pointer impossible: no such container, a value from elsewhere, …"""
    undeclared: Misfit | None = None
    """The pointer is not there, which only matters before it was ever written: most likely its name is misspelt."""
    not_yet: str = ""
    """Why the wished value cannot be set just now without taking away what serves: a Service would have no ready pods."""
    basis: Mapping[str, Any] = field(default_factory=dict)
    """What of the workload the patch is built from (serving/): the other arguments, the place in a list, …"""


@dataclass(frozen=True)
class ProbeOutcome:
    """Answers of the pods of the newest template to the probe."""

    asked: int
    passed: int
    message: str = ""
    """What the first failing pod answered."""
    wrong: int = 0
    """Of those that did not pass: how many answered, and wrongly. Silence is no answer."""
