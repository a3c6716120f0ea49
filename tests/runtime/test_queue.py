"""The queue: never one key twice at once, never two of a group, no wake-up lost, urgent first."""

import asyncio
import operator
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from weighbridge.runtime.queue import LONGEST_BACKOFF, Priority, Queue

GROUPS = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y", "f": "z"}
KEYS = st.sampled_from(sorted(GROUPS))


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue[str]:
    return Queue(lambda key: GROUPS.get(key, key), clock)


def drain(queue: Queue[str]) -> Iterator[str]:
    while (key := queue.take()) is not None:
        yield key
        queue.done(key)


class AnyOrder(RuleBasedStateMachine):
    """Any sequence of wishes, passes and time; the model is the set of keys that are owed a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: Queue[str] = Queue(GROUPS.__getitem__, self.clock)
        self.owed: set[str] = set()
        self.later: dict[str, float] = {}
        self.running: list[str] = []

    @rule(key=KEYS, priority=st.sampled_from(Priority))
    def wish(self, key: str, priority: Priority) -> None:
        self.queue.add(key, priority)
        self.owed.add(key)

    @rule(key=KEYS, after=st.floats(0.1, 100))
    def wish_later(self, key: str, after: float) -> None:
        self.queue.add(key, after=after)
        self.later[key] = min(self.clock.now + after, self.later.get(key, float("inf")))

    @rule(step=st.floats(0.1, 60))
    def time_passes(self, step: float) -> None:
        self.clock.now += step

    @rule()
    def begin(self) -> None:
        due = {key for key, when in self.later.items() if when <= self.clock.now}
        self.owed |= due
        self.later = {key: when for key, when in self.later.items() if key not in due}
        busy = {GROUPS[key] for key in self.running}
        free = {key for key in self.owed if GROUPS[key] not in busy}
        key = self.queue.take()
        if key is None:
            assert not free, f"{free} wait, but nothing is handed out"
        else:
            assert key in free
            self.owed.discard(key)
            self.running.append(key)

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 5))
    def end(self, index: int) -> None:
        self.queue.done(self.running.pop(index % len(self.running)))

    @invariant()
    def one_at_a_time(self) -> None:
        assert max(Counter(GROUPS[key] for key in self.running).values(), default=1) == 1

    @invariant()
    def depth_counts_what_waits(self) -> None:
        assert self.queue.depth <= len(self.owed)

    def teardown(self) -> None:
        for key in self.running:
            self.queue.done(key)
        owed = self.owed | set(self.later)
        self.clock.now += 1000
        assert set(drain(self.queue)) == owed, "a wish was lost or invented"


AnyOrder.TestCase.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@given(wishes=st.lists(st.tuples(st.integers(0, 50), st.sampled_from(Priority)), max_size=60))
def test_lanes_are_served_in_order_and_within_a_lane_first_come_first_served(wishes: list[tuple[int, Priority]]) -> None:
    queue: Queue[int] = Queue(lambda key: key)
    best: dict[int, tuple[Priority, int]] = {}
    for number, (key, priority) in enumerate(wishes):
        queue.add(key, priority)
        if key not in best or priority < best[key][0]:
            best[key] = (priority, number)
    expected = [key for key, _ in sorted(best.items(), key=operator.itemgetter(1))]
    assert list(drain(queue)) == expected  # type: ignore[arg-type]


def test_an_urgent_wish_overtakes_within_its_busy_group(queue: Queue[str]) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add("b", Priority.RESYNC)
    assert queue.take() is None
    queue.add("c", Priority.URGENT)
    queue.done("a")
    assert list(drain(queue)) == ["c", "b"]


def test_a_wish_that_was_raised_while_its_group_was_busy_does_not_hide_the_next(queue: Queue[str]) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add("b", Priority.RESYNC)
    queue.add("c", Priority.RESYNC)
    assert queue.take() is None
    queue.add("b", Priority.URGENT)
    assert queue.take() is None
    queue.done("a")
    assert list(drain(queue)) == ["b", "c"]


def test_the_earliest_of_two_delays_counts(queue: Queue[str], clock: Clock) -> None:
    queue.add("a", after=10)
    queue.add("a", after=5)
    queue.add("a", after=20)
    clock.now += 4.9
    assert queue.take() is None
    clock.now += 0.2
    assert list(drain(queue)) == ["a"]
    clock.now += 100
    assert queue.take() is None


def test_failures_wait_longer_each_time_up_to_a_minute_and_begin_anew_after_success(clock: Clock) -> None:
    queue: Queue[str] = Queue(lambda key: key, clock, lambda: 1.0)
    waits = [queue.retry("a") for _ in range(12)]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_BACKOFF
    queue.succeeded("a")
    assert queue.retry("a") == 0.5


@given(chance=st.floats(0, 1), failures=st.integers(1, 5000), at_least=st.floats(0, 1000))
def test_no_wait_is_ever_longer_than_a_minute(chance: float, failures: int, at_least: float) -> None:
    queue: Queue[str] = Queue(lambda key: key, chance=lambda: chance)
    queue._failures["a"] = failures
    assert 0 < queue.retry("a", at_least) <= LONGEST_BACKOFF


def test_depth_and_age_tell_what_waits(queue: Queue[str], clock: Clock) -> None:
    queue.add("a")
    clock.now += 7
    queue.add("d")
    assert (queue.depth, queue.oldest) == (2, 7)
    assert list(drain(queue)) == ["a", "d"]
    assert (queue.depth, queue.oldest) == (0, 0)


async def test_waiting_workers_are_woken_by_wishes_by_time_and_by_ends() -> None:
    queue: Queue[str] = Queue(lambda key: GROUPS[key])
    seen: list[str] = []

    async def worker() -> None:
        while True:
            key = await queue.get()
            await asyncio.sleep(0)
            seen.append(key)
            queue.done(key)

    workers = [asyncio.create_task(worker()) for _ in range(3)]
    async with asyncio.timeout(5):
        queue.add("b", after=0.02)
        for key in "acdf":
            queue.add(key)
        while len(seen) < 5:  # noqa: ASYNC110 - the workers' progress is the subject
            await asyncio.sleep(0.005)
    assert sorted(seen) == ["a", "b", "c", "d", "f"]
    for each in workers:
        each.cancel()
