"""What must be the case when nothing goes on any more, by the words of the contract and not by those of the code.

What was seen to fail is on record (a rejection); everything else is judged by how things really are."""

from collections.abc import Iterator
from datetime import timedelta

from weighbridge.core.stages import HOLDING

from .model import Model
from .passes import holds, rejected
from .state import NOW, State


def fit(model: Model, state: State, place: int) -> bool:
    """Whether a version may serve, and wants to."""
    seat, number, rules = state.seats[place], model.rules.numbers[place], model.rules
    if seat is None or seat.meta.deleting or rejected(model, seat):
        return False
    status = model.statuses[seat.status]
    standing = next((each.state for each in status.serving), "Waiting")
    stays = seat.meta.reason in ("", status.requests.reason) and standing in (*HOLDING, "Superseded")
    wished = seat.meta.stage == "Production" or stays
    good = number not in rules.weak and not (seat.meta.gate and number in rules.tight)
    there = state.registry[place] == "Present" or (state.registry[place] == "Changed" and standing == "Serving")
    free = not seat.meta.hold or standing in HOLDING
    return wished and good and there and free


def _hardly_the_model(model: Model, state: State, place: int) -> bool:
    """What was rolled back to stays, though it fails too, where all newer versions failed just before: there must be an end."""
    seen = ("RolloutFailed", "ProbeFailed")
    failed = [seat for seat in state.seats[place + 1 :] if seat is not None and rejected(model, seat) in seen]
    return state.health[place] != "Good" and len(failed) > 1


def wrong_at_rest(model: Model, state: State) -> Iterator[str]:
    """Everything that is not as it should be."""
    yield from _unsteady(model, state)
    target, values = state.target, model.values
    if target.rollout == "Gone" or state.hold:
        return
    fits = [place for place in range(len(values)) if fit(model, state, place)]
    taker_rests = any(seat is not None and seat.meta.hold and holds(model, seat) for seat in state.seats)
    for place, seat in enumerate(state.seats):
        serves_alone = target.pointer == values[place] and not fits
        if seat is not None and seat.meta.deleting and not serves_alone and not target.owner and not taker_rests:
            yield f"{values[place]} is not let go"
    if not fits:
        return
    newest = fits[-1]
    seat = state.seats[newest]
    assert seat is not None
    status = model.statuses[seat.status]
    standing = next((each.state for each in status.serving), "none")
    said = {each.type: each.reason for each in status.conditions}
    if seat.meta.hold or target.owner or said.get("Serving") == "FieldOwnedByOther" or said.get("Serving") == "Flapping":
        return
    if target.pointer != values[newest]:
        yield f"the newest that may serve is {values[newest]}, the pointer says {target.pointer}"
    elif _hardly_the_model(model, state, newest):
        return
    elif target.rollout != "Complete" or target.census != target.pointer:
        yield f"{values[newest]} is fit and does not serve: {target.rollout}"
    elif standing != "Serving" or not seat.meta.finalizer:
        yield f"{values[newest]} serves, and its status says {standing}; finalizer: {seat.meta.finalizer}"
    for place in fits[-2:-1]:
        other = state.seats[place]
        if not any(state.passed[place]):
            yield f"{values[place]} is to be the way back and was never evaluated"
        if other is not None and holds(model, other) and not other.meta.hold:
            yield f"{values[place]} and {values[newest]} both say that they hold the target"


def _unsteady(model: Model, state: State) -> Iterator[str]:
    """At rest a pass writes nothing, neither now nor hours later, not even another word."""
    for place, seat in enumerate(state.seats):
        if seat is None:
            continue
        version = model.version(place, seat)
        plan = model.decide(version, model.facts(place, state), NOW)
        kept = version.model_copy(update={"status": plan.status})
        for late in (timedelta(), timedelta(hours=3)):
            again = model.decide(kept, model.facts(place, state, NOW + late), NOW + late)
            changed = [name for name, value in again.status.__dict__.items() if value != getattr(plan.status, name)]
            if changed or model.effects(place, state, again):
                yield f"a pass over {model.values[place]} writes at rest: {', '.join(changed) or again.actions}"
