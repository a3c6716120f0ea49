"""The way from the event loop to one registry: its threads, its connections, its turns, its deadline, its back-off. What goes wrong
with one registry (no threads left, a rate limit, an outage) stays on its line.

Must not remember answers. All methods belong to the event loop's thread; adapters run in the line's own threads. A call that passes
its deadline is given up, though its thread ends only when the adapter does: adapters bound every request themselves.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from .backoff import Backoff
from .base import EntryFailed, Registry, RegistryAbsent, RegistryFailed
from .credentials import Credentials
from .discretion import Discretion
from .rate import Limit
from .turns import Lane, Place, Turns

T = TypeVar("T")
Role: TypeAlias = Literal["operator", "workload"]
"""Whose credentials are used."""
Observer: TypeAlias = Callable[[str, str, float], None]
"""Told of every call: operation, outcome (`Known` or the reason), seconds."""

_THREADS = 4
_LONG = 60.0
"""Seconds of waiting that a person should know the end of."""
_WHOLE_SERVER = {"RegistryUnavailable", "RateLimited", "RegistryMisconfigured", "AddressRefused"}
_ONE_ROLE = {"Unauthorized", "SecretNotFound", "SecretIncomplete", "SecretUnavailable"}


@dataclass
class _Connection:
    """An adapter with one set of credentials, closed when it is replaced and the last call that uses it is done."""

    credentials: Credentials | None
    registry: Registry
    discretion: Discretion
    uses: int = 0
    retired: bool = False

    def used(self, by: int) -> None:
        self.uses += by
        if self.retired and self.uses == 0:
            self.registry.close()

    def retire(self) -> None:
        self.retired = True
        self.used(0)


class Line:
    """Calls to one registry."""

    def __init__(
        self,
        credentials: Callable[[Role], Awaitable[Credentials | None]],
        connect: Callable[[Credentials | None], Registry],
        now: Callable[[], datetime],
        observe: Observer,
        *,
        deadline: float,
        limit: Limit,
    ) -> None:
        """`credentials` and `connect` raise RegistryFailed; `deadline` bounds one call, in seconds, from when its turn has come."""
        self._credentials, self._connect, self._now, self._observe = credentials, connect, now, observe
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="registry")
        self._turns = Turns(_THREADS, limit, now)
        self._connecting = asyncio.Lock()
        self._connections: dict[Role, _Connection] = {}
        self._server = Backoff()
        self._roles: dict[Role, Backoff] = {"operator": Backoff(), "workload": Backoff()}

    def blocked(self, role: Role, own: Backoff) -> tuple[float, RegistryFailed] | None:
        """Seconds until a call makes sense, and what failed; None where nothing speaks against one. `own` is the caller's
        back-off."""
        now = self._now()
        lane = max((self._server, self._roles[role], own), key=lambda each: each.remaining(now))
        return (lane.remaining(now), lane.error) if lane.error is not None and lane.remaining(now) > 0 else None

    async def call(self, operation: str, role: Role, own: Backoff, place: Place, work: Callable[[Registry], T]) -> T:
        """Runs `work` with the role's connection. Raises RegistryAbsent, or RegistryFailed which is on the back-offs then."""
        async with self._turns.turn(place, lambda: self.blocked(role, own) is not None):
            if blocked := self.blocked(role, own):  # it failed while this call was queued
                raise RegistryFailed(blocked[1].reason, blocked[1].public)
            started, outcome = time.monotonic(), "Cancelled"
            try:
                value = await self._guarded(operation, role, work)
                outcome = "Known"
            except RegistryAbsent as error:
                outcome = error.reason
                self._succeeded(role, own)
                raise
            except RegistryFailed as error:
                outcome = error.reason
                told = self._dated(error)
                self._failed(told, role, own)
                raise told from error
            finally:
                self._observe(operation, outcome, time.monotonic() - started)
            self._succeeded(role, own)
            return value

    def hurry(self, place: Place, lane: Lane) -> None:
        """Lets a call that still waits for its turn wait in an earlier lane."""
        self._turns.hurry(place, lane)

    def close(self) -> None:
        """Lets go of threads and connections; calls that still run end by themselves and close theirs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in self._connections.values():
            connection.retire()

    async def _guarded(self, operation: str, role: Role, work: Callable[[Registry], T]) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                connection = await self._connected(role)
                connection.used(1)
                future = self._threads.submit(connection.discretion.listen, operation, partial(work, connection.registry))
                self._when_done(future, lambda: connection.used(-1))
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            waited = f"the registry did not answer within {self._deadline:.0f} seconds"
            raise RegistryFailed("RegistryUnavailable", f"{waited}; if it is only slow, raise spec.requestTimeout") from error

    async def _connected(self, role: Role) -> _Connection:
        async with self._connecting:
            credentials = await self._credentials(role)
            connection = self._connections.get(role)
            if connection is None or connection.credentials != credentials:
                discretion = Discretion(credentials)
                future = self._threads.submit(discretion.listen, "connect", partial(self._connect, credentials))
                registry = await asyncio.wrap_future(future)
                if connection is not None:
                    connection.retire()
                connection = self._connections[role] = _Connection(credentials, registry, discretion)
            return connection

    def _when_done(self, future: Future[T], then: Callable[[], None]) -> None:
        """Calls back in the event loop's thread when the thread is really done, which may be long after the deadline."""
        loop = asyncio.get_running_loop()

        def done(_: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it everybody who would care
                loop.call_soon_threadsafe(then)

        future.add_done_callback(done)

    def _dated(self, error: RegistryFailed) -> RegistryFailed:
        """Who has to wait for long is told until when."""
        if error.retry_after is None or error.retry_after < _LONG:
            return error
        until = self._now() + timedelta(seconds=error.retry_after)
        return type(error)(error.reason, f"{error.public} (until {until:%H:%M} UTC)", error.retry_after)

    def _failed(self, error: RegistryFailed, role: Role, own: Backoff) -> None:
        now = self._now()
        own.failed(error, now)
        if error.reason in _WHOLE_SERVER and not isinstance(error, EntryFailed):
            self._server.failed(error, now)
        elif error.reason in _ONE_ROLE:
            self._roles[role].failed(error, now)

    def _succeeded(self, role: Role, own: Backoff) -> None:
        for lane in (self._server, self._roles[role], own):
            lane.succeeded()
