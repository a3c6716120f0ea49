"""Paired non-inferiority: whether a candidate is worse than the champion by more than a margin, sample by sample. See ADR 13.

Standard library alone: what computes this has no numpy. All p-values are one-sided; no test is two tests in disguise.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from ..api.gate import Direction
from ..api.results import Comparison
from .bounded import betting
from .signflip import sign_flip

_ON_RATE = 0.1
"""Share of the error probability spent on the rate of discordant pairs; the rest is spent on the share of wins among them."""
_ROUNDING = 1e-12
"""What is left of a difference and the margin, this small relative to the values, is rounding."""
_UNBOUNDED = 200
"""Fewest pairs of scores outside 0 to 1: a test that has to take differences for symmetric is worth nothing on fewer."""
_NAMED = 3
"""How many samples without partner a problem names."""


def compare(
    candidate: Mapping[str, float],
    champion: Mapping[str, float],
    *,
    metric: str,
    direction: Direction,
    margin: float,
    seed: str,
    slice: str | None = None,  # noqa: A002 the field's name
) -> Comparison:
    """The test that fits the values by sample id: 0 and 1, scores from 0 to 1, or other scores. The same `seed`, the same result.

    Samples that only one side has are a problem in the result, and so are too few of other scores. Raises ValueError for no
    samples, a value or difference that is not finite, and a margin that is negative or not finite.
    """
    if not 0 <= margin < math.inf:
        raise ValueError("the margin must be a finite number of at least 0")
    lonely = sorted(candidate.keys() ^ champion.keys())
    if lonely:
        named = ", ".join(each[:64] for each in lonely[:_NAMED])
        problem = f"{len(lonely)} samples were measured on one side only: {named}{' …' if len(lonely) > _NAMED else ''}"
        shared = len(candidate.keys() & champion.keys())
        return Comparison(metric=metric, slice=slice, margin=margin, n=shared, problem=problem)
    ids = sorted(candidate)
    ordered = [candidate[each] for each in ids], [champion[each] for each in ids]
    return compare_ordered(*ordered, metric=metric, direction=direction, margin=margin, seed=seed, slice=slice)


def compare_ordered(
    candidate: Sequence[float],
    champion: Sequence[float],
    *,
    metric: str,
    direction: Direction,
    margin: float,
    seed: str,
    slice: str | None = None,  # noqa: A002 the field's name
) -> Comparison:
    """As `compare`, of as many values on both sides, the same samples in the same order. Raises ValueError as it does."""
    if not 0 <= margin < math.inf:
        raise ValueError("the margin must be a finite number of at least 0")
    if not candidate:
        raise ValueError("there are no samples to compare")
    sign = 1.0 if direction == "maximize" else -1.0
    differences = [sign * (one - other) for one, other in zip(candidate, champion, strict=True)]
    lifted = [_lifted(each, margin, max(abs(one), margin)) for one, each in zip(candidate, differences, strict=True)]
    if not all(map(math.isfinite, lifted)):
        raise ValueError("a value is not a finite number")
    bounded = all(0 <= each <= 1 for values in (candidate, champion) for each in values)
    if not bounded and len(differences) < _UNBOUNDED and (margin > 0 or any(differences)):
        problem = f"scores outside 0 to 1 take at least {_UNBOUNDED} pairs, and there are {len(differences)}"
        return Comparison(metric=metric, slice=slice, margin=margin, n=len(differences), problem=problem)
    binary = _binary(candidate) and _binary(champion)
    test, not_inferior, inferior = _test(differences, lifted, binary=binary, bounded=bounded, margin=margin, seed=seed)
    return Comparison(
        metric=metric,
        slice=slice,
        margin=margin,
        n=len(differences),
        difference=_mean(differences),
        p_not_inferior=not_inferior,
        p_inferior=inferior,
        test=test,
    )


def _lifted(difference: float, margin: float, size: float) -> float:
    """The difference above the margin; 0 where all that is left is rounding of values of that size, which must not be a sign."""
    lifted = difference + margin
    return 0.0 if abs(lifted) <= _ROUNDING * size else lifted


def _test(
    differences: Sequence[float], lifted: Sequence[float], *, binary: bool, bounded: bool, margin: float, seed: str
) -> tuple[str, float, float]:
    """Name of the test and the p-values of not inferior and inferior."""
    if margin == 0 and not any(differences):
        return "Identical", 0.0, 1.0
    if bounded and not binary:
        return "Betting", *betting(lifted, margin)
    if not binary:
        return "SignFlip", *sign_flip(lifted, seed)
    wins, losses = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    if margin == 0:
        return "McNemar", *mcnemar(wins, losses)
    return "ClopperPearson", *clopper_pearson(wins, losses, len(differences), margin)


def mcnemar(wins: int, losses: int) -> tuple[float, float]:
    """Exact McNemar test without a margin: p-values of not inferior and inferior, given the discordant pairs."""
    return at_least(wins, wins + losses, 0.5), at_least(losses, wins + losses, 0.5)


def clopper_pearson(wins: int, losses: int, n: int, margin: float) -> tuple[float, float]:
    """Exact and conservative, with a margin above 0: p-values of not inferior and inferior for n pairs of 0/1 values.

    The difference is q (2s - 1), with q the rate of discordant pairs and s the share of wins among them. The p-value is the error
    probability at which the Clopper-Pearson bounds of q and s put the difference just on the margin.
    """
    if margin > 1:
        return 0.0, 1.0
    discordant = wins + losses

    def share(rate: float) -> float:
        """The share of wins that puts the difference on the margin."""
        return (1 - margin / rate) / 2

    rate_below = at_least(n - discordant, n, 1 - margin)  # where all discordant pairs may be losses, the rate alone decides
    share_above = at_least(wins, discordant, share(1.0))  # and where all pairs may be discordant, the share alone does
    not_inferior = _least(
        lambda rate: at_least(n - discordant, n, 1 - rate) / _ON_RATE,
        lambda rate: at_least(wins, discordant, share(rate)) / (1 - _ON_RATE),
        margin,
    )
    inferior = _least(
        lambda rate: at_least(losses, discordant, 1 - share(rate)) / (1 - _ON_RATE),
        lambda rate: at_least(discordant, n, rate) / _ON_RATE,
        margin,
    )
    return min(1.0, not_inferior, rate_below / _ON_RATE, share_above / (1 - _ON_RATE)), min(1.0, inferior)


def _least(falling: Callable[[float], float], rising: Callable[[float], float], low: float) -> float:
    """The least maximum of the two between `low` and 1. Any point gives a valid p-value, so an early end only adds to it."""
    high, least = 1.0, math.inf
    while low < (middle := (low + high) / 2) < high and high - low > 1e-15:
        left, right = falling(middle), rising(middle)
        least = min(least, max(left, right))
        low, high = (middle, high) if left > right else (low, middle)
    return least


def at_least(count: int, n: int, p: float) -> float:
    """Probability of `count` or more successes in n trials of probability p, summed exactly from the boundary outwards."""
    if count <= 0:
        return 1.0
    if count > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    if count > n * p:
        return _outwards(count, n, p)
    return max(0.0, 1.0 - _outwards(n - count + 1, n, 1 - p))


def _outwards(count: int, n: int, p: float) -> float:
    """The tail from `count` to n, where the terms fall."""
    log = (
        math.lgamma(n + 1)
        - math.lgamma(count + 1)
        - math.lgamma(n - count + 1)
        + count * math.log(p)
        + (n - count) * math.log1p(-p)
    )
    odds = p / (1 - p)
    term = total = 1.0
    for each in range(count, n):
        term *= (n - each) / (each + 1) * odds
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, math.exp(log + math.log(total)))


def _binary(values: Sequence[float]) -> bool:
    return all(each in (0, 1) for each in values)


def _mean(values: Sequence[float]) -> float:
    """The mean, also where the sum is beyond floating point."""
    return math.fsum(each / len(values) for each in values)
