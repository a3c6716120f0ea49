"""Breadth first over every state of a world; then: where does it come to rest when all faults stop, whatever happens first?"""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .events import calm, events
from .model import Decide, Model, Rules, real_decide
from .oracle import wrong_at_rest
from .passes import Violation, overtaken, passes
from .state import State

_SAMPLE = 50
"""One state in so many is decided about anew, whatever is remembered."""


class Fault(NamedTuple):
    """What was found, and the shortest way there."""

    what: str
    trace: tuple[str, ...]


@dataclass
class Found:
    """What is known of a world."""

    name: str
    states: int = 0
    transitions: int = 0
    decisions: int = 0
    """Different situations that the real `decide` was asked about."""
    rests: int = 0
    """States in which nothing goes on."""
    longest: int = 0
    """Most steps that change anything, until it rests."""
    exhausted: bool = False
    faults: list[Fault] = field(default_factory=list)


class Explorer:
    """One exploration."""

    def __init__(self, rules: Rules, decide: Decide = real_decide, *, most: int = 1_000_000, effect_first: bool = False) -> None:
        """`most`: states after which it gives up."""
        self.model, self.most = Model(rules, decide, effect_first=effect_first), most
        self.found = Found(rules.name)
        self._ids: dict[State, int] = {}
        self._states: list[State] = []
        self._parents: list[tuple[int, str]] = []
        self._calm: list[tuple[int, ...]] = []

    def run(self) -> Found:
        """All states, or up to the first fault."""
        self._id(self._settled(self._first()), -1, "")
        at = 0
        while at < len(self._states) and len(self._states) < self.most and not self.found.faults:
            self._expand(at)
            at += 1
        self.found.states, self.found.decisions = len(self._states), self.model.decisions
        self.found.exhausted = at == len(self._states) and not self.found.faults
        if self.found.exhausted:
            self._rest()
        return self.found

    def _first(self) -> State:
        rules = self.model.rules
        seat = self.model.fresh()
        many = range(len(rules.numbers))
        return State(
            seats=tuple(seat if number in rules.present else None for number in rules.numbers),
            registry=tuple("Gone" if number in rules.missing else "Present" for number in rules.numbers),
            health=tuple("Crashes" if number in rules.crash else "Good" for number in rules.numbers),
            jobs=tuple(("", "") if "gate" in rules.events else ("",) for _ in many),
            left=rules.most,
            passed=tuple((False, False) if "gate" in rules.events else (False,) for _ in many),
        )

    def _settled(self, state: State) -> State:
        """Where the versions that are there from the start come to rest."""
        while True:
            steps = [after for _, after, is_calm in self._steps(state) if is_calm and after != state]
            if not steps:
                return state
            state = steps[0]

    def _id(self, state: State, parent: int, label: str) -> int:
        if state.lag is not None and state.seats[state.lag[0]] == state.lag[1]:
            state = state._replace(lag=None)
        known = self._ids.get(state)
        if known is not None:
            return known
        self._ids[state] = number = len(self._states)
        self._states.append(state)
        self._parents.append((parent, label))
        return number

    def _expand(self, at: int) -> None:
        state = self._states[at]
        quiet = []
        if not at % _SAMPLE:
            self._check_memory(state)
        try:
            for label, after, is_calm in self._steps(state):
                self.found.transitions += 1
                number = self._id(after, at, label)
                if is_calm and number != at:
                    quiet.append(number)
        except Violation as violation:
            self.found.faults.append(Fault(str(violation), (*self.trace(at), "then")))
        self._calm.append(tuple(quiet))

    def _check_memory(self, state: State) -> None:
        for place, seat in enumerate(self.model.seen(state)):
            assert seat is None or self.model.verified(place, state), "a decision rests on something that is no part of its key"

    def _steps(self, state: State) -> Iterator[tuple[str, State, bool]]:
        yield from passes(self.model, state)
        around = list(calm(self.model, state))
        for label, after in around:
            yield label, after, True
        happens = list(events(self.model, state))
        for label, after in happens:
            yield label, after, False
        if self.model.rules.races and state.lag is None:
            for label, after in overtaken(self.model, state, [*around, *happens]):
                yield label, after, False

    def trace(self, at: int) -> tuple[str, ...]:
        """The shortest way to a state."""
        labels: deque[str] = deque()
        while at > 0:
            at, label = self._parents[at]
            labels.appendleft(label)
        return tuple(labels)

    def _rest(self) -> None:
        """Without faults nothing may go in circles, and every end must be the right one."""
        height = self._heights()
        if height is None:
            return
        self.found.longest = max(height)
        for at, successors in enumerate(self._calm):
            if not successors:
                self.found.rests += 1
                for what in wrong_at_rest(self.model, self._states[at]):
                    self.found.faults.append(Fault(what, self.trace(at)))
                    return

    def _heights(self) -> list[int] | None:
        """For each state the most steps until it rests; None where that is without end."""
        height, waiting = [0] * len(self._calm), [len(set(each)) for each in self._calm]
        before: list[list[int]] = [[] for _ in self._calm]
        for at, successors in enumerate(self._calm):
            for each in set(successors):
                before[each].append(at)
        ready = deque(at for at, count in enumerate(waiting) if not count)
        done = 0
        while ready:
            at = ready.popleft()
            done += 1
            for each in before[at]:
                height[each] = max(height[each], height[at] + 1)
                waiting[each] -= 1
                if not waiting[each]:
                    ready.append(each)
        if done == len(self._calm):
            return height
        circle = self._circle([at for at, count in enumerate(waiting) if count])
        self.found.faults.append(Fault("it goes in circles", circle))
        return None

    def _circle(self, left: list[int]) -> tuple[str, ...]:
        """The first circle: the way there, and the states of it."""
        inside = set(left)
        at, order = left[0], []
        while at not in order:
            order.append(at)
            at = next(each for each in self._calm[at] if each in inside)
        ring = [*order[order.index(at) :], at]
        return (*self.trace(ring[0]), *(f"… {self._between(one, two)}" for one, two in itertools.pairwise(ring)))

    def _between(self, one: int, two: int) -> str:
        return next(label for label, after, is_calm in self._steps(self._states[one]) if is_calm and self._id(after, 0, "") == two)
