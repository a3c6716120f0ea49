"""The version as a whole: `Ready`, the one word for people, `InSync`; from what was decided, in one place."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.annotations import REASON
from ..api.modelversion import ModelVersion
from ..api.versionstatus import DriftType, ServingState
from .conditions import Draft, Summary, find
from .election import suspended
from .evaluations import Evaluated
from .layers import is_definite
from .resolution import Resolution
from .situation import Outcome
from .stages import HOLDING, entries, leaves, said_why, target_name
from .versionfacts import VersionFacts


@dataclass(frozen=True)
class View:
    """What was decided about one version."""

    version: ModelVersion
    resolution: Resolution
    evaluated: Evaluated
    outcomes: Sequence[Outcome]
    facts: VersionFacts
    left: str = ""
    """The stage it has just left with a target or its place as the way back; empty where it has not."""
    approved: Draft | None = None
    """Approved; None where nobody is asked."""

    @property
    def holds(self) -> bool:
        """Whether a target is told to serve it."""
        return any(outcome.state.state in HOLDING for outcome in self.outcomes)


def left(before: ModelVersion, now: Sequence[ServingState]) -> str:
    """The stage in which a version had a target, or was the way back, until this moment."""
    kept = {state.target for state in now}
    lost = {state.target for state in before.status.serving if state.state in (*HOLDING, "Superseded")} - kept
    entries_of_others = (entry for entry in before.spec.serving if entry.stage != before.spec.stage)
    return next((entry.stage for entry in entries_of_others if target_name(entry.target_ref) in lost), "")


def worst(view: View) -> Draft:
    """`Serving`: what the target that is worst off says."""
    order: dict[bool | None, int] = {False: 0, None: 1, True: 2}
    drafts = sorted((outcome.draft for outcome in view.outcomes), key=lambda draft: order[draft.status])
    return drafts[0] if drafts else _unnamed(view.version)


def _unnamed(version: ModelVersion) -> Draft:
    """No target is claimed; told loudly where one was, until the spec changes again."""
    named = {target_name(entry.target_ref) for entry in version.spec.serving}
    dropped = [state.target for state in version.status.serving if state.state in HOLDING and state.target not in named]
    if dropped:
        text = f"{dropped[0]} was told to serve this version until spec.serving named it no more"
        rest = "another version takes it if one may, else it stays as it is and unwatched; put the entry back if this was not meant"
        return Draft("Serving", False, "EntryRemoved", f"{text}: {rest}")
    last = find(version.status.conditions, "Serving")
    if last is not None and last.reason == "EntryRemoved" and last.observed_generation == version.metadata.generation:
        return Draft("Serving", False, last.reason, last.message)
    return Draft("Serving", False, "NoClaim", "this version claims no workload in its stage")


def in_sync(view: View, drift: Sequence[tuple[DriftType, str]]) -> Draft:
    """`InSync`, from all drift that is seen."""
    blocked = [each for each in view.outcomes if not each.state.observed and each.state.state == "Blocked"]
    if not drift and view.resolution.pin is None:
        return Draft("InSync", None, "NotResolved", "nothing is pinned yet that could be compared")
    if not drift and blocked:
        return Draft("InSync", None, blocked[0].draft.reason, blocked[0].draft.message)
    if not drift:
        return Draft("InSync", True, "NoDrift", "registry, pointer and pods agree")
    known = [each for each in drift if each[0] != "Unknown"]
    kind, message = (known or drift)[0]
    return Draft("InSync", False if known else None, kind, message)


def summarise(view: View) -> tuple[Summary, str]:
    """`Ready` and the one word for people; the first that applies."""
    version, evaluated = view.version, view.evaluated.draft
    resolved, complete = view.resolution.resolved, view.resolution.complete
    asked = view.approved if view.approved is not None and view.approved.status is False else None
    rejected = [asked] if asked is not None and asked.reason == "ApprovalRejected" else []
    refused = next((draft for draft in (resolved, complete, evaluated, *rejected) if draft.status is False), None)
    if refused is not None and not view.holds:
        return Summary("Stalled", refused.reason, refused.message), "Refused"
    if suspended(version) or view.facts.hold:
        why = view.facts.hold or ("spec.suspend is set" if version.spec.suspend else "on hold by annotation")
        return Summary("InProgress", "Suspended", f"{why}: nothing is changed"), "Suspended"
    if (failure := view.facts.failure) is not None:
        return Summary("InProgress", failure.reason, failure.message), "Blocked"
    if resolved.status is None:
        phase = "Resolving" if resolved.reason == "Checking" else "Waiting"
        return Summary("InProgress", resolved.reason, resolved.message), phase
    if refused is not None:  # it holds a target all the same: nobody else may, or this takes nothing away from what serves
        return _kept(view, refused)
    if (unexplained := _unexplained(view)) is not None:
        return unexplained
    if not view.outcomes and (said := _gone(view)) is not None:
        return said
    if evaluated.status is None and not view.holds:
        return Summary("InProgress", evaluated.reason, f"{evaluated.message}{_later(view)}"), "Evaluating"
    if asked is not None and worst(view).reason != "Superseded" and not view.holds:
        return Summary("InProgress", asked.reason, f"{asked.message}{_later(view)}"), "AwaitingApproval"
    if not view.outcomes:
        draft = worst(view)
        if draft.reason == "EntryRemoved":
            return Summary("InProgress", draft.reason, draft.message), "Weighed"
        return Summary("Ready", "Weighed", _unclaimed(version)), "Weighed"
    summary, phase = _standing(view)
    if evaluated.status is None and phase == "Serving" and summary.state == "Ready":
        return Summary("InProgress", evaluated.reason, evaluated.message), "Serving"
    return summary, phase


def _later(view: View) -> str:
    """What would keep it from serving, once it may."""
    blocked = next((each.draft.message for each in view.outcomes if each.state.state == "Blocked"), "")
    return f"; it could not serve then: {blocked}" if blocked else ""


def _kept(view: View, refused: Draft) -> tuple[Summary, str]:
    said = worst(view)
    phase = "Serving" if any(outcome.state.state == "Serving" for outcome in view.outcomes) else "Promoting"
    if said.reason == "NoEligibleClaim":
        return Summary("Stalled", said.reason, f"{said.message}: {refused.message}"), phase
    return Summary("Stalled", refused.reason, refused.message), phase


def _unexplained(view: View) -> tuple[Summary, str] | None:
    """A stage that was lowered without a word, while the version serves or is the way back."""
    version = view.version
    staying = [entry for entry in entries(version) if leaves(version, entry)]
    if not staying or said_why(version) or not view.outcomes:
        return None
    phase = "Serving" if view.holds else "Superseded"
    where = target_name(staying[0].target_ref)
    role = f"serves {where}" if view.holds else f"is kept as the way back of {where}"
    wish = f"say why it goes to {version.spec.stage} (annotation {REASON})"
    text = f"stays in {staying[0].stage}, since it {role}: {wish}"
    return Summary("Stalled", "DemotionNeedsReason", text), phase


def _gone(view: View) -> tuple[Summary, str] | None:
    """A version that has left its stage, which is announced, and one that is archived."""
    version = view.version
    archived = version.spec.stage == "Archived"
    phase = "Archived" if archived else "Demoted"
    if view.left:
        why = said_why(version) or "nothing came back to it in time"
        return Summary("Ready", "Demoted", f"left {view.left} for {version.spec.stage}: {why}"), phase
    status = version.status
    last = next((each for each in status.conditions if each.type == "Ready"), None)
    if last is not None and last.reason == "Demoted" and status.observed_generation == version.metadata.generation:
        return Summary("Ready", "Demoted", last.message), phase
    return (Summary("Ready", "Archived", "kept for the record"), phase) if archived else None


def _unclaimed(version: ModelVersion) -> str:
    entries = version.spec.serving
    if not entries:
        return "pinned and passed; spec.serving names no workload"
    where = target_name(entries[0].target_ref)
    return f"pinned and passed; its stage is {version.spec.stage}: set stage to {entries[0].stage} to serve on {where}"


def _standing(view: View) -> tuple[Summary, str]:
    """The summary of a version that may serve, from its standing on its targets; the worst one speaks."""
    said = worst(view)
    states: set[str] = {outcome.state.state for outcome in view.outcomes}
    for state, result, phase in (
        ("RolledBack", "Stalled", "RolledBack"),
        ("Blocked", "Stalled", "Blocked"),
        ("Progressing", "InProgress", "Promoting"),
        ("Waiting", "InProgress", "Promoting"),
        ("Superseded", "Ready", "Superseded"),
    ):
        if state in states:
            ended = said.reason in ("RolloutFailed", "ProbeFailed") or (said.status is False and is_definite(said.reason))
            stalled = result == "Stalled" or ended
            if stalled:
                return Summary("Stalled", said.reason, said.message), "Blocked" if phase == "Promoting" else phase
            return Summary("Ready" if result == "Ready" else "InProgress", said.reason, said.message), phase
    if said.status is not True or said.reason in ("NoEligibleClaim", "OnlyOneServing"):
        return Summary("InProgress", said.reason, said.message), "Serving"
    return Summary("Ready", said.reason if said.reason != "Proved" else "Serving", said.message), "Serving"
