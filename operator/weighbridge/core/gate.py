"""The gate: bars against measurements. Total and fail-closed: whatever is missing, odd or too small never passes."""

import math
from collections.abc import Sequence

from ..api.evaluationjob import GateLine, GateRule, Metric, Verdict, VerdictName

_WORST_FIRST: tuple[VerdictName, ...] = ("Error", "Failed", "Inconclusive", "Passed")


def judge(gate: Sequence[GateRule], metrics: Sequence[Metric]) -> Verdict:
    """One line per rule; the result is the worst of them. Without any rule nothing was asked, so nothing passes."""
    lines = tuple(_line(rule, metrics) for rule in gate)
    verdicts = {line.verdict for line in lines} or {"Inconclusive"}
    return Verdict(result=next(name for name in _WORST_FIRST if name in verdicts), lines=lines)


def score(gate: Sequence[GateRule], metrics: Sequence[Metric]) -> str:
    """The first gate metric in few characters, for tables: `accuracy 0.9737`; empty where it was not measured."""
    for rule in gate[:1]:
        for metric in _matching(rule, metrics):
            return f"{metric.name[:40]} {metric.value:.4g}"
    return ""


def words(rule: GateRule) -> str:
    """The rule as people say it."""
    bars = [f"at least {rule.min:g}"] if rule.min is not None else []
    bars += [f"at most {rule.max:g}"] if rule.max is not None else []
    where = f" on {rule.slice}" if rule.slice else ""
    return f"{rule.metric}{where} {' and '.join(bars)}"[:256]


def _matching(rule: GateRule, metrics: Sequence[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.name == rule.metric and metric.slice == rule.slice]


def _line(rule: GateRule, metrics: Sequence[Metric]) -> GateLine:
    found = _matching(rule, metrics)
    if len(found) != 1:
        problem = "was not reported" if not found else "was reported more than once"
        reported = ", ".join(sorted({metric.name for metric in metrics}))[:400] or "nothing"
        return GateLine(rule=words(rule), verdict="Error", message=f"{rule.metric} {problem} by the engine; reported: {reported}")
    metric = found[0]
    verdict, message = _weigh(rule, metric)
    return GateLine(rule=words(rule), verdict=verdict, value=metric.value if math.isfinite(metric.value) else None, message=message)


def _weigh(rule: GateRule, metric: Metric) -> tuple[VerdictName, str]:
    if not math.isfinite(metric.value):
        return "Error", f"{metric.name} is not a finite number"
    if metric.n == 0:
        return "Error", f"{metric.name} rests on no samples"
    if rule.unit is not None and metric.unit != rule.unit:
        return "Error", f"{metric.name} is reported in {metric.unit or 'no unit'}, the rule asks for {rule.unit}"
    if metric.unit == "ratio" and not 0 <= metric.value <= 1:
        return "Error", f"{metric.name} is {metric.value:g}, outside the range 0 to 1 of a ratio"
    if rule.min is None and rule.max is None:
        return "Error", f"the rule on {metric.name} has no bar"
    if metric.n < rule.min_samples:
        return "Inconclusive", f"{metric.name} rests on {metric.n} samples, fewer than {rule.min_samples}"
    if rule.min is not None and metric.value < rule.min:
        return "Failed", f"{metric.name} is {metric.value:.6g}, below {rule.min:g}"
    if rule.max is not None and metric.value > rule.max:
        return "Failed", f"{metric.name} is {metric.value:.6g}, above {rule.max:g}"
    return "Passed", f"{metric.name} is {metric.value:.6g}"
