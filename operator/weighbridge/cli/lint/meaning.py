"""What a schema cannot say of one object of ours: annotations, engines, placeholders, and what is likely not meant.

The engines' and the gate's own functions judge (core/engines.py, core/policy.py).
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ...api import EvaluationJob, ModelVersion, annotations
from ...api.base import GROUP, Resource
from ...api.evaluationjob import EvaluationJobSpec, EvaluationTemplate
from ...api.gate import GateRule
from ...api.references import Lineage, ModelPin, ModelReference
from ...core.engines import Engine, unfit
from ...core.facts import ModelSnapshot
from ...core.ratios import is_ratio
from .schema import nearest
from .source import Finding, Path

_ANNOTATIONS = frozenset(
    value
    for name, value in vars(annotations).items()
    if name.isupper() and isinstance(value, str) and value.startswith(f"{GROUP}/")
)
_WORDS = frozenset({"uri", "name", "version", "digest"})
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_ANY = ModelSnapshot(
    ModelPin(
        registry="any",
        name="the model",
        version="1",
        uri="models:/any/1",
        created_at=datetime(2000, 1, 1, tzinfo=UTC),
        fingerprint=f"sha256:{'0' * 64}",
        digest=f"sha256:{'0' * 64}",
    ),
    Lineage(),
    {},
    frozenset(),
    formats=frozenset({"mlflow", "onnx", "safetensors", "pickle"}),
)
"""A model that every engine can load, so that only parameters are judged."""


def annotated(body: Mapping[str, Any]) -> Iterator[Finding]:
    """Annotations of ours that nobody answers."""
    for key in (body.get("metadata") or {}).get("annotations") or {}:
        prefix, slash, _ = str(key).partition("/")
        path: Path = ("metadata", "annotations", key)
        if prefix == GROUP and key not in _ANNOTATIONS:
            yield Finding(path, "Error", "annotation", f"nothing answers the annotation {key}{nearest(key, _ANNOTATIONS)}")
        elif slash and prefix != GROUP and nearest(prefix, [GROUP]) and nearest(key, _ANNOTATIONS):
            yield Finding(path, "Warning", "annotation", f"nothing answers the annotation {key}{nearest(key, _ANNOTATIONS)}")


def meant(made: Resource, engines: Mapping[str, Engine]) -> Iterator[Finding]:
    """What is wrong with an object that keeps its schema."""
    if isinstance(made, EvaluationJob):
        yield from _spaced(made.spec.model, ("spec", "model"))
        yield from _evaluated(made.spec, ("spec",), engines)
    if isinstance(made, ModelVersion):
        yield from _spaced(made.spec.source, ("spec", "source"))
        for index, each in enumerate(made.spec.evaluations):
            place: Path = ("spec", "evaluations", index, "template")
            yield from _evaluated(_asked(each.template, made), place, engines)
        yield from _served(made)
        yield from _advice(made)


def _asked(template: EvaluationTemplate, version: ModelVersion) -> EvaluationJobSpec:
    return EvaluationJobSpec.model_validate({**template.to_json(), "model": version.spec.source.to_json()})


def _evaluated(spec: EvaluationJobSpec, path: Path, engines: Mapping[str, Engine]) -> Iterator[Finding]:
    place = (*path, "evaluator")
    wrong = unfit(spec, engines)
    if wrong is not None and wrong[0] == "EngineUnknown":
        text = (
            f"engine {spec.evaluator.engine} is not known here; the operator may know it{nearest(spec.evaluator.engine, engines)}"
        )
        yield Finding((*place, "engine"), "Note", "engine", text)
    elif wrong is not None:
        yield Finding((*place, "parameters"), "Error", "engine", wrong[1])
    elif lack := engines[spec.evaluator.engine].lacks(spec, _ANY, ()):
        yield Finding((*place, "parameters"), "Error", "engine", lack)
    served = spec.evaluator.parameters.get("servedModel", "")
    yield from _placeholders(served, (*place, "parameters", "servedModel"))
    if not spec.gate:
        yield Finding(path, "Warning", "advice", "without any gate rule the verdict is Inconclusive")
    for index, rule in enumerate(spec.gate):
        yield from _scaled(rule, spec.evaluator.engine, (*path, "gate", index))


def _scaled(rule: GateRule, engine: str, path: Path) -> Iterator[Finding]:
    """Bars of ratios that are written in percent, or can be of no use."""
    ratio = rule.metric is not None and (rule.unit == "ratio" or (rule.unit is None and is_ratio(rule.metric, engine)))
    for side, bar in (("min", rule.min), ("max", rule.max)):
        if ratio and bar is not None and bar > 1:
            hint = f"; {bar:.12g} % is {bar / 100:.12g}" if bar <= 100 else ""
            yield Finding((*path, side), "Warning", "advice", f"{rule.metric} lies between 0 and 1{hint}")


def _spaced(source: ModelReference, path: Path) -> Iterator[Finding]:
    """White space around a name, which registries take for a part of it."""
    for field in ("name", "version", "alias", "revision"):
        text = getattr(source, field)
        if text is not None and text != text.strip():
            yield Finding((*path, field), "Warning", "advice", f'"{text}" has white space around it, which counts: leave it out')


def _served(version: ModelVersion) -> Iterator[Finding]:
    for index, entry in enumerate(version.spec.serving):
        if entry.probe is None:
            continue
        place: Path = ("spec", "serving", index, "probe")
        if entry.probe.identity is not None and entry.probe.identity.value is not None:
            yield from _placeholders(entry.probe.identity.value, (*place, "identity", "value"))
        for number, each in enumerate(entry.probe.invariants):
            try:
                json.loads(each.body)
            except (ValueError, RecursionError):
                yield Finding((*place, "invariants", number, "body"), "Error", "probe", f"the body of {each.name} is no JSON")


def _placeholders(text: str, path: Path) -> Iterator[Finding]:
    for word in _PLACEHOLDER.findall(text):
        if word not in _WORDS:
            known = "{uri}, {name}, {version} and {digest}"
            yield Finding(path, "Error", "placeholder", f"{{{word}}} is none of {known}{nearest(word, _WORDS)}")


def _advice(version: ModelVersion) -> Iterator[Finding]:
    spec = version.spec
    if spec.stage not in ("Staging", "Production"):
        return
    here: Path = ("spec", "stage")
    if not spec.evaluations:
        yield Finding(here, "Warning", "advice", f"it goes to {spec.stage} without any evaluation: nothing is weighed")
    if not any(entry.stage == spec.stage for entry in spec.serving):
        yield Finding(here, "Warning", "advice", f"no entry of spec.serving is of stage {spec.stage}: it serves nowhere")
    if not spec.rollback.automatic or not spec.rollback.triggers:
        yield Finding(
            ("spec", "rollback"), "Warning", "advice", "nothing takes a target away from it by itself: failures are only told"
        )
    for index, entry in enumerate(spec.serving):
        if entry.stage == "Production" and entry.probe is None:
            text = "without a probe, pods that are ready count as right answers"
            yield Finding(("spec", "serving", index), "Warning", "advice", text)
