"""Write-back on real registries: what `core.writeback` decides, an adapter writes, and what that reads back is what was decided."""

from dataclasses import dataclass, field

import pytest

from tests.core.things import START, TARGET
from tests.registries.benches import Bench
from weighbridge.api import ModelRegistry, ModelVersion
from weighbridge.api.versionstatus import EvaluationState, ServingState
from weighbridge.core.facts import Known
from weighbridge.core.plan import WriteRegistry
from weighbridge.core.versionfacts import VersionFacts
from weighbridge.core.writeback import WriteBackOutcome, write_back
from weighbridge.registries.base import Registry

PASSED = (EvaluationState(name="holdout", job="j", verdict="Passed"),)
TAG = "weighbridge.dev/"


@dataclass
class Play:
    """ModelVersions of one model, with what their status says of the registry."""

    bench: Bench
    name: str
    policy: str = "Report"
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    """One for each time the adapter really wrote."""

    def __post_init__(self) -> None:
        self.registry: Registry = self.bench.connect(may_write=lambda: self.writes.append("write") is None)

    def enter(self, called: str, number: str, namespace: str = "ns") -> None:
        """A pinned ModelVersion that wants to serve."""
        reference = self.bench.by_version(self.name, number)
        entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}}
        made = ModelVersion.model_validate(
            {
                "metadata": {"name": called, "namespace": namespace, "uid": called, "generation": 1},
                "spec": {"source": reference.to_json(), "stage": "Production", "serving": [entry]},
            }
        )
        pinned = made.status.model_copy(update={"resolved": self.registry.model(reference).pin})
        self.versions[called] = made.model_copy(update={"status": pinned})

    def settle(self, called: str, state: ServingState) -> WriteBackOutcome:
        """Looks and writes until nothing is left to write."""
        for _ in range(4):
            outcome = self._look(called, state)
            if not outcome.actions:
                return outcome
            for action in outcome.actions:
                assert isinstance(action, WriteRegistry)
                self.registry.write(action.order)
        raise AssertionError("it never rests")

    def _look(self, called: str, state: ServingState) -> WriteBackOutcome:
        version = self.versions[called]
        pin = version.status.resolved
        assert pin is not None
        facts = VersionFacts(
            registry=self._connection(),
            snapshot=Known(self.registry.model(self.bench.by_version(pin.name, pin.version)), START),
            siblings=tuple(each for other, each in self.versions.items() if other != called),
        )
        outcome = write_back(version, pin, PASSED, (state,), facts=facts, now=START)
        status = version.status.model_copy(update={"registry": outcome.state, "serving": (state,)})
        self.versions[called] = version.model_copy(update={"status": status})
        return outcome

    def _connection(self) -> ModelRegistry:
        kind = {"mlflow": {"url": "https://registry.example.com"}} if self.bench.keeps_tags else {"huggingFace": {}}
        settings = {"aliases": {"Production": "champion"}, "onConflict": self.policy}
        metadata = {"name": "r", "namespace": "ns", "uid": "r", "generation": 1}
        return ModelRegistry.model_validate({"metadata": metadata, "spec": {**kind, "writeBack": settings}})


def stands(state: str, *, since: int = 0, until: int = 0) -> ServingState:
    """A standing, with hours of the day."""
    times = {"since": START.replace(hour=since) if since else None, "until": START.replace(hour=until) if until else None}
    return ServingState(target="Deployment/server", state=state, **times)  # type: ignore[arg-type]


@pytest.fixture
def play(bench: Bench) -> Play:
    made = Play(bench, bench.new_name())
    for called in ("v1", "v2"):
        made.enter(called, bench.register(made.name))
    bench.set_alias(made.name, "theirs", number(made, "v2"))
    return made


def number(play: Play, called: str) -> str:
    pin = play.versions[called].status.resolved
    assert pin is not None
    return pin.version


def tags(play: Play, called: str) -> dict[str, str]:
    return {key.removeprefix(TAG): text for key, text in play.bench.tags(play.name, number(play, called)).items()}


def test_a_promotion_and_its_rollback_end_at_what_serves(play: Play) -> None:
    first, second = number(play, "v1"), number(play, "v2")
    play.settle("v1", stands("Serving", since=1))
    assert play.bench.aliases(play.name) == {"champion": first, "theirs": second}
    play.settle("v2", stands("Serving", since=2))
    play.settle("v1", stands("Superseded", until=2))
    assert play.bench.aliases(play.name) == {"champion": second, "theirs": second}
    play.settle("v2", stands("RolledBack", until=3))
    last = play.settle("v1", stands("Serving", since=3))
    assert (last.draft.status, last.draft.reason, last.drift) == (True, "Synced", ())
    assert play.bench.aliases(play.name) == {"champion": first, "theirs": second}
    if play.bench.keeps_tags:
        common = {"verdict": "holdout: Passed", "target": "ns/Deployment/server"}
        times = [START.replace(hour=hour).isoformat() for hour in (2, 3)]
        served, failed = tags(play, "v1"), tags(play, "v2")
        assert served.pop("digest") != failed.pop("digest")
        assert served == common | {"by": "ns/v1", "state": "Serving", "traffic": "100%", "since": times[1], "until": "none"}
        assert failed == common | {"by": "ns/v2", "state": "RolledBack", "traffic": "0%", "since": times[0], "until": times[1]}
    play.writes.clear()
    for called, state in (("v1", stands("Serving", since=3)), ("v2", stands("RolledBack", until=3))):
        before = play.versions[called]
        play.settle(called, state)
        assert play.versions[called] == before
    assert play.writes == []


def test_a_person_who_moves_the_alias_is_told_of_or_set_right_twice(play: Play) -> None:
    first, second, serving = number(play, "v1"), number(play, "v2"), stands("Serving", since=1)
    play.settle("v1", serving)
    play.writes.clear()
    play.bench.set_alias(play.name, "champion", second)
    assert play.settle("v1", serving).draft.reason == "ChangedInRegistry"
    assert (play.bench.aliases(play.name), play.writes) == ({"champion": second, "theirs": second}, [])
    play.policy = "Enforce"
    for _ in range(2):
        assert play.settle("v1", serving).draft.reason == "Synced"
        assert play.bench.aliases(play.name) == {"champion": first, "theirs": second}
        play.bench.set_alias(play.name, "champion", second)
    assert len(play.writes) == 2 * play.bench.writes_to_move_an_alias
    assert "after it was set back 2 times" in play.settle("v1", serving).draft.message
    assert play.bench.aliases(play.name) == {"champion": second, "theirs": second}


def test_two_model_versions_of_one_version_do_not_overwrite_each_other(play: Play) -> None:
    play.enter("twin", number(play, "v1"))
    play.settle("v1", stands("Serving", since=1))
    before, writes = tags(play, "v1"), len(play.writes)
    told = [message for _, message in play.settle("twin", stands("Serving", since=2)).drift]
    assert ["written by ns/v1" in message for message in told] == [True] * int(play.bench.keeps_tags)
    assert play.settle("v1", stands("Serving", since=1)).drift == ()
    assert (tags(play, "v1"), len(play.writes)) == (before, writes)
