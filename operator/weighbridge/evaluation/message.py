"""How a result travels from the reporter to the operator: packed into the termination message of the reporter's container.

The operator unpacks with distrust: code under evaluation runs in the same pod. What cannot be read is a `ResultProblem`, and no
text of a message is repeated but the sentence of a problem.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from ..api.report import Report, ReportProblem
from ..api.results import Comparison, Results
from ..core.evaluationfacts import ResultProblem
from .result import (
    WRONG_SUBJECT,
    Count,
    Invariants,
    Metrics,
    Name,
    Number,
    Reason,
    Strict,
    Subject,
    printable,
    results,
    strict_json,
)

MAX_MESSAGE = 4096
"""Bytes of a termination message; the kubelet cuts what is longer."""
MAX_UNPACKED = 1 << 18
"""Bytes of an unpacked summary: far above what 128 metrics need, far below what hurts."""
_PREFIX = "wb2:"
_COLUMNS = ("name", "value", "direction", "n", "unit", "stderr", "slice")
"""Metrics travel column by column, which packs a fifth better; operator and reporter are of one version."""
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Report(Strict):
    """Where the full report lies, or why it does not."""

    uri: Annotated[str, Field(max_length=512), AfterValidator(printable)] = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    bytes: Count = 0
    problem: ReportProblem | Literal[""] = ""


_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_MOST_COMPARISONS = 128


class _Comparison(Strict):
    """A paired test: all of its numbers, or why there are none."""

    metric: Name
    slice: Name | None = None
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    n: Count
    difference: Number | None = None
    p_not_inferior: _Probability | None = None
    p_inferior: _Probability | None = None
    test: Literal["McNemar", "ClopperPearson", "Betting", "SignFlip", "Identical", ""] = ""
    problem: Annotated[str, Field(max_length=512), AfterValidator(printable)] = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        numbers = (self.difference, self.p_not_inferior, self.p_inferior)
        told = bool(self.test), self.n > 0, *(each is not None for each in numbers)
        if any((told[0], *told[2:])) if self.problem else not all(told):
            raise ValueError("neither a test nor a problem")
        return self


def _tested_once(comparisons: tuple[_Comparison, ...]) -> tuple[_Comparison, ...]:
    if len({(each.metric, each.slice, each.margin) for each in comparisons}) < len(comparisons):
        raise ValueError("two tests of the same thing")
    return comparisons


_Comparisons = Annotated[tuple[_Comparison, ...], Field(max_length=_MOST_COMPARISONS, strict=False), AfterValidator(_tested_once)]


class _Measurement(Strict):
    """The termination message of a result."""

    subject: Subject
    sha256: _Hash
    metrics: Metrics
    invariants: Invariants = ()
    comparisons: _Comparisons = ()
    report: _Report | None = None
    truncated: Count


class _Trouble(Strict):
    """The termination message where there is no result."""

    problem: Reason
    message: Annotated[str, Field(max_length=512), AfterValidator(printable)]


_SUMMARY: TypeAdapter[_Measurement | _Trouble] = TypeAdapter(_Measurement | _Trouble)


def summary(outcome: Results | ResultProblem, digest: str) -> bytes:
    """The outcome as a termination message of at most `MAX_MESSAGE` bytes.

    Metrics that do not fit are dropped from the end of the document's order, and their number is recorded in `truncated`.
    Invariants, comparisons and the report's address are never dropped.
    """
    if isinstance(outcome, ResultProblem):
        return _pack({"problem": outcome.reason, "message": outcome.message})
    metrics = [metric.model_dump(mode="json", by_alias=True) for metric in outcome.metrics]
    whole: dict[str, Any] = {"subject": {"digest": digest}, "sha256": outcome.sha256}
    if outcome.invariants:
        whole["invariants"] = [invariant.to_json() for invariant in outcome.invariants]
    if outcome.comparisons:
        whole["comparisons"] = [_told(each) for each in outcome.comparisons]
    if outcome.report is not None:
        whole["report"] = outcome.report.to_json()
    for count in range(len(metrics) if len(outcome.comparisons) <= _MOST_COMPARISONS else 0, 0, -1):
        columns = {"metrics": _columns(metrics[:count]), "truncated": outcome.truncated + len(metrics) - count}
        packed = _pack(whole | columns)
        if len(packed) <= MAX_MESSAGE:
            return packed
    # Many invariants with long names of rare letters: to tell of some of them only would be to say that the others hold. Or dozens
    # of comparisons: each one left out would be an Error, too, and nobody would know why.
    what = "comparisons with the champion" if outcome.comparisons else "names of the invariants"
    return _pack({"problem": "ResultTooLarge", "message": f"the {what} do not fit into the reporter's message"})


def read_summary(message: str, expected_digest: str) -> Results | ResultProblem:
    """What the reporter handed over about the subject `expected_digest`; `message` is the container's termination message."""
    if not message.strip():
        return ResultProblem("ResultMissing", "the reporter handed over nothing: see its log, and whether the pod was killed")
    try:
        read = _SUMMARY.validate_python(_rows(strict_json(_unpack(message.strip()))))
    except (ValueError, RecursionError):
        return ResultProblem("ResultInvalid", "the reporter's message cannot be read: use one version of operator and reporter")
    if isinstance(read, _Trouble):
        return ResultProblem(read.problem, read.message)
    if read.subject.digest != expected_digest:
        return WRONG_SUBJECT
    found = results(read.metrics, read.invariants, read.sha256, read.truncated)
    comparisons = tuple(Comparison(**each.model_dump()) for each in read.comparisons)
    report = None if read.report is None else Report(**read.report.model_dump())
    return found.model_copy(update={"comparisons": comparisons, "report": report})


def _told(comparison: Comparison) -> dict[str, Any]:
    return {name: value for name, value in comparison.to_json().items() if value != ""}


def _columns(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [metric.get(name) for metric in metrics] for name in _COLUMNS}


def _rows(content: Any) -> Any:
    """The content with its metrics row by row. Raises ValueError where the columns are none."""
    columns = content.get("metrics") if isinstance(content, dict) else None
    if columns is None:
        return content
    if (
        not isinstance(columns, dict)
        or set(columns) != set(_COLUMNS)
        or not all(isinstance(each, list) for each in columns.values())
    ):
        raise ValueError("no columns")
    rows = zip(*columns.values(), strict=True)
    metrics = [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]
    return content | {"metrics": metrics}


def _pack(content: dict[str, Any]) -> bytes:
    plain = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _PREFIX.encode() + base64.b85encode(zlib.compress(plain.encode(), 9))


def _unpack(message: str) -> bytes:
    if not message.startswith(_PREFIX) or len(message) > MAX_MESSAGE:
        raise ValueError("no summary")
    inflate = zlib.decompressobj()
    try:
        plain = inflate.decompress(base64.b85decode(message.removeprefix(_PREFIX)), MAX_UNPACKED)
    except zlib.error as error:
        raise ValueError("not packed by us") from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError("cut off, padded or far too large")
    return plain
