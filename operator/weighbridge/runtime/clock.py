"""The wall clock: the only place where the time of day is read. Durations and deadlines use the monotonic clock instead."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time of day, with time zone."""
    return datetime.now(UTC)  # noqa: TID251 - this is the runtime's clock


def micro_time(at: datetime) -> str:
    """A time as Leases and Events want it (MicroTime)."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
