"""A pass of the operator over one version: complete, cut short after any write, with its answer lost, or overtaken by an event.

What must hold at every write is checked here."""

from collections.abc import Iterator

from weighbridge.core.stages import HOLDING

from .events import EDITS, Event, placed
from .model import Decided, Model, Write
from .state import GENERATION, Seat, State


class Violation(Exception):
    """Something that must never happen."""


def passes(model: Model, state: State) -> Iterator[tuple[str, State, bool]]:
    """All that a pass over any version can leave behind; and whether it was a whole one."""
    for place, seat in enumerate(model.seen(state)):
        if seat is None:
            continue
        number, decided = model.rules.numbers[place], model.decided(place, state)
        _judge(model, state, place, decided)
        steps = list(_written(model, state, state, place, decided))
        yield f"pass {number}", steps[-1][0] if steps else state, True
        for count, (left, write) in enumerate(steps[:-1], 1):
            yield f"pass {number} cut after write {count} ({write.what})", left, False
        if model.rules.lags and state.lag is None:
            for count, (left, write) in enumerate(steps, 1):
                if write.what in ("status", "finalizer"):
                    before = steps[count - 2][0].seats[place] if count > 1 else seat
                    lost = left._replace(lag=(place, before)) if left.seats[place] != before else left
                    yield f"pass {number}: the answer to write {count} ({write.what}) is lost", lost, False


def overtaken(model: Model, state: State, after: list[Event]) -> Iterator[Event]:
    """Something happens between the look and the writes of a pass."""
    for place, seat in enumerate(model.seen(state)):
        if seat is None:
            continue
        decided = model.decided(place, state)
        if not decided.writes:
            continue
        for label, changed in after:
            steps = list(_written(model, state, changed, place, decided))
            if steps:
                yield f"pass {model.rules.numbers[place]} overtaken by: {label}", steps[-1][0]


def _written(model: Model, look: State, state: State, place: int, decided: Decided) -> Iterator[tuple[State, Write]]:
    """The states after each write, up to the first that is refused: what it was decided from is not so any more."""
    own = state.seats[place]
    fresh = own is not None and own == model.seen(look)[place]
    for write in decided.writes:
        seat = state.seats[place]
        match write.what:
            case "status" | "finalizer" if not fresh or seat is None:
                if state.lag is not None and state.lag[0] == place:
                    yield state._replace(lag=None), write  # a conflict: it looks again
                return
            case "status":
                state = placed(state, place, model.seat(seat.meta, write.value))
            case "finalizer":
                gone = not write.value and seat.meta.deleting
                state = placed(state, place, None if gone else Seat(seat.meta._replace(finalizer=write.value), seat.status))
            case "pointer":
                value, cause = write.value
                _may_point(model, look, state, place, value, cause)
                if state.target != look.target:
                    return
                state = state._replace(target=state.target._replace(pointer=value, rollout=_rollout(state, value), age=0))
            case "job" if seat is not None:
                jobs = state.jobs[place]
                if not jobs[write.value]:
                    words = (*jobs[: write.value], "Running", *jobs[write.value + 1 :])
                    state = state._replace(jobs=(*state.jobs[:place], words, *state.jobs[place + 1 :]))
        yield state, write


def _rollout(state: State, value: str) -> str:
    return state.target.rollout if value == state.target.pointer else "Progressing"


def rejected(model: Model, seat: Seat) -> str:
    """The reason of the rejection that counts now: of this generation, or a person's (a version's content never changes)."""
    states = model.statuses[seat.status].serving
    held = states[0].rejection if states else None
    return held.reason if held is not None and (held.generation == GENERATION or held.reason == "Requested") else ""


def retried(model: Model, seat: Seat) -> bool:
    """Whether somebody asked for another try, which was not followed so far."""
    return seat.meta.retry not in ("", model.statuses[seat.status].requests.retry)


def holds(model: Model, seat: Seat) -> bool:
    states = model.statuses[seat.status].serving
    return bool(states) and states[0].state in HOLDING


def evidence(model: Model, state: State, place: int) -> bool:
    """Whether anything speaks against a version that the pointer names, as things are or as the operator knows them."""
    seat = model.seen(state)[place]
    if seat is None or seat.meta.deleting or seat.meta.stage != "Production" or rejected(model, seat):
        return True
    status, meta, target = model.statuses[seat.status], seat.meta, state.target
    answers = {each.type: each.status for each in status.conditions}
    wished = meta.rollback not in ("", status.requests.rollback) or meta.alert not in ("", "done")
    refused = "False" in (answers.get("Resolved"), answers.get("Evaluated")) or state.jobs[place][meta.gate] == "Failed"
    newcomer = not holds(model, seat) and (
        meta.hold or answers.get("Evaluated") != "True" or status.observed_generation != GENERATION
    )
    failing = target.rollout != "Complete" or target.census != target.pointer or state.health[place] != "Good"
    return wished or refused or newcomer or failing or state.registry[place] != "Present"


def _may_point(model: Model, look: State, state: State, place: int, value: str, cause: str) -> None:  # noqa: PLR0917
    """What must hold whenever the pointer is written."""
    if value not in model.values:
        raise Violation(f"the pointer is given {value!r}")
    winner, seats = model.values.index(value), model.seen(look)
    seat, mine = seats[winner], seats[place]
    if look.target.owner:
        raise Violation("the pointer is written though another applier owns it")
    if look.hold or mine is None or mine.meta.hold:
        raise Violation("the pointer is written under hold")
    if seat is None or seat.meta.deleting:
        raise Violation(f"the pointer goes to {value}, which is not there")
    if rejected(model, seat) and (winner != place or not retried(model, seat)):
        raise Violation(f"the pointer goes to {value}, which was rejected ({rejected(model, seat)})")
    truth = state.seats[winner]
    if truth is not None and rejected(model, truth) and winner == place and not retried(model, truth):
        raise Violation(f"the pointer goes to {value}, which the API server knows as rejected")
    proven = state.passed[winner][seat.meta.gate] or (any(state.passed[winner]) and holds(model, seat))
    if truth is not None and not proven:
        raise Violation(f"the pointer goes to {value}, which never passed its evaluation")
    if model.statuses[seat.status].resolved is None and winner != place:
        raise Violation(f"the pointer goes to {value}, which is not pinned")
    said = [each for other in seats if other for each in model.statuses[other.status].serving]
    given = [each for each in said if each.wished == look.target.pointer]
    own = max((each.repointed_at for each in model.statuses[mine.status].serving if each.repointed_at), default=None)
    # Who left or is gone cannot be asked; a patch that was made late bears the time at which it was to be made.
    known = any(each.repointed_at and (own is None or each.repointed_at >= own) for each in given)
    if cause == "Restore" and known and not model.rules.events & EDITS:
        raise Violation("the pointer is taken back from somebody else, and nobody else ever touched it")
    was = look.target.pointer
    if was in model.values and was != value:
        before = model.values.index(was)
        if winner < before and not evidence(model, look, before):
            raise Violation(f"the pointer goes from {was} back to {value}, and nothing speaks against {was}")


def _judge(model: Model, look: State, place: int, decided: Decided) -> None:
    """A rejection needs its evidence, a request is followed once, a rejection is forgotten only on a wish."""
    seat = model.seen(look)[place]
    assert seat is not None
    status, meta = model.statuses[seat.status], seat.meta
    frozen = look.hold or meta.hold
    fine = look.target.rollout == "Complete" and look.target.census == model.values[place]
    sound = {
        "": True,
        "RolloutFailed": not (fine and look.health[place] == "Good"),
        "ProbeFailed": look.health[place] in ("Wrong", "Silent"),
        "Requested": meta.rollback not in ("", status.requests.rollback),
        "Alert": meta.alert not in ("", "done"),
    }
    if decided.rejected and frozen:
        raise Violation(f"{model.values[place]} is rejected ({decided.rejected}) under hold")
    if not sound[decided.rejected]:
        raise Violation(f"{model.values[place]} is rejected ({decided.rejected}) without evidence")
    after = model.statuses[decided.status]
    followed = after.requests.rollback not in ("", status.requests.rollback)
    if followed and after.serving and after.serving[0].rejection is None:
        raise Violation(f"the wish to roll {model.values[place]} back is ticked off, and not followed")
    said = {each.type: each.reason for each in after.conditions}
    if said.get("Serving") == "FieldOwnedByOther" and not model.rules.events & EDITS:
        raise Violation("the pointer is said to belong to somebody else, and nobody else ever touched it")
    before = {each.type: each.status for each in status.conditions}
    refuses = look.asked == "Answers" and look.registry[place] != "Present"
    if "False" in {each.status for each in after.conditions if each.type == "Resolved"} - {before.get("Resolved")} and not refuses:
        raise Violation(f"{model.values[place]} is said to be refused by the registry, which says no such thing")
    had = rejected(model, seat)
    if had and not decided.rejected and not meta.deleting:
        kept = not after.serving or rejected(model, Seat(meta, decided.status))
        if not kept and (frozen or not retried(model, seat)):
            raise Violation(f"the rejection of {model.values[place]} ({had}) is forgotten without a wish")
