"""What pre-flight asks registries for: the model and the datasets of an evaluation, and what may stand in for each.

A fallback is asked for only once everything before it definitely does not exist. Must not judge the answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from ..api.evaluationjob import EvaluationJobSpec
from ..api.references import DatasetReference, ModelReference
from .facts import Absent, Fact
from .layers import NOT_THERE

Reference: TypeAlias = ModelReference | DatasetReference
Answers: TypeAlias = tuple[Fact[Any], ...]
"""What was said of one subject's references, in their order, as far as they had to be asked."""


@dataclass(frozen=True)
class Subject:
    """A model or dataset that is wanted, and what may stand in for it."""

    name: str
    """As checks call it: `Model`, `Dataset/holdout`."""
    references: tuple[Reference, ...]
    """The wanted one first, then its fallbacks in order."""


def subjects(spec: EvaluationJobSpec) -> tuple[Subject, ...]:
    """The model first, then the datasets in their order."""
    return (Subject("Model", (spec.model, *spec.fallback.models)), *(_dataset(ref) for ref in spec.datasets))


def registry_names(spec: EvaluationJobSpec) -> set[str]:
    """The ModelRegistries it names, those of fallbacks and of the full report included."""
    named = {reference.registry_ref.name for subject in subjects(spec) for reference in subject.references}
    return named if spec.report is None else named | {spec.report.registry_ref.name}


def ask(subject: Subject, question: Callable[[Reference], Fact[Any]]) -> Answers:
    """Asks for one reference after the other, as long as the one before definitely does not exist."""
    answers: list[Fact[Any]] = []
    for reference in subject.references:
        answers.append(question(reference))
        if not not_there(answers[-1]):
            break
    return tuple(answers)


def registry_not_found(name: str, now: datetime) -> Absent:
    """The answer for a reference whose ModelRegistry does not exist."""
    message = f"there is no ModelRegistry {name} in this namespace; create it or correct registryRef"
    return Absent("RegistryNotFound", message, now)


def not_there(answer: Fact[Any]) -> bool:
    """A definite absence, the only answer for which a fallback is used."""
    return isinstance(answer, Absent) and answer.reason in NOT_THERE


def what(reference: Reference) -> str:
    """The reference as people say it."""
    if isinstance(reference, ModelReference):
        return f"{reference.name} {reference.wanted}"
    file = f" {reference.file}" if reference.file else ""
    return f"{reference.path}{f' {reference.revision}' if reference.revision else ''}{file}"


def _dataset(ref: DatasetReference) -> Subject:
    wanted = ref.model_copy(update={"fallback": ()})
    instead = (
        DatasetReference(name=ref.name, registry_ref=each.registry_ref, path=each.path, revision=each.revision, file=each.file)
        for each in ref.fallback
    )
    return Subject(f"Dataset/{ref.name}", (wanted, *instead))
