"""The champion: what a candidate is compared with, and whether the two were measured so that their numbers can be compared."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..api.evaluationjob import EvaluationJob, EvaluationTemplate, Evaluator, Resolved
from ..api.results import Metric

_ANEW = "evaluate the champion anew with the template of this evaluation"


@dataclass(frozen=True)
class Champion:
    """What serves of this model now, as an evaluation of it measured it."""

    evaluation: str
    """Name of its EvaluationJob, for messages; empty where there is none."""
    metrics: tuple[Metric, ...] = ()
    dropped: int = 0
    """How many metrics were measured and are not among `metrics`."""
    problem: str | None = None
    """Why it cannot be compared, and what to do; the metrics are not looked at then."""


UNKNOWN = Champion("", problem="it was not looked at which version serves now")
"""Where nobody has said whether there is a champion: never the same as there being none."""


@dataclass(frozen=True)
class Basis:
    """All that the numbers of an evaluation depend on, but the model."""

    datasets: Mapping[str, str]
    """Fingerprints of the content by the dataset's name within the evaluation."""
    engine: str
    image: str
    """Digest of the engine's image that ran; empty where it is not known."""
    parameters: Mapping[str, str]
    fallback: bool
    """Whether anything else than what was asked for was evaluated."""


def basis(template: EvaluationTemplate, resolved: Resolved, image: str) -> Basis:
    """What an evaluation rests on; `image` is the digest of the engine's image that ran."""
    return Basis(
        datasets=resolved.fingerprints,
        engine=template.evaluator.engine,
        image=image.rpartition("@")[2],
        parameters={**template.evaluator.parameters, **_words(template.evaluator)},
        fallback=resolved.fallback,
    )


def _words(evaluator: Evaluator) -> Mapping[str, str]:
    """What the container was started with: for engine container these are its parameters."""
    return {name: "\0".join(said) for name, said in (("command", evaluator.command), ("args", evaluator.args)) if said}


def champion(candidate: Basis, serving: EvaluationJob, image: str) -> Champion:
    """The champion by an evaluation of what serves; `image` is the digest of the engine's image that ran there."""
    name, status = serving.metadata.name, serving.status
    if status.results is None or status.verdict is None or status.resolved is None:
        return Champion(name, problem=f"evaluation {name} of the champion has no result: wait for it, or {_ANEW}")
    problem = comparable(candidate, basis(serving.spec, status.resolved, image))
    return Champion(name, status.results.metrics, status.results.truncated, problem)


def comparable(candidate: Basis, champion: Basis) -> str | None:
    """Why two evaluations cannot be compared, and what to do; None where they can."""
    if candidate.fallback:
        return "this evaluation measured a fallback: make what it asks for available and evaluate it anew"
    if champion.fallback:
        return f"the champion's evaluation measured a fallback: {_ANEW}"
    if candidate.engine != champion.engine:
        return f"the champion was measured by engine {champion.engine}, this version by {candidate.engine}: {_ANEW}"
    if not candidate.image or not champion.image:
        whose = "this version" if champion.image else "the champion"
        return f"it is not known which image of the engine measured {whose}: evaluate it anew"
    if candidate.image != champion.image:
        return f"the champion was measured by another image of the engine: {_ANEW}"
    names = _differing(candidate.parameters, champion.parameters)
    if names:
        return f"the champion was measured with other parameters ({names}): {_ANEW}"
    names = _differing(candidate.datasets, champion.datasets)
    if names:
        return f"the champion was measured on other data ({names}): {_ANEW}"
    return None


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The names whose values differ, or that only one side has."""
    return ", ".join(sorted(name[:63] for name in one.keys() | other.keys() if one.get(name) != other.get(name))[:3])
