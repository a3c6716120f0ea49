"""The way back: whether a version that was replaced could serve again, and whether what serves has such a version behind it.

Known before it is needed: the registry is asked about a version that stands by as often as about one that serves. What is dead is
skipped in the election (core/election).
"""

from collections.abc import Sequence

from ..api.modelversion import ModelVersion
from .conditions import Draft, find
from .election import Claim, newest_first, suspended
from .facts import Failed, Known
from .resolution import Resolution
from .situation import Outcome
from .stages import HOLDING
from .versionfacts import VersionFacts

_KIND = "RollbackReady"


def rollback_ready(
    version: ModelVersion,
    resolution: Resolution,
    evaluated: Draft,
    approved: Draft | None,
    *,
    outcomes: Sequence[Outcome],
    claims: Sequence[Sequence[Claim]],
    facts: VersionFacts,
) -> tuple[Draft, ...]:
    """The condition, or nothing where the version neither serves nor ever did. `claims`: those on the target of each outcome."""
    for outcome, rivals in zip(outcomes, claims, strict=True):
        if outcome.state.state in HOLDING:
            return (_behind(version, outcome, rivals),)
    if not any(outcome.state.repointed_at is not None and outcome.state.rejection is None for outcome in outcomes):
        return ()
    if resolution.resolved.status is False:
        return (Draft(_KIND, False, resolution.resolved.reason, f"not a way back any more: {resolution.resolved.message}"),)
    if suspended(version):
        return (Draft(_KIND, False, "Suspended", "not a way back while it is on hold"),)
    rejected = [approved] if approved is not None and approved.reason == "ApprovalRejected" else []
    for draft in (resolution.complete, evaluated, *rejected):
        if draft.status is False:
            return (Draft(_KIND, False, draft.reason, f"not a way back any more: {draft.message}"),)
    for outcome in outcomes:
        if outcome.obstacle:
            return (Draft(_KIND, False, "NotReady", f"not a way back just now: {outcome.obstacle}"),)
    match facts.snapshot:
        case Known():
            return (Draft(_KIND, True, "Ready", "pin and files are in the registry as they were; it can serve again at once"),)
        case Failed(reason=reason, message=message):
            return (Draft(_KIND, None, reason, f"could not be looked at again: {message}"),)
    last = find(version.status.conditions, _KIND)
    if last is not None and last.reason not in ("StandbyReady", "NoStandby"):
        return (Draft(_KIND, {"True": True, "False": False}.get(last.status), last.reason, last.message),)
    return (Draft(_KIND, None, "Checking", "asking the registry whether it could serve again"),)


def _behind(version: ModelVersion, outcome: Outcome, rivals: Sequence[Claim]) -> Draft:
    others = [claim for claim in newest_first(rivals) if claim.name != version.metadata.name]
    ready = next((claim for claim in others if claim.eligible), None)
    if ready is not None:
        return Draft(_KIND, True, "StandbyReady", f"{ready.name} could take {outcome.state.target} over")
    dead = next((claim for claim in others if claim.refused), None)
    why = f"; {dead.name} may not serve" if dead else ""
    return Draft(_KIND, False, "NoStandby", f"no other version could take {outcome.state.target} over{why}")
