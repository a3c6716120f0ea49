"""The sign-flip test: for scores that no bound is known of, if their differences are symmetric. See ADR 13."""

import hashlib
import itertools
import math
from collections.abc import Sequence

BLOCKS = 1000
"""Most blocks of samples whose signs flip together: what a random sign flip costs."""
EXACT = 16
"""Up to as many blocks, all sign flips are enumerated."""
DRAWS = 9999
"""Random sign flips where there are too many; the smallest p-value is 1 / (DRAWS + 1)."""
_ROUNDING = 1e-12
"""Sums this close, relative to the sum of magnitudes, count as equal: against the one who would gain by it."""


def sign_flip(values: Sequence[float], seed: str) -> tuple[float, float]:
    """Sign-flip test of whether finite values lie above 0 or below it: both p-values. Exact where they are symmetric around 0.

    Of many values, neighbours flip together; of many blocks, signs are drawn at random from the seed.
    """
    largest = max(map(abs, values))
    if largest == 0:
        return 1.0, 1.0
    blocks = _blocks([each / largest for each in values])
    total, equal = math.fsum(blocks), math.fsum(map(abs, blocks)) * _ROUNDING
    exact = len(blocks) <= EXACT
    sums = _flips(blocks) if exact else _random_flips(blocks, seed)
    above, below = sum(each >= total - equal for each in sums), sum(each <= total + equal for each in sums)
    own = 0 if exact else 1  # among all flips is the one that was seen; to random ones it is added
    return (above + own) / (len(sums) + own), (below + own) / (len(sums) + own)


def _blocks(values: Sequence[float]) -> list[float]:
    """Sums of neighbours, at most `BLOCKS` of them."""
    count = min(len(values), BLOCKS)
    edges = [each * len(values) // count for each in range(count + 1)]
    return [math.fsum(values[low:high]) for low, high in itertools.pairwise(edges)]


def _flips(values: Sequence[float]) -> list[float]:
    """The sums under all flips of signs."""
    sums = [0.0]
    for value in values:
        sums = [each + value for each in sums] + [each - value for each in sums]
    return sums


def _random_flips(values: Sequence[float], seed: str) -> list[float]:
    """The sums under random flips of signs. One random byte flips eight values, by a table of what they then sum up to."""
    tables = [_flips(values[start : start + 8]) for start in range(0, len(values), 8)]
    tables[-1] *= 256 // len(tables[-1])
    width = len(tables)
    stream = hashlib.shake_256(seed.encode()).digest(DRAWS * width)
    return [
        sum(table[byte] for table, byte in zip(tables, stream[start : start + width], strict=True))
        for start in range(0, DRAWS * width, width)
    ]
