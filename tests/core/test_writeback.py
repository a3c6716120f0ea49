"""Write-back: tables of what an entry says, and stories with a registry that other hands write to as well."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from weighbridge.api import ModelRegistry, ModelVersion
from weighbridge.api.versionstatus import EvaluationState, HistoryEntry, Rejection, ServingState
from weighbridge.core.facts import Failed, Known, Pending, WriteOrder
from weighbridge.core.plan import WriteRegistry
from weighbridge.core.versionfacts import VersionFacts
from weighbridge.core.writeback import WriteBackOutcome, retract, write_back

from .things import START, TARGET, model_version, pin, registry, snapshot
from .world import Behaviour, World

WHERE = "Deployment/server"
LATER = START + timedelta(hours=1)
OUTAGE = Failed("RegistryUnavailable", "the registry does not answer", START, 5.0)
PASSED = (EvaluationState(name="holdout", job="j", verdict="Passed"),)


def standing(state: str, *, since: datetime | None = None, until: datetime | None = None, **more: Any) -> ServingState:
    return ServingState(target=WHERE, state=state, since=since, until=until, **more)  # type: ignore[arg-type]


def serves(since: datetime = START) -> ServingState:
    return standing("Serving", since=since)


def rolled_back(version: str) -> ServingState:
    rejection = Rejection(reason="RolloutFailed", message="pod x crashed", at=START, generation=1, digest=pin(version).digest)
    return standing("RolledBack", rejection=rejection)


def version_of(number: str, *, name: str = "", namespace: str = "ns", stage: str = "Production", **spec: Any) -> ModelVersion:
    metadata = {"name": name or f"v{number}", "uid": f"uid-{name}-{number}", "namespace": namespace}
    made = model_version(number, stage=stage, metadata=metadata, **spec)
    return made.model_copy(update={"status": made.status.model_copy(update={"resolved": pin(number)})})


def connected(policy: str = "Report", **write_back: Any) -> ModelRegistry:
    return registry(writeBack={"aliases": {"Production": "champion", "Staging": "challenger"}, "onConflict": policy, **write_back})


@dataclass
class Ledger:
    """A registry, who writes to it, and what came in."""

    registry: ModelRegistry = field(default_factory=connected)
    up: bool = True
    takes: bool = True
    """Whether orders arrive."""
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    orders: list[WriteOrder] = field(default_factory=list)
    now: datetime = START

    def add(self, version: ModelVersion) -> None:
        self.versions[f"{version.metadata.namespace}/{version.metadata.name}"] = version

    def look(self, name: str, *serving: ServingState, evaluations: Any = PASSED, **change: Any) -> WriteBackOutcome:
        """One pass of one version: its standing, its status, and what it orders."""
        self.now += timedelta(seconds=1)
        version = self.versions[name]
        number = version.spec.source.version or ""
        pointing = frozenset(alias for alias, to in self.aliases.items() if to == number)
        said = Known(snapshot(number, tags=dict(self.tags.get(number, {})), aliases=pointing), self.now)
        fields: dict[str, Any] = {
            "registry": self.registry,
            "snapshot": said if self.up else OUTAGE,
            "siblings": tuple(
                each
                for other, each in self.versions.items()
                if other != name and each.metadata.namespace == version.metadata.namespace
            ),
        }
        facts = VersionFacts(**(fields | change))
        outcome = write_back(version, pin(number), evaluations, serving, facts=facts, now=self.now)
        history = version.status.history
        if any(state.state == "Serving" for state in serving):
            history = (*history, HistoryEntry(at=self.now, event="Serving"))[-20:]
        status = version.status.model_copy(update={"registry": outcome.state, "serving": serving, "history": history})
        self.versions[name] = version.model_copy(update={"status": status})
        for action in outcome.actions:
            assert isinstance(action, WriteRegistry)
            if self.takes:
                self.take(number, action.order)
        return outcome

    def take(self, number: str, order: WriteOrder) -> None:
        self.orders.append(order)
        self.tags.setdefault(number, {}).update(order.tags)
        if order.alias is not None:
            self.aliases[order.alias] = number

    def rest(self, name: str, *serving: ServingState, **change: Any) -> WriteBackOutcome:
        """Passes until nothing is ordered any more."""
        for _ in range(5):
            outcome = self.look(name, *serving, **change)
            if not outcome.actions:
                return outcome
        raise AssertionError("it never rests")

    def said(self, number: str) -> dict[str, str]:
        """The own tags that say something."""
        tags = self.tags.get(number, {})
        return {key.removeprefix("weighbridge.dev/"): text for key, text in tags.items() if text != "none"}


def ledger(*numbers: str, policy: str = "Report") -> Ledger:
    found = Ledger(connected(policy))
    for number in numbers:
        found.add(version_of(number))
    return found


def told(outcome: WriteBackOutcome) -> tuple[bool | None, str]:
    return outcome.draft.status, outcome.draft.reason


COMMON = {"by": "ns/v1", "digest": pin("1").digest, "verdict": "holdout: Passed"}
SINCE = {"since": START.isoformat()}
UNTIL = {"until": LATER.isoformat()}
ON = {"target": f"ns/{WHERE}"}


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ((), {}),
        ((standing("Waiting"),), {}),
        ((standing("Blocked"),), {}),
        ((standing("Progressing"),), {}),
        ((serves(),), {"state": "Serving", "traffic": "100%"} | SINCE | ON),
        ((standing("Superseded", until=LATER),), {"state": "Superseded", "traffic": "0%"} | UNTIL | ON),
        ((standing("Superseded"),), {"state": "Superseded", "traffic": "0%"} | ON),
        ((rolled_back("1"),), {"state": "RolledBack", "traffic": "0%", "reason": "RolloutFailed: pod x crashed"} | ON),
        ((standing("Waiting", until=LATER),), {"traffic": "0%"} | UNTIL | ON),
    ],
)
def test_what_an_entry_says_of_a_standing(serving: tuple[ServingState, ...], said: dict[str, str]) -> None:
    registry = ledger("1")
    registry.rest("ns/v1", *serving)
    assert registry.said("1") == COMMON | said


def test_several_targets_with_one_standing_are_told_together() -> None:
    registry = ledger("1")
    other = serves(LATER).model_copy(update={"target": "Deployment/other"})
    registry.rest("ns/v1", serves(), other, standing("Progressing").model_copy(update={"target": "Deployment/third"}))
    said = registry.said("1")
    assert (said["target"], said["since"], said["traffic"]) == (f"ns/{WHERE}, ns/Deployment/other", START.isoformat(), "100%")


def test_a_life_in_the_registry() -> None:
    """Every key says what is true, or that it says nothing; nothing is written in between or twice."""
    registry = ledger("1", "2")
    registry.rest("ns/v1")
    assert registry.said("1") == COMMON
    registry.rest("ns/v1", standing("Progressing"))
    registry.rest("ns/v1", serves())
    assert registry.said("1") == COMMON | {"state": "Serving", "traffic": "100%"} | SINCE | ON
    assert registry.aliases == {"champion": "1"}
    written = len(registry.orders)
    for between in (standing("Progressing"), serves()):  # somebody moved the pointer, and it was put back
        registry.rest("ns/v1", between)
    assert len(registry.orders) == written == 2
    registry.rest("ns/v1", standing("Superseded", until=LATER))
    assert registry.said("1") == COMMON | {"state": "Superseded", "traffic": "0%"} | SINCE | UNTIL | ON
    registry.rest("ns/v1", standing("Progressing"))
    assert registry.said("1")["state"] == "Superseded", "not proved yet"
    registry.rest("ns/v1", serves(LATER))
    assert registry.said("1") == COMMON | {"state": "Serving", "traffic": "100%", "since": LATER.isoformat()} | ON
    registry.rest("ns/v1")  # demoted, and handed over
    assert registry.said("1") == COMMON
    assert len(registry.orders) == 5


def test_a_steady_state_orders_nothing_and_changes_no_status() -> None:
    registry = ledger("1")
    registry.rest("ns/v1", serves())
    before = registry.versions["ns/v1"]
    for _ in range(3):
        assert told(registry.rest("ns/v1", serves())) == (True, "Synced")
    assert registry.versions["ns/v1"].status.registry == before.status.registry
    assert len(registry.orders) == 1


def test_an_alias_a_person_had_set_elsewhere_is_moved_by_the_first_promotion() -> None:
    registry = ledger("1")
    registry.aliases = {"champion": "0", "theirs": "0"}
    registry.rest("ns/v1", serves())
    assert registry.aliases == {"champion": "1", "theirs": "0"}


class TestReport:
    def test_a_moved_alias_is_told_and_left(self) -> None:
        registry = ledger("1")
        registry.rest("ns/v1", serves())
        registry.aliases["champion"] = "7"
        outcome = registry.look("ns/v1", serves())
        assert (told(outcome), outcome.actions) == ((False, "ChangedInRegistry"), ())
        assert [kind for kind, _ in outcome.drift] == ["Registry"]
        assert "alias champion was moved" in outcome.draft.message
        registry.rest("ns/v1", standing("Progressing"))
        registry.rest("ns/v1", serves(LATER))
        assert registry.aliases == {"champion": "7"}, "the pointer was put back: no new promotion"
        assert registry.said("1")["since"] == LATER.isoformat(), "the tags go on telling what is true"
        registry.aliases["champion"] = "1"
        assert told(registry.look("ns/v1", serves(LATER))) == (True, "Synced")

    def test_a_new_promotion_takes_the_alias(self) -> None:
        registry = ledger("1")
        registry.rest("ns/v1", serves())
        registry.aliases["champion"] = "7"
        registry.rest("ns/v1", standing("Superseded", until=LATER))
        registry.rest("ns/v1", serves(LATER))
        assert registry.aliases == {"champion": "1"}

    def test_overwritten_tags_are_told_by_name_and_left(self) -> None:
        registry = ledger("1")
        registry.rest("ns/v1", serves())
        registry.tags["1"] |= {"weighbridge.dev/state": "Retired", "team": "fraud"}
        outcome = registry.look("ns/v1", serves())
        assert (told(outcome), outcome.actions) == ((False, "ChangedInRegistry"), ())
        assert "own tags (state) were overwritten" in outcome.draft.message
        assert "team" not in outcome.draft.message


class TestEnforce:
    def test_a_moved_alias_is_set_again_twice_and_then_told(self) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        for count in (1, 2):
            registry.aliases["champion"] = "7"
            outcome = registry.look("ns/v1", serves())
            (action,) = outcome.actions
            assert isinstance(action, WriteRegistry)
            assert (action.order.alias, dict(action.order.tags)) == ("champion", {}), "nothing else is written"
            assert "setting it back" in outcome.drift[0][1]
            assert told(registry.rest("ns/v1", serves())) == (True, "Synced")
            assert (registry.aliases, outcome.state.enforced) == ({"champion": "1"}, count)
        registry.aliases["champion"] = "7"
        outcome = registry.look("ns/v1", serves())
        assert (outcome.actions, told(outcome)) == ((), (False, "ChangedInRegistry"))
        assert "after it was set back 2 times" in outcome.draft.message

    def test_one_time_counts_once_however_long_the_write_takes(self) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        registry.aliases["champion"], registry.takes = "7", False
        for _ in range(5):
            outcome = registry.look("ns/v1", serves())
            assert (len(outcome.actions), outcome.state.enforced) == (1, 1)

    @pytest.mark.parametrize("what", ["tags", "alias"])
    def test_another_wish_counts_anew(self, what: str) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        for since in (START, START, LATER, LATER):
            registry.rest("ns/v1", serves(since))
            if what == "alias":
                registry.aliases["champion"] = "7"
            else:
                registry.tags["1"]["weighbridge.dev/state"] = "x"
            registry.rest("ns/v1", serves(since))
        assert (registry.aliases, registry.said("1")["state"]) == ({"champion": "1"}, "Serving")
        assert registry.versions["ns/v1"].status.registry.enforced == 2

    def test_only_own_tags_are_set_again(self) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        registry.tags["1"] |= {"weighbridge.dev/state": "x", "weighbridge.dev/rejected": "no", "team": "fraud"}
        outcome = registry.look("ns/v1", serves())
        (action,) = outcome.actions
        assert isinstance(action, WriteRegistry)
        assert {"team", "weighbridge.dev/rejected"}.isdisjoint(action.order.tags)
        assert (registry.said("1")["state"], registry.tags["1"]["team"]) == ("Serving", "fraud")

    @pytest.mark.parametrize("change", [{"hold": "all changes are on hold"}, {"last_write": Failed("X", "x", START, 9e9)}])
    def test_nothing_is_set_again_nor_counted_where_nothing_may_be_changed(self, change: dict[str, Any]) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        registry.aliases["champion"] = "7"
        outcome = registry.look("ns/v1", serves(), **change)
        assert (outcome.actions, outcome.state.enforced, told(outcome)) == ((), 0, (False, "ChangedInRegistry"))

    def test_an_alias_is_set_again_when_the_rollout_is_over_and_the_pods_are_proved(self) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        registry.aliases["champion"] = "7"
        assert registry.rest("ns/v1", standing("Progressing")).state.enforced == 0
        assert registry.aliases == {"champion": "7"}
        registry.rest("ns/v1", serves(LATER))
        assert registry.aliases == {"champion": "1"}

    def test_tags_of_a_version_that_serves_no_more_are_set_again_too(self) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", standing("Superseded", until=LATER))
        registry.tags["1"]["weighbridge.dev/state"] = "Serving"
        registry.rest("ns/v1", standing("Superseded", until=LATER))
        assert registry.said("1")["state"] == "Superseded"

    def test_it_takes_no_alias_from_another_version_that_serves(self) -> None:
        registry = ledger("1", "2", policy="Enforce")
        registry.rest("ns/v1", serves())
        registry.rest("ns/v2", serves(LATER))  # on another target, the same stage
        assert registry.aliases == {"champion": "2"}
        outcome = registry.look("ns/v1", serves())
        assert (outcome.actions, "given to ns/v2" in outcome.drift[0][1]) == ((), True)


class TestOutage:
    def test_ends_with_the_last_truth_and_nothing_of_what_was_in_between(self) -> None:
        registry = ledger("2", "3")
        registry.rest("ns/v2", serves())
        registry.up = False
        registry.orders.clear()
        registry.look("ns/v2", standing("Superseded", until=LATER))
        registry.look("ns/v3", serves(LATER))
        registry.look("ns/v3", rolled_back("3"))
        registry.look("ns/v2", standing("Progressing"))
        assert told(registry.look("ns/v2", serves(LATER))) == (None, "RegistryUnavailable")
        assert registry.orders == []
        registry.up = True
        registry.rest("ns/v3", rolled_back("3"))
        registry.rest("ns/v2", serves(LATER))
        assert registry.aliases == {"champion": "2"}
        assert (registry.said("2")["state"], registry.said("2")["since"]) == ("Serving", LATER.isoformat())
        assert {"until", "reason"}.isdisjoint(registry.said("2"))
        assert (registry.said("3")["state"], registry.said("3")["traffic"]) == ("RolledBack", "0%")
        assert [(order.pin.version, order.alias) for order in registry.orders] == [("3", None), ("2", None)], (
            "the alias was never lost"
        )

    def test_during_a_promotion_and_its_rollback_in_a_whole_world(self) -> None:
        world = World({"1": Behaviour(), "2": Behaviour(), "3": Behaviour(crashes=True)})
        for number in ("1", "2"):
            world.apply(number)
            world.settle()
        before = {number: dict(tags) for number, tags in world.tags.items()}
        assert (world.alias, before["2"]["weighbridge.dev/state"]) == ("2", "Serving")
        world.apply("3")
        for _ in range(20):
            if world.pointer.endswith("/3"):
                break
            world.reconcile("3")
            world.step_evaluations()
            world.now += timedelta(seconds=1)
        assert world.pointer == "models:/model/3"
        world.tags.pop("3", None)
        world.outage = True
        for _ in range(20):
            world.step_rollout()
            for number in ("1", "2", "3"):
                world.reconcile(number)
            world.now += timedelta(seconds=1)
        assert (world.pointer, world.serving) == ("models:/model/2", "models:/model/2"), "rolled back without the registry"
        assert (world.tags, world.alias) == (before, "2"), "nothing was written"
        world.settle()
        said = {number: tags.get("weighbridge.dev/state") for number, tags in world.tags.items()}
        assert (said, world.alias) == ({"1": "Superseded", "2": "Serving", "3": "RolledBack"}, "2")
        assert world.tags["1"] == before["1"], "nothing of it is about 1"
        assert world.tags["3"]["weighbridge.dev/traffic"] == "0%"

    def test_that_took_the_alias_along_is_no_persons_doing(self) -> None:
        """3 got the alias, the outage began, and ended with 2 serving again: on the Hub too, where no tag tells the two apart."""
        hub = {"mlflow": None, "huggingFace": {}}
        registry = ledger("2", "3")
        registry.registry = ModelRegistry.model_validate(
            registry.registry.to_json() | {"spec": {**hub, "writeBack": {"aliases": {"Production": "champion"}}}}
        )
        registry.rest("ns/v2", serves())
        registry.rest("ns/v3", serves())
        assert registry.aliases == {"champion": "3"}
        registry.up = False
        registry.look("ns/v2", standing("Superseded", until=LATER))
        registry.look("ns/v3", rolled_back("3"))
        registry.look("ns/v2", serves())
        registry.up = True
        assert told(registry.rest("ns/v2", serves())) == (True, "Synced")
        assert registry.aliases == {"champion": "2"}

    def test_a_restart_believes_what_was_read_back(self) -> None:
        registry = ledger("1")
        registry.rest("ns/v1", serves())
        assert told(registry.look("ns/v1", serves(), snapshot=Pending())) == (True, "Synced")
        assert told(registry.look("ns/v1", serves(LATER), snapshot=Pending())) == (None, "RegistryUnavailable")


class TestTwoModelVersionsOfOneVersion:
    def both(self, namespace: str = "ns", policy: str = "Report") -> Ledger:
        registry = Ledger(connected(policy))
        registry.add(version_of("1"))
        registry.add(version_of("1", name="twin", namespace=namespace))
        return registry

    @pytest.mark.parametrize("namespace", ["ns", "staging"])
    @pytest.mark.parametrize("policy", ["Report", "Enforce"])
    def test_the_second_writes_no_tags_and_names_the_first(self, namespace: str, policy: str) -> None:
        registry, second = self.both(namespace, policy), f"{namespace}/twin"
        registry.rest("ns/v1", serves())
        before = registry.said("1")
        for serving in ((), (serves(LATER),), (standing("Superseded"),)):
            outcome = registry.rest(second, *serving)
            assert ("written by ns/v1" in outcome.drift[0][1], told(outcome)) == (True, (False, "ChangedInRegistry"))
        assert told(registry.rest("ns/v1", serves())) == (True, "Synced")
        assert registry.said("1") == before

    def test_the_alias_of_its_stage_is_set_all_the_same(self) -> None:
        registry = Ledger(connected())
        registry.add(version_of("1"))
        entry = {"stage": "Staging", "targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}}
        registry.add(version_of("1", name="twin", namespace="staging", stage="Staging", serving=[entry]))
        registry.rest("staging/twin", serves())
        registry.rest("ns/v1", serves(LATER))
        assert registry.aliases == {"challenger": "1", "champion": "1"}
        assert registry.said("1")["by"] == "staging/twin"

    def test_who_serves_goes_before_who_does_not(self) -> None:
        registry = self.both()
        registry.rest("ns/twin")
        assert registry.said("1")["by"] == "ns/twin"
        registry.rest("ns/v1", serves())
        assert (registry.said("1")["by"], registry.said("1")["state"]) == ("ns/v1", "Serving")
        assert "written by ns/v1" in registry.rest("ns/twin").drift[0][1]
        registry.rest("ns/v1", standing("Superseded", until=LATER))
        registry.rest("ns/twin", serves(LATER))
        assert registry.said("1")["by"] == "ns/twin"
        assert "written by ns/twin" in registry.rest("ns/v1", standing("Superseded", until=LATER)).drift[0][1]
        assert registry.said("1")["by"] == "ns/twin", "no tug of war"

    def test_the_tags_of_one_that_is_gone_are_taken_over_in_its_namespace_only(self) -> None:
        for namespace, taken in (("ns", True), ("staging", False)):
            registry = self.both(namespace)
            registry.rest(f"{namespace}/twin", serves())
            registry.rest("ns/v1", serves())
            del registry.versions[f"{namespace}/twin"]
            outcome = registry.rest("ns/v1", serves())
            assert (registry.said("1")["by"] == "ns/v1", not outcome.drift) == (taken, taken)
        assert "delete the tag weighbridge.dev/by" in outcome.draft.message

    @pytest.mark.parametrize("by", ["", "none", "nonsense", "/", "ns/", "ns/v1"])
    def test_a_signature_of_nobody_is_a_tag_like_others(self, by: str) -> None:
        registry = ledger("1", policy="Enforce")
        registry.rest("ns/v1", serves())
        registry.tags["1"]["weighbridge.dev/by"] = by
        assert told(registry.rest("ns/v1", serves())) == (True, "Synced")
        assert registry.said("1")["by"] == "ns/v1"


class TestAliasThatIsLeft:
    def test_by_the_last_one_that_served_stays_and_is_told(self) -> None:
        registry = ledger("1")
        registry.rest("ns/v1", serves())
        demoted = version_of("1", stage="Candidate")
        registry.versions["ns/v1"] = demoted.model_copy(update={"status": registry.versions["ns/v1"].status})
        outcome = registry.rest("ns/v1")
        assert (told(outcome), registry.aliases) == ((True, "Synced"), {"champion": "1"})
        assert "alias champion still points at this version" in outcome.draft.message
        assert registry.said("1") == COMMON

    def test_by_a_version_whose_successor_serves_is_the_successors(self) -> None:
        registry = ledger("1", "2")
        registry.rest("ns/v1", serves())
        registry.rest("ns/v2", serves(LATER))
        demoted = version_of("1", stage="Candidate")
        registry.versions["ns/v1"] = demoted.model_copy(update={"status": registry.versions["ns/v1"].status})
        outcome = registry.rest("ns/v1")
        assert (registry.aliases, "still points" in outcome.draft.message) == ({"champion": "2"}, False)

    def test_by_hand_on_a_candidate_that_never_served_is_its_owners_business(self) -> None:
        registry = Ledger(connected())
        registry.add(version_of("1", stage="Candidate"))
        registry.aliases["champion"] = "1"
        assert "champion" not in registry.rest("ns/v1").draft.message


def test_a_version_that_is_let_go_takes_its_word_back_once() -> None:
    registry = ledger("1")
    registry.rest("ns/v1", serves())
    gone = registry.versions["ns/v1"]
    (action,) = retract(gone, VersionFacts(registry=registry.registry))
    assert isinstance(action, WriteRegistry)
    registry.take("1", action.order)
    assert registry.said("1") == {key: COMMON[key] for key in ("digest", "verdict")}
    assert registry.aliases == {"champion": "1"}, "the next version takes it"
    theirs = {"weighbridge.dev/by": "ns/twin", "weighbridge.dev/state": "Serving"}
    twin = version_of("1", name="twin")
    said = Known(snapshot("1", tags=theirs), START)
    assert retract(gone, VersionFacts(registry=registry.registry, snapshot=said, siblings=(twin,))) == ()
    assert retract(version_of("1"), VersionFacts(registry=registry.registry)) == ()
    assert retract(gone, VersionFacts(registry=connected(enabled=False))) == ()


def test_a_failed_write_is_told_and_tried_again_when_it_is_time() -> None:
    registry = ledger("1")
    failed = Failed("WriteForbidden", "the credentials may not write", START, 30.0)
    registry.takes = False
    outcome = registry.look("ns/v1", serves(), last_write=failed)
    assert (outcome.actions, told(outcome), outcome.retry_after) == ((), (False, "WriteForbidden"), 30.0)
    registry.now = START + timedelta(seconds=31)
    assert len(registry.look("ns/v1", serves(), last_write=failed).actions) == 1


def test_long_texts_fit_into_a_tag_and_a_status() -> None:
    registry = ledger("1")
    rejection = Rejection(reason="RolloutFailed", message="x" * 1024, at=START, generation=1, digest=pin("1").digest)
    outcome = registry.rest("ns/v1", standing("RolledBack", rejection=rejection))
    assert type(outcome.state).model_validate(outcome.state.model_dump()) == outcome.state
    assert len(registry.said("1")["reason"]) == 500


def test_on_hold_the_wish_waits() -> None:
    registry = ledger("1")
    registry.takes = False
    assert told(registry.look("ns/v1", serves(), hold="all changes are on hold")) == (None, "Suspended")
