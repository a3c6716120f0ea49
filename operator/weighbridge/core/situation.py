"""One version and one target, as the decision about them sees them, and what it says about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from ..api.modelversion import ModelVersion
from ..api.references import ModelPin
from ..api.serving import Serving
from ..api.versionstatus import DriftType, ServingState
from .conditions import Draft
from .election import Claim, pointer_value
from .facts import Absent, Failed, Known, ProbeOutcome, TargetState
from .plan import Action, Cause, Repoint
from .stages import HOLDING, standing, target_name

Drifts: TypeAlias = tuple[tuple[DriftType, str], ...]


@dataclass(frozen=True)
class Outcome:
    """What is to be said and done about one target."""

    state: ServingState
    draft: Draft
    """Serving."""
    actions: tuple[Action, ...] = ()
    drift: Drifts = ()
    requeue: float | None = None
    obstacle: str = ""
    """Why the target could not be given to this version just now."""


@dataclass(frozen=True)
class Hold:
    """Why a first promotion waits."""

    draft: Draft
    """Serving."""
    requeue: float | None = None
    """Seconds until the next look; None: the next poll, or a change, is soon enough."""


@dataclass(frozen=True)
class Situation:
    """A version, its claim, the others' claims, and the target as it is."""

    version: ModelVersion
    entry: Serving
    pin: ModelPin | None
    claims: Sequence[Claim]
    """All claims on the target, this version's included."""
    others: Sequence[ServingState]
    """What all other versions say of the target, those that leave or go included."""
    target: Known[TargetState] | Absent | Failed
    probe: ProbeOutcome | None
    now: datetime
    hold: Hold | None = None
    """What a first promotion still waits for: the registry has not confirmed the version just now."""
    frozen: str = ""
    """Why nothing is to be changed anywhere; empty where that is not so."""

    @property
    def name(self) -> str:
        """Name of the version."""
        return self.version.metadata.name

    @property
    def where(self) -> str:
        """Kind and name of the target."""
        return target_name(self.entry.target_ref)

    @property
    def last(self) -> ServingState:
        return standing(self.version, self.entry.target_ref) or ServingState(
            target=target_name(self.entry.target_ref), state="Waiting"
        )

    @property
    def wished(self) -> str:
        return pointer_value(self.entry, self.pin) if self.pin else ""

    @property
    def held(self) -> bool:
        """Whether the pointer was seen to name this version: only then can somebody else have changed it. One that was never seen
        there is a patch that got lost."""
        return self.last.state in HOLDING and self.last.observed == self.wished != ""

    def repoint(self, target: TargetState, value: str, cause: Cause) -> Repoint:
        """Gives the target the value, if it is still the one that was seen."""
        ref, pointer = self.entry.target_ref, self.entry.pointer
        return Repoint(ref, pointer, value, target.uid, target.resource_version, cause, target.basis)
