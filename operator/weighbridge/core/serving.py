"""One version and one target: elect, re-point, and hand on to the proof or to the loser's part.

Positive evidence alone takes a target away from a version."""

import json
from dataclasses import replace

from ..api.modelversion import FINALIZER
from ..api.versionstatus import ServingState
from .conditions import Draft, stamp
from .election import field, rejection, suspended, winner
from .facts import Absent, Failed, Known, TargetState
from .handover import HOUR, as_loser, given
from .plan import Cause, SetFinalizer
from .proof import LOOK_AGAIN, idle, prove
from .situation import Drifts, Outcome, Situation
from .stages import HOLDING

_RESTORES = 2
"""How often somebody else's change of the pointer is taken back before the operator stops and says so."""
_FLAPS = 3
"""How often within an hour a target is given to one version while another one could serve it."""


def serve(situation: Situation) -> Outcome:
    """The step to take now for this version on this target."""
    last = situation.last
    last = last.model_copy(update={"wished": situation.wished, "rejection": rejection(situation.version, last)})
    match situation.target:
        case Absent(reason=reason, message=message):
            blocked = last.model_copy(update={"state": "Blocked", "observed": "", "since": None})
            return Outcome(blocked, Draft("Serving", False, reason, message))
        case Failed(reason=reason, message=message, retry_after=retry_after):
            return Outcome(last, Draft("Serving", None, reason, message), (), (("Unknown", message),), retry_after)
        case Known(value=target):
            pass
    last = last.model_copy(update={"observed": (target.pointer or "")[:1024]})
    if situation.frozen or suspended(situation.version):
        return _frozen(situation, last, target)
    if trouble := _misfit(situation, target, last):
        reason, message = trouble
        blocked = last.model_copy(update={"state": "Blocked", "since": None, "fits": False})
        return Outcome(blocked, Draft("Serving", False, reason, message))
    last = last.model_copy(update={"fits": True})
    won = winner(situation.claims)
    if won is not None and won.name == situation.name:
        return _as_winner(situation, last, target)
    outcome = as_loser(situation, last, target, won)
    return replace(outcome, obstacle="" if outcome.state.state in HOLDING else target.not_yet)


def _frozen(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    """A suspended version keeps its standing: nothing is done, so nothing may be said to be under way."""
    serves = last.state == "Serving" and bool(target.serving.get(situation.wished))
    why = situation.frozen or "suspended"
    draft = Draft("Serving", serves, "Suspended", f"{why}; {situation.where} is told to serve {target.pointer or 'nothing'}")
    if last.state == "Serving" and target.pointer != situation.wished:
        return Outcome(last, draft, (), (("Pointer", draft.message),))
    silent = last.state == "Serving" and not serves
    return Outcome(last, draft, (), idle(target, f"no pod of {situation.where} is ready; {why}") if silent else ())


def _misfit(situation: Situation, target: TargetState, last: ServingState) -> tuple[str, str] | None:
    if target.misfit is not None:
        return target.misfit.reason, target.misfit.message
    if target.undeclared is not None and target.pointer is None and last.repointed_at is None:
        return target.undeclared.reason, target.undeclared.message
    other = next((each for each in situation.claims if each.holds and each.name != situation.name), None)
    if other is not None and last.state not in HOLDING and other.field != field(situation.entry):
        text = f"{other.name} has {situation.where} by another field than {situation.entry.pointer.shown}"
        return "PointersDiffer", f"{text}: versions of one workload use one field: name the same in both"
    probe = situation.entry.probe
    odd = next((each.name for each in probe.invariants if not _is_json(each.body)), None) if probe else None
    if odd is not None and last.state not in HOLDING:
        return "ProbeInvalid", f"the body of invariant {odd} is no JSON; correct serving.probe.invariants"
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _as_winner(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    if target.pointer != situation.wished:
        return _take(situation, last, target)
    outcome = prove(situation, last, target)
    if outcome.state.rejection is not None:
        claims = [replace(each, eligible=False, refused=True) if each.name == situation.name else each for each in situation.claims]
        return as_loser(replace(situation, claims=claims), outcome.state, target, winner(claims))
    if FINALIZER in situation.version.metadata.finalizers or target.other_applier is not None:
        return outcome
    own = (SetFinalizer(present=True), situation.repoint(target, situation.wished, "Adoption"))
    return replace(outcome, actions=(*own, *outcome.actions))


def _take(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    """This version won and the pointer says something else."""
    where, named = situation.where, situation.entry.pointer.shown
    held = situation.held and not _given_to_another(situation, last, target)
    known = any(each.value == target.pointer for each in situation.claims)
    foreign = f"{named} of {where} is {target.pointer or 'empty'}" + ("" if known or not held else ", which no ModelVersion names")
    same = situation.version.status.observed_generation == situation.version.metadata.generation
    lately = last.repointed_at is not None and situation.now - last.repointed_at < HOUR
    tired = ((held and lately) or last.state == "Blocked") and last.restored >= _RESTORES and same
    if target.other_applier is not None or (tired and target.pointer is not None):
        if owner := target.other_applier:
            message = f"{foreign}, applied by {owner}; take {named} out of what {owner} applies"
        else:
            message = f"{foreign}, changed again after it was put back twice; find who does, then set it to {situation.wished}"
        blocked = last.model_copy(update={"state": "Blocked", "since": None})
        return Outcome(blocked, Draft("Serving", False, "FieldOwnedByOther", message), (), (("Pointer", message),))
    failing = next((claim for claim in situation.claims if claim.refused and claim.value == target.pointer), None)
    if (waits := _waits(situation, last, target, failing=failing is not None, held=held)) is not None:
        return waits
    cause: Cause = "Restore" if held else "Rollback" if failing else "Promotion"
    state = given(situation, last, target).model_copy(update={"restored": last.restored + 1 if lately else 1} if held else {})
    drift: Drifts = (("Pointer", f"{foreign}, changed by somebody else; putting it back"),) if held else ()
    return Outcome(
        state,
        Draft("Serving", None, "Repointing", f"giving {where} to {situation.wished}"),
        (SetFinalizer(present=True), situation.repoint(target, situation.wished, cause)),
        drift,
        LOOK_AGAIN,
    )


def _given_to_another(situation: Situation, last: ServingState, target: TargetState) -> bool:
    """Whether the operator itself gave the target to another version since: nobody else has changed it then."""
    mine = last.repointed_at
    given = ((each.state, each.repointed_at) for each in situation.others if each.wished == target.pointer)
    return any(at is not None and (state in HOLDING or mine is None or at >= mine) for state, at in given)


def _waits(situation: Situation, last: ServingState, target: TargetState, *, failing: bool, held: bool) -> Outcome | None:
    """What a version that won still waits for before it takes the target; None where nothing keeps it."""
    where = situation.where
    unknown = [claim.name for claim in situation.claims if claim.undecided and claim.created_at is None]
    if unknown and not failing and last.state == "Waiting" and not any(claim.serves for claim in situation.claims):
        # Nothing serves yet: an older version must not go first only because its registry answered sooner.
        text = f"{where} waits until {unknown[0]} is resolved too: it may be the newer one"
        return Outcome(last, Draft("Serving", None, "Electing", text))
    if situation.hold is not None and not failing and last.state == "Waiting" and last.repointed_at is None:
        # What served or stood by is taken (back) without asking anybody; what is new has to be there now.
        asked = last.model_copy(update={"asked_at": last.asked_at or stamp(situation.now)})
        return Outcome(asked, situation.hold.draft, requeue=situation.hold.requeue)
    if target.not_yet:
        return Outcome(last, Draft("Serving", None, "NotYet", target.not_yet), requeue=LOOK_AGAIN, obstacle=target.not_yet)
    served = any(claim.eligible and claim.value == target.pointer for claim in situation.claims)
    recent = [each for each in last.taken if situation.now - each < HOUR]
    if served and not held and len(recent) >= _FLAPS:
        free = recent[0] + HOUR
        text = f"{where} was given to this version {len(recent)} times within an hour; again at {free:%H:%M} UTC, or on a retry"
        wait = (free - situation.now).total_seconds()
        return Outcome(last, Draft("Serving", False, "Flapping", text), requeue=max(LOOK_AGAIN, wait))
    return None
