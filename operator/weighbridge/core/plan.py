"""What `decide` returns: the new status and the actions, in order. Each action is idempotent and carries its precondition.

The status is written first (intent before effect), then the actions run; the first that fails ends the pass, and the failure is a
fact of the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..api.base import Key
from ..api.serving import Pointer, TargetRef
from .facts import WriteOrder

Cause: TypeAlias = Literal["Promotion", "Rollback", "Restore", "Adoption"]
"""Why a pointer is written: a newer version won, the newest one failed, somebody else changed it, or it says what it should already
and only becomes the operator's own."""


@dataclass(frozen=True)
class Create:
    """Create an object of deterministic name in the resource's namespace; one that exists already is success."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Delete:
    """Delete the object with exactly this uid; one that is gone already is success."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class Repoint:
    """Give the pointer of a target its value, if the target is still the one that was seen."""

    target: TargetRef
    pointer: Pointer
    value: str
    uid: str
    resource_version: str
    cause: Cause
    basis: Mapping[str, Any] = field(default_factory=dict)
    """`TargetState.basis`, as it was seen."""


@dataclass(frozen=True)
class WriteRegistry:
    """Bring a version's entry in its registry to the order; the answer wakes the resource."""

    registry: str
    order: WriteOrder


@dataclass(frozen=True)
class SetFinalizer:
    """Add or remove the operator's finalizer."""

    present: bool


@dataclass(frozen=True)
class Wake:
    """Look at other objects at once: what they decide from has changed."""

    keys: tuple[Key, ...]


Action: TypeAlias = Create | Delete | Repoint | WriteRegistry | SetFinalizer | Wake


@dataclass(frozen=True)
class Plan:
    """The whole outcome of one pass."""

    status: Any
    """The complete new status (a model of the kind's status)."""
    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
    """Seconds until the next look without any event; None: the resync is enough."""
