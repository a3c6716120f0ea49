"""Invariants: what must be so on every single case. One that is broken fails the verdict, asked for or not."""

from collections.abc import Sequence

from ..api.gate import GateLine, GateRule, VerdictName
from ..api.results import Invariant
from .policy import words

_MOST = 32
"""How many invariants an engine may report."""


def asked(rule: GateRule, invariants: Sequence[Invariant]) -> GateLine:
    """The line of a rule on an invariant."""
    found = [each for each in invariants if each.name == rule.invariant]
    if len(found) != 1:
        times = "more than once" if found else "not"
        verdict: VerdictName = "Failed" if any(map(_broken, found)) else "Error"
        return GateLine(rule=words(rule), verdict=verdict, message=f"invariant {rule.invariant} was {times} reported by the engine")
    (one,) = found
    verdict, message = _told(one)
    if verdict == "Passed" and one.n < rule.min_samples:
        verdict, message = "Inconclusive", f"invariant {one.name} rests on {one.n} cases, fewer than {rule.min_samples}"
    return GateLine(rule=words(rule), verdict=verdict, n=one.n, message=message)


def unasked(gate: Sequence[GateRule], invariants: Sequence[Invariant]) -> tuple[GateLine, ...]:
    """A line for each invariant that no rule names and that does not hold."""
    named = {rule.invariant for rule in gate}
    told = [(each, *_told(each)) for each in invariants if each.name not in named]
    lines = {
        GateLine(rule=f"invariant {each.name} holds, as each that is reported", verdict=verdict, n=each.n, message=message)
        for each, verdict, message in told
        if verdict != "Passed"
    }
    return tuple(sorted(lines, key=lambda line: (line.verdict, line.rule, line.message)))[:_MOST]


def _broken(one: Invariant) -> bool:
    return one.broken > 0 or (not one.holds and one.n > 0)


def _told(one: Invariant) -> tuple[VerdictName, str]:
    if _broken(one):
        return "Failed", f"invariant {one.name} is broken on {one.broken} of {one.n} cases"
    if one.n == 0:
        return "Error", f"invariant {one.name} rests on no cases: give the engine some, or let it not report the invariant"
    return "Passed", f"invariant {one.name} holds on {one.n} cases"
