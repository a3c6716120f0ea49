"""What served then, from what versions remember: whatever is said agrees with what was really so in the small world."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.core.world import Behaviour, World
from weighbridge.api.versionstatus import HistoryEntry
from weighbridge.core.past import Answer, served_at, when

NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def ask(world: World, time: datetime) -> Answer:
    (answer,) = served_at(time, tuple(world.versions.values()))
    return answer


def settled(*numbers: str) -> World:
    world = World({number: Behaviour() for number in numbers})
    for number in numbers:
        world.apply(number)
        world.settle()
        world.now += timedelta(hours=1)
    return world


def test_each_version_is_found_while_it_served() -> None:
    world = settled("1", "2", "3")
    for number in "123":
        entry = next(each for each in world.versions[number].status.history if each.event == "Serving")
        after = world.versions.get(str(int(number) + 1))
        ends = (after.status.serving[0].repointed_at if after else None) or world.now
        for time in (entry.at, entry.at + timedelta(minutes=30), ends - SECOND):
            (served,) = ask(world, time).served
            assert (served.version, served.value, served.known) == (f"v{number}", f"models:/model/{number}", "Proved")
        assert served.why.startswith("Serving ")


def test_between_promotion_and_proof_nothing_is_called_proved() -> None:
    world = settled("1", "2")
    state = world.versions["2"].status.serving[0]
    assert state.repointed_at is not None
    assert state.since is not None
    assert state.repointed_at < state.since
    said = {each.version: each.known for each in ask(world, state.repointed_at).served}
    assert said.get("v2") == "Progressing"


def test_before_anything_is_remembered_it_says_so() -> None:
    world = settled("1")
    early = ask(world, datetime(2025, 1, 1, tzinfo=UTC))
    assert early.served == ()
    assert "versions deleted since are not known any more" in early.gaps[0]
    assert "its pointer was unset" in early.gaps[1]


def test_a_deleted_version_leaves_a_gap_and_no_guess() -> None:
    world = settled("1", "2")
    served = world.versions["1"].status.serving[0]
    assert served.repointed_at is not None
    time = served.repointed_at + timedelta(minutes=5)
    assert [each.version for each in ask(world, time).served] == ["v1"]
    del world.versions["1"]
    gone = ask(world, time)
    assert gone.served == ()
    assert "its pointer was models:/model/1" in gone.gaps[-1], "what the next one found there is known"


def test_a_full_history_is_told_as_one() -> None:
    world = settled("1")
    version = world.versions["1"]
    entries = tuple(HistoryEntry(at=NOW + index * SECOND, event="Promoting") for index in range(20))
    world.versions["1"] = version.model_copy(
        update={"status": version.status.model_copy(update={"history": entries, "serving": version.status.serving})}
    )
    gaps = ask(world, datetime(2025, 1, 1, tzinfo=UTC)).gaps
    assert gaps[0] == "v1 remembers its last 20 changes, back to 2026-02-01T12:00:00Z: not what it was then"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T02:10:00Z", datetime(2026, 1, 31, 2, 10, tzinfo=UTC)),
        ("2026-01-31T02:10", datetime(2026, 1, 31, 2, 10, tzinfo=UTC)),
        ("2026-01-31T02:10:00+02:00", datetime(2026, 1, 31, 0, 10, tzinfo=UTC)),
        (" -2h", NOW - timedelta(hours=2)),
        ("1h30m ago", NOW - timedelta(minutes=90)),
        ("-3d", NOW - timedelta(days=3)),
        ("-1d12h", NOW - timedelta(hours=36)),
    ],
)
def test_times(text: str, time: datetime) -> None:
    assert when(text, NOW) == time


@pytest.mark.parametrize("text", ["", "2h", "-2", "yesterday", "-h", "ago", "-999999d", "2026-13-01"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        when(text, NOW)
