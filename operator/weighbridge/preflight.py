"""`weighbridge preflight`: what the operator would decide on a model, a dataset or a whole evaluation, asked from a terminal.

The adapters and the judgement are the operator's own (`registries/connections.py`, `core/checks.py`, `core/preflight.py`); only the
way there differs: nobody waits here but who typed it, so registries are asked one after the other, without threads or memory.
Must not write anything anywhere.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from .api.evaluationjob import EvaluationJob
from .api.modelregistry import ModelRegistry
from .api.references import DatasetPin, ModelPin, ModelReference
from .core.checks import Asked, registry_checks, subject_checks
from .core.facts import Absent, Fact, Failed, Known, ModelSnapshot
from .core.preflight import Examination, examine
from .core.subjects import Reference, Subject, ask, registry_names, registry_not_found, subjects
from .places import CannotTell, Misused, Place, evaluation, of_environment, open_cluster
from .registries.base import Registry, RegistryAbsent, RegistryFailed
from .registries.connections import connect
from .registries.discretion import Discretion
from .registries.written import FORMS, kind_of, read

_CODES = {"Available": 0, "Refused": 1, "Waiting": 3}
_MISUSED = 2
_STORED = ("evaluationjob/", "evaluationjobs/", "evaljob/")
_RESULTS = {"Passed": "passed", "Failed": "FAILED", "Waiting": "waits "}


@dataclass(frozen=True)
class Told:
    """What is printed."""

    examination: Examination
    model: ModelPin | None = None
    datasets: tuple[DatasetPin, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    """See `Place.words`."""


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
    except Misused as error:
        sys.stderr.write(f"weighbridge: {error}\n")
        return _MISUSED
    except CannotTell as error:
        told = Told(Examination((), "Waiting", error.reason, str(error)))
    sys.stdout.write(_as_json(told) if options.output == "json" else _as_text(told))
    return _CODES[told.examination.decision]


def _told(options: argparse.Namespace) -> Told:
    text: str = options.reference or ""
    if bool(text) == bool(options.file):
        raise Misused(f"name one thing to check: {FORMS}, evaluationjob/NAME, or -f FILE")
    stored = next((text.removeprefix(each) for each in _STORED if text.startswith(each)), "")
    if options.file or stored:
        if options.registry:
            raise Misused("an evaluation names its ModelRegistries itself: leave --registry out")
        job, place = asyncio.run(_of_cluster(options, evaluation(_content(options.file)) if options.file else None, stored))
        assert job is not None
        return _whole(job, _with_policy(place, options.unsafe_formats))
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


async def _of_cluster(options: argparse.Namespace, given: EvaluationJob | None, stored: str) -> tuple[EvaluationJob | None, Place]:
    """The evaluation, where one is asked for, and the registries."""
    namespace = options.namespace or (given.metadata.namespace if given else "")
    async with open_cluster(namespace, os.environ) as cluster:
        job = await cluster.evaluation(stored) if stored else given
        return job, await cluster.place(registry_names(job.spec) if job else {options.registry})


def _with_policy(place: Place, unsafe: str | None) -> Place:
    if unsafe is None:
        return place
    registries = {
        name: each.model_copy(update={"spec": each.spec.model_copy(update={"unsafe_formats": unsafe})})
        for name, each in place.registries.items()
    }
    return Place(registries, place.credentials, place.allow, place.words)


def _whole(job: EvaluationJob, place: Place) -> Told:
    """An evaluation, by the very function that decides in the operator."""
    question = _desk(place)
    found = examine(job.spec, place.registries, tuple(ask(subject, question) for subject in subjects(job.spec)))
    pins = found.resolved
    return Told(found, pins.model if pins else None, pins.datasets if pins else (), place.words)


def _single(reference: Reference, place: Place) -> Told:
    """A model or dataset alone: the same checks without what only an evaluation has, an engine and fallbacks."""
    subject = Subject("Model" if isinstance(reference, ModelReference) else "Dataset", (reference,))
    answers = ask(subject, _desk(place))
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


def _desk(place: Place) -> Callable[[Reference], Fact[Any]]:
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


def _as_json(told: Told) -> str:
    found, say = told.examination, _speaker(told.words)
    checks = [{**each.to_json(), "message": say(each.message)} for each in found.checks]
    pins: dict[str, Any] = {"model": told.model.to_json()} if told.model else {}
    if told.datasets:
        pins["datasets"] = [each.to_json() for each in told.datasets]
    document = {
        "decision": found.decision,
        "reason": found.reason,
        "message": say(found.message),
        "fallback": found.fallback,
        "checks": checks,
        "resolved": pins or None,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _as_text(told: Told) -> str:
    found, say = told.examination, _speaker(told.words)
    names = max((len(each.name) for each in found.checks), default=0)
    reasons = max((len(each.reason) for each in found.checks), default=0)
    lines = [
        f"{_RESULTS[each.result]}  {each.name:<{names}}  {each.reason:<{reasons}}  {say(each.message)}" for each in found.checks
    ]
    lines += [""] if lines else []
    if found.fallback:
        lines.append(f"FALLBACK: {say(found.fallback)}")
    match found.decision:
        case "Available":
            lines.append("would be scheduled")
        case "Refused":
            lines.append(f"would be refused: {found.reason}: {say(found.message)}")
        case "Waiting":
            lines.append(f"would wait: {found.reason}: {say(found.message)}")
    if told.model is not None:
        size = f"  {told.model.size} bytes" if told.model.size is not None else ""
        lines.append(say(f"model    {told.model.uri}  {told.model.digest}{size}"))
    lines += [say(f"dataset  {each.uri}{f'/{each.file}' if each.file else ''}  {each.digest}") for each in told.datasets]
    return "\n".join(lines) + "\n"


def _speaker(words: Mapping[str, str]) -> Callable[[str], str]:
    """Sentences with the names that hold here, and without characters that move a terminal's cursor."""

    def say(text: str) -> str:
        for there, here in words.items():
            text = text.replace(there, here)
        return "".join(each if each.isprintable() else "?" for each in text)

    return say
