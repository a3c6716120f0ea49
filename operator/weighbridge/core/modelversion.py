"""What should happen to a ModelVersion: pin, lineage, evidence, serving, write-back, drift; then one summary of it all."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from ..api.base import seconds
from ..api.modelversion import Drift, DriftType, HistoryEntry, ModelVersion, ModelVersionStatus
from ..api.serving import Serving, TargetRef
from .conditions import Draft, Summary, find, settle, stamp
from .election import Claim, claim, may_evaluate, standing, target_name
from .evaluations import Evaluated, evaluate
from .facts import Absent, Failed, Known
from .layers import is_definite
from .plan import Action, Plan
from .release import release
from .resolution import Resolution, resolve
from .serving import serve
from .situation import Hold, Outcome, Situation
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
    resolution = resolve(version, facts)
    evaluated = evaluate(version, resolution.pin, facts)
    me = _so_far(version, resolution, evaluated, now)
    outcomes = [_serve(me, entry, resolution, facts, now) for entry in _claimed(me)]
    serving = tuple(outcome.state for outcome in outcomes)
    told = write_back(version, resolution.pin, evaluated.states, serving, facts=facts, now=now)
    drift = [*resolution.drift, *(each for outcome in outcomes for each in outcome.drift), *told.drift]
    summary, phase = _summary(me, resolution, evaluated, outcomes, facts.failure)
    drafts = (
        resolution.resolved,
        resolution.complete,
        evaluated.draft,
        _worst(outcomes),
        told.draft,
        _in_sync(drift, resolution, outcomes),
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
        serving=serving,
        registry=told.state,
        drift=_aged(version, drift, now),
        history=_history(version, phase, summary, now),
        conditions=settle(version.status.conditions, drafts, generation, now),
    )
    actions: list[Action] = []
    if not version.spec.suspend:
        if evaluated.start and _my_turn(me, facts):
            actions += evaluated.start
        actions += [action for outcome in outcomes for action in outcome.actions]
        actions += told.actions
    waits = [outcome.requeue for outcome in outcomes] + [told.retry_after, resolution.retry_after]
    waits += [seconds(facts.registry.spec.poll_interval) if facts.registry else None]
    waits += [facts.failure.retry_after if facts.failure else None]
    return Plan(status, tuple(actions), min((wait for wait in waits if wait is not None), default=None))


def _so_far(version: ModelVersion, resolution: Resolution, evaluated: Evaluated, now: datetime) -> ModelVersion:
    """This version with what was just learnt, so that its own claim is counted by the same rule as all others."""
    drafts = (resolution.resolved, resolution.complete, evaluated.draft)
    fresh = settle(version.status.conditions, drafts, version.metadata.generation, now)
    types = {draft.type for draft in drafts}
    conditions = (*fresh, *(each for each in version.status.conditions if each.type not in types))
    return version.model_copy(
        update={"status": version.status.model_copy(update={"resolved": resolution.pin, "conditions": conditions})}
    )


def _claimed(version: ModelVersion) -> list[Serving]:
    return [entry for entry in version.spec.serving if entry.stage == version.spec.stage]


def _claims(version: ModelVersion, target: TargetRef, facts: VersionFacts) -> list[Claim]:
    return [found for each in (version, *facts.siblings) if (found := claim(each, target)) is not None]


def _serve(version: ModelVersion, entry: Serving, resolution: Resolution, facts: VersionFacts, now: datetime) -> Outcome:
    target = facts.targets.get(entry.target_ref) or Failed("NotObserved", "the target was not looked at yet", now, 1.0)
    claims = _claims(version, entry.target_ref, facts)
    hold = _confirmed(version, facts, now)
    return serve(Situation(version, entry, resolution.pin, claims, target, facts.probes.get(entry.target_ref), now, hold))


def confirmed_since(version: ModelVersion) -> datetime | None:
    """From when on the registry's word counts for a first promotion that waits for it; None where none does.

    Only what was said after the promotion was wished tells that nothing has changed since the evaluation."""
    said = find(version.status.conditions, "Serving")
    if not _about_to_serve(version) or said is None or said.status != "Unknown":
        return None
    return said.last_transition_time + _STAMPED


def _about_to_serve(version: ModelVersion) -> bool:
    """Whether it passed everything and may be given a target it never had."""
    evaluated = find(version.status.conditions, "Evaluated")
    standings = [standing(version, entry.target_ref) for entry in _claimed(version)]
    never = any(state is None or (state.state == "Waiting" and state.repointed_at is None) for state in standings)
    return evaluated is not None and evaluated.status == "True" and never


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


def _my_turn(version: ModelVersion, facts: VersionFacts) -> bool:
    """Evaluations run newest claim first; a version that claims nothing waits for nobody."""
    name = version.metadata.name
    return version.spec.stage != "Archived" and all(
        may_evaluate(name, _claims(version, entry.target_ref, facts)) for entry in _claimed(version)
    )


def _worst(outcomes: Iterable[Outcome]) -> Draft:
    order: dict[bool | None, int] = {False: 0, None: 1, True: 2}
    drafts = sorted((outcome.draft for outcome in outcomes), key=lambda draft: order[draft.status])
    return drafts[0] if drafts else Draft("Serving", False, "NoClaim", "this version claims no workload in its stage")


def _in_sync(drift: list[tuple[DriftType, str]], resolution: Resolution, outcomes: list[Outcome]) -> Draft:
    unseen = [outcome.draft for outcome in outcomes if not outcome.state.observed and outcome.state.state == "Blocked"]
    if not drift and resolution.pin is None:
        return Draft("InSync", None, "NotResolved", "nothing is pinned yet that could be compared")
    if not drift and unseen:
        return Draft("InSync", None, unseen[0].reason, unseen[0].message)
    if not drift:
        return Draft("InSync", True, "NoDrift", "registry, pointer and pods agree")
    known = [each for each in drift if each[0] != "Unknown"]
    kind, message = (known or drift)[0]
    return Draft("InSync", False if known else None, kind, message)


def _summary(
    version: ModelVersion, resolution: Resolution, evaluated: Evaluated, outcomes: list[Outcome], failure: Failed | None
) -> tuple[Summary, str]:
    """`Ready` and the one word for people, from what was decided; the first that applies."""
    for draft in (resolution.resolved, resolution.complete, evaluated.draft):
        if draft.status is False:
            return Summary("Stalled", draft.reason, draft.message), "Refused"
    if version.spec.suspend:
        return Summary("InProgress", "Suspended", "spec.suspend is set: nothing is changed"), "Suspended"
    if failure is not None:
        return Summary("InProgress", failure.reason, failure.message), "Blocked"
    if resolution.resolved.status is None:
        phase = "Resolving" if resolution.resolved.reason == "Checking" else "Waiting"
        return Summary("InProgress", resolution.resolved.reason, resolution.resolved.message), phase
    if version.spec.stage == "Archived":
        return Summary("Ready", "Archived", "kept for the record"), "Archived"
    if evaluated.draft.status is None:
        return Summary("InProgress", evaluated.draft.reason, evaluated.draft.message), "Evaluating"
    if not outcomes:
        return Summary("Ready", "Weighed", _unclaimed(version)), "Weighed"
    return _standing(outcomes)


def _unclaimed(version: ModelVersion) -> str:
    entries = version.spec.serving
    if not entries:
        return "pinned and passed; spec.serving names no workload"
    where = target_name(entries[0].target_ref)
    return f"pinned and passed; its stage is {version.spec.stage}: set stage to {entries[0].stage} to serve on {where}"


def _standing(outcomes: list[Outcome]) -> tuple[Summary, str]:
    """The summary of a version that may serve, from its standing on its targets; the worst one speaks."""
    worst = _worst(outcomes)
    states: set[str] = {outcome.state.state for outcome in outcomes}
    for state, result, phase in (
        ("RolledBack", "Stalled", "RolledBack"),
        ("Blocked", "Stalled", "Blocked"),
        ("Progressing", "InProgress", "Promoting"),
        ("Waiting", "InProgress", "Promoting"),
        ("Superseded", "Ready", "Superseded"),
    ):
        if state in states:
            ended = worst.reason in ("RolloutFailed", "ProbeFailed") or (worst.status is False and is_definite(worst.reason))
            stalled = result == "Stalled" or ended
            if stalled:
                return Summary("Stalled", worst.reason, worst.message), "Blocked" if phase == "Promoting" else phase
            return Summary("Ready" if result == "Ready" else "InProgress", worst.reason, worst.message), phase
    if worst.status is not True or worst.reason == "NoEligibleClaim":
        return Summary("InProgress", worst.reason, worst.message), "Serving"
    return Summary("Ready", worst.reason if worst.reason != "Proved" else "Serving", worst.message), "Serving"


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
