"""What one metric is: name, kind, labels, meaning. Prometheus, docs/metrics.md and the tests of rules and dashboard read the same.

A counter outlives what it counted, so its labels hold only words of the operator's own: a closed list, or few enough words. Text of
users may stand in labels of gauges over objects alone, which go with their objects.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OTHER = "Other"
"""Stands for every word that a label does not take."""
MOST_WORDS = 64
"""A label without a closed list takes this many words."""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")
_SPECIAL = re.compile(r'[\\"\n]')
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
Words: TypeAlias = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Series:
    """One metric as it is scraped."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    words: Words = field(default_factory=dict)
    """What a label may say, where that is a closed list."""
    objects: bool = False
    """Whether it tells the state of objects, and every replica of the operator tells the same."""

    def head(self) -> str:
        """What comes before its samples."""
        return f"# HELP {self.name} {self.text}\n# TYPE {self.name} {self.kind}\n"


def label(name: str, value: str) -> str:
    """A label with its value, which may be anybody's text."""
    return f'{name}="{_SPECIAL.sub(lambda found: _ESCAPED[found[0]], value)}"'


class Counted:
    """A counter or histogram whose labels keep to their words."""

    def __init__(self, series: Series, family: Counter | Histogram) -> None:
        self.series, self._family = series, family
        self._taken: tuple[set[str], ...] = tuple(set(series.words.get(name, ())) for name in series.labels)
        self._closed = tuple(name in series.words for name in series.labels)
        if series.labels and all(self._closed):
            # From nought on: what appears with its first count has no increase that Prometheus could see.
            for values in product(*(series.words[name] for name in series.labels)):
                family.labels(*values)

    def labels(self, *values: str) -> Any:
        """The one of these words."""
        return self._family.labels(*map(self._word, range(len(values)), values))

    def inc(self, amount: float = 1.0) -> None:
        """Counts, where there are no labels."""
        assert isinstance(self._family, Counter)
        self._family.inc(amount)

    def observe(self, value: float) -> None:
        """Takes a value, where there are no labels."""
        assert isinstance(self._family, Histogram)
        self._family.observe(value)

    def samples(self) -> dict[tuple[str, ...], float]:
        """What has been counted, by the words; of a histogram, how many values."""
        wanted = "_total" if self.series.kind == "counter" else "_count"
        found = (each for family in self._family.collect() for each in family.samples if each.name.endswith(wanted))
        return {tuple(each.labels[name] for name in self.series.labels): each.value for each in found if each.value}

    def _word(self, place: int, value: str) -> str:
        taken = self._taken[place]
        if value in taken:
            return value
        if self._closed[place] or len(taken) >= MOST_WORDS or not _WORD.fullmatch(value):
            return OTHER
        taken.add(value)
        return value


class Shelf:
    """Makes the metrics of one process, and knows them all."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._all: list[Series] = []

    def __iter__(self) -> Iterator[Series]:
        return iter(self._all)

    def counter(self, name: str, text: str, labels: tuple[str, ...] = (), words: Words | None = None) -> Counted:
        """A counter; its name ends in `_total`."""
        series = self._put(Series(name, "counter", text, labels, words or {}))
        return Counted(series, Counter(name.removesuffix("_total"), text, labels, registry=self.registry))

    def histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = (), words: Words | None = None
    ) -> Counted:
        """A histogram of seconds."""
        series = self._put(Series(name, "histogram", text, labels, words or {}))
        return Counted(series, Histogram(name, text, labels, buckets=buckets, registry=self.registry))

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """A gauge over the process."""
        self._put(Series(name, "gauge", text, labels))
        return Gauge(name, text, labels, registry=self.registry)

    def _put(self, series: Series) -> Series:
        self._all.append(series)
        return series
