"""One version and one target: elect, re-point, prove, give back. Positive evidence alone takes a target away from a version."""

from dataclasses import replace

from ..api.base import Key, seconds
from ..api.modelversion import FINALIZER, DriftType, Rejection, RollbackTrigger, ServingState
from .conditions import Draft, find, stamp
from .election import Claim, rejection, target_name, winner
from .facts import Absent, Failed, Known, ProbeOutcome, TargetState
from .plan import Action, Cause, Repoint, SetFinalizer, Wake
from .situation import Outcome, Situation

LOOK_AGAIN = 2.0
"""Seconds between looks at a rollout under way."""
_AT_REST = ("Paused", "ScaledToZero")
"""States of a workload in which nothing rolls out, so that no deadline runs."""
_RESTORES = 2
"""How often somebody else's change of the pointer is taken back before the operator stops and says so."""


def serve(situation: Situation) -> Outcome:
    """The step to take now for this version on this target."""
    last, name = situation.last, situation.version.metadata.name
    rejected = rejection(situation.version, last)
    last = last.model_copy(update={"wished": situation.wished, "rejection": rejected})
    match situation.target:
        case Absent(reason=reason, message=message):
            blocked = last.model_copy(update={"state": "Blocked", "observed": "", "since": None})
            return Outcome(blocked, Draft("Serving", False, reason, message))
        case Failed(reason=reason, message=message, retry_after=retry_after):
            return Outcome(last, Draft("Serving", None, reason, message), (), (("Unknown", message),), retry_after)
        case Known(value=target):
            pass
    last = last.model_copy(update={"observed": (target.pointer or "")[:1024]})
    if situation.version.spec.suspend:
        return _frozen(situation, last, target)
    if trouble := _misfit(target, last):
        reason, message = trouble
        blocked = last.model_copy(update={"state": "Blocked", "since": None})
        return Outcome(blocked, Draft("Serving", False, reason, message))
    won = winner(situation.claims)
    if won is not None and won.name == name:
        return _as_winner(situation, last, target)
    return _as_loser(situation, last, target, won)


def _frozen(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    """A suspended version keeps its standing: nothing is done, so nothing may be said to be under way."""
    where = target_name(situation.entry.target_ref)
    serves = last.state == "Serving" and bool(target.serving.get(situation.wished))
    draft = Draft("Serving", serves, "Suspended", f"suspended; {where} is told to serve {target.pointer or 'nothing'}")
    if last.state == "Serving" and target.pointer != situation.wished:
        return Outcome(last, draft, (), (("Pointer", draft.message),))
    return Outcome(last, draft)


def _misfit(target: TargetState, last: ServingState) -> tuple[str, str] | None:
    if target.misfit is not None:
        return target.misfit.reason, target.misfit.message
    if target.undeclared is not None and target.pointer is None and last.repointed_at is None:
        return target.undeclared.reason, target.undeclared.message
    return None


def _as_winner(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    if target.pointer != situation.wished:
        return _take(situation, last, target)
    outcome = _prove(situation, last, target)
    if FINALIZER in situation.version.metadata.finalizers or target.other_applier is not None or outcome.state.rejection:
        return outcome
    own = (SetFinalizer(present=True), _repoint(situation, target, situation.wished, "Adoption"))
    return replace(outcome, actions=(*own, *outcome.actions))


def _prove(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    """The pointer names this version: does the target serve it?"""
    state = last
    said = find(situation.version.status.conditions, "Serving")
    rested = said is not None and said.reason in _AT_REST and target.rollout.reason not in _AT_REST
    if last.state not in ("Progressing", "Serving") or (last.state == "Progressing" and rested):
        state = last.model_copy(update={"state": "Progressing", "repointed_at": stamp(situation.now), "since": None})
    where = target_name(situation.entry.target_ref)
    failure = _failed(situation, state, target)
    if failure is not None:
        return _reject(situation, state, target, *failure)
    if target.rollout.state == "Complete" and set(target.serving) == {situation.wished}:
        if situation.entry.probe is None or _proved(situation.probe):
            since = state.since or stamp(situation.now)
            served = state.model_copy(update={"state": "Serving", "since": since})
            pods = sum(target.serving.values())
            many = "" if pods == 1 else "s"
            return Outcome(served, Draft("Serving", True, "Proved", f"{where} serves {situation.wished} from {pods} pod{many}"))
        message = situation.probe.message if situation.probe else "waiting for the probe's answer"
        if state.state == "Serving" and situation.probe is not None:  # proved before, and now it does not answer
            draft = Draft("Serving", False, "ProbeFailed", message)
            return Outcome(state, draft, (), (("Serving", message),), LOOK_AGAIN * 5)
        return Outcome(state, Draft("Serving", None, "Probing", message), requeue=LOOK_AGAIN)
    if state.state == "Serving":  # proved before; now another rollout or a pod is under way
        message = f"{where} is rolling: {target.rollout.message or 'pods of another version are still ready'}"
        others = [value for value in target.serving if value != situation.wished]
        drift: tuple[tuple[DriftType, str], ...] = (("Serving", f"pods still serve {others[0] or 'nothing'}"),) if others else ()
        if target.serving.get(situation.wished):
            return Outcome(state, Draft("Serving", True, "Rolling", message), (), drift, LOOK_AGAIN)
        text = f"no pod of {where} is ready: {target.rollout.message or 'the rollout goes on'}"
        return Outcome(state, Draft("Serving", False, "NoReadyPods", text), (), drift, LOOK_AGAIN * 5)
    reason = target.rollout.reason if target.rollout.reason in _AT_REST else "Progressing"
    return Outcome(state, Draft("Serving", None, reason, target.rollout.message or "old pods go"), requeue=LOOK_AGAIN)


def _proved(probe: ProbeOutcome | None) -> bool:
    return probe is not None and probe.asked > 0 and probe.passed == probe.asked


def _failed(situation: Situation, state: ServingState, target: TargetState) -> tuple[RollbackTrigger, str] | None:
    """Positive evidence that this version does not serve, or None."""
    if state.repointed_at is None or target.rollout.reason in _AT_REST:
        return None
    deadline = seconds(situation.entry.progress_deadline)
    proved = (situation.now - state.since).total_seconds() if state.state == "Serving" and state.since else 0.0
    if target.rollout.state == "Failed" and proved <= deadline and not target.serving.get(situation.wished):
        return "RolloutFailed", target.rollout.message
    if state.state != "Progressing":
        return None
    if (situation.now - state.repointed_at).total_seconds() <= deadline:
        return None
    if target.rollout.state == "Complete" and situation.probe is not None and not _proved(situation.probe):
        return "ProbeFailed", situation.probe.message
    return "RolloutFailed", f"not proved to serve within {situation.entry.progress_deadline}: {target.rollout.message}"


def _take(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    """This version won and the pointer says something else."""
    where, env = target_name(situation.entry.target_ref), situation.entry.pointer.shown
    held = situation.held
    foreign = f"{env} of {where} is {target.pointer or 'empty'}"
    same = situation.version.status.observed_generation == situation.version.metadata.generation
    tired = (held or last.state == "Blocked") and last.restored >= _RESTORES and same
    if target.other_applier is not None or (tired and target.pointer is not None):
        if owner := target.other_applier:
            message = f"{foreign}, applied by {owner}; take {env} out of what {owner} applies"
        else:
            message = f"{foreign}, changed again after it was put back twice; find who does, then set it to {situation.wished}"
        blocked = last.model_copy(update={"state": "Blocked", "since": None})
        return Outcome(blocked, Draft("Serving", False, "FieldOwnedByOther", message), (), (("Pointer", message),))
    failing = next((claim for claim in situation.claims if claim.rejected and claim.value == target.pointer), None)
    unknown = [claim.name for claim in situation.claims if claim.undecided and claim.created_at is None]
    if unknown and failing is None and last.state == "Waiting" and not any(claim.serves for claim in situation.claims):
        # Nothing serves yet: an older version must not go first only because its registry answered sooner.
        text = f"{where} waits until {unknown[0]} is resolved too: it may be the newer one"
        return Outcome(last, Draft("Serving", None, "Electing", text))
    if situation.hold is not None and failing is None and last.state == "Waiting" and last.repointed_at is None:
        # What served or stood by is taken (back) without asking anybody; what is new has to be there now.
        return Outcome(last, situation.hold.draft, requeue=situation.hold.requeue)
    cause: Cause = "Restore" if held else "Rollback" if failing else "Promotion"
    state = last.model_copy(
        update={
            "state": "Progressing",
            "previous": last.previous if last.state in ("Progressing", "Serving") else (target.pointer or "")[:1024],
            "restored": last.restored + 1 if held else last.restored if last.state == "Progressing" else 0,
            "repointed_at": stamp(situation.now),
            "since": None,
        }
    )
    drift: tuple[tuple[DriftType, str], ...] = (
        (("Pointer", f"{foreign}, changed by somebody else; putting it back"),) if held else ()
    )
    return Outcome(
        state,
        Draft("Serving", None, "Repointing", f"giving {where} to {situation.wished}"),
        (SetFinalizer(present=True), _repoint(situation, target, situation.wished, cause)),
        drift,
        LOOK_AGAIN,
    )


def _reject(situation: Situation, state: ServingState, target: TargetState, reason: RollbackTrigger, message: str) -> Outcome:
    """This version had its chance and was seen to fail: the target goes back to the newest other eligible claim."""
    rollback = situation.version.spec.rollback
    pin = situation.pin
    if pin is None or not rollback.automatic or reason not in rollback.on:
        told = f"{message}; automatic rollback on {reason} is off"
        return Outcome(state, Draft("Serving", False, reason, told), requeue=LOOK_AGAIN * 5)
    rejected = Rejection(
        reason=reason,
        message=message[:1024],
        at=stamp(situation.now),
        generation=situation.version.metadata.generation,
        digest=pin.digest,
    )
    state = state.model_copy(update={"state": "RolledBack", "rejection": rejected, "since": None})
    name = situation.version.metadata.name
    claims = [replace(claim, eligible=False, rejected=True) if claim.name == name else claim for claim in situation.claims]
    return _as_loser(replace(situation, claims=claims), state, target, winner(claims))


def _as_loser(situation: Situation, last: ServingState, target: TargetState, won: Claim | None) -> Outcome:
    """Another version won, or none did."""
    where = target_name(situation.entry.target_ref)
    mine = next((claim for claim in situation.claims if claim.name == situation.version.metadata.name), None)
    eligible = mine is not None and mine.eligible
    held = last.rejection
    pointed = target.pointer == situation.wished
    actions: tuple[Action, ...] = ()
    if won is not None and pointed and target.pointer != won.value and not eligible and target.other_applier is None:
        # This version still has the pointer but lost its claim to it: hand it over at once.
        key = Key("ModelVersion", situation.version.metadata.namespace, won.name)
        actions = (_repoint(situation, target, won.value, "Rollback"), Wake((key,)))
    if held is not None:
        after = f"back to {won.value}" if won else "no other version is eligible: what is set stays"
        text = f"{held.reason}: {held.message}; {after}"
        state = last.model_copy(update={"state": "RolledBack", "since": None})
        reason = "RolledBack" if won else "NoEligibleClaim"
        return Outcome(state, Draft("Serving", False, reason, text), actions)
    if won is None and last.state == "Serving" and pointed:
        text = f"no version is eligible for {where} any more; what serves stays"
        return Outcome(last, Draft("Serving", True, "NoEligibleClaim", text))
    if eligible and won is not None:
        if pointed and target.pointer != won.value and last.state in ("Serving", "Progressing"):
            # The winner takes the pointer itself, once it sees that the target fits its own wish.
            text = f"{where} is to be given to the newer {won.value}"
            return Outcome(last, Draft("Serving", True if last.state == "Serving" else None, "Outranked", text))
        state = last.model_copy(update={"state": "Superseded", "since": None})
        return Outcome(state, Draft("Serving", False, "Superseded", f"{where} serves the newer {won.value}"))
    state = last.model_copy(update={"state": "Waiting", "since": None})
    return Outcome(state, Draft("Serving", False, "NotEligible", "this version may not serve yet"), actions)


def _repoint(situation: Situation, target: TargetState, value: str, cause: Cause) -> Repoint:
    return Repoint(situation.entry.target_ref, situation.entry.pointer, value, target.uid, target.resource_version, cause)
