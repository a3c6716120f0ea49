"""Pre-flight: whether a model and its datasets are there, may be read, are complete and fit to be loaded, and what is evaluated.

The same code decides in the operator and behind `weighbridge preflight`. A fallback is used only on a definite absence of what is
asked before it, never in an outage, and what was evaluated in place of what is never left in doubt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..api.evaluationjob import Check, EvaluationJobSpec, Resolved, ResolvedDataset, ResolvedModel
from ..api.modelregistry import ModelRegistry
from .checks import Asked, bounded, refusal, registry_checks, subject_checks
from .engines import BUILT_IN, Engine, unfit
from .facts import Absent, Fact, Failed, Known, ModelSnapshot, Pending
from .subjects import Answers, Subject, not_there, subjects, what


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


def examine(
    spec: EvaluationJobSpec,
    registries: Mapping[str, ModelRegistry],
    answers: tuple[Answers, ...],
    engines: Mapping[str, Engine] = BUILT_IN,
) -> Examination:
    """The checks and what follows from them. `registries` are those that exist, by name; `answers` belong to `subjects(spec)`."""
    asked: Asked = [(subject, said) for subject, said in zip(subjects(spec), answers, strict=True)]
    judged = [_chosen(subject, said, registries) for subject, said in asked]
    checks = [*registry_checks(asked), *(check for subject, said in asked for check in subject_checks(subject, said, registries))]
    refused = next(((each.reason, each.message) for each in judged if isinstance(each, Absent)), None)
    if refused is None and (engine := _engine(spec, engines, registries, judged)) is not None:
        checks.append(engine)
        refused = (engine.reason, engine.message) if engine.result == "Failed" else None
    if (report := _report(spec, registries)) is not None:
        checks.append(report)
        if refused is None and report.result == "Failed":
            refused = (report.reason, report.message)
    said = bounded(checks)
    if refused is not None:
        return Examination(said, "Refused", *refused)
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


def _chosen(subject: Subject, answers: Answers, registries: Mapping[str, ModelRegistry]) -> Fact[Any]:
    """The answer that decides: the last that was asked for, and a refusal by policy in its place."""
    last = answers[-1]
    if isinstance(last, Known) and isinstance(last.value, ModelSnapshot):
        reference = subject.references[len(answers) - 1]
        if text := refusal(registries[reference.registry_ref.name].spec, last.value):
            return Absent("UnsafeFormat", text, last.at)
    if not_there(last) and len(answers) > 1:
        first = answers[0]
        assert isinstance(first, Absent)
        return Absent(first.reason, f"{first.message}; none of its fallbacks exists either", first.at)
    return last


def _engine(
    spec: EvaluationJobSpec, engines: Mapping[str, Engine], registries: Mapping[str, ModelRegistry], judged: list[Fact[Any]]
) -> Check | None:
    """Whether the engine can measure what was found; None while that is not known."""
    if (wrong := unfit(spec, engines)) is not None:
        return _unsupported(wrong[1], wrong[0])
    engine = engines[spec.evaluator.engine]
    found = [each.value for each in judged if isinstance(each, Known)]
    if len(found) < len(judged):
        return None
    model = found[0]
    places = {model.pin.registry, *(pin.registry for pin in found[1:])}
    for kind in sorted({registries[name].spec.kind for name in places}):
        same = sorted(name for name in places if registries[name].spec.kind == kind)
        if len(same) > 1:
            message = f"a pod reads from one registry of each kind, and these are two: {' and '.join(same)}; keep it all in one"
            return _unsupported(message)
    if (lack := engine.lacks(spec, model, found[1:])) is not None:
        return _unsupported(lack)
    needed = sum(pin.size or 0 for pin in (model.pin, *found[1:]))
    if engine.loads(spec) and needed > mebibytes(spec.scratch) * 2**20:
        return _unsupported(
            f"model and datasets have {needed / 2**30:.1f} GiB, which do not fit into spec.scratch ({spec.scratch}); raise it"
        )
    return Check(name="Engine", result="Passed", reason="Available", message=f"engine {engine.name} takes it")


def _unsupported(message: str, reason: str = "EngineUnsupported") -> Check:
    return Check(name="Engine", result="Failed", reason=reason, message=message[:1024])


def mebibytes(space: str) -> int:
    """The size of a `Space` such as `spec.scratch`."""
    return int(space[:-2]) * {"Mi": 1, "Gi": 2**10, "Ti": 2**20}[space[-2:]]


def _report(spec: EvaluationJobSpec, registries: Mapping[str, ModelRegistry]) -> Check | None:
    """Whether the full report has a place to go; None where none is asked for."""
    if spec.report is None:
        return None
    name = spec.report.registry_ref.name
    registry = registries.get(name)
    if registry is None:
        message = f"spec.report names ModelRegistry {name}, and there is none in this namespace; create it or correct registryRef"
        return Check(name="Report", result="Failed", reason="RegistryNotFound", message=message)
    if registry.spec.kind != "mlflow":
        message = (
            f"full reports go to MLflow, and ModelRegistry {name} is a Hugging Face Hub; name one with spec.mlflow in spec.report"
        )
        return Check(name="Report", result="Failed", reason="ReportUnsupported", message=message)
    return Check(name="Report", result="Passed", reason="Available", message=f"goes to {registry.spec.url}")


def _resolved(asked: Asked) -> Resolved:
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
    return f"{kind} {what(wanted)} does not exist ({first.reason}): {what(used)} is evaluated in its place"
