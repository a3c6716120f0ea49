"""The answer of `weighbridge preflight`, for people and for programs. Must not judge anything."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api.evaluationjob import Check
from ..api.references import DatasetPin, ModelPin
from ..core.preflight import Examination
from .terminal import printable

_RESULTS = {"Passed": "passed", "Failed": "FAILED", "Waiting": "waits "}


@dataclass(frozen=True)
class Told:
    """What is printed."""

    examination: Examination
    model: ModelPin | None = None
    datasets: tuple[DatasetPin, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    """See `Place.words`."""
    trouble: bool = False
    """The cluster did not let us look."""


def as_json(told: Told) -> str:
    """One JSON document."""
    found, say = told.examination, _speaker(told.words)
    checks = [{**each.to_json(), "message": say(each.message)} for each in found.checks]
    pins: dict[str, Any] = {"model": told.model.to_json()} if told.model else {}
    if told.datasets:
        pins["datasets"] = [each.to_json() for each in told.datasets]
    document = {
        **({"result": found.reason} if told.trouble else {}),
        "decision": found.decision,
        "reason": found.reason,
        "message": say(found.message),
        "fallback": found.fallback,
        "checks": checks,
        "resolved": pins or None,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _result(check: Check) -> str:
    return "note  " if check.result == "Passed" and check.reason == "EngineUnknown" else _RESULTS[check.result]


def as_text(told: Told) -> str:
    """A line for each check, the decision, and the pins."""
    found, say = told.examination, _speaker(told.words)
    names = max((len(each.name) for each in found.checks), default=0)
    reasons = max((len(each.reason) for each in found.checks), default=0)
    lines = [f"{_result(each)}  {each.name:<{names}}  {each.reason:<{reasons}}  {say(each.message)}" for each in found.checks]
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
        return printable(text)

    return say
