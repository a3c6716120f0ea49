"""Probes in the background: nobody waits, nothing old is believed, and nothing is asked more often than wished."""

import asyncio
from datetime import UTC, datetime

import pytest

from weighbridge.api.base import Key
from weighbridge.api.serving import Probe, TargetRef
from weighbridge.core.facts import ProbeOutcome
from weighbridge.runtime.probes import BackgroundProbes

ME = Key("ModelVersion", "fraud", "v2")
TARGET = TargetRef(name="serving")
PING = Probe.model_validate({"httpGet": {"path": "/ping", "port": 8080}})
OTHER = Probe.model_validate({"httpGet": {"path": "/health", "port": 8080}})
GIVEN, GIVEN_AGAIN = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
RIGHT, WRONG = ProbeOutcome(2, 2), ProbeOutcome(2, 1, "the pod at 10.0.0.2:8080 answered with status 500", 1)
PODS, NEW_PODS = ("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.3")


class Pods:
    """What stands where HTTP stands: answers when the test says so, or at once."""

    def __init__(self) -> None:
        self.answer: ProbeOutcome | Exception = RIGHT
        self.asked: list[tuple[tuple[str, ...], Probe]] = []
        self.hang = False

    async def __call__(self, addresses: tuple[str, ...], probe: Probe) -> ProbeOutcome:
        self.asked.append((addresses, probe))
        if self.hang:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Bench:
    def __init__(self) -> None:
        self.pods, self.woken, self.now = Pods(), list[Key](), 100.0
        self.probes = BackgroundProbes(self.pods, self.woken.append, lambda: self.now)

    def ask(
        self, addresses: tuple[str, ...] = PODS, probe: Probe = PING, since: datetime | None = GIVEN, keep: bool = False
    ) -> ProbeOutcome | None:
        return self.probes.ask(ME, TARGET, addresses, probe, since=since, period=60.0, keep=keep)

    async def answered(self) -> None:
        await asyncio.gather(*self.probes._tasks)

    async def later(self, seconds: float) -> ProbeOutcome | None:
        """What is known so much later, once it was asked and answered then."""
        self.now += seconds
        self.ask()
        await self.answered()
        return self.ask()


@pytest.fixture
def one() -> Bench:
    return Bench()


async def test_nobody_waits_and_the_answer_wakes_the_asker(one: Bench) -> None:
    assert one.ask() is None
    assert one.ask() is None
    await one.answered()
    assert one.woken == [ME]
    assert one.ask() == RIGHT
    assert len(one.pods.asked) == 1, "two asked while the answer was on its way"


async def test_right_answers_are_good_for_a_period_and_the_same_again_wakes_nobody(one: Bench) -> None:
    await one.later(0)
    assert await one.later(59.9) == RIGHT
    assert len(one.pods.asked) == 1
    assert await one.later(0.1) == RIGHT
    assert len(one.pods.asked) == 2
    assert one.woken == [ME]


async def test_wrong_answers_are_asked_again_soon_and_a_change_wakes_the_asker(one: Bench) -> None:
    one.pods.answer = WRONG
    assert await one.later(0) == WRONG
    assert await one.later(1) == WRONG
    assert len(one.pods.asked) == 1, "a wake-up is no reason to ask at once"
    one.pods.answer = RIGHT
    assert await one.later(1) == RIGHT
    assert one.woken == [ME, ME]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"probe": OTHER}, "another question"),
        ({"since": GIVEN_AGAIN}, "before the pointer was given"),
        ({"addresses": NEW_PODS}, "others"),
    ],
)
async def test_an_answer_to_something_else_is_none(one: Bench, change: dict[str, object], why: str) -> None:
    await one.later(0)
    assert one.ask(**change) is None, why  # type: ignore[arg-type]
    await one.answered()
    assert one.ask(**change) == RIGHT  # type: ignore[arg-type]
    assert len(one.pods.asked) == 2


async def test_where_it_serves_what_other_pods_answered_counts_until_these_have(one: Bench) -> None:
    await one.later(0)
    one.pods.answer = WRONG
    assert one.ask(addresses=NEW_PODS, keep=True) == RIGHT
    await one.answered()
    assert one.ask(addresses=NEW_PODS, keep=True) == WRONG
    assert one.pods.asked[-1][0] == NEW_PODS


@pytest.mark.parametrize("change", [{"probe": OTHER}, {"since": GIVEN_AGAIN}])
async def test_nothing_keeps_what_was_answered_to_another_question(one: Bench, change: dict[str, object]) -> None:
    await one.later(0)
    assert one.ask(keep=True, **change) is None  # type: ignore[arg-type]


async def test_a_question_that_is_out_of_date_is_given_up(one: Bench) -> None:
    one.pods.hang = True
    one.ask()
    await asyncio.sleep(0)
    one.pods.hang = False
    one.ask(addresses=NEW_PODS)
    await asyncio.gather(*one.probes._tasks, return_exceptions=True)
    assert one.ask(addresses=NEW_PODS) == RIGHT
    assert one.woken == [ME]


async def test_an_error_nobody_foresaw_is_logged_and_asked_again(one: Bench, caplog: pytest.LogCaptureFixture) -> None:
    one.pods.answer = ZeroDivisionError("a bug")
    assert await one.later(0) is None
    assert "unexpected error" in caplog.messages
    await one.answered()
    one.pods.answer = RIGHT
    assert await one.later(0) == RIGHT


async def test_what_nobody_asks_any_more_is_forgotten(one: Bench) -> None:
    await one.later(0)
    one.now += 3601
    other = Key("ModelVersion", "fraud", "v3")
    one.probes.ask(other, TARGET, PODS, PING, since=None, period=60.0, keep=False)
    assert [asker for asker, _ in one.probes._asked] == [other]
    await one.answered()


async def test_what_is_on_its_way_ends_with_the_process(one: Bench) -> None:
    one.pods.hang = True
    one.ask()
    await asyncio.sleep(0)
    await one.probes.close()
    assert not one.probes._tasks
    assert one.woken == []
