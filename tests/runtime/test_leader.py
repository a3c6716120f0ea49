"""The election on a real API server: one writes at a time, who is cut off stops in time, a release hands over at once."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from weighbridge.runtime.clock import now
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.leader import Leader
from weighbridge.runtime.refusal import Unavailable

DURATION = 15.0
LEASE = ("coordination.k8s.io/v1", "Lease")


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Cut(Cluster):
    """A cluster behind a cable that can be pulled."""

    plugged = True

    async def get(self, *names: str) -> dict[str, Any] | None:
        self._check()
        return await super().get(*names)

    async def merge(self, *arguments: Any) -> dict[str, Any]:
        self._check()
        return await super().merge(*arguments)

    def _check(self) -> None:
        if not self.plugged:
            raise Unavailable("ApiServerUnavailable", "the API server does not answer")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def candidate(connection: Connection, namespace: str, clock: Clock) -> Callable[[str], tuple[Leader, Cut, list[str]]]:
    def make(identity: str) -> tuple[Leader, Cut, list[str]]:
        won: list[str] = []
        cluster = Cut(connection)
        leader = Leader(
            cluster,
            namespace=namespace,
            identity=identity,
            duration=DURATION,
            now=now,
            gained=lambda: won.append(identity),
            name="weighbridge",
            clock=clock,
        )
        return leader, cluster, won

    return make


async def test_the_first_wins_and_keeps_it(candidate: Any, clock: Clock) -> None:
    (one, _, won), (two, _, lost) = candidate("one"), candidate("two")
    for _ in range(5):
        await one.stand()
        await two.stand()
        assert one.may_write()
        assert not two.may_write()
        clock.now += 5
    assert (won, lost) == (["one"], [])


async def test_who_is_cut_off_stops_before_the_other_begins(candidate: Any, clock: Clock) -> None:
    (one, cable, _), (two, _, lost) = candidate("one"), candidate("two")
    await one.stand()
    await two.stand()
    cable.plugged = False
    stopped = begun = 0.0
    for _ in range(200):
        clock.now += 0.1
        await one.stand()
        await two.stand()
        assert not (one.may_write() and two.may_write())
        stopped = stopped or (clock.now if not one.may_write() else 0.0)
        begun = begun or (clock.now if two.may_write() else 0.0)
    assert stopped == pytest.approx(1000 + 10, abs=0.2)
    assert begun == pytest.approx(1000 + 15, abs=0.2)
    assert lost == ["two"]
    cable.plugged = True
    await one.stand()
    assert not one.may_write()


async def test_the_right_to_write_ends_by_itself(candidate: Any, clock: Clock) -> None:
    """A process that was stopped and goes on later must not write before it has asked."""
    one, _, won = candidate("one")
    await one.stand()
    clock.now += DURATION * 4
    assert not one.may_write()
    await one.stand()
    assert one.may_write()
    assert won == ["one", "one"], "winning it back is a win: keys were dropped meanwhile"


async def test_a_release_hands_over_at_once(candidate: Any, clock: Clock) -> None:
    (one, _, _), (two, _, _) = candidate("one"), candidate("two")
    await one.stand()
    await two.stand()
    await one.release()
    assert not one.may_write()
    await two.stand()
    assert two.may_write()


async def test_who_does_not_lead_releases_nothing(candidate: Any) -> None:
    (one, _, _), (two, _, _) = candidate("one"), candidate("two")
    await one.stand()
    await two.stand()
    await two.release()
    await two.stand()
    assert one.may_write()
    assert not two.may_write()


async def test_two_that_stand_in_the_same_instant_do_not_both_win(candidate: Any, clock: Clock) -> None:
    (one, _, _), (two, _, _) = candidate("one"), candidate("two")
    await asyncio.gather(one.stand(), two.stand())
    assert one.may_write() != two.may_write()
    first, second = (one, two) if one.may_write() else (two, one)
    await second.stand()
    clock.now += DURATION + 1
    await asyncio.gather(one.stand(), two.stand())
    assert first.may_write() != second.may_write()


async def test_somebody_elses_hand_on_the_lease_ends_the_right_when_it_is_seen(
    candidate: Any, cluster: Cluster, namespace: str
) -> None:
    one, _, _ = candidate("one")
    await one.stand()
    await cluster.merge(*LEASE, namespace, "weighbridge", {"spec": {"holderIdentity": "thief"}})
    await one.stand()
    assert not one.may_write()


async def test_the_lease_reads_as_others_write_it(candidate: Any, cluster: Cluster, namespace: str, clock: Clock) -> None:
    (one, _, _), (two, _, _) = candidate("one"), candidate("two")
    await one.stand()
    lease = await cluster.get(*LEASE, namespace, "weighbridge")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "one"
    assert lease["spec"]["leaseDurationSeconds"] == 15
    assert lease["spec"]["leaseTransitions"] == 0
    await two.stand()
    clock.now += DURATION + 1
    await two.stand()
    lease = await cluster.get(*LEASE, namespace, "weighbridge")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 1


async def test_never_two_in_any_interleaving(connection: Connection, namespace: str) -> None:
    """Three candidates in random order, with random time between and within their turns, some of them leaving in between."""
    for seed in range(25):
        dice, clock = random.Random(seed), Clock()
        candidates = [
            Leader(
                Cluster(connection),
                namespace=namespace,
                identity=str(number),
                duration=DURATION,
                now=now,
                gained=lambda: None,
                name=f"lease-{seed}",
                clock=clock,
            )
            for number in range(3)
        ]
        for _ in range(20):
            turns = [dice.choice(candidates) for _ in range(dice.randint(1, 2))]
            await asyncio.gather(*(each.release() if dice.random() < 0.1 else each.stand() for each in turns))
            assert sum(each.may_write() for each in candidates) <= 1, f"seed {seed}"
            clock.now += dice.choice([0.1, 2, 4, 5, 9.9, 10.1, 14, 16])
            assert sum(each.may_write() for each in candidates) <= 1, f"seed {seed}"
