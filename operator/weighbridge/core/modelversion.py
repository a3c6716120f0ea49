"""What should happen to a ModelVersion: pin, lineage, evidence, serving, write-back, drift; then one summary of it all."""

from datetime import datetime, timedelta

from ..api.annotations import REASON
from ..api.base import seconds
from ..api.modelversion import ModelVersion
from ..api.serving import Serving, TargetRef
from ..api.versionstatus import Drift, DriftType, HistoryEntry, ModelVersionStatus, Requests
from .approvals import Approved, approve
from .conditions import Draft, Summary, settle, stamp
from .election import Claim, claim, pointer_value, suspended, waits_for
from .evaluations import Evaluated, evaluate, in_turn
from .facts import Absent, Failed, Known
from .plan import Action, Plan
from .release import release
from .requests import follow
from .resolution import Resolution, resolve
from .serving import serve
from .situation import Hold, Outcome, Situation
from .stages import entries, gone, leaves, said_why, standing
from .standby import rollback_ready
from .summary import View, in_sync, left, summarise, worst
from .versionfacts import VersionFacts
from .writeback import write_back

_LONGEST_HISTORY = 20
CONFIRMED = 5.0
"""Seconds the registry's word may be old when a version is given a target it never had."""
_STAMPED = timedelta(seconds=1)
"""Times in status are whole seconds, rounded down."""
_ASK_AGAIN = 0.5
"""Seconds until the next look at a promotion whose answer is on its way, which also wakes by itself."""


def decide(version: ModelVersion, facts: VersionFacts, now: datetime) -> Plan:
    """The complete new status and what to do."""
    if version.metadata.deletion_timestamp is not None:
        return release(version, facts, now)
    frozen = bool(facts.hold) or suspended(version)
    asked = version if frozen else follow(version, now)
    resolution = resolve(asked, facts)
    evaluated = evaluate(asked, resolution.pin, facts, now)
    approved = approve(asked, resolution.pin, resolution.lineage, evaluated, facts.approvals)
    me = _so_far(asked, resolution, evaluated, approved, now)
    evaluated = in_turn(evaluated, _before(me, facts))
    claimed = [entry for entry in entries(me) if not _left(me, entry, facts, now)]
    rivals = [_claims(me, entry.target_ref, facts) for entry in claimed]
    outcomes = [_serve(me, entry, claims, resolution, facts=facts, now=now) for entry, claims in zip(claimed, rivals, strict=True)]
    serving = tuple(outcome.state for outcome in outcomes)
    told = write_back(version, resolution.pin, evaluated.states, serving, facts=facts, now=now)
    drift = [*resolution.drift, *(each for outcome in outcomes for each in outcome.drift), *told.drift]
    view = View(me, resolution, evaluated, outcomes, facts, left(version, serving), approved.draft)
    summary, phase = summarise(view)
    drafts = (
        resolution.resolved,
        resolution.complete,
        evaluated.draft,
        *([approved.draft] if approved.draft is not None else []),
        worst(view),
        told.draft,
        in_sync(view, drift),
        *rollback_ready(version, resolution, evaluated.draft, approved.draft, outcomes=outcomes, claims=rivals, facts=facts),
        *summary.drafts(),
    )
    generation = version.metadata.generation
    status = ModelVersionStatus(
        observed_generation=generation,
        phase=phase,
        version=version.spec.source.shown(resolution.pin),
        score=evaluated.states[0].score if evaluated.states else "",
        resolved=resolution.pin,
        lineage=resolution.lineage,
        evaluations=evaluated.states,
        approvals=approved.state,
        serving=serving,
        requests=_requests(asked, view, claimed),
        registry=told.state,
        drift=_aged(version, drift, now),
        history=_history(version, phase, summary, now),
        conditions=settle(version.status.conditions, drafts, generation, now),
    )
    actions: list[Action] = []
    if not frozen:
        actions += evaluated.start
        actions += [action for outcome in outcomes for action in outcome.actions]
        actions += told.actions
    waits = [outcome.requeue for outcome in outcomes] + [told.retry_after, resolution.retry_after, evaluated.requeue]
    if facts.registry is not None:
        waits.append(seconds(facts.registry.spec.poll_interval))
    return Plan(status, tuple(actions), min((wait for wait in waits if wait is not None), default=None))


def _requests(version: ModelVersion, view: View, claimed: list[Serving]) -> Requests:
    """What was followed; the reason of a demotion is used up with it."""
    requests = version.status.requests
    if not view.left or any(leaves(version, entry) for entry in claimed):
        return requests
    return requests.model_copy(update={"reason": version.metadata.annotations.get(REASON, "").strip()[:1024]})


def _so_far(version: ModelVersion, resolution: Resolution, evaluated: Evaluated, approved: Approved, now: datetime) -> ModelVersion:
    """This version with what was just learnt, so that its own claim is counted by the same rule as all others."""
    drafts = [resolution.resolved, resolution.complete, evaluated.draft, *([approved.draft] if approved.draft is not None else [])]
    fresh = settle(version.status.conditions, drafts, version.metadata.generation, now)
    types = {"Approved", *(draft.type for draft in drafts)}
    conditions = (*fresh, *(each for each in version.status.conditions if each.type not in types))
    known = {"resolved": resolution.pin, "conditions": conditions, "approvals": approved.state}
    return version.model_copy(update={"status": version.status.model_copy(update=known)})


def _left(version: ModelVersion, entry: Serving, facts: VersionFacts, now: datetime) -> bool:
    """Whether a version that was to leave a stage has done so: another one has the target, or it was the way back long enough."""
    if not leaves(version, entry):
        return False
    fact, pin = facts.targets.get(entry.target_ref), version.status.resolved
    handed = isinstance(fact, Known) and pin is not None and fact.value.pointer != pointer_value(entry, pin)
    return (handed and bool(said_why(version))) or isinstance(fact, Absent) or gone(version, entry, now)


def _claims(version: ModelVersion, target: TargetRef, facts: VersionFacts) -> list[Claim]:
    return [found for each in (version, *facts.siblings) if (found := claim(each, target)) is not None]


def _serve(
    me: ModelVersion, entry: Serving, claims: list[Claim], resolution: Resolution, *, facts: VersionFacts, now: datetime
) -> Outcome:
    target = facts.targets.get(entry.target_ref) or Failed("NotObserved", "the target was not looked at yet", now, 1.0)
    hold, probe = _confirmed(me, facts, now), facts.probes.get(entry.target_ref)
    others = [said for each in facts.siblings if (said := standing(each, entry.target_ref)) is not None]
    return serve(Situation(me, entry, resolution.pin, claims, others, target, probe, now, hold, facts.hold))


def confirmed_since(version: ModelVersion) -> datetime | None:
    """From when on the registry's word counts for a first promotion that waits for it; None where none does.

    Only what was said after the promotion was wished tells that nothing has changed since the evaluation."""
    asked = [state.asked_at for state in version.status.serving if state.asked_at is not None]
    return max(asked) + _STAMPED if asked else None


def _confirmed(version: ModelVersion, facts: VersionFacts, now: datetime) -> Hold | None:
    """None where the registry has just confirmed the pin; else what the promotion waits for."""
    waits, since = "promoted once the registry confirms the version again", confirmed_since(version)
    match facts.snapshot:
        case Known(at=at) if since is not None and at >= since and (now - at).total_seconds() <= CONFIRMED:
            return None
        case Failed(reason=reason, message=message, retry_after=retry_after):
            return Hold(Draft("Serving", None, reason, f"{waits}: {message}"), retry_after)
        case Absent(reason=reason, message=message):
            return Hold(Draft("Serving", False, reason, f"{waits}: {message}"))
        case _:
            return Hold(Draft("Serving", None, "Checking", "asking the registry once more before the promotion"), _ASK_AGAIN)


def _before(version: ModelVersion, facts: VersionFacts) -> str | None:
    """Evaluations run newest claim first: the version whose turn it is, if it is not this one's (see `waits_for`). A version that
    claims nothing waits for nobody."""
    if version.spec.stage == "Archived":
        return ""
    name = version.metadata.name
    found = (waits_for(name, _claims(version, entry.target_ref, facts)) for entry in entries(version))
    return next((each for each in found if each is not None), None)


def _aged(version: ModelVersion, drift: list[tuple[DriftType, str]], now: datetime) -> tuple[Drift, ...]:
    before = {each.type: each.since for each in version.status.drift}
    first: dict[DriftType, Drift] = {}
    for kind, message in drift:
        first.setdefault(kind, Drift(type=kind, message=message[:1024], since=before.get(kind, stamp(now))))
    return tuple(first.values())


def _history(version: ModelVersion, phase: str, summary: Summary, now: datetime) -> tuple[HistoryEntry, ...]:
    """One entry for each change of the phase worth remembering."""
    history = version.status.history
    if phase in ("Resolving", "Waiting") or (history and history[-1].event == phase):
        return history
    return (*history, HistoryEntry(at=stamp(now), event=phase, message=summary.message[:1024]))[-_LONGEST_HISTORY:]
