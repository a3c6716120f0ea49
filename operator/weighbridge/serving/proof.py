"""Proof of serving: what to ask an endpoint, and whether its answers prove that the new version serves. No I/O.

An examination puts its questions one after the other and ends with the first answer that does not do. What is *wrong* speaks
against the model; all else leaves open what the model does: silence, "not now", "not you", "not here".
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote

from ..api.serving import HttpGet, Identity, Invariant, Probe
from . import json_values as values

TEXT = 64 * 1024
"""Bytes of an answer in which the expected text is looked for."""
JSON = 256 * 1024
"""Longest JSON document that is read. A longer one is a wrong answer: parsing takes up to thirty times its size in memory."""
NO_ANSWER = frozenset({*range(300, 400), 401, 403, 407, 408, 421, 425, 429, 502, 503, 504, 511})
"""Statuses that say nothing of the model: elsewhere, not you, not now, nobody behind me."""
_NOT_FOUND, _NOT_ALLOWED, _NOT_IMPLEMENTED = 404, 405, 501


@dataclass(frozen=True)
class Question:
    """One HTTP request to an endpoint."""

    name: str
    """As messages call it."""
    port: int
    path: str
    """With its query; already encoded."""
    body: bytes | None = None
    """JSON to post; None: a GET request."""
    most: int = 0
    """Bytes of the answer that matter. Anything longer is cut there."""


@dataclass(frozen=True)
class Answer:
    """What came back, in time."""

    status: int
    body: bytes = b""
    cut: bool = False
    """Whether there was more of it than was asked for."""


@dataclass(frozen=True)
class Trouble:
    """Why a question is not passed."""

    question: Question
    message: str
    """What the endpoint did, as the rest of a sentence that begins with its address."""
    wrong: bool
    """Whether this is evidence against the model."""


Examination: TypeAlias = Generator[Question, Answer, Trouble | None]


def examine(probe: Probe) -> Examination:
    """All questions of a probe; returns the first trouble, or None for an endpoint that passed them all."""
    for part in _parts(probe):
        if trouble := (yield from part):
            return trouble
    return None


def _parts(probe: Probe) -> Iterator[Examination]:
    if probe.http_get is not None:
        yield _expectation(probe.http_get, probe.expect)
    if probe.identity is not None:
        yield _identity(probe.identity)
    for invariant in probe.invariants:
        yield _invariant(invariant)


def _expectation(get: HttpGet, expect: str | None) -> Examination:
    question = _get(get.port, get.path, TEXT if expect is not None else 0)
    answer = yield question
    if answer.status != 200:
        return _bad_status(question, answer)
    if expect is not None and expect.encode() not in answer.body:
        return _wrong(question, "does not contain the expected text")
    return None


def _invariant(invariant: Invariant) -> Examination:
    body = invariant.body.encode()
    question = Question(f"invariant {invariant.name}", invariant.port, invariant.path, body, JSON)
    if isinstance(values.read(body), values.Odd):
        return Trouble(question, "was not asked: the invariant's body is not a JSON document; correct it in the spec", wrong=False)
    answer = yield question
    if answer.status != 200:
        return _bad_status(question, answer)
    document = _document(answer)
    if isinstance(document, values.Odd):
        return _wrong(question, document.why)
    found = values.at(document, invariant.answer)
    if isinstance(found, values.Odd):
        return _wrong(question, found.why)
    wanted = values.misses(found, least=invariant.min, most=invariant.max, text=invariant.equals)
    return _wrong(question, f"is {values.shown(found)}, expected {wanted}") if wanted else None


def _identity(identity: Identity) -> Examination:
    match identity.protocol:
        case "OpenAI":
            return _openai(identity)
        case "OpenInference":
            return _open_inference(identity)
        case "MLflow":
            return _mlflow(identity)


def _openai(identity: Identity) -> Examination:
    """The list of models: `root` is the path of the weights where the server tells (vLLM), `id` the name it serves them under."""
    question = _get(identity.port, "/v1/models", JSON)
    if identity.value is None:
        return Trouble(question, "was not asked: there is no value to compare with", wrong=False)
    answer = yield question
    if answer.status != 200:
        return _bad_status(question, answer)
    document = _document(answer)
    if isinstance(document, values.Odd):
        return _wrong(question, document.why)
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return _wrong(question, "is no list of models")
    models = [each for each in listed if isinstance(each, dict) and (identity.model is None or each.get("id") == identity.model)]
    if not models:
        return _wrong(question, f"does not name model {identity.model}" if identity.model else "names no model")
    if any(identity.value in (each.get("root"), each.get("id")) for each in models):
        return None
    told = models[0].get("root") or models[0].get("id")
    return _wrong(question, f"names {values.shown(told)}, expected {values.shown(identity.value)}")


def _open_inference(identity: Identity) -> Examination:
    """The model's metadata, then whether it, or its version, is ready.

    Not ready is any 4xx by the protocol, and no evidence: a model that loads says so too. Only 404 says that it is not there."""
    model, version = f"/v2/models/{quote(identity.model or '', safe='')}", identity.value
    question = _get(identity.port, model, JSON)
    answer = yield question
    if answer.status != 200:
        return _not_ready(question, answer)
    document = _document(answer)
    if isinstance(document, values.Odd):
        return _wrong(question, document.why)
    if not isinstance(document, dict):
        return _wrong(question, "is no description of a model")
    named = document.get("versions")
    if version is not None and named and (not isinstance(named, list) or version not in named):
        told = named[0] if isinstance(named, list) else named
        return _wrong(question, f"names version {values.shown(told)}, expected {values.shown(version)}")
    if version is not None:
        question = _get(identity.port, f"{model}/versions/{quote(version, safe='')}/ready")
        answer = yield question
        if answer.status == 200:
            return None
        if named or answer.status != _NOT_IMPLEMENTED:
            return _not_ready(question, answer)
    question = _get(identity.port, f"{model}/ready")
    answer = yield question
    return None if answer.status == 200 else _not_ready(question, answer)


def _mlflow(identity: Identity) -> Examination:
    """That it is a scoring server, which starts to listen once it has loaded a model. It never says which one."""
    question = _get(identity.port, "/ping")
    answer = yield question
    if answer.status != 200:
        return _bad_status(question, answer)
    question = _get(identity.port, "/version", TEXT)
    answer = yield question
    if answer.status == 200:
        return None if values.is_version(answer.body) else _wrong(question, "is not a version of MLflow")
    if answer.status != _NOT_FOUND:
        return _bad_status(question, answer)
    # The nginx in images of `mlflow models build-docker` lets /ping and /invocations through and nothing else.
    question = _get(identity.port, "/invocations")
    answer = yield question
    return None if answer.status == _NOT_ALLOWED else _bad_status(question, answer)


def _get(port: int, path: str, most: int = 0) -> Question:
    return Question(f"GET {values.cut(path.partition('?')[0])}", port, path, None, most)


def _document(answer: Answer) -> object:
    """The JSON in the body, or `Odd`."""
    return values.Odd(f"is longer than {JSON // 1024} KiB") if answer.cut else values.read(answer.body)


def _wrong(question: Question, what: str) -> Trouble:
    return Trouble(question, f"answered {question.name} wrongly: the answer {what}", wrong=True)


def _bad_status(question: Question, answer: Answer) -> Trouble:
    message = f"answered {question.name} with status {answer.status}, expected 200"
    return Trouble(question, message, wrong=answer.status not in NO_ANSWER)


def _not_ready(question: Question, answer: Answer) -> Trouble:
    if 400 <= answer.status < 500 and answer.status != _NOT_FOUND:
        return Trouble(question, f"answered {question.name} with status {answer.status}: not ready", wrong=False)
    return _bad_status(question, answer)
