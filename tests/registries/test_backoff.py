"""When to ask again after failures."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.registries.backoff import Backoff
from weighbridge.registries.base import RegistryFailed

START = datetime(2026, 1, 1, tzinfo=UTC)


def fail(backoff: Backoff, now: datetime, retry_after: float | None = None) -> float:
    backoff.failed(RegistryFailed("RegistryUnavailable", "down", retry_after), now)
    return backoff.remaining(now)


@given(st.integers(1, 100))
def test_grows_from_one_second_to_at_most_a_minute(failures: int) -> None:
    backoff, now, waits = Backoff(), START, list[float]()
    for _ in range(failures):
        waits.append(fail(backoff, now))
        now += timedelta(seconds=waits[-1])
        assert backoff.remaining(now) <= 0
    assert waits[0] == 1.0
    for number, wait in enumerate(waits[1:], 1):
        assert 0.75 * min(60, 2**number) <= wait <= min(60, 2**number)


def test_one_outage_seen_by_many_counts_once() -> None:
    backoff = Backoff()
    assert [fail(backoff, START) for _ in range(50)] == [1.0] * 50


def test_the_other_side_may_ask_for_more() -> None:
    backoff = Backoff()
    assert fail(backoff, START, 300) == 300
    backoff.succeeded()
    assert backoff.remaining(START) == 300
    assert fail(backoff, START, 10) == 300


def test_what_no_waiting_heals_is_tried_once_an_hour() -> None:
    backoff, now = Backoff(), START
    for _ in range(3):
        backoff.failed(RegistryFailed("WriteBackUnsupported", "keeps no tags"), now)
        assert backoff.remaining(now) == 3600
        now += timedelta(seconds=3600)
        assert backoff.remaining(now) <= 0


def test_success_starts_over() -> None:
    backoff, now = Backoff(), START
    for _ in range(5):
        now += timedelta(seconds=fail(backoff, now))
    backoff.succeeded()
    assert fail(backoff, now) == 1.0
