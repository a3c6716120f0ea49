"""The states of the small world, canonical: what can make a difference later is kept, everything else is dropped.

There is no clock. It is always `NOW`; that time passes means that everything written down gets older, up to `OLD`, beyond which
nothing tells ages apart. Generations are the current one or an earlier one. Messages, history, resource versions and times that
nothing is decided from are no part of a state's identity.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from weighbridge.api.base import Condition
from weighbridge.api.versionstatus import ModelVersionStatus, RegistryState, Requests, ServingState

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
TICK = timedelta(seconds=15)
"""The step in which time passes: longer than every wait for a second answer, half of every deadline of the worlds."""
OLD = 2 * TICK
"""Age at which every deadline of the worlds has passed."""
AGES = timedelta(hours=2)
"""Age at which the hour has passed in which a target that goes to and fro is flapping."""
GENERATION, EARLIER = 2, 1


class Meta(NamedTuple):
    """What people and the API server say of a version."""

    stage: str = "Production"
    gate: int = 0
    reason: str = ""
    hold: bool = False
    rollback: str = ""
    retry: str = ""
    alert: str = ""
    """Steps of time since it began; `done`: the one that was followed last."""
    finalizer: bool = False
    deleting: bool = False


class Seat(NamedTuple):
    """A version: what is said of it, and the number of its status."""

    meta: Meta
    status: int


class Target(NamedTuple):
    """The workload. `rollout`: Complete, Progressing; Failed (the new pods crash, the old ones serve), Crashing (all pods crash,
    again and again), Down (they crashed once), Gone (there is no such workload)."""

    pointer: str = "unset"
    census: str = "unset"
    rollout: str = "Complete"
    owner: str = ""
    age: int = 0
    """Of the crash of pods that are Down, in steps of time."""


class State(NamedTuple):
    """Everything that is the case. Tuples have one place for each version of the world."""

    seats: tuple[Seat | None, ...]
    registry: tuple[str, ...]
    """Present, Gone, Rejected, Changed."""
    health: tuple[str, ...]
    """Good, Crashes, Wrong (answers), Silent."""
    jobs: tuple[tuple[str, ...], ...]
    """Of each version, for each gate: none, Running, Passed, Failed."""
    target: Target = Target()
    asked: str = "Answers"
    """The registry: Answers, Out, Starting (nothing was asked yet)."""
    hold: bool = False
    """The operator's own."""
    lag: tuple[int, Seat | None] | None = None
    """A version as the operator still sees it, while it is something else: an event or an answer is on its way or lost."""
    left: int = -1
    """How many more events there can be; negative: any number."""
    passed: tuple[tuple[bool, ...], ...] = ()
    """Ghost: of each version, for each gate, whether it ever had a Passed verdict."""


def _aged(at: datetime, by: timedelta, oldest: timedelta = OLD) -> datetime:
    """A time as it looks later. What is hours ago stays so."""
    age = NOW - at
    return NOW - (AGES if AGES in (age, by) else min(age + by, oldest))


def older(status: ModelVersionStatus, by: timedelta) -> ModelVersionStatus:
    """The status with everything in it older by this much; by nothing: in its canonical form."""
    return status.model_copy(
        update={
            "serving": tuple(_serving(state, by) for state in status.serving),
            "conditions": tuple(_condition(each) for each in status.conditions),
            "drift": tuple(each.model_copy(update={"since": _aged(each.since, by, TICK)}) for each in status.drift),
            "registry": _registry(status.registry),
            "history": (),
        }
    )


def _serving(state: ServingState, by: timedelta) -> ServingState:
    # Any number of short steps may pass within an hour.
    hour = by if by == AGES else timedelta()
    rejection = state.rejection and state.rejection.model_copy(update={"at": _aged(state.rejection.at, hour)})
    change: dict[str, Any] = {name: _aged(at, by) for name, at in state.__dict__.items() if isinstance(at, datetime)}
    taken = () if hour else tuple(NOW for _ in state.taken)
    return state.model_copy(update={**change, "rejection": rejection, "taken": taken})


def _condition(each: Condition) -> Condition:
    return each.model_copy(update={"last_transition_time": NOW})


def _registry(state: RegistryState) -> RegistryState:
    return state.model_copy(update={"written_at": state.written_at and NOW})


def outdated(status: ModelVersionStatus) -> ModelVersionStatus:
    """The status after the spec got a new generation."""
    serving = tuple(
        state.model_copy(update={"rejection": state.rejection and state.rejection.model_copy(update={"generation": EARLIER})})
        for state in status.serving
    )
    conditions = tuple(each.model_copy(update={"observed_generation": EARLIER}) for each in status.conditions)
    return status.model_copy(update={"observed_generation": EARLIER, "serving": serving, "conditions": conditions})


_WORDS = frozenset({"history", "score", "version", "lineage"})
"""Fields of a status that nothing is decided from, or that are always the same here."""


def identity(status: ModelVersionStatus) -> tuple[Any, ...]:
    """What makes a status another one."""
    special = {
        "resolved": lambda pin: pin and pin.digest,
        "evaluations": lambda states: tuple((each.job, each.verdict) for each in states),
        "serving": lambda states: tuple(_of_serving(state) for state in states),
        "requests": lambda done: (done.rollback, done.retry, done.alert, done.reason),
        "registry": lambda state: (state.alias, tuple(state.tags.items()), state.enforced),
        "drift": lambda found: tuple((each.type, NOW - each.since if each.type == "Revoked" else 0) for each in found),
        "conditions": lambda found: tuple((each.type, each.status, each.reason) for each in found),
    }
    return tuple(
        special[name](value) if name in special else value for name, value in status.__dict__.items() if name not in _WORDS
    )


def _of_serving(state: ServingState) -> tuple[Any, ...]:
    held = state.rejection
    kept = {**state.__dict__, "taken": len(state.taken), "previous": "", "rejection": None}
    return (*kept.values(), held and (held.reason, held.generation, held.digest, held.at))


def renamed(meta: Meta, done: Requests) -> tuple[Meta, Requests]:
    """Requests by what matters of them: whether there is one, and whether it is the one that was followed last."""
    rollback, followed = _pair(meta.rollback, done.rollback)
    retry, tried = _pair(meta.retry, done.retry)
    reason, used = _pair(meta.reason, done.reason)
    heard = bool(done.alert) and done.alert == alert_text(meta.alert)
    change = {"rollback": followed, "retry": tried, "reason": used, "alert": "done" if done.alert else "", "followed": ()}
    alert = "done" if heard else meta.alert
    return meta._replace(rollback=rollback, retry=retry, reason=reason, alert=alert), done.model_copy(update=change)


def alert_text(alert: str) -> str:
    """The annotation. An alert that began longer ago than ages are told apart began before everything that is remembered."""
    if alert in ("", "done"):
        return alert
    began = NOW - (int(alert) * TICK if int(alert) * TICK < OLD else AGES)
    return f"{began.isoformat()} 0123 Drift"


def _pair(asked: str, done: str) -> tuple[str, str]:
    if not done:
        return ("a" if asked else ""), ""
    return ("a" if asked == done else "b" if asked else ""), "a"
