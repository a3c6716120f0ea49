"""Conditions: drafted by decisions, settled against the last ones in one place. `Ready` comes from here alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..api.base import Condition

_LONGEST_MESSAGE = 1024


@dataclass(frozen=True)
class Draft:
    """A condition before it has a time. `status` None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Summary:
    """The object as a whole. `Stalled`: a definite end that only a change from outside can mend; `InProgress`: still on its way."""

    state: Literal["Ready", "InProgress", "Stalled"]
    reason: str
    message: str = ""

    def drafts(self) -> tuple[Draft, ...]:
        """`Ready`, `Reconciling` and `Stalled`, as `kubectl wait`, kstatus and Argo CD read them."""
        return (
            Draft("Ready", self.state == "Ready", self.reason, self.message),
            Draft("Reconciling", self.state == "InProgress", self.reason, self.message),
            Draft("Stalled", self.state == "Stalled", self.reason, self.message),
        )


def settle(last: Sequence[Condition], drafts: Iterable[Draft], generation: int, now: datetime) -> tuple[Condition, ...]:
    """The drafts as conditions; `lastTransitionTime` moves only where the status did."""
    before = {condition.type: condition for condition in last}
    settled = []
    for draft in drafts:
        status: Literal["True", "False", "Unknown"] = "Unknown" if draft.status is None else "True" if draft.status else "False"
        previous = before.get(draft.type)
        settled.append(
            Condition(
                type=draft.type,
                status=status,
                reason=draft.reason,
                message=draft.message[:_LONGEST_MESSAGE],
                last_transition_time=previous.last_transition_time if previous and previous.status == status else stamp(now),
                observed_generation=generation,
            )
        )
    return tuple(settled)


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def stamp(now: datetime) -> datetime:
    """A time as status keeps it: whole seconds."""
    return now.replace(microsecond=0)
