"""What an engine measured, as an EvaluationJob's status keeps it."""

from typing import Annotated

from pydantic import Field

from .base import ApiModel
from .gate import Direction, InvariantName, MetricName
from .report import Report


class Metric(ApiModel):
    """One measured value."""

    name: MetricName
    value: float
    direction: Direction
    """Which way is better."""
    n: Annotated[int, Field(ge=0)]
    """Number of samples it rests on."""
    unit: Annotated[str, Field(max_length=32)] | None = None
    stderr: float | None = None
    """Standard error of the value."""
    slice: Annotated[str, Field(max_length=128)] | None = None
    """Part of the data it was taken on."""


class Invariant(ApiModel):
    """Something that must be so on every single case, such as an answer that must never be given."""

    name: InvariantName
    holds: bool
    """Whether it holds. On no cases it does not."""
    n: Annotated[int, Field(ge=0)]
    """Number of cases looked at."""
    broken: Annotated[int, Field(ge=0)]
    """On how many of them it does not hold."""


class Comparison(ApiModel):
    """A paired test of candidate against champion over the results of single samples. p-values are one-sided."""

    metric: MetricName
    """The metric whose values of single samples were compared."""
    slice: Annotated[str, Field(max_length=128)] | None = None
    """Part of the data."""
    margin: Annotated[float, Field(ge=0)]
    """The regression that was tested against, in the metric's unit: a rule's maxRegression."""
    n: Annotated[int, Field(ge=0)]
    """Number of pairs."""
    difference: float | None = None
    """Mean difference over the pairs in the metric's unit; above 0 the candidate is better."""
    p_not_inferior: Annotated[float, Field(ge=0, le=1)] | None = None
    """How likely such a result, or a better one, is where the regression reaches the margin: small means not inferior."""
    p_inferior: Annotated[float, Field(ge=0, le=1)] | None = None
    """How likely such a result, or a worse one, is where the regression is within the margin: small means inferior."""
    test: Annotated[str, Field(max_length=32)] = ""
    """The test: `McNemar`, `ClopperPearson`, `Betting`, `SignFlip`, or `Identical`: all pairs equal, and the margin 0."""
    problem: Annotated[str, Field(max_length=512)] = ""
    """Why there was nothing to test; no numbers then."""


class Results(ApiModel):
    """What the engine measured."""

    model: Annotated[str, Field(max_length=1024)] = ""
    """Address of the model that was really evaluated."""
    metrics: Annotated[tuple[Metric, ...], Field(max_length=128)] = ()
    """The metrics."""
    invariants: Annotated[tuple[Invariant, ...], Field(max_length=32)] = ()
    """The invariants."""
    comparisons: Annotated[tuple[Comparison, ...], Field(max_length=128)] = ()
    """Paired tests against the champion."""
    sha256: Annotated[str, Field(max_length=64)]
    """SHA-256 of the engine's result document."""
    reused_from: Annotated[str, Field(max_length=253)] = ""
    """EvaluationJob that measured it, where it was not measured anew."""
    truncated: Annotated[int, Field(ge=0)] = 0
    """How many metrics, from the end of the document, did not fit into the reporter's message."""
    report: Report | None = None
    """The full report, where `spec.report` asks for one."""
