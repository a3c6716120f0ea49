"""The whole loop in the small world: any order of passes, crashes between any two writes, outages, deletions."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from .things import model_version
from .world import Behaviour, World

NUMBERS = ("1", "2", "3")
behaviours = st.fixed_dictionaries(
    {number: st.builds(Behaviour, good=st.booleans(), crashes=st.booleans(), exists=st.booleans()) for number in NUMBERS}
)


def newest_fit(world: World) -> str | None:
    """What should serve in the end, by the words of the contract."""
    alive = [number for number, version in world.versions.items() if version.metadata.deletion_timestamp is None]
    fit = [number for number in alive if (it := world.behaviours[number]).exists and it.good and not it.crashes]
    return max(fit, default=None)


def test_the_story_of_the_demo() -> None:
    world = World({"1": Behaviour(), "2": Behaviour(good=False), "3": Behaviour(), "4": Behaviour(crashes=True)})
    for number, phase, pointer in (("1", "Serving", 1), ("2", "Refused", 1), ("3", "Serving", 3), ("4", "RolledBack", 3)):
        world.apply(number)
        world.settle()
        assert world.versions[number].status.phase == phase
        assert world.pointer == f"models:/model/{pointer}"
    assert world.served == [f"models:/model/{number}" for number in (1, 3, 4, 3)]
    assert world.versions["1"].status.phase == "Superseded"
    assert world.versions["3"].status.phase == "Serving"
    assert world.alias == "3"
    assert {number: tags.get("weighbridge.dev/state") for number, tags in world.tags.items()} == {
        "1": "Superseded",
        "2": None,
        "3": "Serving",
        "4": "RolledBack",
    }
    assert world.tags["2"]["weighbridge.dev/verdict"] == "holdout: Failed"
    assert world.tags["1"]["weighbridge.dev/traffic"] == "0%", "what is no longer true is not left standing"


def test_a_cluster_rebuilt_in_any_order_serves_the_newest_first_and_no_older_one_on_the_way() -> None:
    for order in (("1", "2", "3"), ("3", "2", "1"), ("2", "3", "1")):
        world = World({number: Behaviour() for number in NUMBERS})
        for number in order:
            world.apply(number)
        world.settle()
        assert world.served == ["models:/model/3"]
        evaluated = {job.spec.model.version for job in world.evaluations.values()}
        assert evaluated == {"3", "2"}, "the newest, and one standby"


def test_versions_that_need_no_evaluation_are_elected_only_when_all_are_resolved() -> None:
    world = World({"1": Behaviour(), "2": Behaviour()})
    for number in ("1", "2"):
        metadata = {"name": f"v{number}", "uid": f"uid-{number}"}
        world.versions[number] = model_version(number, evaluated=False, metadata=metadata)
    world.reconcile("1")
    assert world.served == []
    world.settle()
    assert world.served == ["models:/model/2"]


@given(behaviours, st.permutations(NUMBERS))
def test_the_same_wishes_end_at_the_same_version(found: dict[str, Behaviour], order: list[str]) -> None:
    world = World(found)
    for number in order:
        world.apply(number)
        world.settle()
    expected = newest_fit(world)
    if expected is not None:
        assert world.pointer == world.serving == f"models:/model/{expected}"


class Loop(RuleBasedStateMachine):
    """Random life: wishes, passes cut short, outages, rollouts, deletions. What must always hold, and where it must end."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(
            {
                "1": Behaviour(),
                "2": Behaviour(good=False),
                "3": Behaviour(),
                "4": Behaviour(crashes=True),
                "5": Behaviour(exists=False),
            }
        )

    @rule(number=st.sampled_from("12345"))
    def apply(self, number: str) -> None:
        self.world.apply(number)

    @precondition(lambda self: self.world.versions)
    @rule(data=st.data(), survive=st.integers(0, 4))
    def reconcile(self, data: st.DataObject, survive: int) -> None:
        self.world.reconcile(data.draw(st.sampled_from(sorted(self.world.versions))), survive)

    @rule(number=st.sampled_from("12345"))
    def delete(self, number: str) -> None:
        self.world.delete(number)

    @rule(out=st.booleans())
    def outage(self, out: bool) -> None:
        self.world.outage = out

    @rule()
    def roll(self) -> None:
        self.world.step_rollout()

    @rule()
    def evaluate(self) -> None:
        self.world.step_evaluations()

    @invariant()
    def one_job_per_evaluation(self) -> None:
        assert all(count == 1 for count in self.world.creates.values())

    @invariant()
    def nothing_serves_without_evidence(self) -> None:
        assert not {f"models:/model/{number}" for number in "25"} & set(self.world.served)

    @invariant()
    def the_pointer_is_never_emptied(self) -> None:
        assert self.world.pointer

    def teardown(self) -> None:
        world = self.world
        world.settle()
        expected = newest_fit(world)
        if expected is not None:
            assert world.pointer == world.serving == f"models:/model/{expected}"
            assert world.versions[expected].status.phase == "Serving"
            assert world.alias == expected
        before = world.writes
        assert not any(world.reconcile(number) for number in sorted(world.versions))
        assert world.writes == before


def test_any_life_ends_where_it_should() -> None:
    run_state_machine_as_test(Loop, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))
