"""Claims and election: the one rule that decides what a target serves.

The pointer follows the newest eligible claim. *Newest* comes from the claims alone (precedence, then creation time in the registry,
then name), never from the order of events, so a cluster rebuilt from Git elects the same winner.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..api.annotations import HOLD
from ..api.modelversion import FINALIZER, ModelVersion, RollbackTrigger
from ..api.references import ModelPin
from ..api.serving import Pointer, Serving, TargetRef
from ..api.versionstatus import Rejection, ServingState
from .conditions import find
from .stages import HOLDING, entries, had, said_why, standing

_ANSWERS = ("Resolved", "LineageComplete", "Evaluated")
_SEEN = ("RolloutFailed", "ProbeFailed")
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
    refused: bool
    """There is evidence against it: seen to fail here, failed its evaluation, revoked, demoted, dead as a way back."""
    serves: bool
    """Is proved to serve the target."""
    field: Pointer | None = None
    """The field of the target that names the model, without its value."""
    holds: bool = False
    """The target is told to serve it."""
    rejected_at: datetime | None = None
    """When it was last seen to fail here, which is not a person's or an alert's word."""
    anchored: bool = False
    """Cannot vanish while a target points at it (its finalizer is set): others may hand a target to it."""


def newest_first(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The order of claims: a total order, whatever order they come in."""
    return tuple(sorted(claims, key=lambda claim: (claim.precedence, claim.created_at or _DAWN, claim.name), reverse=True))


def winner(claims: Iterable[Claim]) -> Claim | None:
    """The newest eligible claim: what the target should serve. None: what serves stays."""
    return next((claim for claim in newest_first(claims) if claim.eligible), None)


def waits_for(name: str, claims: Iterable[Claim]) -> str | None:
    """The claim that has to be decided before this one is evaluated; empty where two that are eligible go before it; None where its
    evaluation is worth a GPU now: it would win, or be the standby kept ready for rollback."""
    everyone = tuple(claims)
    mine = next((claim for claim in everyone if claim.name == name), None)
    if mine is None:
        return None
    ordered = newest_first(everyone)
    newer = ordered[: ordered.index(mine)]
    unknown = [claim for claim in everyone if claim.undecided and claim.created_at is None and claim.name != name]
    # One that is not resolved yet may turn out to be the newest.
    undecided = [*unknown, *(claim for claim in newer if claim.undecided)]
    if undecided:
        return undecided[0].name
    return "" if sum(claim.eligible for claim in newer) > 1 else None


def claim(version: ModelVersion, target: TargetRef) -> Claim | None:
    """The claim of a version on a target, from its spec and status; None where it makes none."""
    entry = claimed(version, target)
    if entry is None or version.metadata.deletion_timestamp is not None:
        return None
    status = version.status
    state = standing(version, target)
    # What never fitted the target cannot win it; what once held it keeps its claim.
    unfit = bool(state and not state.fits and state.repointed_at is None)
    holds = bool(state and state.state in HOLDING)
    refused = bool(state and rejection(version, state)) or (_fallen(version, entry) if holds else _refused(version, entry))
    approved = _approved(version, entry, state)
    answers = [find(status.conditions, kind) for kind in _ANSWERS]
    # An answer about the spec of before says nothing about this one: a gate that was just changed is passed by nobody yet.
    now = version.metadata.generation
    granted = all(answer is not None and answer.status == "True" and answer.observed_generation == now for answer in answers)
    granted = granted and approved is True
    # What holds the target loses it only to evidence: a question that is open again (a changed gate, say) is none.
    eligible = (
        status.resolved is not None and not refused and not unfit and (granted or holds) and (not suspended(version) or holds)
    )
    return Claim(
        name=version.metadata.name,
        precedence=version.spec.precedence,
        created_at=status.resolved.created_at if status.resolved else None,
        eligible=eligible,
        # What waits for people may wait for days: others are weighed, and serve, meanwhile.
        undecided=not eligible and not refused and not unfit and not suspended(version) and approved is not False,
        value=pointer_value(entry, status.resolved) if status.resolved else "",
        refused=refused,
        serves=bool(state and state.state == "Serving"),
        field=field(entry),
        holds=holds,
        rejected_at=held.at if state and (held := rejection(version, state)) and held.reason in _SEEN else None,
        anchored=FINALIZER in version.metadata.finalizers,
    )


def field(entry: Serving) -> Pointer:
    """What an entry points with, whatever its value."""
    return entry.pointer.model_copy(update={"value": ""})


def may_hand_over(entry: Serving, won: Claim) -> bool:
    """Whether who loses the target may write the winner's value itself: into the same field, where the winner cannot vanish
    meanwhile, and nobody needs to see first whether its pods are there. Otherwise the winner takes it, in its own pass."""
    return won.anchored and won.field == field(entry) and entry.pointer.selector is None


def _approved(version: ModelVersion, entry: Serving, state: ServingState | None) -> bool | None:
    """Whether people let it have the target; False where they are still asked, None where it cannot be told from status."""
    asked, told = version.spec.approvals, version.status.approvals
    if asked is None or entry.stage not in asked.stages:
        return True
    answer = find(version.status.conditions, "Approved")
    if answer is None or answer.observed_generation != version.metadata.generation or told is None or told.stage != entry.stage:
        return None
    if answer.status != "False":
        return answer.status == "True" or None
    # With several targets: what it has or had is not asked about once more.
    return not _disapproved(version, entry) and had(state)


def _disapproved(version: ModelVersion, entry: Serving) -> bool:
    """Whether people rejected it."""
    asked, answer = version.spec.approvals, find(version.status.conditions, "Approved")
    if asked is None or entry.stage not in asked.stages or answer is None:
        return False
    return answer.status == "False" and answer.reason == "ApprovalRejected"


def _refused(version: ModelVersion, entry: Serving) -> bool:
    """Whether a version that does not hold the target may not have it: everything must be granted, and a way back be alive."""
    if _disapproved(version, entry):
        return True
    answers = (find(version.status.conditions, kind) for kind in (*_ANSWERS, "RollbackReady"))
    return any(answer is not None and answer.status == "False" and answer.reason != "NoStandby" for answer in answers)


def _fallen(version: ModelVersion, entry: Serving) -> bool:
    """Whether there is evidence against a version that holds the target: it is to leave, was revoked or rejected, or failed its
    evaluation."""
    if entry.stage != version.spec.stage and said_why(version):
        return True
    resolved, evaluated = (find(version.status.conditions, kind) for kind in ("Resolved", "Evaluated"))
    if resolved is not None and resolved.status == "False":
        return True  # said of what serves only where it was revoked (core/resolution)
    if _disapproved(version, entry) and version.spec.rollback.automatic:
        return True
    failed = evaluated is not None and evaluated.status == "False" and evaluated.reason == "GateFailed"
    return failed and reacts(version, "EvaluationFailed")


def reacts(version: ModelVersion, trigger: RollbackTrigger) -> bool:
    """Whether the operator may take a target away from the version for this."""
    return version.spec.rollback.automatic and trigger in version.spec.rollback.triggers


def suspended(version: ModelVersion) -> bool:
    """Whether nothing is to be changed for the version, by its spec or by annotation (any value but `false`)."""
    return version.spec.suspend or version.metadata.annotations.get(HOLD, "false") != "false"


def claimed(version: ModelVersion, target: TargetRef) -> Serving | None:
    """The serving entry by which a version claims a target."""
    return next((each for each in entries(version) if each.target_ref == target), None)


def rejection(version: ModelVersion, state: ServingState) -> Rejection | None:
    """The rejection that holds now: of this generation and this content."""
    held = state.rejection
    pin = version.status.resolved
    if held is None or pin is None or held.digest != pin.digest:
        return None
    # What was seen may be different with another spec; what a person said stands until they take it back.
    if held.reason != "Requested" and held.generation != version.metadata.generation:
        return None
    return held


def pointer_value(entry: Serving, pin: ModelPin) -> str:
    """The pointer's value that names the pinned version."""
    return filled(entry.pointer.value, pin)


def filled(value: str, pin: ModelPin) -> str:
    """A template over the pin; other braces stay as they are."""
    for word, text in (("uri", pin.uri), ("name", pin.name), ("version", pin.version), ("digest", pin.digest)):
        value = value.replace(f"{{{word}}}", text)
    return value
