"""Who may call one registry next: at most so many at once and so many a second; writes and the look at the server first, then what
somebody waits for, last what is only looked at again. So nobody who is about to act waits behind a crowd that polls.

Must not know what is called. Belongs to the event loop's thread.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from .rate import Limit, Rate


class Lane(IntEnum):
    """First to last."""

    FIRST = 0
    """Writes, and whether the server answers: few, and never more than objects have changed."""
    AWAITED = 1
    """Nothing is known yet, or somebody is about to act on it."""
    AGAIN = 2
    """An answer is known and is looked at again from time to time."""


@dataclass(order=True)
class _Waiting:
    lane: Lane
    ticket: int
    come: "asyncio.Future[None]" = field(compare=False)
    pointless: Callable[[], bool] = field(compare=False)


@dataclass
class Place:
    """A place in the queue, before, while and after it waits there."""

    lane: Lane
    waiting: _Waiting | None = None


class Turns:
    """The queue in front of one registry."""

    def __init__(self, most: int, limit: Limit, now: Callable[[], datetime]) -> None:
        """`most`: turns at the same time."""
        self._free, self._rate, self._now = most, Rate(limit), now
        self._waiting: list[_Waiting] = []
        self._tickets = itertools.count()
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, place: Place, pointless: Callable[[], bool]) -> AsyncIterator[None]:
        """Waits for a turn and holds it. Who would not call any more (`pointless`) gets one that does not count for the rate, so
        that a crowd learns of a failure at once."""
        come = asyncio.get_running_loop().create_future()
        place.waiting = _Waiting(place.lane, next(self._tickets), come, pointless)
        heapq.heappush(self._waiting, place.waiting)
        self._grant()
        try:
            await come
        except asyncio.CancelledError:
            if come.done() and not come.cancelled():
                self._give_back()
            raise
        try:
            yield
        finally:
            self._give_back()

    def hurry(self, place: Place, lane: Lane) -> None:
        """Moves to an earlier lane, behind those who have waited longer."""
        if lane >= place.lane:
            return
        place.lane = lane
        if place.waiting is not None and not place.waiting.come.done():
            # The place in the old lane stays, and is passed over when its turn has come already.
            heapq.heappush(self._waiting, _Waiting(lane, place.waiting.ticket, place.waiting.come, place.waiting.pointless))
            self._grant()

    def _give_back(self) -> None:
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free and self._waiting:
            first = self._waiting[0]
            if not first.come.done():
                if not first.pointless():
                    if wait := self._rate.wait(self._now()):
                        self._later(wait)
                        return
                    self._rate.take()
                self._free -= 1
                first.come.set_result(None)
            heapq.heappop(self._waiting)

    def _later(self, seconds: float) -> None:
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._grant()
