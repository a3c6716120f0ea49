"""A test of the mean of paired differences that lie between -1 and 1, whatever their distribution. See ADR 13."""

import math
from collections.abc import Sequence

_LEAST = 2.0
"""The smallest stake, in units of 1 / sqrt(n): below it, no bet on so many differences wins anything."""


def betting(lifted: Sequence[float], margin: float) -> tuple[float, float]:
    """p-values of not inferior and inferior, of differences between -1 and 1 with the margin added.

    A gambler who claims that the mean lies above -margin stakes a share of the money on each difference, at odds that are fair
    where it lies on -margin. There, and below, the money is not expected to grow, so by Markov's inequality it reaches 1 / p with
    a probability of at most p: for any n and any distribution. The money is split equally on stakes that are set before the
    differences are seen, and each difference counts the same: their order is nothing.
    """
    if margin > 1:
        return 0.0, 1.0
    gain = math.fsum(lifted)
    if gain > 0:
        return _p_value(lifted, 1 - margin), 1.0  # who bets on the side that lost wins nothing: log(1 + x) <= x
    return 1.0, _p_value([-each for each in lifted], 1 + margin) if gain < 0 else 1.0


def _p_value(gains: Sequence[float], most: float) -> float:
    """One over the money that is made of 1 by staking on `gains`, none of which loses more than `most`."""
    if most <= 0:
        return 0.0  # the mean can only lie on the bound where all lie there, and one does not
    stakes = [1.0]
    while len(gains) * (stakes[-1] / 2) ** 2 >= _LEAST**2:
        stakes.append(stakes[-1] / 2)
    logs = [_log_money(gains, stake / most) for stake in stakes]
    largest = max(logs)
    if largest == -math.inf:
        return 1.0
    money = largest + math.log(math.fsum(math.exp(each - largest) for each in logs) / len(logs))
    return math.exp(min(0.0, -money))


def _log_money(gains: Sequence[float], rate: float) -> float:
    least = min(gains)
    if rate * least <= -1:
        return -math.inf
    return math.fsum(math.log1p(rate * each) for each in gains)
