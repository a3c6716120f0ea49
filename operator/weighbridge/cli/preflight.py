"""`weighbridge preflight`: what the operator would decide on a model, a dataset or a whole evaluation, asked from a terminal.

The adapters and the judgement are the operator's own (`registries/connections.py`, `core/checks.py`, `core/preflight.py`); only the
way there differs: nobody waits here but who typed it, so registries are asked one after the other, without threads or memory.
Must not write anything anywhere.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from ..api.evaluationjob import EvaluationJob, EvaluationJobSpec
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.references import DatasetPin, DatasetReference, ModelReference
from ..core.checks import Asked, registry_checks, subject_checks
from ..core.engines import Engine
from ..core.facts import Absent, Fact, Failed, Known, ModelSnapshot
from ..core.preflight import Examination, examine
from ..core.subjects import Reference, Subject, ask, registry_names, registry_not_found, subjects
from ..evaluation.engines import EngineBroken, installed
from ..registries.base import Registry, RegistryAbsent, RegistryFailed
from ..registries.connections import connect
from ..registries.discretion import Discretion
from ..registries.written import FORMS, kind_of, read
from .answers import DONE, REFUSED, UNKNOWN, complain
from .places import CannotTell, Misused, Place, of_environment, open_cluster, written
from .preflight_answer import Told, as_json, as_text

_CODES = {"Available": DONE, "Refused": REFUSED, "Waiting": UNKNOWN}
_STORED = ("evaluationjob/", "evaluationjobs/", "evaljob/")
Given: TypeAlias = EvaluationJob | ModelVersion
Question: TypeAlias = Callable[[Reference], Fact[Any]]


def add(parser: argparse.ArgumentParser, _command: str) -> None:
    """What the command takes."""
    parser.description = (
        "Makes the operator's checks and says what it would decide. "
        "Exit status: 0 would be scheduled, 1 would be refused, 3 cannot be told now, 2 wrong usage."
    )
    parser.add_argument(
        "reference",
        nargs="?",
        metavar="REF",
        help="models:/name/7, models:/name@alias, mlflow-datasets:/name[@digest], hf://organisation/name[@revision], "
        "hf://datasets/organisation/name[@revision][/file], or evaluationjob/NAME",
    )
    parser.add_argument(
        "-f", "--file", metavar="FILE", help="an EvaluationJob or a ModelVersion as YAML or JSON; - reads it from standard input"
    )
    parser.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: the file's, else the kubeconfig's)")
    parser.add_argument(
        "--registry",
        metavar="NAME",
        help="ask the ModelRegistry of this name, with what evaluation pods would get; without it, MLFLOW_TRACKING_URI with "
        "MLFLOW_TRACKING_TOKEN or _USERNAME and _PASSWORD, or HF_ENDPOINT with HF_TOKEN, and no cluster",
    )
    parser.add_argument("--unsafe-formats", choices=("Allow", "Refuse"), help="decide as if the ModelRegistry said so")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form of the answer (default: text)")


def main(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        told = _told(options)
    except (Misused, EngineBroken) as error:
        return complain(str(error))
    except CannotTell as error:
        told = Told(Examination((), "Waiting", error.reason, str(error)), trouble=True)
    sys.stdout.write(as_json(told) if options.output == "json" else as_text(told))
    return _CODES[told.examination.decision]


def _told(options: argparse.Namespace) -> Told:
    text: str = options.reference or ""
    if bool(text) == bool(options.file):
        raise Misused(f"name one thing to check: {FORMS}, evaluationjob/NAME, or -f FILE with an EvaluationJob or a ModelVersion")
    stored = next((text.removeprefix(each) for each in _STORED if text.startswith(each)), "")
    if options.file or stored:
        if options.registry:
            raise Misused("an evaluation names its ModelRegistries itself: leave --registry out")
        given, place = asyncio.run(_of_cluster(options, written(_content(options.file)) if options.file else None, stored))
        assert given is not None
        place = _with_policy(place, options.unsafe_formats)
        return _whole(given.spec, place) if isinstance(given, EvaluationJob) else _version(given, place)
    try:
        kind = kind_of(text)
        reference = read(text, options.registry or kind.lower())
    except ValueError as error:
        raise Misused(str(error)) from error
    place = asyncio.run(_of_cluster(options, None, ""))[1] if options.registry else of_environment(kind, os.environ)
    return _single(reference, _with_policy(place, options.unsafe_formats))


def _content(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} cannot be read") from error


async def _of_cluster(options: argparse.Namespace, given: Given | None, stored: str) -> tuple[Given | None, Place]:
    """What is asked for, where that is an object, and the registries."""
    namespace = options.namespace or (given.metadata.namespace if given else "")
    async with open_cluster(namespace, os.environ) as cluster:
        found = await cluster.evaluation(stored) if stored else given
        return found, await cluster.place(_registries(found) if found else {options.registry})


def _registries(given: Given) -> set[str]:
    if isinstance(given, EvaluationJob):
        return registry_names(given.spec)
    return {given.spec.source.registry_ref.name, *(name for _, spec in _asked(given) for name in registry_names(spec))}


def _asked(version: ModelVersion) -> list[tuple[str, EvaluationJobSpec]]:
    """Name and spec of the evaluations a version would have."""
    model = {"model": version.spec.source.to_json()}
    return [
        (each.name, EvaluationJobSpec.model_validate({**each.template.to_json(), **model})) for each in version.spec.evaluations
    ]


def _with_policy(place: Place, unsafe: str | None) -> Place:
    if unsafe is None:
        return place
    registries = {
        name: each.model_copy(update={"spec": each.spec.model_copy(update={"unsafe_formats": unsafe})})
        for name, each in place.registries.items()
    }
    return Place(registries, place.credentials, place.allow, place.words)


def _whole(spec: EvaluationJobSpec, place: Place, question: Question | None = None) -> Told:
    """An evaluation, by the very function that decides in the operator. An engine that is not known here is no reason against it:
    the operator may know it."""
    question, engines, wanted = question or _desk(place), installed(), spec.evaluator.engine
    strange = wanted not in engines
    engines = {**engines, wanted: Engine(wanted)} if strange else engines
    found = examine(spec, place.registries, tuple(ask(subject, question) for subject in subjects(spec)), engines)
    if strange:
        note = {"reason": "EngineUnknown", "message": f"engine {wanted} is not known here; the operator may know it"}
        checks = (
            each.model_copy(update=note) if each.name == "Engine" and each.result == "Passed" else each for each in found.checks
        )
        found = replace(found, checks=tuple(checks))
    pins = found.resolved
    return Told(found, pins.model if pins else None, pins.datasets if pins else (), place.words)


def _version(version: ModelVersion, place: Place) -> Told:
    """A version: its source, and each of its evaluations. No registry is asked the same twice."""
    question, answers = _desk(place), dict[str, Fact[Any]]()

    def once(reference: Reference) -> Fact[Any]:
        key = reference.model_dump_json(exclude={"name"} if isinstance(reference, DatasetReference) else set())
        if key not in answers:
            answers[key] = question(reference)
        return answers[key]

    told = [("", _single(version.spec.source, place, once))]
    told += [(f"Evaluation/{name}/", _whole(spec, place, once)) for name, spec in _asked(version)]
    worst = next(
        (each for wanted in ("Refused", "Waiting") for _, each in told if each.examination.decision == wanted), told[0][1]
    ).examination
    known = {each.name for each in told[0][1].examination.checks}
    checks = tuple(
        each.model_copy(update={"name": f"{prefix}{each.name}"[:128]})
        for prefix, said in told
        for each in said.examination.checks
        if not prefix or each.name not in known
    )
    pins = {each.digest: each for _, said in told for each in said.datasets}
    return Told(replace(worst, checks=checks), told[0][1].model, tuple(pins.values()), place.words)


def _single(reference: Reference, place: Place, question: Question | None = None) -> Told:
    """A model or dataset alone: the same checks without what only an evaluation has, an engine and fallbacks."""
    subject = Subject("Model" if isinstance(reference, ModelReference) else "Dataset", (reference,))
    answers = ask(subject, question or _desk(place))
    asked: Asked = [(subject, answers)]
    checks = (*registry_checks(asked), *subject_checks(subject, answers, place.registries))
    for result, decision in (("Failed", "Refused"), ("Waiting", "Waiting")):
        first = next((each for each in checks if each.result == result), None)
        if first is not None:
            return Told(Examination(checks, decision, first.reason, first.message), words=place.words)  # type: ignore[arg-type]
    found = Examination(checks, "Available", "Available", "it is available and pinned")
    (answer,) = answers
    assert isinstance(answer, Known)
    if isinstance(answer.value, ModelSnapshot):
        return Told(found, answer.value.pin, words=place.words)
    return Told(found, datasets=(answer.value,), words=place.words)


def _desk(place: Place) -> Question:
    """Asks the registries of a place, one connection each."""
    open_ones: dict[str, tuple[Registry, Discretion]] = {}

    def connected(name: str, registry: ModelRegistry) -> tuple[Registry, Discretion]:
        if name not in open_ones:
            credentials = place.credentials.get(name)
            if isinstance(credentials, RegistryFailed):
                raise credentials
            discretion = Discretion(credentials)
            made = discretion.listen("connect", lambda: connect(registry, credentials, place.allow, lambda: False))
            open_ones[name] = made, discretion
        return open_ones[name]

    def question(reference: Reference) -> Fact[Any]:
        name, now = reference.registry_ref.name, datetime.now(UTC)  # noqa: TID251 - a process of one answer
        registry = place.registries.get(name)
        if registry is None:
            return registry_not_found(name, now)
        try:
            desk, discretion = connected(name, registry)
            return Known(discretion.listen("preflight", partial(_put, reference, desk)), now)
        except RegistryAbsent as error:
            return Absent(error.reason, error.public, now)
        except RegistryFailed as error:
            return Failed(error.reason, error.public, now, error.retry_after or 0.0)

    return question


def _put(reference: Reference, desk: Registry) -> ModelSnapshot | DatasetPin:
    return desk.model(reference) if isinstance(reference, ModelReference) else desk.dataset(reference)
