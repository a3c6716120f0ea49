"""Lists the kinds from time to time, because a watch can miss deletions: everything listed is taken in, what is no longer listed is
forgotten, and every few minutes every object is looked at again in the slow lane.

The first sweep fills the store; nothing is decided before it is complete, since a partial memory would look like an empty world.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

from ..api import KINDS
from ..api.base import API_VERSION, Key
from ..controllers.ports import ClusterError
from . import logs
from .cluster import Cluster
from .news import News
from .queue import Priority, Queue
from .refusal import NotFound
from .store import STORED, ObjectStore

_PERIOD = 300.0
_SETTLING = 1.0
"""A list of the watch comes as many events; this long after the last of them it is over."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0
_AT_ONCE = 20
"""Objects taken in before others get their turn: some milliseconds."""


class Sweep:
    """Keeps the store complete."""

    def __init__(self, cluster: Cluster, store: ObjectStore, queue: Queue[Key], news: News, namespaces: tuple[str, ...]) -> None:
        self._cluster, self._store, self._queue, self._news, self._namespaces = cluster, store, queue, news, namespaces
        self._wanted = asyncio.Event()
        self._asked = 0.0
        self._blind = False
        """Whether something may be gone of which nothing is remembered, so that only a look at everything can tell."""
        self.complete = False
        """Whether the store has been filled once."""

    def ask(self, kind: str) -> None:
        """Wants a sweep soon: the watch has listed this kind anew, so deletions may have passed it by."""
        self._asked = asyncio.get_running_loop().time()
        self._blind = self._blind or kind not in STORED
        self._wanted.set()

    def priority(self, kind: str) -> Priority:
        """Of what a list tells: once the store is filled, what is news to it has changed while nobody watched. Of other kinds
        nobody knows what they were like before."""
        return Priority.FRESH if self.complete and kind in STORED else Priority.RESYNC

    async def first(self) -> None:
        """Fills the store; goes on trying until it is complete."""
        wait = _FIRST_WAIT
        while True:
            try:
                await self._sweep()
            except ClusterError as error:
                logs.event(logging.WARNING, "first lists not possible yet", reason=error.reason, message=_advice(error))
                await asyncio.sleep(wait)
                wait = min(_LONGEST_WAIT, wait * 2)
            else:
                self.complete = True
                return

    async def run(self) -> None:
        """Sweeps for ever, every few minutes and when asked."""
        while True:
            period = _PERIOD * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, hides nothing
            try:
                async with asyncio.timeout(period):
                    await self._wanted.wait()
                    await self._settle()
            except TimeoutError:
                self._blind = True
            self._wanted.clear()
            try:
                await self._sweep()
            except ClusterError as error:
                logs.event(logging.WARNING, "sweep not possible", reason=error.reason, message=_advice(error))
                # What was asked for is still wanted; the pause keeps a broken server from being hammered.
                await asyncio.sleep(_LONGEST_WAIT)
                self._wanted.set()
                continue
            # Of our own kinds everything was taken for news where it was some, and what is gone was missed.
            if self._blind:
                self._blind = False
                self.look_at_all()

    def look_at_all(self) -> None:
        """Queues everything that is known, in the slow lane."""
        for key in list(self._store.known()):
            self._queue.add(key, Priority.RESYNC)

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        asked = 0.0
        while asked != self._asked:
            asked = self._asked
            await asyncio.sleep(max(0.0, asked + _SETTLING - loop.time()))

    async def _sweep(self) -> None:
        for kind in KINDS:
            await self._sweep_kind(kind.info.kind)

    async def _sweep_kind(self, kind: str) -> None:
        for namespace in self._namespaces or (None,):
            listed, version = set(), 0
            async for page in self._cluster.pages(API_VERSION, kind, namespace):
                version = int(page.resource_version)
                for number, body in enumerate(page.items, 1):
                    listed.add(body["metadata"]["uid"])
                    self._news.seen(slim(body), self.priority(kind))
                    if number % _AT_ONCE == 0:
                        await asyncio.sleep(0)  # a rollback must not wait for a page to be read
            for last in self._store.sweep(kind, listed, version, namespace):
                self._news.missed(last)


def slim(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A body without what nobody here reads and what is often most of it."""
    return {**body, "metadata": {key: value for key, value in body["metadata"].items() if key != "managedFields"}}


def _advice(error: ClusterError) -> str:
    return f"{error.public}; are the CRDs installed (kubectl apply -f crds/)?" if isinstance(error, NotFound) else error.public
