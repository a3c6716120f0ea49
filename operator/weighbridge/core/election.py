"""Claims and election: the one rule that decides what a target serves.

The pointer follows the newest eligible claim. *Newest* comes from the claims alone (precedence, then creation time in the registry,
then name), never from the order of events, so a cluster rebuilt from Git elects the same winner.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..api.modelversion import ModelVersion, Rejection, ServingState
from ..api.references import ModelPin
from ..api.serving import Serving, TargetRef
from .conditions import find

_DAWN = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Claim:
    """One version's claim on one target."""

    name: str
    """Name of the ModelVersion."""
    precedence: int
    created_at: datetime | None
    """Creation time in the registry; None while the version is not resolved."""
    eligible: bool
    """May serve."""
    undecided: bool
    """May not serve yet, but might: not resolved or not evaluated so far."""
    value: str
    """Value of the pointer that names this version; empty while the version is not resolved."""
    rejected: bool
    """Was seen to fail on this target."""
    serves: bool
    """Is proved to serve the target."""


def newest_first(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The order of claims: a total order, whatever order they come in."""
    return tuple(sorted(claims, key=lambda claim: (claim.precedence, claim.created_at or _DAWN, claim.name), reverse=True))


def winner(claims: Iterable[Claim]) -> Claim | None:
    """The newest eligible claim: what the target should serve. None: what serves stays."""
    return next((claim for claim in newest_first(claims) if claim.eligible), None)


def may_evaluate(name: str, claims: Iterable[Claim]) -> bool:
    """Whether a claim's evaluation is worth a GPU now: every newer claim is decided, and at most one of them is eligible, so that
    this one would win or be the standby kept ready for rollback."""
    everyone = tuple(claims)
    mine = next((claim for claim in everyone if claim.name == name), None)
    if mine is None:
        return True
    if any(claim.undecided and claim.created_at is None for claim in everyone if claim.name != name):
        return False  # it may turn out to be the newest
    ordered = newest_first(everyone)
    newer = ordered[: ordered.index(mine)]
    return not any(claim.undecided for claim in newer) and sum(claim.eligible for claim in newer) <= 1


def claim(version: ModelVersion, target: TargetRef) -> Claim | None:
    """The claim of a version on a target, from its spec and status; None where it makes none."""
    entry = claimed(version, target)
    if entry is None or version.metadata.deletion_timestamp is not None:
        return None
    status = version.status
    state = standing(version, target)
    rejected = bool(state and rejection(version, state))
    # What never fitted the target cannot win it; what once held it keeps its claim.
    unfit = bool(state and state.state == "Blocked" and state.repointed_at is None)
    answers = [find(status.conditions, kind) for kind in ("Resolved", "LineageComplete", "Evaluated")]
    granted = all(answer is not None and answer.status == "True" for answer in answers)
    refused = rejected or any(answer is not None and answer.status == "False" for answer in answers)
    serves = bool(state and state.state == "Serving")
    holds = bool(state and state.state in ("Serving", "Progressing"))
    # What holds the target loses it only to evidence: a question that is open again (a changed gate, say) is none.
    eligible = (
        status.resolved is not None and not refused and not unfit and (granted or holds) and (not version.spec.suspend or holds)
    )
    return Claim(
        name=version.metadata.name,
        precedence=version.spec.precedence,
        created_at=status.resolved.created_at if status.resolved else None,
        eligible=eligible,
        undecided=not eligible and not refused and not unfit and not version.spec.suspend,
        value=pointer_value(entry, status.resolved) if status.resolved else "",
        rejected=rejected,
        serves=serves,
    )


def claimed(version: ModelVersion, target: TargetRef) -> Serving | None:
    """The serving entry by which a version claims a target in its present stage."""
    return next((each for each in version.spec.serving if each.stage == version.spec.stage and each.target_ref == target), None)


def standing(version: ModelVersion, target: TargetRef) -> ServingState | None:
    """What the version's status says of a target."""
    return next((state for state in version.status.serving if state.target == target_name(target)), None)


def rejection(version: ModelVersion, state: ServingState) -> Rejection | None:
    """The rejection that holds now: of this generation and this content."""
    held = state.rejection
    pin = version.status.resolved
    if held is None or pin is None or held.generation != version.metadata.generation or held.digest != pin.digest:
        return None
    return held


def target_name(target: TargetRef) -> str:
    """Kind and name, as status shows it."""
    return f"{target.kind}/{target.name}"


def pointer_value(entry: Serving, pin: ModelPin) -> str:
    """The pointer's value that names the pinned version."""
    return filled(entry.pointer.value, pin)


def filled(value: str, pin: ModelPin) -> str:
    """A template over the pin; other braces stay as they are."""
    for word, text in (("uri", pin.uri), ("name", pin.name), ("version", pin.version), ("digest", pin.digest)):
        value = value.replace(f"{{{word}}}", text)
    return value
