"""Pre-flight: whether a model and its datasets are there, may be read, are complete and fit to be loaded; what stands in for what is
not there; and the list of checks that says so.

The same code decides in the operator and behind `weighbridge preflight`. A fallback is used only on a definite absence of what is
asked before it, never in an outage, and what was evaluated in place of what is never left in doubt.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from ..api.evaluationjob import Check, EvaluationJobSpec, Resolved, ResolvedDataset, ResolvedModel
from ..api.modelregistry import ModelRegistry, ModelRegistrySpec
from ..api.references import DatasetReference, ModelReference
from .facts import Absent, Fact, Failed, Known, ModelSnapshot, Pending
from .layers import LAYERS, NOT_THERE, Layer, layer

Reference: TypeAlias = ModelReference | DatasetReference
Answers: TypeAlias = tuple[Fact[Any], ...]
"""What was said of one subject's references, in their order, as far as they had to be asked."""

_PASSED: Mapping[Layer, str] = {
    "Exists": "exists",
    "Access": "readable with the workload's credentials",
    "Complete": "every file is there",
    "Format": "loads without running code of its own",
}


@dataclass(frozen=True)
class Subject:
    """A model or dataset that is wanted, and what may stand in for it."""

    name: str
    """As checks call it: `Model`, `Dataset/holdout`."""
    references: tuple[Reference, ...]
    """The wanted one first, then its fallbacks in order."""


@dataclass(frozen=True)
class Examination:
    """How pre-flight came out."""

    checks: tuple[Check, ...]
    decision: Literal["Available", "Refused", "Waiting"]
    reason: str
    message: str
    resolved: Resolved | None = None
    """The pins, where everything is available."""
    fallback: str = ""
    """What is evaluated in place of what, and why; empty where nothing is."""
    oldest: datetime | None = None
    """When the oldest of the answers it rests on was received."""
    retry_after: float | None = None
    """Seconds until it makes sense to ask again, where something could not be told."""


def subjects(spec: EvaluationJobSpec) -> tuple[Subject, ...]:
    """The model first, then the datasets in their order."""
    return (Subject("Model", (spec.model, *spec.fallback.models)), *(_dataset(ref) for ref in spec.datasets))


def ask(subject: Subject, question: Callable[[Reference], Fact[Any]]) -> Answers:
    """Asks for one reference after the other, as long as the one before definitely does not exist."""
    answers: list[Fact[Any]] = []
    for reference in subject.references:
        answers.append(question(reference))
        if not _not_there(answers[-1]):
            break
    return tuple(answers)


def registry_not_found(name: str, now: datetime) -> Absent:
    """The answer for a reference whose ModelRegistry does not exist."""
    message = f"there is no ModelRegistry {name} in this namespace; create it or correct registryRef"
    return Absent("RegistryNotFound", message, now)


def examine(spec: EvaluationJobSpec, registries: Mapping[str, ModelRegistry], answers: tuple[Answers, ...]) -> Examination:
    """The checks and what follows from them. `registries` are those that exist, by name; `answers` belong to `subjects(spec)`."""
    asked = [(subject, said) for subject, said in zip(subjects(spec), answers, strict=True)]
    judged = [_chosen(subject, said, registries) for subject, said in asked]
    checks = [*_registries(asked), *(check for subject, said in asked for check in _layers(subject, said, registries))]
    refused = next((each for each in judged if isinstance(each, Absent)), None)
    if refused is None and (engine := _engine(spec, registries, judged)) is not None:
        checks.append(engine)
        if engine.result == "Failed":
            refused = Absent(engine.reason, engine.message, datetime.min)
    said = tuple(checks)
    if refused is not None:
        return Examination(said, "Refused", refused.reason, refused.message)
    waits = [each for each in judged if isinstance(each, Failed | Pending)]
    if waits:
        failed = next((each for each in waits if isinstance(each, Failed)), None)
        retry = min((each.retry_after for each in waits if isinstance(each, Failed)), default=None)
        if failed is None:
            return Examination(said, "Waiting", "Checking", "waiting for the registry's answer")
        return Examination(said, "Waiting", failed.reason, failed.message, retry_after=retry)
    return Examination(
        said,
        "Available",
        "Available",
        "model and datasets are available and pinned",
        resolved=_resolved(asked),
        fallback="; ".join(text for subject, each in asked if (text := _replacement(subject, each))),
        oldest=min(fact.at for _, each in asked for fact in each if isinstance(fact, Known | Absent)),
    )


def refusal(registry: ModelRegistrySpec, found: ModelSnapshot) -> str:
    """Why the policy of the registry's owner does not let this model be loaded; empty where it does."""
    if not found.unsafe or registry.unsafe_formats != "Refuse":
        return ""
    return f"{found.pin.name} runs code when it is loaded: {found.unsafe}; its ModelRegistry refuses such (unsafeFormats)"


def _dataset(ref: DatasetReference) -> Subject:
    wanted = ref.model_copy(update={"fallback": ()})
    instead = (
        DatasetReference(name=ref.name, registry_ref=each.registry_ref, path=each.path, revision=each.revision, file=each.file)
        for each in ref.fallback
    )
    return Subject(f"Dataset/{ref.name}", (wanted, *instead))


def _not_there(answer: Fact[Any]) -> bool:
    return isinstance(answer, Absent) and answer.reason in NOT_THERE


def _chosen(subject: Subject, answers: Answers, registries: Mapping[str, ModelRegistry]) -> Fact[Any]:
    """The answer that decides: the last that was asked for, and a refusal by policy in its place."""
    last = answers[-1]
    if isinstance(last, Known) and isinstance(last.value, ModelSnapshot):
        reference = subject.references[len(answers) - 1]
        if text := refusal(registries[reference.registry_ref.name].spec, last.value):
            return Absent("UnsafeFormat", text, last.at)
    if _not_there(last) and len(answers) > 1:
        first = answers[0]
        assert isinstance(first, Absent)
        return Absent(first.reason, f"{first.message}; none of its fallbacks exists either", first.at)
    return last


def _registries(asked: list[tuple[Subject, Answers]]) -> Iterator[Check]:
    """One check for each registry that was asked, in the order of asking."""
    by_name: dict[str, list[Fact[Any]]] = {}
    for subject, said in asked:
        for reference, answer in zip(subject.references, said, strict=False):
            by_name.setdefault(reference.registry_ref.name, []).append(answer)
    for name, answers in by_name.items():
        label = f"Registry/{name}"[:128]
        missing = next((each for each in answers if isinstance(each, Absent) and each.reason == "RegistryNotFound"), None)
        silent = next((each for each in answers if isinstance(each, Failed) and _of_registry(each)), None)
        if missing is not None:
            yield Check(name=label, result="Failed", reason=missing.reason, message=missing.message)
        elif silent is not None:
            yield Check(name=label, result="Waiting", reason=silent.reason, message=silent.message[:1024])
        elif all(isinstance(each, Pending) for each in answers):
            yield Check(name=label, result="Waiting", reason="Checking", message="waiting for the registry's answer")
        else:
            yield Check(name=label, result="Passed", reason="Reachable", message="answers and takes the credentials")


def _of_registry(answer: Failed) -> bool:
    """Whether a failure speaks of the registry as a whole, not of one entry in it."""
    return layer(answer.reason) == "Exists"


def _layers(subject: Subject, answers: Answers, registries: Mapping[str, ModelRegistry]) -> Iterator[Check]:
    for place, (reference, answer) in enumerate(zip(subject.references, answers, strict=False)):
        name = subject.name if place == 0 else f"{subject.name}/Fallback-{place}"
        if isinstance(answer, Absent) and answer.reason == "RegistryNotFound":
            continue
        registry = registries.get(reference.registry_ref.name)
        yield from _layers_of(name, reference, answer, registry.spec if registry else None)


def _layers_of(name: str, reference: Reference, answer: Fact[Any], registry: ModelRegistrySpec | None) -> Iterator[Check]:
    what = _what(reference)
    applicable = LAYERS if isinstance(reference, ModelReference) else LAYERS[:-1]
    stop: tuple[Layer, Literal["Failed", "Waiting"], str, str] | None = None
    format_said = _PASSED["Format"]
    exists_said = _PASSED["Exists"]
    match answer:
        case Known(value=ModelSnapshot() as found):
            exists_said = f"{found.pin.version}{f'; {found.notice}' if found.notice else ''}"
            if registry is not None and (text := refusal(registry, found)):
                stop = ("Format", "Failed", "UnsafeFormat", text)
            elif found.unsafe:
                format_said = f"runs code when it is loaded, which unsafeFormats allows: {found.unsafe}"
        case Known(value=pin):
            exists_said = pin.revision
        case Absent(reason=reason, message=message):
            stop = (layer(reason), "Failed", reason, message)
        case Failed(reason=reason, message=message):
            stop = (layer(reason), "Waiting", reason, message)
        case Pending():
            stop = ("Exists", "Waiting", "Checking", "waiting for the registry's answer")
    said = {
        **_PASSED,
        "Exists": f"{what} is {exists_said}" if isinstance(answer, Known) else f"{what} exists",
        "Format": format_said,
    }
    for each in applicable:
        label = f"{name}/{each}"[:128]
        if stop is not None and stop[0] == each:
            yield Check(name=label, result=stop[1], reason=stop[2], message=stop[3][:1024])
            return
        yield Check(name=label, result="Passed", reason="Available", message=said[each][:1024])


def _engine(spec: EvaluationJobSpec, registries: Mapping[str, ModelRegistry], judged: list[Fact[Any]]) -> Check | None:
    """Whether the engine can load what was found; None while that is not known."""
    found = [each.value for each in judged if isinstance(each, Known)]
    if len(found) < len(judged):
        return None
    model = found[0]
    places = {model.pin.registry, *(pin.registry for pin in found[1:])}
    for kind in sorted({registries[name].spec.kind for name in places}):
        same = sorted(name for name in places if registries[name].spec.kind == kind)
        if len(same) > 1:
            message = f"a pod reads from one registry of each kind, and these are two: {' and '.join(same)}; keep it all in one"
            return Check(name="Engine", result="Failed", reason="EngineUnsupported", message=message[:1024])
    if spec.evaluator.engine == "mlflow" and "mlflow" not in model.formats:
        message = (
            f"engine mlflow loads MLflow models, and {model.pin.name} has no MLmodel file; use engine container with an image that "
            "loads it, or log the model with MLflow"
        )
        return Check(name="Engine", result="Failed", reason="EngineUnsupported", message=message[:1024])
    return Check(name="Engine", result="Passed", reason="Available", message=f"engine {spec.evaluator.engine} takes it")


def _resolved(asked: list[tuple[Subject, Answers]]) -> Resolved:
    (_, model), *datasets = asked
    pins = [(said[-1].value, len(said) > 1) for _, said in datasets if isinstance(said[-1], Known)]
    snapshot = model[-1]
    assert isinstance(snapshot, Known)
    return Resolved(
        model=ResolvedModel(**dict(snapshot.value.pin), fallback=len(model) > 1),
        datasets=tuple(ResolvedDataset(**dict(pin), fallback=instead) for pin, instead in pins),
    )


def _replacement(subject: Subject, answers: Answers) -> str:
    if len(answers) == 1:
        return ""
    first = answers[0]
    assert isinstance(first, Absent)
    kind = "model" if subject.name == "Model" else "dataset"
    wanted, used = subject.references[0], subject.references[len(answers) - 1]
    return f"{kind} {_what(wanted)} does not exist ({first.reason}): {_what(used)} is evaluated in its place"


def _what(reference: Reference) -> str:
    if isinstance(reference, ModelReference):
        return f"{reference.name} {reference.wanted}"
    file = f" {reference.file}" if reference.file else ""
    return f"{reference.path}{f' {reference.revision}' if reference.revision else ''}{file}"
