"""Every state of every small world, with the real `decide`: nothing forbidden happens on the way, and every way ends well."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from .explorer import Explorer, Found
from .model import Rules
from .worlds import WORLDS

_ENOUGH = 100_000
_LONGEST = 60
"""Steps that change anything, from any state, until it rests."""


def explore(rules: Rules) -> Found:
    return Explorer(rules).run()


@pytest.fixture(scope="module")
def explored() -> Iterator[dict[str, Found]]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = {each.name: each for each in pool.map(explore, WORLDS)}
    for each in found.values():
        print(
            f"{each.name}: {each.states} states, {each.transitions} transitions, {each.decisions} decisions;"
            f" rests in {each.rests}, after {each.longest} steps at the most"
        )
    print(f"all: {sum(each.states for each in found.values())} states")
    return found


@pytest.mark.parametrize("name", [each.name for each in WORLDS])
def test_nothing_forbidden_happens_and_every_way_ends_where_it_should(explored: dict[str, Found], name: str) -> None:
    found = explored[name]
    assert not found.faults, "\n".join([found.faults[0].what, *found.faults[0].trace])
    assert found.exhausted
    assert found.rests
    assert found.longest <= _LONGEST


def test_enough_was_explored(explored: dict[str, Found]) -> None:
    assert len(explored) == len(WORLDS)
    assert sum(each.states for each in explored.values()) >= _ENOUGH
