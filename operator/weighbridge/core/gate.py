"""The gate: rules against measurements. Total and fail-closed: what is missing, odd, too small or too uncertain never passes."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..api.gate import GateLine, GateRule, Verdict
from ..api.results import Comparison, Invariant, Metric
from .bars import WORST_FIRST, Weight, hold, named, usable
from .champion import UNKNOWN, Champion
from .invariants import asked, unasked
from .policy import barred, policy_hash, words, wrong
from .regression import missing, regress

_NAMED = 3
"""How many slices with too few samples a message names."""


@dataclass(frozen=True)
class _World:
    """All that rules are held against."""

    metrics: Sequence[Metric]
    dropped: int
    champion: Champion | None
    comparisons: Sequence[Comparison]


@dataclass(frozen=True)
class _Weighed:
    """One measurement held against one rule."""

    metric: Metric
    weight: Weight

    def rank(self) -> tuple[int, float, str]:
        """Worst first: the verdict, then the room left to the bar, then the name, so that the order of metrics does not count."""
        return WORST_FIRST.index(self.weight.verdict), self.weight.room, self.metric.slice or ""


def judge(
    gate: Sequence[GateRule],
    metrics: Sequence[Metric],
    dropped: int = 0,
    *,
    champion: Champion | None = UNKNOWN,
    comparisons: Sequence[Comparison] = (),
    invariants: Sequence[Invariant] = (),
) -> Verdict:
    """One line per rule, and one per invariant that does not hold and has no rule; the result is the worst of them.

    Without any rule nothing was asked, so nothing passes. `dropped` metrics were measured and are not among `metrics`: a rule on
    every slice cannot hold then. No `champion` means that nothing serves of this model yet; the `comparisons` are with that one.
    """
    world = _World(metrics, dropped, champion, comparisons)
    lines = tuple(_line(rule, gate, world, invariants) for rule in gate) + unasked(gate, invariants)
    verdicts = {line.verdict for line in lines} | (set() if gate else {"Inconclusive"})
    return Verdict(result=next(name for name in WORST_FIRST if name in verdicts), policy_hash=policy_hash(gate), lines=lines)


def score(gate: Sequence[GateRule], verdict: Verdict) -> str:
    """The first metric of the rules in few characters, for tables: `accuracy 0.9737`; empty where it was not measured."""
    first = next(((rule.metric, line.value) for rule, line in zip(gate, verdict.lines, strict=False) if rule.metric), None)
    return "" if first is None or first[1] is None else f"{first[0][:40]} {first[1]:.4g}"


def _line(rule: GateRule, gate: Sequence[GateRule], world: _World, invariants: Sequence[Invariant]) -> GateLine:
    of_it = [metric for metric in world.metrics if metric.name == rule.metric]
    found = [metric for metric in of_it if (metric.slice is not None if rule.slices else metric.slice == rule.slice)]
    problem = wrong(rule, gate)
    if problem is None and rule.invariant is not None:
        return asked(rule, invariants)
    problem = problem or _unusable(rule, found, world) or missing(rule, found, world.champion)
    if problem is not None:
        return _told(rule, Weight("Error", problem, -math.inf), found[0] if len(found) == 1 else None)
    weighed = sorted((_Weighed(metric, _weigh(rule, metric, world)) for metric in found), key=_Weighed.rank)
    worst = weighed[0]
    return _told(rule, worst.weight, worst.metric, _others(rule, weighed))


def _weigh(rule: GateRule, metric: Metric, world: _World) -> Weight:
    """The worse of bars and regression; both are told where they come out the same."""
    unfit = usable(rule, metric)
    if unfit is not None:
        return unfit
    bars = hold(rule, metric) if barred(rule) else None
    if rule.max_regression is None:
        assert bars is not None, "a rule without any bar is refused before"
        return bars
    regression = regress(rule, rule.max_regression, metric, world.champion, world.comparisons)
    if bars is None:
        return regression
    room = min(bars.room, regression.room)
    if bars.verdict != regression.verdict:
        worse = min(bars, regression, key=lambda each: WORST_FIRST.index(each.verdict))
        return Weight(worse.verdict, worse.message, room, regression.champion)
    return Weight(bars.verdict, f"{regression.message}; {bars.message}", room, regression.champion)


def _unusable(rule: GateRule, found: Sequence[Metric], world: _World) -> str | None:
    """Why what was reported does not answer the rule at all."""
    place = f" on {rule.slice}" if rule.slice else " on any slice" if rule.slices else ""
    if not found:
        reported = ", ".join(sorted({named(metric) for metric in world.metrics}))[:400] or "nothing"
        return f"{rule.metric} was not reported{place} by the engine; reported: {reported}"
    twice = sorted(name for name, times in Counter(named(metric) for metric in found).items() if times > 1)
    if twice:
        return f"{twice[0]} was reported more than once by the engine"
    if rule.slices and world.dropped:
        lost = f"{world.dropped} metrics did not fit into the reporter's message"
        return f"{lost}, slices of {rule.metric} may be among them: report fewer"
    return None


def _told(rule: GateRule, weight: Weight, metric: Metric | None, others: str = "") -> GateLine:
    """The line, with those numbers that are numbers."""
    message = f"{weight.message}{others}"[:1024]
    if metric is None:
        return GateLine(rule=words(rule), verdict=weight.verdict, message=message)
    return GateLine(
        rule=words(rule),
        verdict=weight.verdict,
        value=metric.value if math.isfinite(metric.value) else None,
        stderr=metric.stderr if metric.stderr is not None and math.isfinite(metric.stderr) else None,
        n=metric.n,
        champion=weight.champion,
        slice=metric.slice,
        message=message,
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
