"""The evaluations of a version: which EvaluationJobs it needs, which may start now, and what they prove."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..api.base import API_VERSION
from ..api.evaluationjob import EvaluationJob, EvaluationJobSpec
from ..api.modelversion import Evaluation, ModelVersion
from ..api.references import ModelPin, pinned_source
from ..api.versionstatus import EvaluationState
from .conditions import Draft, find
from .incumbent import asked, never_had, serving_evaluation
from .names import MANAGED_BY, VERSION_LABEL, evaluation_name, label_value
from .plan import Action, Create, Delete
from .reevaluation import KEPT, cause, expires, failed_round, last_round, outrun, round_name, stale
from .versionfacts import VersionFacts

_HELD_UP = frozenset({"Unschedulable", "Queued", "Suspended"})
"""Why an evaluation's Job does not run yet."""


@dataclass(frozen=True)
class Evaluated:
    """Evidence so far, and what to start for more."""

    states: tuple[EvaluationState, ...]
    draft: Draft
    """Evaluated."""
    start: tuple[Action, ...] = ()
    """EvaluationJobs to create, if it is this version's turn."""
    requeue: float | None = None
    """Seconds until an evaluation is to be made again."""


def evaluate(version: ModelVersion, pin: ModelPin | None, facts: VersionFacts, now: datetime) -> Evaluated:
    """Fails closed: only a Passed verdict on exactly the pinned content counts."""
    wanted = version.spec.evaluations
    if not wanted:
        return Evaluated((), Draft("Evaluated", True, "NothingRequired", "no evaluation is required"))
    if pin is None:
        return Evaluated((), Draft("Evaluated", None, "NotResolved", "evaluated once the version is pinned"))
    states: list[EvaluationState] = []
    start: list[Action] = []
    # A verdict outlives its object; an error is none, so that deleting the object runs the evaluation again.
    remembered = {state.job: state for state in version.status.evaluations if state.verdict not in (None, "Error")}
    requeue: list[float] = []
    fresh = True
    for evaluation in wanted:
        first = evaluation_name(version, evaluation, pin.digest)
        last = last_round(version, evaluation, first)
        number = last.round if last is not None else 1
        name = round_name(first, number)
        job = facts.evaluations.get(name)
        if job is not None:
            state = _state(version, evaluation, job, pin, number).model_copy(
                update={"again": last.again if last else "", "failures": last.failures if last else 0}
            )
        elif name in remembered:
            state = remembered[name]
        else:
            state = EvaluationState(name=evaluation.name, job=name, round=number)
            start.append(Create(_manifest(version, evaluation, pin, name, number)))
        rival = serving_evaluation(version, evaluation.name, facts.siblings).evaluation if asked(evaluation.template) else ""
        again = _again(version, evaluation, state, first, pin=pin, facts=facts, serving=rival, now=now)
        fresh = fresh and not (stale(evaluation, again.state, now) or outrun(again.state, rival))
        states.append(again.state)
        start += again.actions
        requeue += [] if again.requeue is None else [again.requeue]
    jobs = [job for state in states if (job := facts.evaluations.get(state.job)) is not None]
    draft = _draft(states, jobs)
    if draft.status and not fresh and never_had(version):
        why = "; ".join(f"{state.name}: {state.again}" for state in states if state.again)
        draft = Draft("Evaluated", None, "EvaluationStale", f"measured again first ({why})")
    return Evaluated(tuple(states), draft, tuple(start), min(requeue, default=None))


@dataclass(frozen=True)
class _Again:
    """A decided evaluation, and what is done to make it again."""

    state: EvaluationState
    actions: tuple[Action, ...] = ()
    requeue: float | None = None


def _again(
    version: ModelVersion,
    evaluation: Evaluation,
    state: EvaluationState,
    first: str,
    *,
    pin: ModelPin,
    facts: VersionFacts,
    serving: str,
    now: datetime,
) -> _Again:
    """The next round of a decided evaluation: begun where there is a cause, and taken for the evaluation once it has a verdict."""
    if state.verdict is None:
        return _Again(state)
    why = cause(evaluation, state, facts.datasets.get(evaluation.name, ()), serving, now)
    if not why:
        wait = None
        if evaluation.max_age is not None and state.ended_at is not None and state.verdict == "Passed":
            wait = max(1.0, (expires(state.ended_at, evaluation.max_age) - now).total_seconds())
        old = facts.evaluations.get(round_name(first, state.round - KEPT)) if state.round > KEPT else None
        return _Again(state, (_gone(old),) if old is not None else (), requeue=wait)
    begun, number = state.model_copy(update={"again": why}), state.round + 1
    next_name = round_name(first, number)
    job = facts.evaluations.get(next_name)
    if job is None:
        return _Again(begun, (Create(_manifest(version, evaluation, pin, next_name, number)),))
    found = _state(version, evaluation, job, pin, number)
    # What served once is not taken away by doubt.
    doubt = ("Error", "Inconclusive") if state.verdict == "Passed" and not never_had(version) else ("Error",)
    if found.verdict in doubt and state.verdict != "Error":
        wait = failed_round(job, state.failures, now)
        if wait == 0:
            return _Again(begun.model_copy(update={"failures": state.failures + 1}), (_gone(job),))
        return _Again(begun, requeue=wait)
    return _Again(begun if found.verdict is None else found)


def _gone(job: EvaluationJob) -> Delete:
    return Delete(api_version=API_VERSION, kind="EvaluationJob", name=job.metadata.name, uid=job.metadata.uid)


def in_turn(evaluated: Evaluated, before: str | None) -> Evaluated:
    """With nothing to start where it is another version's turn: that one's name, or an empty one where it needs none now."""
    if before is None or not evaluated.start:
        return evaluated
    draft = evaluated.draft
    if draft.reason == "EvaluationRunning":
        idle = "not evaluated now: it is archived, or two versions that may serve go before it"
        text = f"its evaluations begin once {before} is decided" if before else idle
        draft = Draft("Evaluated", None, "EvaluationPending", text)
    return Evaluated(evaluated.states, draft, requeue=evaluated.requeue)


def _draft(states: Sequence[EvaluationState], jobs: Sequence[EvaluationJob]) -> Draft:
    """What all evaluations say together; the first that applies."""
    bad = [state for state in states if state.verdict not in (None, "Passed")]
    # A failed one is evidence, whatever else could not be told.
    failed = next((state for state in bad if state.verdict == "Failed"), bad[0] if bad else None)
    if failed is not None:
        reason = {"Failed": "GateFailed", "Inconclusive": "Inconclusive"}.get(failed.verdict or "", "EvaluationError")
        return Draft("Evaluated", False, reason, f"{failed.name}: {failed.message}")
    if all(state.verdict == "Passed" for state in states):
        return Draft("Evaluated", True, "GatePassed", "; ".join(f"{state.name}: {state.message}" for state in states))
    refused = next((job for job in jobs if job.status.phase == "Refused"), None)
    if refused is not None:
        condition = find(refused.status.conditions, "Validated")
        reason, message = (condition.reason, condition.message) if condition else ("Refused", "pre-flight refused it")
        return Draft("Evaluated", False, reason, message)
    stuck = next((job for job in jobs if job.status.phase == "Waiting"), None)
    if stuck is not None and (ready := find(stuck.status.conditions, "Ready")):
        return Draft("Evaluated", None, ready.reason, ready.message)
    for job in jobs:
        ready = find(job.status.conditions, "Ready")
        if ready is not None and ready.reason in _HELD_UP:
            text = f"EvaluationJob {job.metadata.name} waits: {ready.message}"
            return Draft("Evaluated", None, ready.reason, text)
    # How far they are changes every few seconds and is told by the EvaluationJobs; here it would be one write after the other.
    names = ", ".join(state.job for state in states if state.verdict is None)
    return Draft("Evaluated", None, "EvaluationRunning", f"measured by EvaluationJob {names}")


def _state(version: ModelVersion, evaluation: Evaluation, job: EvaluationJob, pin: ModelPin, number: int) -> EvaluationState:
    name, status = job.metadata.name, job.status
    if job.spec != EvaluationJobSpec.model_validate(_spec(version, evaluation, pin, number)):
        message = f"EvaluationJob {name} was made by somebody else and asks something else; delete it"
        return EvaluationState(name=evaluation.name, job=name, verdict="Error", message=message, round=number)
    if status.verdict is None:
        return EvaluationState(name=evaluation.name, job=name, round=number)
    ready = find(status.conditions, "Ready")
    verdict, message = status.verdict.result, ready.message if ready else "waiting for the operator"
    if status.resolved is None or status.resolved.model.digest != pin.digest:
        verdict, message = "Error", "the evaluation measured other content than the pinned one"
    elif status.resolved.fallback:
        verdict, message = "Error", "the evaluation measured a fallback, which proves nothing about this version"
    return EvaluationState(
        name=evaluation.name,
        job=name,
        verdict=verdict,
        score=status.score,
        message=message,
        round=number,
        ended_at=status.job.finished_at if status.job is not None else None,
        evidence=status.results.sha256 if status.results is not None else "",
        datasets=status.resolved.fingerprints if status.resolved is not None else {},
        champion=status.champion.evaluation if status.champion is not None else None,
    )


def _manifest(version: ModelVersion, evaluation: Evaluation, pin: ModelPin, name: str, number: int) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "EvaluationJob",
        "metadata": {
            "name": name,
            "namespace": version.metadata.namespace,
            "labels": {**MANAGED_BY, VERSION_LABEL: label_value(version.metadata.name)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "ModelVersion",
                    "name": version.metadata.name,
                    "uid": version.metadata.uid,
                    "controller": True,
                }
            ],
        },
        "spec": _spec(version, evaluation, pin, number),
    }


def _spec(version: ModelVersion, evaluation: Evaluation, pin: ModelPin, number: int) -> dict[str, Any]:
    """What the EvaluationJob of a round asks. What is to be measured again is not taken from an earlier round."""
    spec = evaluation.template.to_json() | {"model": pinned_source(version.spec.source, pin).to_json()}
    return spec | {"reuse": False} if number > 1 else spec
