"""Why one claim on a target goes before another, in words: the election's own order and answers, for people.

Must not decide anything: what wins is `election.winner`'s word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.modelversion import ModelVersion
from ..api.serving import TargetRef
from .conditions import find
from .election import Claim, claim, newest_first, rejection, suspended, winner
from .stages import standing

_ANSWERS = ("Resolved", "LineageComplete", "Evaluated", "Approved", "RollbackReady")


@dataclass(frozen=True)
class Ranked:
    """One claim in the order of the election."""

    claim: Claim
    wins: bool
    order: str
    """What its place in the order comes from."""
    reason: str
    """One word of docs/reasons.md on whether it may serve."""
    why: str
    """The same for people."""

    def shown(self, place: int) -> str:
        """One line."""
        word = "wins" if self.wins else "may serve" if self.claim.eligible else "may not serve"
        return f"{place}. {self.claim.name} {word} ({self.order}): {self.reason}{f': {self.why}' if self.why else ''}"


def rank(target: TargetRef, versions: Sequence[ModelVersion]) -> tuple[Ranked, ...]:
    """All claims on the target, the newest first."""
    owners = {each.metadata.name: each for each in versions}
    claims = [made for each in versions if (made := claim(each, target)) is not None]
    won = winner(claims)
    return tuple(
        Ranked(each, won is not None and each.name == won.name, _order(each), *_why(owners[each.name], target, each))
        for each in newest_first(claims)
    )


def _order(claim: Claim) -> str:
    made = f"registered {claim.created_at:%Y-%m-%dT%H:%M:%SZ}" if claim.created_at else "not resolved yet"
    return f"precedence {claim.precedence}, {made}" if claim.precedence else made


def _why(version: ModelVersion, target: TargetRef, claim: Claim) -> tuple[str, str]:
    """Reason and sentence; the first that keeps it from the target."""
    state = standing(version, target)
    held = rejection(version, state) if state is not None else None
    if held is not None:
        return held.reason, f"seen {held.at:%Y-%m-%dT%H:%M:%SZ}: {held.message}"
    if claim.eligible:
        return ("Serving", "") if claim.serves else ("Progressing", "") if claim.holds else ("Ready", "")
    if state is not None and not state.fits and state.repointed_at is None:
        said = find(version.status.conditions, "Serving")
        return (said.reason, said.message) if said is not None else ("NotEligible", "the workload does not fit its spec.serving")
    conditions = [find(version.status.conditions, kind) for kind in _ANSWERS]
    for status in ("False", "Unknown"):
        for each in conditions:
            if each is not None and each.status == status and each.reason != "NoStandby":
                return each.reason, each.message
    if suspended(version):
        return "Suspended", "it is on hold"
    if any(each is None or each.observed_generation != version.metadata.generation for each in conditions[:3]):
        return "NotObserved", "the operator has not looked at its spec yet"
    return "NotEligible", "it leaves its stage" if claim.refused else ""
