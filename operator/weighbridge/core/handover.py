"""A target changes hands: what a version that is given it starts with, and what one that has lost it does.

What serves is handed over at once where there is evidence against it, left to a newer version that takes it where there is none,
and never taken to nothing.
"""

from datetime import timedelta

from ..api.base import Key
from ..api.versionstatus import ServingState
from .conditions import Draft, stamp
from .election import Claim, may_hand_over
from .facts import TargetState
from .plan import Action, Wake
from .situation import Outcome, Situation
from .stages import HOLDING, leaves, said_why

HOUR = timedelta(hours=1)
"""Within which a target that is given to the same version again and again is flapping."""


def given(situation: Situation, last: ServingState, target: TargetState) -> ServingState:
    """The standing of a version that is given the target now."""
    again = last.state in HOLDING
    recent = tuple(each for each in last.taken if situation.now - each < HOUR)
    now = stamp(situation.now)
    change = {
        "state": "Progressing",
        "previous": last.previous if again else (target.pointer or "")[:1024],
        "restored": last.restored if last.state == "Progressing" else 0,
        # A patch that did not arrive is made again: the first time counts.
        "repointed_at": last.repointed_at if last.state == "Progressing" and not situation.held else now,
        "since": None,
        "until": None,
        "failing_since": None,
        "asked_at": None,
        "taken": recent if again else (*recent, now)[-4:],
        "rollback": last.rollback if again else last.repointed_at is not None,
    }
    return last.model_copy(update=change)


def as_loser(situation: Situation, last: ServingState, target: TargetState, won: Claim | None) -> Outcome:
    """What is to be said and done about a target that this version may not have, or not any more."""
    where = situation.where
    mine = next((claim for claim in situation.claims if claim.name == situation.name), None)
    eligible = mine is not None and mine.eligible
    held = last.rejection
    pointed = target.pointer == situation.wished
    actions: tuple[Action, ...] = ()
    if won is not None and pointed and target.pointer != won.value and not eligible and target.other_applier is None:
        # This version still has the pointer but lost its claim to it: hand it over at once.
        key = Key("ModelVersion", situation.version.metadata.namespace, won.name)
        handed = may_hand_over(situation.entry, won)
        actions = (situation.repoint(target, won.value, "Rollback"), Wake((key,))) if handed else (Wake((key,)),)
    if actions and held is None and leaves(situation.version, situation.entry) and said_why(situation.version):
        text = f"leaves {situation.entry.stage} ({said_why(situation.version)}): giving {where} to {won.value if won else ''}"
        return Outcome(last, Draft("Serving", None, "Leaving", text), actions)
    if pointed and won is not None and not eligible and target.other_applier is not None:
        text = (
            f"{situation.entry.pointer.shown} of {where} is applied by {target.other_applier}, so it cannot go back to {won.value}"
        )
        message = f"{text}; take it out of what {target.other_applier} applies, or set it there"
        return Outcome(last, Draft("Serving", False, "FieldOwnedByOther", message), (), (("Pointer", message),))
    if held is not None and won is None and pointed and last.state == "Serving":
        text = f"{held.reason}: {held.message}; no other version may serve on {where}: what serves stays"
        return Outcome(last, Draft("Serving", held.reason in ("Alert", "Requested"), "NoEligibleClaim", text))
    if held is not None:
        after = f"back to {won.value}" if won else "no other version is eligible: what is set stays"
        text = f"{held.reason}: {held.message}; {after}"
        state = _ended(situation, last, "RolledBack")
        return Outcome(state, Draft("Serving", False, "RolledBack" if won else "NoEligibleClaim", text), actions)
    if won is None and last.state == "Serving" and pointed:
        return Outcome(last, _alone(situation, mine))
    if eligible and won is not None:
        if pointed and target.pointer != won.value and last.state in ("Serving", "Progressing"):
            # The winner takes the pointer itself, once it sees that the target fits its own wish.
            text = f"{where} is to be given to the newer {won.value}"
            return Outcome(last, Draft("Serving", True if last.state == "Serving" else None, "Outranked", text))
        state = _ended(situation, last, "Superseded")
        text = f"{where} {'serves' if won.serves else 'is being given to'} {won.value}, which goes before this version"
        return Outcome(state, Draft("Serving", False, "Superseded", text))
    state = _ended(situation, last, "Waiting")
    return Outcome(state, Draft("Serving", False, "NotEligible", "this version may not serve yet"), actions)


def _ended(situation: Situation, last: ServingState, state: str) -> ServingState:
    """The standing of a version that does not have the target (any more)."""
    until = last.until or (stamp(situation.now) if last.state == "Serving" else None)
    return last.model_copy(update={"state": state, "since": None, "until": until, "failing_since": None, "asked_at": None})


def _alone(situation: Situation, mine: Claim | None) -> Draft:
    where, version = situation.where, situation.version
    if mine is not None and mine.refused and situation.entry.stage != version.spec.stage:
        text = f"leaves {situation.entry.stage} ({said_why(version)}) once another version may serve on {where}: there is none now"
        return Draft("Serving", True, "OnlyOneServing", text)
    return Draft("Serving", True, "NoEligibleClaim", f"no version is eligible for {where} any more; what serves stays")
