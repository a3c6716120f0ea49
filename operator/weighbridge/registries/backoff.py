"""When it makes sense to ask again after a failure: later each time, spread by chance, never before the time the other side named.

Must not wait or know a clock: times come in.
"""

import random
from datetime import datetime, timedelta

from .base import RegistryFailed

_FIRST, _LONGEST = 1.0, 60.0
_SELDOM = {"WriteBackUnsupported": 3600.0}
"""Seconds for what no waiting heals: it is only tried again in case somebody has changed the registry."""


class Backoff:
    """How one thing that may fail (a server, a Secret, a question) has done lately."""

    def __init__(self) -> None:
        self._failures = 0
        self._until: datetime | None = None
        self.error: RegistryFailed | None = None
        """The latest failure."""

    def failed(self, error: RegistryFailed, now: datetime) -> None:
        """A failure while it is waiting already belongs to the same outage: it lengthens the wait only where the other
        side says so."""
        self.error = error
        if self.remaining(now) <= 0:
            self._failures += 1
            longest = min(_LONGEST, _FIRST * 2.0 ** min(self._failures - 1, 10))
            spread = 1.0 if self._failures == 1 else random.uniform(0.75, 1.0)  # noqa: S311 spreads load, guards nothing
            self._until = now + timedelta(seconds=longest * spread)
        least = max(error.retry_after or 0.0, _SELDOM.get(error.reason, 0.0))
        if least > 0:
            self._until = max(self._until or now, now + timedelta(seconds=least))

    def succeeded(self) -> None:
        """The next failure counts as the first again. A wait that is on stays: the success may be older than the failure."""
        self._failures = 0

    def remaining(self, now: datetime) -> float:
        """Seconds to wait; 0 or less when there is nothing to wait for."""
        return (self._until - now).total_seconds() if self._until else 0.0
