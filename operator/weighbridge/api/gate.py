"""The gate of an evaluation: bars that metrics must clear, and how each of them came out."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, Text, rules

MetricName = Annotated[str, Field(min_length=1, max_length=128)]
InvariantName = Annotated[str, Field(min_length=1, max_length=128)]
Direction = Literal["maximize", "minimize"]
VerdictName = Literal["Passed", "Failed", "Inconclusive", "Error"]
_WRONG_SIDE = "the bar contradicts the direction: a metric to maximize needs a min, one to minimize a max (for a range set both)"
_ALONE = "an invariant holds or it does not: leave out the bars and all else but minSamples"
_NO_BAR = "set min, max or maxRegression: a rule without a bar decides nothing"
_NO_MARGIN = "confidence goes with maxRegression: set both, or standardErrors for min and max"
_TWO_WAYS = "confidence decides the regression, standardErrors min and max: without one of those, leave out standardErrors"
_CONTRADICTION = "two rules on one metric and slice can never both hold: the min of one is above the max of the other"
_SAME = "(has(a.metric) && has(b.metric) && a.metric == b.metric)"
# Rules meet on the same slice, on the whole, on every slice, and where one is on every slice and the other names one.
_MEET = (
    "(has(a.slices) ? has(b.slices) || has(b.slice) : has(b.slices) ? has(a.slice) : "
    "has(a.slice) == has(b.slice) && (!has(a.slice) || a.slice == b.slice))"
)
_OF_METRICS = ("min", "max", "maxRegression", "confidence", "direction", "slice", "slices", "standardErrors", "unit")


class GateRule(ApiModel):
    """Bars that one metric must clear, or an invariant that must hold. What is missing, not a number or measured on nothing never
    does."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("has(self.metric) != has(self.invariant)", "name exactly one: a metric or an invariant"),
            Cel("has(self.invariant) || has(self.min) || has(self.max) || has(self.maxRegression)", _NO_BAR),
            Cel("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
            Cel(
                "!has(self.direction) || !has(self.min) && !has(self.max) || "
                "(self.direction == 'maximize' ? has(self.min) : has(self.max))",
                _WRONG_SIDE,
            ),
            Cel("!has(self.slice) || !has(self.slices)", "slice names one slice, slices means every one: set one of them"),
            Cel("!has(self.confidence) || has(self.maxRegression)", _NO_MARGIN),
            Cel("!has(self.confidence) || !has(self.standardErrors) || has(self.min) || has(self.max)", _TWO_WAYS),
            Cel(f"!has(self.invariant) || !({' || '.join(f'has(self.{name})' for name in _OF_METRICS)})", _ALONE),
        )
    )

    metric: MetricName | None = None
    """Name of the metric, as the engine reports it."""
    invariant: InvariantName | None = None
    """Name of an invariant that the engine must report and that must hold on every case. It stands in place of a metric."""
    direction: Direction | None = None
    """Which way is better. Another word of the engine is an error, never a pass; without one the engine's word is taken."""
    slice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Part of the data the metric is taken on; without one, the whole."""
    slices: Literal["Every"] | None = None
    """`Every`: the rule is on each slice the engine reports of the metric, not on the whole, and the worst slice decides."""
    min: float | None = None
    """Lowest value that passes."""
    max: float | None = None
    """Highest value that passes."""
    max_regression: Annotated[float, Field(ge=0)] | None = None
    """How much worse than the champion's value the value may be, in the metric's own direction and unit. The champion is what
    serves of this model. Where it cannot be compared, the rule is inconclusive; where nothing serves yet, there is none."""
    confidence: (
        Annotated[float, Field(ge=0.5, le=1), Cel("self > 0.5 && self < 1.0", "confidence must be above 0.5 and below 1")] | None
    ) = None
    """With maxRegression: how sure a paired test over the results of single samples must be that the regression is no larger,
    e.g. 0.95."""
    standard_errors: Annotated[float, Field(ge=0, le=10), Cel("self > 0.0", "standardErrors must be above 0")] | None = None
    """How many standard errors the value must clear the bar by; closer to it, on either side, is inconclusive. A regression is
    taken with those of both sides together, where no confidence is set."""
    min_samples: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    """Fewest samples the metric must rest on, on each slice the rule holds for and for the champion too, or fewest cases of the
    invariant; fewer is inconclusive."""
    unit: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    """Unit the metric must be reported in (`ratio`, `seconds`, …); another unit is an error, never a pass."""


Gate = Annotated[
    tuple[GateRule, ...],
    Field(max_length=64),
    Cel(
        f"self.all(a, !has(a.min) || self.all(b, !has(b.max) || a.min <= b.max || !{_SAME} || !{_MEET}))",
        _CONTRADICTION,
    ),
]


class GateLine(ApiModel):
    """How one gate rule came out, with the numbers it used."""

    rule: Annotated[str, Field(max_length=512)]
    """The rule in words, with its bar."""
    verdict: VerdictName
    """How it came out."""
    value: float | None = None
    """The value it was held against."""
    stderr: float | None = None
    """Standard error of that value, where the engine reported one."""
    n: Annotated[int, Field(ge=0)] | None = None
    """Number of samples that value rests on."""
    champion: float | None = None
    """The champion's value it was compared with."""
    slice: Annotated[str, Field(max_length=128)] | None = None
    """Part of the data that value was taken on; of a rule on every slice, the worst one."""
    message: Text = ""
    """Why."""


class Verdict(ApiModel):
    """The outcome of the evaluation."""

    result: VerdictName
    """The worst of all lines."""
    policy_hash: Annotated[str, Field(max_length=64)] | None = None
    """Fingerprint of the gate that was judged, whatever the order of its rules; absent where nothing was measured."""
    lines: Annotated[tuple[GateLine, ...], Field(max_length=96)] = ()
    """One line per gate rule, in their order; behind them one per invariant that no rule names and that does not hold."""
