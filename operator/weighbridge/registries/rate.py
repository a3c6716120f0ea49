"""How often one registry is asked: so many calls a second, and a burst after a quiet time. A token bucket.

Must not wait or know a clock: times come in.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Limit:
    """The most that is sent to one registry. A call may be several requests (`REQUESTS_PER_QUESTION`)."""

    per_second: float = 5.0
    burst: int = 20
    """Calls after a quiet time that need not wait."""


NORMAL = Limit()


class Rate:
    """The bucket of one registry; full at first."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._at: datetime | None = None

    def wait(self, now: datetime) -> float:
        """Seconds until the next call may begin; 0 where it may now. A clock that was set back costs nothing but the time until it
        has caught up with itself."""
        if self._at is not None:
            passed = max(0.0, (now - self._at).total_seconds())
            self._tokens = min(float(self._limit.burst), self._tokens + passed * self._limit.per_second)
        self._at = now
        # A little less than a whole one will do: sums of fractions of a second are not exact.
        return max(0.0, (1.0 - self._tokens) / self._limit.per_second) if self._tokens < 1.0 - 1e-6 else 0.0

    def take(self) -> None:
        """A call begins."""
        self._tokens -= 1.0
