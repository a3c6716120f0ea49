"""What people, Git, the registry, the engine, the pods and time do in the small world."""

from collections.abc import Iterator
from datetime import timedelta

from .model import Model
from .state import AGES, OLD, TICK, Meta, Seat, State, Target

Event = tuple[str, State]
EDITS = frozenset({"foreign edit", "edit to the oldest", "Git takes the pointer", "the target is created"})
"""Events by which somebody else changes the pointer."""


def placed(state: State, place: int, seat: Seat | None) -> State:
    """The state with another version in a place; one that is gone takes its evaluations with it."""
    seats = (*state.seats[:place], seat, *state.seats[place + 1 :])
    if seat is not None:
        return state._replace(seats=seats)
    jobs, passed = list(state.jobs), list(state.passed)
    jobs[place], passed[place] = tuple("" for _ in jobs[place]), tuple(False for _ in passed[place])
    return state._replace(seats=seats, jobs=tuple(jobs), passed=tuple(passed))


def _said(state: State, name: str, place: int, word: str) -> State:
    words = list(getattr(state, name))
    words[place] = word
    return state._replace(**{name: tuple(words)})


def roll(model: Model, state: State) -> State:
    """The Deployment's controller and the kubelet make one step."""
    target = state.target
    health = state.health[model.values.index(target.pointer)] if target.pointer in model.values else "Good"
    if target.rollout in ("Complete", "Gone"):
        return state
    if health != "Crashes":
        return state._replace(target=target._replace(census=target.pointer, rollout="Complete", age=0))
    if target.census == target.pointer or not target.census:
        return state._replace(target=target._replace(census="", rollout="Crashing", age=0))
    return state._replace(target=target._replace(rollout="Failed"))


def evaluated(model: Model, state: State) -> Iterator[Event]:
    """An engine ends its work."""
    for place, jobs in enumerate(state.jobs):
        for gate, said in enumerate(jobs):
            if said == "Running":
                number = model.rules.numbers[place]
                good = number not in model.rules.weak and not (gate and number in model.rules.tight)
                words, passed = list(state.jobs), list(state.passed)
                words[place] = (*jobs[:gate], "Passed" if good else "Failed", *jobs[gate + 1 :])
                passed[place] = tuple(before or (good and at == gate) for at, before in enumerate(passed[place]))
                yield f"evaluation of {number} ends", state._replace(jobs=tuple(words), passed=tuple(passed))


def later(model: Model, state: State, by: timedelta) -> State:
    """Time passes."""

    def aged(seat: Seat | None) -> Seat | None:
        if seat is None:
            return None
        alert = seat.meta.alert
        if alert.isdigit():
            alert = str(min(int(alert) + by // TICK, OLD // TICK))
        return Seat(seat.meta._replace(alert=alert), model.older(seat.status, by))

    target = state.target
    if target.rollout == "Down":
        target = target._replace(age=min(target.age + by // TICK, OLD // TICK))
    lag = state.lag and (state.lag[0], aged(state.lag[1]))
    return state._replace(seats=tuple(aged(seat) for seat in state.seats), target=target, lag=lag)


def calm(model: Model, state: State) -> Iterator[Event]:
    """What goes on happening though nobody does anything and nothing fails any more; passes come on top."""
    if state.lag is not None:
        yield "the operator catches up", state._replace(lag=None)
    if state.asked != "Answers":
        yield "the registry answers", state._replace(asked="Answers")
    yield "the rollout goes on", roll(model, state)
    yield from evaluated(model, state)
    if state.lag is None:  # a view is late by less than the steps in which time passes here
        yield "a while passes", later(model, state, model.rules.step)
        yield "hours pass", later(model, state, AGES)


def wishes(model: Model, state: State) -> Iterator[tuple[str, int, Seat | None]]:
    """What people and Git can do to a version: its place, and the version afterwards."""
    can = model.rules.events
    for place, number in enumerate(model.rules.numbers):
        seat = state.seats[place]
        if model.spared(place):
            continue
        if seat is None:
            if "apply" in can:
                yield f"apply {number}", place, model.fresh()
            continue
        meta = seat.meta
        if "delete" in can and not meta.deleting:
            gone = None if not meta.finalizer else Seat(meta._replace(deleting=True), seat.status)
            yield f"delete {number}", place, gone
        for word, change in _changes(meta).items():
            if word in can and change is not None and (not meta.deleting or "deleting" in can):
                moved = meta._replace(**change)
                spec = moved.stage != meta.stage or moved.gate != meta.gate or word == "touch"
                yield f"{word} {number}", place, model.seat(moved, model.outdated(seat.status) if spec else seat.status)


def _changes(meta: Meta) -> dict[str, dict[str, object] | None]:
    up = meta.stage == "Production"
    why = "b" if meta.reason == "a" else "a"
    return {
        "demote": {"stage": "Candidate", "reason": why} if up else None,
        "lower": {"stage": "Candidate"} if up else None,
        "archive": {"stage": "Archived", "reason": why} if up else None,
        "promote": {"stage": "Production"} if not up else None,
        "explain": {"reason": why} if not up and meta.reason != "b" else None,
        "gate": {"gate": 1 - meta.gate},
        "touch": {},
        "hold": {"hold": not meta.hold},
        "rollback": {"rollback": "a" if not meta.rollback else "b"} if meta.rollback != "b" else None,
        "retry": {"retry": "a" if not meta.retry else "b"} if meta.retry != "b" else None,
        "alert": {"alert": "0"} if meta.alert != "0" else None,
    }


def outside(model: Model, state: State) -> Iterator[Event]:
    """What happens to the registry, the pods, the workload and the operator itself."""
    can, target = model.rules.events, state.target
    for word, asked in (("outage", "Out"), ("restart", "Starting")):
        if word in can and state.asked == "Answers":
            yield word, state._replace(asked=asked)
    if "Hold" in can:
        yield "hold all" if not state.hold else "hold nothing", state._replace(hold=not state.hold)
    for place, number in enumerate(model.rules.numbers):
        there = state.registry[place]
        if model.spared(place):
            continue
        for word, said in (("remove", "Gone"), ("reject", "Rejected"), ("replace", "Changed")):
            seat = state.seats[place]
            pinned = seat is not None and model.statuses[seat.status].resolved is not None
            if word in can and there == "Present" and (pinned or said != "Changed"):
                yield f"{word} {number} in the registry", _said(state, "registry", place, said)
        if "restore" in can and there != "Present":
            yield f"restore {number} in the registry", _said(state, "registry", place, "Present")
        if "jobgone" in can:
            for gate, said in enumerate(state.jobs[place]):
                if said in ("Passed", "Failed"):
                    jobs = (*state.jobs[place][:gate], "", *state.jobs[place][gate + 1 :])
                    yield f"the EvaluationJob of {number} is deleted", _said(state, "jobs", place, jobs)  # type: ignore[arg-type]
        yield from _pods(model, state, place)
    for word, change in _edits(model, target).items():
        if word in can and change is not None and change != target:
            yield word, state._replace(target=change)


def _pods(model: Model, state: State, place: int) -> Iterator[Event]:
    can, target, number, value = model.rules.events, state.target, model.rules.numbers[place], model.values[place]
    health, serves = state.health[place], state.target.census == value
    if "crash" in can and health == "Good":
        worse = _said(state, "health", place, "Crashes")
        if serves:
            rollout = "Crashing" if target.pointer == value else target.rollout
            worse = worse._replace(target=target._replace(census="", rollout=rollout))
        yield f"{number} begins to crash", worse
    for word in ("Wrong", "Silent"):
        if word.lower() in can and health == "Good":
            yield f"answers of {number} become {word.lower()}", _said(state, "health", place, word)
    if "mend" in can and health != "Good":
        yield f"{number} is mended", _said(state, "health", place, "Good")
    if "down" in can and serves and target.rollout == "Complete":
        yield f"the pods of {number} crash once", state._replace(target=target._replace(census="", rollout="Down"))


def _edits(model: Model, target: Target) -> dict[str, Target | None]:
    def told(value: str, owner: str = "") -> Target:
        rollout = "Complete" if target.census == value else "Progressing"
        return target._replace(pointer=value, owner=owner, rollout=rollout, age=0)

    there = target.rollout != "Gone"
    return {
        "foreign edit": told("foreign") if there and target.pointer != "foreign" and not target.owner else None,
        "edit to the oldest": told(model.values[0]) if there and not target.owner else None,
        "Git takes the pointer": told("foreign", "argo") if there and not target.owner else None,
        "Git lets the pointer go": target._replace(owner="") if target.owner else None,
        "the target is deleted": target._replace(pointer="", census="", rollout="Gone", owner="", age=0) if there else None,
        "the target is created": Target() if not there else None,
    }


def events(model: Model, state: State) -> Iterator[Event]:
    """Everything that somebody does or that fails; with a late view where the world has such."""
    if not state.left:
        return
    state = state._replace(left=max(-1, state.left - 1))
    for label, place, seat in wishes(model, state):
        moved = placed(state, place, seat)
        yield label, moved
        if model.rules.lags and state.lag is None:
            yield f"{label}, not seen yet", moved._replace(lag=(place, state.seats[place]))
    yield from outside(model, state)
