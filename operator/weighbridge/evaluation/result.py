"""The result contract: what an engine may write.

An engine writes one JSON document (`result.schema.json`), which the reporter reads here and hands over (message.py). It is read
with distrust: whatever is not a complete, valid measurement of the expected subject becomes a `ResultProblem`, never numbers.
Nothing here touches a file, and no text of a document is ever repeated.
"""

import hashlib
import json
import sys
from collections import Counter
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ..api.results import Invariant, Metric, Results
from ..core.evaluationfacts import ResultProblem

MAX_DOCUMENT = 1 << 20
"""Bytes of a result document."""
Reason = Literal["ResultMissing", "ResultTooLarge", "ResultInvalid", "ResultDuplicated", "WrongSubject"]
MISSING = ResultProblem("ResultMissing", "the engine ended without a result: it must write the file named by WEIGHBRIDGE_RESULT")
TOO_LARGE = ResultProblem(
    "ResultTooLarge", f"the result document is larger than {MAX_DOCUMENT // 1024} KiB; report aggregates only"
)
DUPLICATED = ResultProblem(
    "ResultDuplicated", "the engine's result was written more than once, with different content: nobody can tell which one counts"
)
WRONG_SUBJECT = ResultProblem(
    "WrongSubject", "the result speaks of another model content than was to be weighed: subject.digest must be the task's"
)


def printable(text: str) -> str:
    """The text. Raises PydanticCustomError where it holds what no terminal should be sent."""
    if not text.isprintable():
        raise PydanticCustomError("printable", "must hold printable characters only")
    return text


Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(printable)]
Unit = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(printable)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=(1 << 53) - 1)]


_RATIO: dict[str, Any] = {
    "if": {"properties": {"unit": {"const": "ratio"}}, "required": ["unit"]},
    "then": {"properties": {"value": {"minimum": 0, "maximum": 1}}},
}


class Strict(BaseModel):
    """A part of a document of others: its types are taken as they are, and what is unknown is refused."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class MeasuredMetric(Strict):
    """One measured value."""

    model_config = ConfigDict(json_schema_extra=_RATIO)

    name: Name
    """Name of the metric, as gate rules call it."""
    value: Number
    """The value: a finite JSON number."""
    direction: Literal["maximize", "minimize"]
    """Which way is better."""
    n: Count
    """Number of samples the value rests on."""
    unit: Unit | None = None
    """`ratio` (0 to 1), `seconds`, `count`, `bytes`, `usd` or a free word."""
    stderr: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Standard error of the value."""
    slice: Name | None = None
    """Part of the data the value was taken on; without one, the whole."""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.unit == "ratio" and not 0 <= self.value <= 1:
            raise PydanticCustomError("ratio", "must have a value from 0 to 1, as its unit is ratio")
        return self


class CheckedInvariant(Strict):
    """Something that must be so on every single case."""

    name: Name
    """Name of the invariant, as gate rules call it."""
    holds: bool
    """Whether it holds: looked at on at least one case and broken on none."""
    n: Count
    """Number of cases looked at."""
    broken: Count
    """On how many of them it does not hold."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.broken > self.n or self.holds != (self.n > 0 and self.broken == 0):
            raise PydanticCustomError("agrees", "must hold just where n is above 0 and broken is 0, and broken is at most n")
        return self


def _once(metrics: tuple[MeasuredMetric, ...]) -> tuple[MeasuredMetric, ...]:
    if any(count > 1 for count in Counter((metric.name, metric.slice) for metric in metrics).values()):
        raise PydanticCustomError("once", "must not hold two metrics of the same name and slice")
    return metrics


# `strict` would refuse the JSON array for a tuple: the list itself is no number, so it may be lax.
Metrics = Annotated[tuple[MeasuredMetric, ...], Field(min_length=1, max_length=128, strict=False), AfterValidator(_once)]


def _named_once(invariants: tuple[CheckedInvariant, ...]) -> tuple[CheckedInvariant, ...]:
    if len({invariant.name for invariant in invariants}) < len(invariants):
        raise PydanticCustomError("once", "must not hold two invariants of the same name")
    return invariants


Invariants = Annotated[tuple[CheckedInvariant, ...], Field(max_length=32, strict=False), AfterValidator(_named_once)]


class Subject(Strict):
    """What was weighed."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """The digest of the task's subject, copied."""


class ResultDocument(Strict):
    """What an engine measured. Metrics stand in the order of their weight: where space is short, the last ones are dropped."""

    schema_version: Literal["v1"]
    """Version of this contract."""
    subject: Subject
    """What was weighed."""
    metrics: Metrics
    """The measured values; at least one."""
    invariants: Invariants = ()
    """What was looked at on every single case."""


_DOCUMENT: TypeAdapter[ResultDocument] = TypeAdapter(ResultDocument)


def schema() -> dict[str, Any]:
    """The contract as JSON schema: everything but what no schema can say (no NaN, no key, metric or invariant
    twice, no invariant that contradicts its own numbers, at most 1 MiB)."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://weighbridge.dev/result.schema.json"}
    return about | _DOCUMENT.json_schema()


def read_result(document: bytes, expected_digest: str) -> Results | ResultProblem:
    """What the engine's document says about the subject `expected_digest`."""
    if len(document) > MAX_DOCUMENT:
        return TOO_LARGE
    try:
        read = _DOCUMENT.validate_python(strict_json(document))
    except ValidationError as error:
        return _invalid(_where(error))
    except (ValueError, RecursionError):
        return _invalid("it is not JSON as the contract wants it (UTF-8, no NaN or Infinity, no key twice)")
    if read.subject.digest != expected_digest:
        return WRONG_SUBJECT
    return results(read.metrics, read.invariants, hashlib.sha256(document).hexdigest(), truncated=0)


def results(metrics: tuple[MeasuredMetric, ...], invariants: tuple[CheckedInvariant, ...], sha256: str, truncated: int) -> Results:
    """What was read, as the operator keeps it."""
    return Results(
        metrics=tuple(Metric(**metric.model_dump()) for metric in metrics),
        invariants=tuple(Invariant(**invariant.model_dump()) for invariant in invariants),
        sha256=sha256,
        truncated=truncated,
    )


def strict_json(data: bytes) -> Any:
    """Strict JSON: what other readers would take in different ways (a key twice, NaN) is refused. Raises ValueError."""
    return json.loads(data.decode(), parse_constant=_refuse, object_pairs_hook=_unique)


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _invalid(why: str) -> ResultProblem:
    return ResultProblem("ResultInvalid", f"the engine's result document breaks the contract: {why}")


_SAID = {
    "missing": "is missing",
    "extra_forbidden": "has a field that the contract does not know",
    "finite_number": "must be a finite number",
    "too_short": "must hold at least one metric",
    "too_long": "has too many entries: at most 128 metrics and 32 invariants",
}


def _where(error: ValidationError) -> str:
    """The first thing wrong, by place and rule; never a value or a key of the document."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    return f"{path or 'the document'} {_SAID.get(first['type'], first['msg'][:1].lower() + first['msg'][1:])}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
