"""The gate: bars against measurements. Total and fail-closed: whatever is missing, odd, too small or too uncertain never passes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..api.evaluationjob import Metric
from ..api.gate import GateLine, GateRule, Verdict, VerdictName
from .policy import bar, policy_hash, words, wrong, wrong_side

_WORST_FIRST: tuple[VerdictName, ...] = ("Error", "Failed", "Inconclusive", "Passed")
_NAMED = 3
"""How many slices with too few samples a message names."""


@dataclass(frozen=True)
class _Weighed:
    """One measurement held against one rule."""

    metric: Metric
    verdict: VerdictName
    message: str

    def rank(self, rule: GateRule) -> tuple[int, float, str]:
        """Worst first: the verdict, then the room left to the bar, then the name, so that the order of metrics does not count."""
        low, high = _interval(rule, self.metric)
        above = math.inf if rule.min is None else low - rule.min
        below = math.inf if rule.max is None else rule.max - high
        room = min(above, below)
        return _WORST_FIRST.index(self.verdict), -math.inf if math.isnan(room) else room, self.metric.slice or ""


def judge(gate: Sequence[GateRule], metrics: Sequence[Metric], dropped: int = 0) -> Verdict:
    """One line per rule; the result is the worst of them. Without any rule nothing was asked, so nothing passes.

    `dropped` metrics were measured and are not among `metrics`: a rule on every slice cannot hold then.
    """
    lines = tuple(_line(rule, gate, metrics, dropped) for rule in gate)
    verdicts = {line.verdict for line in lines} or {"Inconclusive"}
    return Verdict(result=next(name for name in _WORST_FIRST if name in verdicts), policy_hash=policy_hash(gate), lines=lines)


def score(gate: Sequence[GateRule], verdict: Verdict) -> str:
    """The first rule's metric in few characters, for tables: `accuracy 0.9737`; empty where it was not measured."""
    value = verdict.lines[0].value if gate and verdict.lines else None
    return "" if value is None else f"{gate[0].metric[:40]} {value:.4g}"


def _line(rule: GateRule, gate: Sequence[GateRule], metrics: Sequence[Metric], dropped: int) -> GateLine:
    named = [metric for metric in metrics if metric.name == rule.metric]
    found = [metric for metric in named if (metric.slice is not None if rule.slices else metric.slice == rule.slice)]
    problem = wrong(rule, gate) or _unusable(rule, found, metrics, dropped)
    if problem is not None:
        return _told(rule, "Error", problem, found[0] if len(found) == 1 else None)
    weighed = sorted((_weigh(rule, metric) for metric in found), key=lambda each: each.rank(rule))
    worst = weighed[0]
    return _told(rule, worst.verdict, f"{worst.message}{_others(rule, weighed)}", worst.metric)


def _unusable(rule: GateRule, found: Sequence[Metric], metrics: Sequence[Metric], dropped: int) -> str | None:
    """Why what was reported does not answer the rule at all."""
    place = f" on {rule.slice}" if rule.slice else " on any slice" if rule.slices else ""
    if not found:
        reported = ", ".join(sorted({_name(metric) for metric in metrics}))[:400] or "nothing"
        return f"{rule.metric} was not reported{place} by the engine; reported: {reported}"
    twice = sorted(name for name, times in Counter(_name(metric) for metric in found).items() if times > 1)
    if twice:
        return f"{twice[0]} was reported more than once by the engine"
    if rule.slices and dropped:
        return f"{dropped} metrics did not fit into the reporter's message, slices of {rule.metric} may be among them: report fewer"
    return None


def _told(rule: GateRule, verdict: VerdictName, message: str, metric: Metric | None) -> GateLine:
    """The line, with those numbers that are numbers."""
    if metric is None:
        return GateLine(rule=words(rule), verdict=verdict, message=message[:1024])
    return GateLine(
        rule=words(rule),
        verdict=verdict,
        value=metric.value if math.isfinite(metric.value) else None,
        stderr=metric.stderr if metric.stderr is not None and math.isfinite(metric.stderr) else None,
        n=metric.n,
        slice=metric.slice,
        message=message[:1024],
    )


def _others(rule: GateRule, weighed: Sequence[_Weighed]) -> str:
    """Of a rule on every slice: among how many this one is the worst, and which rest on too few samples."""
    if not rule.slices:
        return ""
    if len(weighed) == 1:
        return " (the only slice)"
    thin = sorted(each.metric.slice or "" for each in weighed if each.metric.n < rule.min_samples)
    few = f"; fewer than {rule.min_samples} samples: {', '.join(thin[:_NAMED])}" if thin else ""
    more = f" and {len(thin) - _NAMED} more" if len(thin) > _NAMED else ""
    return f" (the worst of {len(weighed)} slices{few}{more})"


def _name(metric: Metric) -> str:
    """The metric with its slice, as messages name it."""
    return metric.name if metric.slice is None else f"{metric.name} on {metric.slice}"


def _interval(rule: GateRule, metric: Metric) -> tuple[float, float]:
    """Between what the value lies, as sure as the rule asks for."""
    if rule.standard_errors is None or metric.stderr is None:
        return metric.value, metric.value
    reach = rule.standard_errors * metric.stderr
    return metric.value - reach, metric.value + reach


def _weigh(rule: GateRule, metric: Metric) -> _Weighed:
    problem = _unfit(rule, metric)
    if problem is not None:
        return _Weighed(metric, "Error", problem)
    name = _name(metric)
    if metric.n < rule.min_samples:
        return _Weighed(metric, "Inconclusive", f"{name} rests on {metric.n} samples, fewer than {rule.min_samples}")
    spread = "" if rule.standard_errors is None else f" ± {rule.standard_errors:.12g} × {metric.stderr:.3g}"
    said = f"{name} is {metric.value:.6g}{spread}"
    low, high = _interval(rule, metric)
    if rule.min is not None and high < rule.min:
        return _Weighed(metric, "Failed", f"{said}, below {rule.min:.12g}")
    if rule.max is not None and low > rule.max:
        return _Weighed(metric, "Failed", f"{said}, above {rule.max:.12g}")
    if (rule.min is None or low >= rule.min) and (rule.max is None or high <= rule.max):
        return _Weighed(metric, "Passed", said)
    return _Weighed(metric, "Inconclusive", f"{said}, too uncertain to tell whether it is {bar(rule)}")


def _unfit(rule: GateRule, metric: Metric) -> str | None:
    """Why the measurement is none that the rule can use."""
    name = _name(metric)
    if not math.isfinite(metric.value):
        return f"{name} is not a finite number"
    if metric.n == 0:
        return f"{name} rests on no samples"
    if rule.unit is not None and metric.unit != rule.unit:
        return f"{name} is reported in {metric.unit or 'no unit'}, the rule asks for {rule.unit}"
    if metric.unit == "ratio" and not 0 <= metric.value <= 1:
        return f"{name} is {metric.value:g}, outside the range 0 to 1 of a ratio"
    if rule.direction is not None and metric.direction != rule.direction:
        return f"{name} is reported as one to {metric.direction}, the rule says {rule.direction}"
    if wrong_side(rule, metric.direction):
        side = "min" if metric.direction == "maximize" else "max"
        return f"{name} is reported as one to {metric.direction}, and the only bar is {bar(rule)}: set {side}, or both for a range"
    if rule.standard_errors is not None and (metric.stderr is None or not 0 <= metric.stderr < math.inf):
        return f"{name} is reported without a standard error, which the rule's standardErrors needs"
    return None
