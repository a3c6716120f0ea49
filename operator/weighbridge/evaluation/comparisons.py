"""Paired tests of a result against the champion's samples, as the order wants them.

Whatever prevents a test becomes a Comparison with a problem: nothing that was wanted is left out. Of both sides only the values of
wanted metrics are kept, 16 bytes each: 200,000 on each side must fit into the reporter's memory beside everything else.
"""

import hashlib
import os
import threading
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api.gate import Direction
from ..api.results import Comparison, Metric, Results
from ..core.paired import compare_ordered
from .download import NO_REPORT, Unproved, read_champion
from .order import Order
from .samples import SAMPLES_FILE, Sample, SamplesInvalid, read_samples
from .server import Server

_LATE = "the comparison with the champion was not done in time"
_Part = tuple[str, str | None]
"""A metric and its slice."""


@dataclass(frozen=True)
class _Test:
    """One paired test."""

    metric: str
    slice: str | None
    margin: float
    direction: Direction | None
    """None where the result does not have this metric."""

    def problem(self, text: str, n: int = 0) -> Comparison:
        return Comparison(metric=self.metric, slice=self.slice, margin=self.margin, n=n, problem=text)


def comparisons(order: Order, server: Server, folder: Path, results: Results, seconds: float) -> tuple[Comparison, ...]:
    """All that the order wants, after `seconds` at the latest; `folder` is the report of what was weighed. Never raises."""
    tests = _tests(order, results)
    done: list[Comparison] = []
    until = time.monotonic() + seconds
    work = threading.Thread(
        target=lambda: _compare(tests, order, server, folder / SAMPLES_FILE, until=until, done=done), daemon=True
    )
    work.start()
    work.join(seconds)
    found = tuple(done)
    return (*found, *(test.problem(_LATE) for test in tests[len(found) :]))


def _tests(order: Order, results: Results) -> tuple[_Test, ...]:
    """Each test once, as two rules may want the same."""
    found: dict[tuple[_Part, float], _Test] = {}
    absent: list[_Test] = []
    for wanted in order.wanted:
        metrics = [each for each in results.metrics if each.name == wanted.metric and _meant(wanted.every, wanted.slice, each)]
        for each in metrics:
            test = _Test(each.name, each.slice, wanted.margin, each.direction)
            found.setdefault(((test.metric, test.slice), test.margin), test)
        if not metrics:
            absent.append(_Test(wanted.metric, None if wanted.every else wanted.slice, wanted.margin, None))
    for test in absent:
        found.setdefault(((test.metric, test.slice), test.margin), test)
    return tuple(found.values())


def _meant(every: bool, part: str | None, metric: Metric) -> bool:
    return metric.slice is not None if every else metric.slice == part


class _Values:
    """The values of one metric and slice by case. Of an id only 64 bits are kept: two alike by chance are one in a billion."""

    def __init__(self) -> None:
        self._ids, self._values = array("Q"), array("d")

    def add(self, case: str, value: float) -> None:
        self._ids.append(int.from_bytes(hashlib.blake2b(case.encode(), digest_size=8).digest()))
        self._values.append(value)

    def settle(self) -> None:
        """Puts the values into the order of their ids, which is the same on both sides and in every run."""
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        self._ids = array("Q", (self._ids[each] for each in order))
        self._values = array("d", (self._values[each] for each in order))

    def against(self, other: "_Values", test: _Test, seed: str) -> Comparison:
        """The test of these values against the champion's; both settled."""
        if not self._ids or not other._ids:
            whose = "this evaluation's" if not self._ids else "the champion's"
            return test.problem(f"{whose} {SAMPLES_FILE} has no values of this metric")
        if self._ids != other._ids:
            lonely = set(self._ids)
            lonely.difference_update(other._ids)
            shared = len(self._ids) - len(lonely)
            counts = f"{len(lonely)} samples were measured for this model only, {len(other._ids) - shared} for the champion only"
            return test.problem(counts, n=shared)
        assert test.direction is not None
        try:
            return compare_ordered(
                self._values,
                other._values,
                metric=test.metric,
                direction=test.direction,
                margin=test.margin,
                seed=seed,
                slice=test.slice,
            )
        except ValueError:
            return test.problem("a difference between the samples is not a finite number")


def _compare(tests: Sequence[_Test], order: Order, server: Server, samples: Path, *, until: float, done: list[Comparison]) -> None:
    """Adds one comparison for each test, in their order, as long as there is time."""
    parts = frozenset((test.metric, test.slice) for test in tests if test.direction is not None)
    try:
        own, champions = _both(parts, order, server, samples, until)
    except Unproved as unproved:
        late = time.monotonic() > until
        done.extend(test.problem(_LATE if late else str(unproved)) for test in tests)
        return
    for test in tests:
        if time.monotonic() > until:
            return
        part = test.metric, test.slice
        if part not in parts:
            done.append(test.problem("this evaluation's result does not have this metric"))
        else:
            done.append(own[part].against(champions[part], test, f"{order.uid}/{test.metric}/{test.slice or ''}"))


def _both(
    parts: frozenset[_Part], order: Order, server: Server, samples: Path, until: float
) -> tuple[Mapping[_Part, _Values], Mapping[_Part, _Values]]:
    """The wanted values of what was weighed and of the champion. Raises Unproved."""
    if not parts:
        return {}, {}
    if not order.champion:
        raise Unproved(NO_REPORT)
    if not os.path.lexists(samples):
        raise Unproved(f"this evaluation's report has no {SAMPLES_FILE}")
    try:
        own = _kept(read_samples(samples), parts)
    except SamplesInvalid as invalid:
        raise Unproved(f"of this evaluation, {invalid}") from None
    return own, read_champion(server, order.champion, order.champion_sha256, until, lambda found: _kept(found, parts))


def _kept(samples: Iterable[Sample], parts: frozenset[_Part]) -> Mapping[_Part, _Values]:
    """The values of these parts. Raises what reading the samples raises."""
    kept = {part: _Values() for part in parts}
    for sample in samples:
        if (values := kept.get((sample.metric, sample.slice))) is not None:
            values.add(sample.id, sample.value)
    for values in kept.values():
        values.settle()
    return kept
