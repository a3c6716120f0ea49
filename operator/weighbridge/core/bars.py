"""Bars: one measurement held against the min and max of one rule, and whether it is a measurement the rule can use at all."""

import math
from dataclasses import dataclass

from ..api.gate import GateRule, VerdictName
from ..api.results import Metric
from .policy import bar, wrong_side

WORST_FIRST: tuple[VerdictName, ...] = ("Error", "Failed", "Inconclusive", "Passed")


@dataclass(frozen=True)
class Weight:
    """How one measurement came out."""

    verdict: VerdictName
    message: str
    room: float
    """How far it is on the good side of the bar, in the metric's unit, as sure as the rule asks for; below 0 on the bad side."""
    champion: float | None = None
    """The champion's value it was compared with."""


def named(metric: Metric) -> str:
    """The metric with its slice, as messages name it."""
    return metric.name if metric.slice is None else f"{metric.name} on {metric.slice}"


def usable(rule: GateRule, metric: Metric) -> Weight | None:
    """None where the measurement answers the rule; else how the rule comes out without any bar being looked at."""
    problem = _unfit(rule, metric)
    if problem is not None:
        return Weight("Error", problem, _room(rule, metric))
    if metric.n < rule.min_samples:
        message = f"{named(metric)} rests on {metric.n} samples, fewer than {rule.min_samples}"
        return Weight("Inconclusive", message, _room(rule, metric))
    return None


def hold(rule: GateRule, metric: Metric) -> Weight:
    """A usable measurement against min and max."""
    spread = "" if rule.standard_errors is None else f" ± {rule.standard_errors:.12g} × {metric.stderr:.3g}"
    said = f"{named(metric)} is {metric.value:.6g}{spread}"
    low, high = _interval(rule, metric)
    room = _room(rule, metric)
    if rule.min is not None and high < rule.min:
        return Weight("Failed", f"{said}, below {rule.min:.12g}", room)
    if rule.max is not None and low > rule.max:
        return Weight("Failed", f"{said}, above {rule.max:.12g}", room)
    if (rule.min is None or low >= rule.min) and (rule.max is None or high <= rule.max):
        return Weight("Passed", said, room)
    return Weight("Inconclusive", f"{said}, too uncertain to tell whether it is {bar(rule)}", room)


def flaw(metric: Metric) -> str | None:
    """Why the measurement is none at all, whatever the rule."""
    name = named(metric)
    if not math.isfinite(metric.value):
        return f"{name} is not a finite number"
    if metric.n == 0:
        return f"{name} rests on no samples"
    if metric.unit == "ratio" and not 0 <= metric.value <= 1:
        return f"{name} is {metric.value:g}, outside the range 0 to 1 of a ratio"
    return None


def uncertain(metric: Metric) -> bool:
    """Whether it lacks a standard error that is a number."""
    return metric.stderr is None or not 0 <= metric.stderr < math.inf


def _unfit(rule: GateRule, metric: Metric) -> str | None:
    """Why the measurement is none that the rule can use."""
    name = named(metric)
    if (problem := flaw(metric)) is not None:
        return problem
    if rule.unit is not None and metric.unit != rule.unit:
        return f"{name} is reported in {metric.unit or 'no unit'}, the rule asks for {rule.unit}"
    if rule.direction is not None and metric.direction != rule.direction:
        return f"{name} is reported as one to {metric.direction}, the rule says {rule.direction}"
    if wrong_side(rule, metric.direction):
        side = "min" if metric.direction == "maximize" else "max"
        return f"{name} is reported as one to {metric.direction}, and the only bar is {bar(rule)}: set {side}, or both for a range"
    if rule.standard_errors is not None and uncertain(metric):
        return f"{name} is reported without a standard error, which the rule's standardErrors needs"
    return None


def _interval(rule: GateRule, metric: Metric) -> tuple[float, float]:
    """Between what the value lies, as sure as the rule asks for."""
    if rule.standard_errors is None or metric.stderr is None:
        return metric.value, metric.value
    reach = rule.standard_errors * metric.stderr
    return metric.value - reach, metric.value + reach


def _room(rule: GateRule, metric: Metric) -> float:
    low, high = _interval(rule, metric)
    above = math.inf if rule.min is None else low - rule.min
    below = math.inf if rule.max is None else rule.max - high
    room = min(above, below)
    return -math.inf if math.isnan(room) else room
