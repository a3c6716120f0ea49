"""The operator in the small world: what it sees of a state, the real `decide`, and what is left of a pass that is cut short."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tests.core.things import TARGET, model_version, registry, resolved, snapshot, target
from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.api.annotations import ALERT, HOLD, REASON, RETRY, ROLLBACK
from weighbridge.api.evaluationjob import EvaluationJobStatus
from weighbridge.api.gate import Verdict
from weighbridge.api.modelversion import FINALIZER
from weighbridge.api.serving import TargetRef
from weighbridge.api.versionstatus import ModelVersionStatus
from weighbridge.core.election import claim
from weighbridge.core.facts import Absent, Failed, Known, Pending, ProbeOutcome, TargetState
from weighbridge.core.modelversion import decide as real_decide
from weighbridge.core.plan import Create, Plan, Repoint, SetFinalizer, Wake
from weighbridge.core.versionfacts import VersionFacts

from .state import GENERATION, NOW, TICK, Meta, Seat, State, Target, alert_text, identity, older, outdated, renamed

REF = TargetRef.model_validate(TARGET)
TRIGGERS = ["RolloutFailed", "ProbeFailed", "Revoked", "EvaluationFailed", "Alert"]
Decide = Callable[[ModelVersion, VersionFacts, datetime], Plan]


@dataclass(frozen=True)
class Rules:
    """How one world is: its versions and what can happen in it."""

    name: str
    events: frozenset[str]
    numbers: str = "12"
    weak: str = ""
    """Versions that fail their evaluation. With the second gate: `tight`."""
    tight: str = ""
    crash: str = ""
    """Versions that crash from the start."""
    missing: str = ""
    """Versions that the registry does not have from the start."""
    present: str = ""
    """Versions that are there from the start, and at rest; the others can be applied."""
    hit: str = ""
    """Versions that events concern; empty: all."""
    probe: bool = False
    lags: bool = False
    """Whether the operator may see a version as it was before the last event or write."""
    races: bool = False
    """Whether something may happen between the look and the writes of a pass."""
    most: int = -1
    """How many events there can be in one life; negative: any number."""
    retention: str = "20s"
    step: timedelta = TICK
    """In which time passes: so that one moment within deadlines is seen, or none."""


class Write(NamedTuple):
    """One write of a pass: `status`, `job`, `pointer` or `finalizer`, and its value."""

    what: str
    value: Any


class Decided(NamedTuple):
    """A plan, as far as it writes."""

    writes: tuple[Write, ...]
    status: int
    rejected: str
    """Reason of a rejection that is new in it."""


class Model:
    """One world's objects, interned, and its memory of decisions."""

    def __init__(self, rules: Rules, decide: Decide = real_decide, *, effect_first: bool = False) -> None:
        """`effect_first`: the status is written after the actions, which is wrong (ADR 2)."""
        self.rules, self.decide, self._effect_first = rules, decide, effect_first
        self.statuses: list[ModelVersionStatus] = []
        self._numbers: dict[Any, int] = {}
        self._older: dict[tuple[int, timedelta], int] = {}
        self._outdated: dict[int, int] = {}
        self._versions: dict[Any, ModelVersion] = {}
        self._bases: dict[Any, ModelVersion] = {}
        self._jobs: dict[tuple[int, int], EvaluationJob] = {}
        self._snapshots: dict[tuple[int, str], Any] = {}
        self._targets: dict[Target, Any] = {}
        self._rivals: dict[tuple[int, Seat], tuple[Any, ...]] = {}
        self._decided: dict[Any, Decided] = {}
        self.values = [f"models:/model/{number}" for number in rules.numbers]
        """The pointer's value for each version."""
        self.registry = registry(writeBack={"enabled": False}, pollInterval="10s")
        self.blank = self.intern(ModelVersionStatus())

    # --- statuses

    def intern(self, status: ModelVersionStatus) -> int:
        """The number of a status; equal numbers are equal but for words and times that nothing is decided from."""
        key = identity(status)
        if key not in self._numbers:
            self._numbers[key] = len(self.statuses)
            self.statuses.append(older(status, timedelta()))
        return self._numbers[key]

    def older(self, status: int, by: timedelta) -> int:
        key = (status, by)
        if key not in self._older:
            self._older[key] = self.intern(older(self.statuses[status], by))
        return self._older[key]

    def outdated(self, status: int) -> int:
        if status not in self._outdated:
            self._outdated[status] = self.intern(outdated(self.statuses[status]))
        return self._outdated[status]

    def seat(self, meta: Meta, status: ModelVersionStatus | int) -> Seat:
        """A version in canonical form."""
        found = self.statuses[status] if isinstance(status, int) else status
        meta, done = renamed(meta, found.requests)
        if done == found.requests:
            return Seat(meta, status if isinstance(status, int) else self.intern(status))
        return Seat(meta, self.intern(found.model_copy(update={"requests": done})))

    # --- what the operator sees

    def version(self, place: int, seat: Seat) -> ModelVersion:
        key = (place, seat)
        if key not in self._versions:
            base = self._base(place, seat.meta.stage, seat.meta.gate)
            self._versions[key] = base.model_copy(
                update={"metadata": self._metadata(base, seat.meta), "status": self.statuses[seat.status]}
            )
        return self._versions[key]

    def _metadata(self, base: ModelVersion, meta: Meta) -> Any:
        said = {
            REASON: meta.reason,
            HOLD: "incident" if meta.hold else "",
            ROLLBACK: meta.rollback,
            RETRY: meta.retry,
            ALERT: alert_text(meta.alert),
        }
        change = {
            "annotations": {key: text for key, text in said.items() if text},
            "finalizers": (FINALIZER,) if meta.finalizer else (),
            "deletion_timestamp": NOW if meta.deleting else None,
        }
        return base.metadata.model_copy(update=change)

    def _base(self, place: int, stage: str, gate: int) -> ModelVersion:
        key = (place, stage, gate)
        if key not in self._bases:
            entry: dict[str, Any] = {
                "stage": "Production",
                "targetRef": TARGET,
                "pointer": {"container": "server", "env": "MODEL_URI"},
                "progressDeadline": "20s",
            }
            if self.rules.probe:
                entry["probe"] = {"httpGet": {"path": "/ping", "port": 8080}, "failureWindow": "20s"}
            bar = [{"metric": "accuracy", "min": 0.9 + gate / 100}]
            self._bases[key] = model_version(
                self.rules.numbers[place],
                stage=stage,
                metadata={"generation": GENERATION},
                serving=[entry],
                rollback={"triggers": TRIGGERS, "cooldown": "10s", "retention": self.rules.retention},
                evaluations=[{"name": "holdout", "template": {"gate": bar}}],
            )
        return self._bases[key]

    def job(self, place: int, gate: int) -> EvaluationJob:
        """The EvaluationJob of a version for a gate, as the operator itself words it."""
        key = (place, gate)
        if key not in self._jobs:
            number = self.rules.numbers[place]
            status = ModelVersionStatus.model_validate({"resolved": snapshot(number).pin})
            fresh = self._base(place, "Production", gate).model_copy(update={"status": status})
            (create,) = [each for each in real_decide(fresh, self._facts_of(number), NOW).actions if isinstance(each, Create)]
            self._jobs[key] = EvaluationJob.model_validate(create.manifest)
        return self._jobs[key]

    def _facts_of(self, number: str) -> VersionFacts:
        return VersionFacts(registry=self.registry, snapshot=Known(snapshot(number), NOW))

    def _evaluations(self, place: int, jobs: tuple[str, ...]) -> dict[str, EvaluationJob]:
        found = {}
        for gate, said in enumerate(jobs):
            if said:
                job = self.job(place, gate)
                verdict = None if said == "Running" else Verdict(result=said)
                status = EvaluationJobStatus(resolved=resolved(self.rules.numbers[place]) if verdict else None, verdict=verdict)
                found[job.metadata.name] = job.model_copy(update={"status": status})
        return found

    def _snapshot(self, place: int, state: State, at: datetime) -> Any:
        number, said = self.rules.numbers[place], state.registry[place]
        if state.asked == "Out":
            return Failed("RegistryUnavailable", "no answer", at, 5.0)
        if state.asked == "Starting":
            return Pending()
        if said == "Gone":
            return Absent("VersionNotFound", "no such version", at)
        tags = {"weighbridge.dev/rejected": "biased"} if said == "Rejected" else {}
        return Known(snapshot(number, tags=tags, content="other" if said == "Changed" else ""), at)

    def _target(self, seen: Target, at: datetime) -> Known[TargetState] | Absent:
        if seen.rollout == "Gone":
            return Absent("TargetNotFound", "there is no Deployment server", at)
        rollout = {"Crashing": "Failed", "Down": "Failed"}.get(seen.rollout, seen.rollout)
        census = {seen.census: 1} if seen.census else {}
        found = target(seen.pointer, state=rollout, serving=census, other_applier=seen.owner or None)
        if rollout == "Failed":
            found = replace(found, rollout=replace(found.rollout, crashed_at=at - seen.age * TICK))
        return Known(found, at)

    def facts(self, place: int, state: State, at: datetime = NOW) -> VersionFacts:
        """What a pass over a version sees."""
        siblings = [self.version(other, seat) for other, seat in enumerate(self.seen(state)) if seat and other != place]
        probes, said = {}, self._answers(state)
        if said:
            probes[REF] = ProbeOutcome(1, int(said == "Good"), "" if said == "Good" else "0.2", wrong=int(said == "Wrong"))
        return VersionFacts(
            registry=self.registry,
            snapshot=self._snapshot(place, state, at),
            evaluations=self._evaluations(place, state.jobs[place]),
            siblings=tuple(siblings),
            targets={REF: self._target(state.target, at)},
            probes=probes,
            hold="the operator is on hold" if state.hold else "",
        )

    def _answers(self, state: State) -> str:
        """How the newest pods answer, where they are asked."""
        if not self.rules.probe or state.target.rollout != "Complete" or state.target.census not in self.values:
            return ""
        return state.health[self.values.index(state.target.census)]

    @staticmethod
    def seen(state: State) -> tuple[Seat | None, ...]:
        """The versions as the operator sees them."""
        if state.lag is None:
            return state.seats
        place, seat = state.lag
        return (*state.seats[:place], seat, *state.seats[place + 1 :])

    # --- passes

    def decided(self, place: int, state: State) -> Decided:
        """What a pass over the version writes; asked of the real `decide` once for all states that look the same to it."""
        seats = self.seen(state)
        rivals = tuple(self._rival(other, seat) for other, seat in enumerate(seats) if seat and other != place)
        around = (state.registry[place], state.jobs[place], state.target, state.asked, state.hold, self._answers(state))
        key = (place, seats[place], rivals, *around)
        found = self._decided.get(key)
        if found is None:
            found = self._decided[key] = self._decide(place, state)
        return found

    def _rival(self, place: int, seat: Seat) -> tuple[Any, ...]:
        """All that a decision takes from another version (`verified` makes sure of it)."""
        key = (place, seat)
        if key not in self._rivals:
            said = [(each.wished, each.state, each.repointed_at) for each in self.statuses[seat.status].serving]
            self._rivals[key] = claim(self.version(place, seat), REF), *said
        return self._rivals[key]

    def verified(self, place: int, state: State) -> bool:
        """Whether the remembered decision is the one `decide` takes now."""
        return self._decide(place, state) == self.decided(place, state)

    def _decide(self, place: int, state: State) -> Decided:
        seat = self.seen(state)[place]
        assert seat is not None
        version = self.version(place, seat)
        plan = self.decide(version, self.facts(place, state), NOW)
        status = self.intern(plan.status)
        told = [Write("status", plan.status)] if status != seat.status else []
        done = self.effects(place, state, plan)
        writes = [*done, *told] if self._effect_first else [*told, *done]
        before = {each.target: each.rejection for each in version.status.serving}
        new = [each.rejection.reason for each in plan.status.serving if each.rejection and not before.get(each.target)]
        return Decided(tuple(writes), status, new[0] if new else "")

    def effects(self, place: int, state: State, plan: Plan) -> list[Write]:
        """What the actions of a plan would write."""
        seat = self.seen(state)[place]
        assert seat is not None
        return [write for action in plan.actions for write in self._write(place, seat.meta, state, action)]

    def spared(self, place: int) -> bool:
        """Whether events do not concern the version."""
        return bool(self.rules.hit) and self.rules.numbers[place] not in self.rules.hit

    def fresh(self) -> Seat:
        """A version that was just applied."""
        return Seat(Meta(), self.blank)

    @property
    def decisions(self) -> int:
        """How many different situations `decide` was asked about."""
        return len(self._decided)

    def _write(self, place: int, meta: Meta, state: State, action: Any) -> Iterator[Write]:
        match action:
            case Create(manifest=manifest):
                name = manifest["metadata"]["name"]
                (gate,) = [gate for gate in range(len(state.jobs[place])) if self.job(place, gate).metadata.name == name]
                yield Write("job", gate)
            case Repoint(value=value, cause=cause):
                yield Write("pointer", (value, cause))
            case SetFinalizer(present=present):
                if present != meta.finalizer:
                    yield Write("finalizer", present)
            case Wake():
                pass
            case _:
                raise AssertionError(f"an operator in this world does no such thing: {action}")
