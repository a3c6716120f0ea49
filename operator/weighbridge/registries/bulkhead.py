"""What is known and what is to be written of one ModelRegistry in one generation of its spec.

All methods belong to the event loop's thread. Must not know Kubernetes, threads or credentials.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from ..api.base import Key
from ..api.references import ModelReference
from ..core.facts import Absent, Fact, Failed, Known, WriteOrder
from .answer import Answer, Question, lane, names, operation, put, role, version
from .backoff import Backoff
from .base import RegistryAbsent, RegistryFailed
from .line import Line, Role
from .turns import Lane, Place

E = TypeVar("E", bound="Answer | _Writing")
K = TypeVar("K", bound=Hashable)

_MOST_REMEMBERED = 4096
_SHORTEST_RETRY = 1.0
"""A failure never says to ask again at once: its refresh, which wakes the asker, is on its way then."""


@dataclass
class _Writing:
    """The write orders of one asker."""

    running: WriteOrder | None = None
    following: WriteOrder | None = None
    """Written when the running one is done; a newer order replaces it."""
    failed: Failed | None = None
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def idle(self) -> bool:
        return self.running is None


class Bulkhead:
    """Questions and writes of one registry."""

    def __init__(self, line: Line, wake: Callable[[Key], None], now: Callable[[], datetime]) -> None:
        self._line, self._wake, self._now = line, wake, now
        self._answers: OrderedDict[Question, Answer] = OrderedDict()
        self._writings: OrderedDict[Key, _Writing] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Nothing is on its way."""
        return not self._tasks

    def ask(self, question: Question, asker: Key, max_age: float) -> Fact[Any]:
        """The newest outcome, at once.

        Where it is older than `max_age` seconds a refresh is started, shared by all who ask the same, and `asker` is woken when it
        is done. Where a refresh has failed, or would have to wait for a failing registry, that failure is the outcome even if an
        older answer was known: nobody takes a stale yes for a fresh one.
        """
        answer = _recall(self._answers, question, Answer)
        if answer.refresh is None and answer.is_old(self._now(), max_age):
            blocked = self._line.blocked(role(question), answer.backoff)
            if blocked is not None:
                wait, error = blocked
                return Failed(error.reason, error.public, self._now(), max(wait, _SHORTEST_RETRY))
            answer.place = Place(Lane.AGAIN)
            answer.refresh = self._start(self._refresh(question, answer))
        if answer.refresh is not None:
            self._line.hurry(answer.place, lane(question, answer.fact, max_age))
            answer.askers.add(asker)
        return answer.fact

    def write(self, order: WriteOrder, asker: Key) -> None:
        """Starts writing, unless this very order is being written or an earlier failure says to wait; `asker` is woken when it is
        done and the answers about the version are up to date. Of several orders that come while one is written, the newest
        counts."""
        writing = _recall(self._writings, asker, _Writing)
        if writing.running is not None:
            writing.following = order if order != writing.running else None
        elif self._line.blocked("operator", writing.backoff) is None:
            writing.running = order
            self._start(self._write(writing, asker))

    def hint(self, said: frozenset[str] | None) -> float:
        """The registry says that something has changed about models and datasets of these names; None: about something. The
        answers about them are outdated. Gives the seconds until asking brings newer ones, since hints in a row count as one."""
        now, wanted = self._now(), None if said is None else {name.casefold() for name in said}
        about = [each for question, each in self._answers.items() if wanted is None or wanted & names(question, each.fact)]
        return max(((each.hint(now) - now).total_seconds() for each in about), default=0.0)

    def last_write(self, asker: Key) -> Failed | None:
        """The failure of the asker's latest order that was tried."""
        writing = self._writings.get(asker)
        return writing.failed if writing else None

    async def close(self) -> None:
        """Gives up what is on its way and wakes all who wait for it: they ask again, elsewhere."""
        waiting = {asker for answer in self._answers.values() for asker in answer.askers}
        waiting |= {asker for asker, writing in self._writings.items() if not writing.idle}
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._line.close()
        for asker in waiting:
            self._wake(asker)

    async def _refresh(self, question: Question, answer: Answer) -> None:
        try:
            answer.asked(self._now())
            answer.fact = await self._asked(question, answer)
        finally:
            answer.refresh = None
            askers, answer.askers = answer.askers, set()
        for asker in askers:
            self._wake(asker)

    async def _asked(self, question: Question, answer: Answer) -> Fact[Any]:
        who, own = role(question), answer.backoff
        try:
            value = await self._line.call(operation(question), who, own, answer.place, partial(put, question))
        except RegistryAbsent as error:
            return Absent(error.reason, error.public, self._now())
        except RegistryFailed as error:
            return self._failure(error, who, own)
        return Known(value, self._now())

    async def _write(self, writing: _Writing, asker: Key) -> None:
        while (order := writing.running) is not None:
            writing.failed = await self._written(order, writing.backoff)
            if writing.failed is None:
                await self._reread(order)
                writing.running, writing.following = writing.following, None
            else:  # the asker orders anew what is true by then
                writing.running = writing.following = None
        self._wake(asker)

    async def _written(self, order: WriteOrder, own: Backoff) -> Failed | None:
        try:
            await self._line.call("write", "operator", own, Place(Lane.FIRST), lambda registry: registry.write(order))
        except RegistryAbsent as error:
            return Failed(error.reason, error.public, self._now(), _SHORTEST_RETRY)
        except RegistryFailed as error:
            return self._failure(error, "operator", own)
        return None

    async def _reread(self, order: WriteOrder) -> None:
        """Brings the answers about the written version up to date; what else is known of its model may have changed by a moved
        alias, and is read anew when somebody asks."""
        refreshes = []
        for question, answer in list(self._answers.items()):
            if not isinstance(question, ModelReference) or question.name != order.pin.name:
                continue
            answer.stale = True
            if version(question, answer.fact) == order.pin.version:
                if answer.refresh is not None:  # it may have read before the write
                    self._line.hurry(answer.place, Lane.FIRST)
                    await asyncio.wait({answer.refresh})
                if answer.refresh is None:
                    answer.place = Place(Lane.FIRST)
                    answer.refresh = self._start(self._refresh(question, answer))
                refreshes.append(answer.refresh)
        if refreshes:
            await asyncio.wait(refreshes)

    def _failure(self, error: RegistryFailed, who: Role, own: Backoff) -> Failed:
        blocked = self._line.blocked(who, own)
        wait = max(blocked[0] if blocked else 0.0, _SHORTEST_RETRY)
        return Failed(error.reason, error.public, self._now(), wait)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _recall(cache: OrderedDict[K, E], key: K, new: Callable[[], E]) -> E:
    """The entry, made where there is none, and the place in the order of last use. What was not used for longest is forgotten,
    except what is on its way."""
    if key not in cache:
        cache[key] = new()
        excess = islice(cache, max(0, len(cache) - _MOST_REMEMBERED))
        for old in [each for each in excess if cache[each].idle]:
            del cache[old]
    cache.move_to_end(key)
    return cache[key]
