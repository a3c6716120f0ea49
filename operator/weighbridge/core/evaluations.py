"""The evaluations of a version: which EvaluationJobs it needs, which may start now, and what they prove."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..api.base import API_VERSION
from ..api.evaluationjob import EvaluationJob, EvaluationJobSpec
from ..api.modelversion import Evaluation, ModelVersion
from ..api.references import ModelPin, pinned_source
from ..api.versionstatus import EvaluationState
from .conditions import Draft, find
from .names import MANAGED_BY, VERSION_LABEL, evaluation_name, label_value
from .plan import Action, Create
from .versionfacts import VersionFacts


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
    # A verdict outlives its object; an error is none, so that deleting the object runs the evaluation again.
    remembered = {state.job: state for state in version.status.evaluations if state.verdict not in (None, "Error")}
    for evaluation in wanted:
        name = evaluation_name(version, evaluation, pin.digest)
        job = facts.evaluations.get(name)
        if job is not None:
            states.append(_state(version, evaluation, job, pin))
        elif name in remembered:
            states.append(remembered[name])
        else:
            states.append(EvaluationState(name=evaluation.name, job=name))
            start.append(Create(_manifest(version, evaluation, pin, name)))
    jobs = [job for state in states if (job := facts.evaluations.get(state.job)) is not None]
    return Evaluated(tuple(states), _draft(states, jobs), tuple(start))


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


def _draft(states: Sequence[EvaluationState], jobs: Sequence[EvaluationJob]) -> Draft:
    """What all evaluations say together; the first that applies."""
    failed = next((state for state in states if state.verdict not in (None, "Passed")), None)
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
        if ready is not None and ready.reason == "Unschedulable":
            text = f"EvaluationJob {job.metadata.name} waits: {ready.message}"
            return Draft("Evaluated", None, ready.reason, text)
    # How far they are changes every few seconds and is told by the EvaluationJobs; here it would be one write after the other.
    names = ", ".join(state.job for state in states if state.verdict is None)
    return Draft("Evaluated", None, "EvaluationRunning", f"measured by EvaluationJob {names}")


def _state(version: ModelVersion, evaluation: Evaluation, job: EvaluationJob, pin: ModelPin) -> EvaluationState:
    name, status = job.metadata.name, job.status
    if job.spec != EvaluationJobSpec.model_validate(_spec(version, evaluation, pin)):
        message = f"EvaluationJob {name} was made by somebody else and asks something else; delete it"
        return EvaluationState(name=evaluation.name, job=name, verdict="Error", message=message)
    if status.verdict is None:
        return EvaluationState(name=evaluation.name, job=name)
    ready = find(status.conditions, "Ready")
    verdict, message = status.verdict.result, ready.message if ready else "waiting for the operator"
    if status.resolved is None or status.resolved.model.digest != pin.digest:
        verdict, message = "Error", "the evaluation measured other content than the pinned one"
    elif status.resolved.fallback:
        verdict, message = "Error", "the evaluation measured a fallback, which proves nothing about this version"
    return EvaluationState(name=evaluation.name, job=name, verdict=verdict, score=status.score, message=message)


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
