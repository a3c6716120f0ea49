"""The evaluations of a version: which EvaluationJobs it needs, which may start now, and what they prove."""

from dataclasses import dataclass
from typing import Any

from ..api.base import API_VERSION
from ..api.evaluationjob import EvaluationJob, EvaluationJobSpec
from ..api.modelversion import Evaluation, EvaluationState, ModelVersion
from ..api.references import ModelPin, pinned_source
from .conditions import Draft, find
from .names import MANAGED_BY, VERSION_LABEL, evaluation_name, label_value
from .plan import Action, Create
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


def evaluate(version: ModelVersion, pin: ModelPin | None, facts: VersionFacts) -> Evaluated:
    """Fails closed: only a Passed verdict on exactly the pinned content counts."""
    wanted = version.spec.evaluations
    if not wanted:
        return Evaluated((), Draft("Evaluated", True, "NothingRequired", "no evaluation is required"))
    if pin is None:
        return Evaluated((), Draft("Evaluated", None, "NotResolved", "evaluated once the version is pinned"))
    states: list[EvaluationState] = []
    start: list[Action] = []
    lines: list[str] = []
    # A verdict outlives its object; an error is none, so that deleting the object runs the evaluation again.
    remembered = {state.job: state for state in version.status.evaluations if state.verdict not in (None, "Error")}
    for evaluation in wanted:
        name = evaluation_name(version, evaluation, pin.digest)
        job = facts.evaluations.get(name)
        if job is None and name in remembered:
            states.append(remembered[name])
            lines.append(f"{evaluation.name}: {remembered[name].message}")
            continue
        if job is None:
            start.append(Create(_manifest(version, evaluation, pin, name)))
            states.append(EvaluationState(name=evaluation.name, job=name))
            continue
        state = _state(version, evaluation, job, pin)
        states.append(state)
        lines.append(f"{evaluation.name}: {state.message}")
    failed = [state for state in states if state.verdict not in (None, "Passed")]
    if failed:
        reason = {"Failed": "GateFailed", "Inconclusive": "Inconclusive"}.get(failed[0].verdict or "", "EvaluationError")
        return Evaluated(tuple(states), Draft("Evaluated", False, reason, f"{failed[0].name}: {failed[0].message}"), tuple(start))
    if all(state.verdict == "Passed" for state in states):
        return Evaluated(tuple(states), Draft("Evaluated", True, "GatePassed", "; ".join(lines)))
    jobs = [job for state in states if (job := facts.evaluations.get(state.job)) is not None]
    refused = [job for job in jobs if job.status.phase == "Refused"]
    if refused:
        condition = find(refused[0].status.conditions, "Validated")
        reason, message = (condition.reason, condition.message) if condition else ("Refused", "pre-flight refused it")
        return Evaluated(tuple(states), Draft("Evaluated", False, reason, message), tuple(start))
    stuck = [job for job in jobs if job.status.phase == "Waiting"]
    if stuck and (ready := find(stuck[0].status.conditions, "Ready")):
        return Evaluated(tuple(states), Draft("Evaluated", None, ready.reason, ready.message), tuple(start))
    unscheduled = [job for job in jobs if (ready := find(job.status.conditions, "Ready")) and ready.reason in _HELD_UP]
    if unscheduled and (ready := find(unscheduled[0].status.conditions, "Ready")):
        text = f"EvaluationJob {unscheduled[0].metadata.name} waits: {ready.message}"
        return Evaluated(tuple(states), Draft("Evaluated", None, ready.reason, text), tuple(start))
    # How far they are changes every few seconds and is told by the EvaluationJobs; here it would be one write after the other.
    names = ", ".join(state.job for state in states if state.verdict is None)
    draft = Draft("Evaluated", None, "EvaluationRunning", f"measured by EvaluationJob {names}")
    return Evaluated(tuple(states), draft, tuple(start))


def in_turn(evaluated: Evaluated, before: str | None) -> Evaluated:
    """With nothing to start where it is another version's turn: that one's name, or an empty one where it needs none now."""
    if before is None or not evaluated.start:
        return evaluated
    draft = evaluated.draft
    if draft.reason == "EvaluationRunning":
        idle = "not evaluated now: it is archived, or two versions that may serve go before it"
        text = f"its evaluations begin once {before} is decided" if before else idle
        draft = Draft("Evaluated", None, "EvaluationPending", text)
    return Evaluated(evaluated.states, draft)


def _state(version: ModelVersion, evaluation: Evaluation, job: EvaluationJob, pin: ModelPin) -> EvaluationState:
    status = job.status
    if job.spec != EvaluationJobSpec.model_validate(_spec(version, evaluation, pin)):
        message = f"EvaluationJob {job.metadata.name} was made by somebody else and asks something else; delete it"
        return EvaluationState(name=evaluation.name, job=job.metadata.name, verdict="Error", message=message)
    verdict = status.verdict.result if status.verdict else None
    ready = find(status.conditions, "Ready")
    message = ready.message if ready else "waiting for the operator"
    if verdict is not None and (status.resolved is None or status.resolved.model.digest != pin.digest):
        verdict, message = "Error", "the evaluation measured other content than the pinned one"
    elif verdict is not None and status.resolved is not None and status.resolved.fallback:
        verdict, message = "Error", "the evaluation measured a fallback, which proves nothing about this version"
    if verdict is None:
        return EvaluationState(name=evaluation.name, job=job.metadata.name)
    return EvaluationState(name=evaluation.name, job=job.metadata.name, verdict=verdict, score=status.score, message=message)


def _manifest(version: ModelVersion, evaluation: Evaluation, pin: ModelPin, name: str) -> dict[str, Any]:
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
        "spec": _spec(version, evaluation, pin),
    }


def _spec(version: ModelVersion, evaluation: Evaluation, pin: ModelPin) -> dict[str, Any]:
    return evaluation.template.to_json() | {"model": pinned_source(version.spec.source, pin).to_json()}
