"""What to look at next: a queue of keys in which a key is never worked on twice at once and no wake-up is lost.

A key waits in one of three lanes; keys of one group are worked on one after the other. It holds keys, never objects: whoever takes
a key reads the newest state. Single-threaded, without I/O; time and chance are passed in.
"""

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

LONGEST_BACKOFF = 60.0
_FIRST_BACKOFF = 0.5

K = TypeVar("K", bound=Hashable)


class Priority(IntEnum):
    """Lanes, first to last."""

    URGENT = 0
    """Rollbacks and decisions of people."""
    FRESH = 1
    """Something has changed."""
    RESYNC = 2
    """Lists and periodic looks."""


@dataclass(frozen=True)
class _Waiting:
    priority: Priority
    ticket: int
    since: float
    group: Hashable


class Queue(Generic[K]):
    """Keys that want attention, now or later."""

    def __init__(
        self,
        group: Callable[[K], Hashable],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        waited: Callable[[str, float], None] = lambda _lane, _seconds: None,
    ) -> None:
        """`group` is asked when a key is added. `clock` gives seconds, `chance` numbers from 0 to 1. `waited` is told of every key
        that is taken: its lane, and seconds since it was ready."""
        self._group, self._clock, self._chance, self._waited = group, clock, chance, waited
        self._tickets = itertools.count()
        self._waiting: dict[K, _Waiting] = {}
        self._lane: list[tuple[Priority, int, K, Hashable]] = []
        self._parked: dict[Hashable, list[tuple[Priority, int, K, Hashable]]] = {}
        """Waiting keys whose group is busy. One of them moves back into the lane whenever the group may have become free."""
        self._running: dict[K, _Waiting] = {}
        self._busy: set[Hashable] = set()
        self._dirty: dict[K, Priority] = {}
        self._later: dict[K, tuple[float, Priority]] = {}
        self._alarms: list[tuple[float, int, K]] = []
        self._failures: dict[K, int] = {}
        self._news = asyncio.Event()

    def add(self, key: K, priority: Priority = Priority.FRESH, after: float = 0.0) -> None:
        """Wants a look at the key, `after` seconds from now at the latest. The earliest of several wishes counts."""
        if after > 0:
            when = self._clock() + after
            known = self._later.get(key)
            if known is None or when < known[0]:
                self._later[key] = (when, priority)
                heapq.heappush(self._alarms, (when, next(self._tickets), key))
                self._news.set()
        elif key in self._running:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
        else:
            self._wait(key, priority)

    def take(self) -> K | None:
        """The next key, now being worked on; None where nothing is ready. Each key taken is given back by `done`."""
        self._ring()
        while self._lane:
            entry = heapq.heappop(self._lane)
            _, ticket, key, group = entry
            waiting = self._waiting.get(key)
            if waiting is None or waiting.ticket != ticket:
                self._unpark(group)
            elif group in self._busy:
                heapq.heappush(self._parked.setdefault(group, []), entry)
            else:
                del self._waiting[key]
                self._running[key] = waiting
                self._busy.add(group)
                self._waited(waiting.priority.name, self._clock() - waiting.since)
                return key
        return None

    async def get(self) -> K:
        """Waits for the next key."""
        while (key := self.take()) is None:
            self._news.clear()
            due = self.due()
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._news.wait()
            except TimeoutError:
                continue
        return key

    def done(self, key: K) -> None:
        """The work on the key is over; wishes that came meanwhile count now."""
        group = self._running.pop(key).group
        self._busy.discard(group)
        if (priority := self._dirty.pop(key, None)) is not None:
            self._wait(key, priority)
        self._unpark(group)
        self._news.set()

    def retry(self, key: K, at_least: float = 0.0) -> float:
        """Wants another look after a failure: the wait doubles with each failure in a row, with jitter, up to a minute.
        Returns it in seconds."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        full: float = min(LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(count - 1, 16))
        delay = min(LONGEST_BACKOFF, max(at_least, full * (0.5 + 0.5 * self._chance())))
        self.add(key, Priority.FRESH, delay)
        return delay

    def succeeded(self, key: K) -> None:
        """The next failure is the first again."""
        self._failures.pop(key, None)

    def due(self) -> float | None:
        """When, on the clock, the next delayed key becomes ready."""
        while self._alarms:
            when, _, key = self._alarms[0]
            known = self._later.get(key)
            if known is not None and known[0] == when:
                return when
            heapq.heappop(self._alarms)
        return None

    def lane(self, key: K) -> Priority:
        """The lane in which a key that is being worked on has come."""
        return self._running[key].priority

    @property
    def depth(self) -> int:
        """Keys that are ready and not yet worked on."""
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """Seconds the longest-waiting ready key has waited. May be asked in any thread."""
        now = self._clock()
        return max((now - waiting.since for waiting in tuple(self._waiting.values())), default=0.0)

    def _ring(self) -> None:
        while (when := self.due()) is not None and when <= self._clock():
            _, _, key = heapq.heappop(self._alarms)
            _, priority = self._later.pop(key)
            self.add(key, priority)

    def _wait(self, key: K, priority: Priority) -> None:
        known = self._waiting.get(key)
        if known is not None and known.priority <= priority:
            return
        since = self._clock() if known is None else known.since
        group = self._group(key)
        waiting = _Waiting(priority, next(self._tickets), since, group)
        self._waiting[key] = waiting
        heapq.heappush(self._lane, (priority, waiting.ticket, key, group))
        self._news.set()

    def _unpark(self, group: Hashable) -> None:
        if parked := self._parked.get(group):
            heapq.heappush(self._lane, heapq.heappop(parked))
            if not parked:
                del self._parked[group]
