"""Regressions: one measurement held against the champion's. Where the two cannot be compared, that is said, and nothing passes."""

import math
from collections.abc import Sequence
from decimal import Decimal

from ..api.gate import GateRule, VerdictName
from ..api.results import Comparison, Metric
from .bars import Weight, flaw, named, uncertain
from .champion import Champion

NOT_COMPARABLE = "NotComparable"
"""First word of the message of a line whose rule could not be compared."""
_SAME = 1e-6
"""How far, relative to the values, the mean of paired differences may be from the difference of the metrics."""


def missing(rule: GateRule, found: Sequence[Metric], champion: Champion | None) -> str | None:
    """Of a rule on every slice: that the champion has one, of which nothing was reported for the candidate."""
    if champion is None or champion.problem is not None or rule.max_regression is None or not rule.slices:
        return None
    had = {metric.slice for metric in champion.metrics if metric.name == rule.metric and metric.slice is not None}
    lost = sorted(name for name in had - {metric.slice for metric in found} if name is not None)
    return f"{rule.metric} on {lost[0]} was measured for the champion, and was not reported for this version" if lost else None


def regress(rule: GateRule, margin: float, metric: Metric, champion: Champion | None, comparisons: Sequence[Comparison]) -> Weight:
    """A usable measurement against the champion's; `margin` is the rule's maxRegression."""
    if champion is None:
        return Weight(
            "Passed", f"{named(metric)} is {metric.value:.6g}, and nothing serves yet that it could be worse than", math.inf
        )
    other = _counterpart(rule, metric, champion)
    if isinstance(other, str):
        return _told("Inconclusive", f"{NOT_COMPARABLE}: {other}")
    gain = _minus(metric.value, other.value) if metric.direction == "maximize" else _minus(other.value, metric.value)
    if other.n < rule.min_samples:
        few = f"the champion's {named(other)} rests on {other.n} samples, fewer than {rule.min_samples}"
        return _told("Inconclusive", few, gain + margin, other)
    by = f"{abs(gain):.4g} {'worse' if gain < 0 else 'better'} than" if gain else "the same as"
    said = f"{named(metric)} is {metric.value:.6g}, {by} the champion's {other.value:.6g}"
    if rule.confidence is not None:
        found = [each for each in comparisons if (each.metric, each.slice, each.margin) == (metric.name, metric.slice, margin)]
        if len(found) == 1:
            return _tested(found[0], 1 - rule.confidence, metric, other, said=said, gain=gain)
        times = "more than once" if found else "not at all"
        problem = (
            f"a paired test of {named(metric)} with margin {margin:.12g} was reported {times}, which the rule's confidence needs"
        )
        return _told("Error", problem, other=other)
    reach = 0.0
    if rule.standard_errors is not None:
        reach = rule.standard_errors * math.hypot(metric.stderr or 0.0, other.stderr or 0.0)
        said += f" ± {reach:.3g}"
    if gain + reach < -margin:
        return _told("Failed", f"{said}, more than {margin:.12g} worse", gain - reach + margin, other)
    if gain - reach >= -margin:
        return _told("Passed", said, gain - reach + margin, other)
    return _told(
        "Inconclusive", f"{said}, too uncertain to tell whether it is more than {margin:.12g} worse", gain - reach + margin, other
    )


def _counterpart(rule: GateRule, metric: Metric, champion: Champion) -> Metric | str:
    """The champion's measurement of the same thing, or why there is none that can be compared."""
    if champion.problem is not None:
        return champion.problem
    if rule.slices and champion.dropped:
        lost = f"{champion.dropped} metrics of the champion's evaluation {champion.evaluation} did not fit into its result"
        return f"{lost}, slices may be among them: report fewer"
    found = [each for each in champion.metrics if (each.name, each.slice) == (metric.name, metric.slice)]
    whose = f"evaluate the champion anew, its evaluation {champion.evaluation}"
    if len(found) != 1:
        return f"{whose} reports {named(metric)} {'more than once' if found else 'nowhere'}"
    (other,) = found
    if (problem := flaw(other)) is not None:
        return f"{whose} says: {problem}"
    if other.direction != metric.direction:
        return f"{whose} reports {named(other)} as one to {other.direction}, this one as one to {metric.direction}"
    if other.unit != metric.unit:
        return f"{whose} reports {named(other)} in {other.unit or 'no unit'}, this one in {metric.unit or 'no unit'}"
    if rule.standard_errors is not None and rule.confidence is None and uncertain(other):
        return f"{whose} reports {named(other)} without a standard error"
    return other


def _tested(test: Comparison, error: float, metric: Metric, other: Metric, *, said: str, gain: float) -> Weight:
    """By the paired test with the rule's margin, whose error probability may be `error`."""
    if test.problem:
        return _told(
            "Inconclusive", f"{NOT_COMPARABLE}: {test.problem}; measure both on the same samples, with a report each", other=other
        )
    better, worse = test.p_not_inferior, test.p_inferior
    if better is None or worse is None or test.difference is None or not _sound(test, error):
        return _told("Error", f"the paired test of {named(metric)} contradicts itself or lacks a number", other=other)
    if not test.n == metric.n == other.n:
        counts = f"{test.n} pairs, and the metric on {metric.n} and {other.n} samples"
        return _told("Error", f"the paired test of {named(metric)} rests on {counts}", other=other)
    if not abs(test.difference - gain) <= _SAME * max(abs(metric.value), abs(other.value)):
        problem = (
            f"{said}, but single samples differ by {test.difference:.4g} on average: confidence needs a metric that is their mean"
        )
        return _told("Error", problem, other=other)
    margin, room = f"{test.margin:.12g}", gain + test.margin
    if better <= error:
        return _told("Passed", f"{said} (p = {better:.3g}, {test.test})", room, other)
    if worse <= error:
        return _told("Failed", f"{said}, more than {margin} worse (p = {worse:.3g}, {test.test})", room, other)
    doubt = f"too few samples to tell with confidence {1 - error:.12g} whether it is more than {margin} worse"
    return _told("Inconclusive", f"{said}, {doubt} (p = {better:.3g}, {test.test})", room, other)


def _sound(test: Comparison, error: float) -> bool:
    """Whether the numbers of a test fit together, whoever computed them."""
    difference, better, worse = test.difference, test.p_not_inferior, test.p_inferior
    if difference is None or better is None or worse is None:
        return False
    if not (math.isfinite(difference) and 0 <= better <= 1 and 0 <= worse <= 1):
        return False
    return not (better <= error and (worse <= error or difference < -test.margin - _SAME * abs(difference)))


def _told(verdict: VerdictName, message: str, room: float = -math.inf, other: Metric | None = None) -> Weight:
    return Weight(verdict, message, -math.inf if math.isnan(room) else room, None if other is None else other.value)


def _minus(one: float, other: float) -> float:
    """The difference as people subtract the numbers they read: 0.95 - 0.96 is -0.01, not a little less."""
    return float(Decimal(repr(one)) - Decimal(repr(other)))
