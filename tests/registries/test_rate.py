"""How many calls a second."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.registries.rate import Limit, Rate

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = Limit(per_second=5, burst=20)


def calls(rate: Rate, now: datetime) -> int:
    """As many as may begin now."""
    count = 0
    while rate.wait(now) == 0:
        rate.take()
        count += 1
    return count


def test_a_burst_and_then_so_many_a_second() -> None:
    rate = Rate(LIMIT)
    assert calls(rate, START) == 20
    assert rate.wait(START) == 0.2
    assert [calls(rate, START + timedelta(seconds=second)) for second in (1, 2, 2.2, 3600)] == [5, 5, 1, 20]


@given(st.lists(st.floats(0, 10), max_size=50))
def test_never_more_than_burst_and_rate_allow(pauses: list[float]) -> None:
    rate, now, begun = Rate(LIMIT), START, 0
    for pause in [0.0, *pauses]:
        now += timedelta(seconds=pause)
        begun += calls(rate, now)
        assert begun <= 20 + 5 * (now - START).total_seconds() + 0.001


@given(st.floats(0, 1))
def test_who_waits_as_long_as_told_may_begin(pause: float) -> None:
    rate = Rate(LIMIT)
    calls(rate, START)
    now = START + timedelta(seconds=pause)
    calls(rate, now)
    now += timedelta(seconds=rate.wait(now) + 0.000001)
    assert rate.wait(now) == 0


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    rate = Rate(LIMIT)
    calls(rate, START)
    back = START - timedelta(days=1)
    assert rate.wait(back) == 0.2
    assert calls(rate, back + timedelta(seconds=1)) == 5
