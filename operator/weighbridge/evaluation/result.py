"""The result contract: what an engine may write, and how it travels from the reporter to the operator.

An engine writes one JSON document (`result.schema.json`). The reporter reads it here and packs it into a container's termination
message, and the operator unpacks that here. Both ends distrust what they read: whatever is not a complete, valid measurement of the
expected subject becomes a `ResultProblem`, never numbers. Nothing here touches a file, and no text of a document is ever repeated.
"""

import base64
import binascii
import hashlib
import json
import sys
import zlib
from collections import Counter
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ..api.evaluationjob import Metric, Results
from ..core.evaluationfacts import ResultProblem

MAX_DOCUMENT = 1 << 20
"""Bytes of a result document."""
MAX_MESSAGE = 4096
"""Bytes of a termination message; the kubelet cuts what is longer."""
MAX_UNPACKED = 1 << 18
"""Bytes of an unpacked summary: far above what 128 metrics need, far below what hurts."""
_PREFIX = "wb1:"

Reason = Literal["ResultMissing", "ResultTooLarge", "ResultInvalid", "WrongSubject"]
MISSING = ResultProblem("ResultMissing", "the engine ended without a result: it must write the file named by WEIGHBRIDGE_RESULT")
TOO_LARGE = ResultProblem(
    "ResultTooLarge", f"the result document is larger than {MAX_DOCUMENT // 1024} KiB; report aggregates only"
)
WRONG_SUBJECT = ResultProblem(
    "WrongSubject", "the result speaks of another model content than was to be weighed: subject.digest must be the task's"
)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("printable", "must hold printable characters only")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
_Unit = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_printable)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=(1 << 53) - 1)]


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class MeasuredMetric(_Strict):
    """One measured value."""

    name: _Name
    """Name of the metric, as gate rules call it."""
    value: _Number
    """The value: a finite JSON number."""
    direction: Literal["maximize", "minimize"]
    """Which way is better."""
    n: _Count
    """Number of samples the value rests on."""
    unit: _Unit | None = None
    """`ratio`, `seconds`, `count`, `bytes`, `usd` or a free word."""
    stderr: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Standard error of the value."""
    slice: _Name | None = None
    """Part of the data the value was taken on; without one, the whole."""


def _once(metrics: tuple[MeasuredMetric, ...]) -> tuple[MeasuredMetric, ...]:
    if any(count > 1 for count in Counter((metric.name, metric.slice) for metric in metrics).values()):
        raise PydanticCustomError("once", "must not hold two metrics of the same name and slice")
    return metrics


# `strict` would refuse the JSON array for a tuple: the list itself is no number, so it may be lax.
_Metrics = Annotated[tuple[MeasuredMetric, ...], Field(min_length=1, max_length=128, strict=False), AfterValidator(_once)]


class Subject(_Strict):
    """What was weighed."""

    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """The digest of the task's subject, copied."""


class ResultDocument(_Strict):
    """What an engine measured. Metrics stand in the order of their weight: where space is short, the last ones are dropped."""

    schema_version: Literal["v1"]
    """Version of this contract."""
    subject: Subject
    """What was weighed."""
    metrics: _Metrics
    """The measured values; at least one."""


class _Measurement(_Strict):
    """The termination message of a result."""

    subject: Subject
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    metrics: _Metrics
    truncated: _Count


class _Trouble(_Strict):
    """The termination message where there is no result."""

    problem: Reason
    message: Annotated[str, Field(max_length=512), AfterValidator(_printable)]


_DOCUMENT: TypeAdapter[ResultDocument] = TypeAdapter(ResultDocument)
_SUMMARY: TypeAdapter[_Measurement | _Trouble] = TypeAdapter(_Measurement | _Trouble)


def schema() -> dict[str, Any]:
    """The contract as JSON schema: everything but what no schema can say (no NaN, no key and no metric twice, at most 1 MiB)."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://weighbridge.dev/result.schema.json"}
    return about | _DOCUMENT.json_schema()


def read_result(document: bytes, expected_digest: str) -> Results | ResultProblem:
    """What the engine's document says about the subject `expected_digest`."""
    if len(document) > MAX_DOCUMENT:
        return TOO_LARGE
    try:
        read = _DOCUMENT.validate_python(_json(document))
    except ValidationError as error:
        return _invalid(_where(error))
    except (ValueError, RecursionError):
        return _invalid("it is not JSON as the contract wants it (UTF-8, no NaN or Infinity, no key twice)")
    if read.subject.digest != expected_digest:
        return WRONG_SUBJECT
    return _results(read.metrics, hashlib.sha256(document).hexdigest(), truncated=0)


def summary(outcome: Results | ResultProblem, digest: str) -> bytes:
    """The outcome as a termination message of at most `MAX_MESSAGE` bytes.

    Metrics that do not fit are dropped from the end of the document's order, and their number is recorded in `truncated`.
    """
    if isinstance(outcome, ResultProblem):
        return _pack({"problem": outcome.reason, "message": outcome.message})
    metrics = [metric.model_dump(mode="json", by_alias=True, exclude_none=True) for metric in outcome.metrics]
    whole = {"subject": {"digest": digest}, "sha256": outcome.sha256, "metrics": metrics}
    for count in range(len(metrics), 0, -1):
        packed = _pack(whole | {"metrics": metrics[:count], "truncated": outcome.truncated + len(metrics) - count})
        if len(packed) <= MAX_MESSAGE:
            return packed
    raise AssertionError("one metric always fits: names are bounded")


def read_summary(message: str, expected_digest: str) -> Results | ResultProblem:
    """What the reporter handed over about the subject `expected_digest`; `message` is the container's termination message."""
    if not message.strip():
        return ResultProblem("ResultMissing", "the reporter handed over nothing: see its log, and whether the pod was killed")
    try:
        read = _SUMMARY.validate_python(_json(_unpack(message.strip())))
    except (ValueError, RecursionError):
        return ResultProblem("ResultInvalid", "the reporter's message cannot be read: use one version of operator and reporter")
    if isinstance(read, _Trouble):
        return ResultProblem(read.problem, read.message)
    if read.subject.digest != expected_digest:
        return WRONG_SUBJECT
    return _results(read.metrics, read.sha256, read.truncated)


def _results(metrics: tuple[MeasuredMetric, ...], sha256: str, truncated: int) -> Results:
    return Results(metrics=tuple(Metric(**metric.model_dump()) for metric in metrics), sha256=sha256, truncated=truncated)


def _pack(content: dict[str, Any]) -> bytes:
    plain = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _PREFIX.encode() + base64.b64encode(zlib.compress(plain.encode(), 9))


def _unpack(message: str) -> bytes:
    if not message.startswith(_PREFIX) or len(message) > MAX_MESSAGE:
        raise ValueError("no summary")
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(base64.b64decode(message.removeprefix(_PREFIX), validate=True), MAX_UNPACKED)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("not packed by us") from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError("cut off, padded or far too large")
    return plain


def _json(data: bytes) -> Any:
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
    "too_long": "must hold at most 128 metrics",
}


def _where(error: ValidationError) -> str:
    """The first thing wrong, by place and rule; never a value or a key of the document."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    return f"{path or 'the document'} {_SAID.get(first['type'], first['msg'][:1].lower() + first['msg'][1:])}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
