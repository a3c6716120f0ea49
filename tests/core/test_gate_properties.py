"""What holds for every gate and every measurement: only good evidence passes, order is nothing, and more demands never help."""

import math
from collections import Counter

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from weighbridge.api.evaluationjob import Metric
from weighbridge.api.gate import GateRule, Verdict
from weighbridge.core.gate import judge

NAMES = st.sampled_from(["accuracy", "loss"])
SLICES = st.sampled_from([None, None, "new", "old"])
TIDY = st.sampled_from([0.5, 0.8, 0.9])
NUMBERS = TIDY | st.floats(-2, 2) | st.floats()


def metrics() -> st.SearchStrategy[Metric]:
    return st.builds(
        Metric,
        name=NAMES,
        value=NUMBERS,
        direction=st.sampled_from(["maximize", "maximize", "minimize"]),
        n=st.sampled_from([0, 1, 50, 100, 100, 100]),
        unit=st.sampled_from([None, None, "ratio"]),
        stderr=st.none() | st.sampled_from([0.0, 0.01, 0.1]) | st.floats(),
        slice=SLICES,
    )


def rules() -> st.SearchStrategy[GateRule]:
    return st.builds(
        GateRule,
        metric=NAMES,
        direction=st.sampled_from([None, None, "maximize", "minimize"]),
        slice=SLICES,
        slices=st.sampled_from([None, None, "Every"]),
        min=st.none() | NUMBERS,
        max=st.none() | NUMBERS,
        standard_errors=st.none() | st.floats(0, 10),
        min_samples=st.sampled_from([1, 50, 101]),
        unit=st.sampled_from([None, None, "ratio"]),
    )


def likely_metrics(name: str, part: str | None) -> st.SearchStrategy[Metric]:
    return st.builds(
        Metric,
        name=st.just(name),
        value=TIDY,
        direction=st.just("maximize" if name == "accuracy" else "minimize"),
        n=st.sampled_from([49, 100, 100, 100, 100]),
        stderr=st.sampled_from([0.01, 0.01, 0.1, 0.0, None]),
        slice=st.just(part),
    )


def likely_rules(name: str) -> st.SearchStrategy[GateRule]:
    side, direction = ("min", "maximize") if name == "accuracy" else ("max", "minimize")
    return st.builds(
        GateRule.model_validate,
        st.fixed_dictionaries(
            {
                "metric": st.just(name),
                side: TIDY,
                "minSamples": st.sampled_from([1, 1, 50]),
                "direction": st.sampled_from([None, direction]),
            },
            optional={"standardErrors": st.sampled_from([0.5, 1, 2])},
        ),
    ).flatmap(
        lambda rule: st.sampled_from([{}, {}, {"slice": "new"}, {"slices": "Every"}]).map(lambda on: rule.model_copy(update=on))
    )


EVERYTHING = st.tuples(*(likely_metrics(name, part) for name in ("accuracy", "loss") for part in (None, "new", "old"))).map(list)
LIKELY = st.tuples(st.lists(NAMES.flatmap(likely_rules), min_size=1, max_size=2), EVERYTHING)
"""Mostly as people and engines write it, so that passes are not rare."""
WORLDS = st.tuples(st.lists(rules(), max_size=4), st.lists(metrics(), max_size=6)) | LIKELY | LIKELY
DROPPED = st.sampled_from([0, 0, 0, 3])


@settings(max_examples=300)
@given(WORLDS, DROPPED)
def test_only_valid_measurements_that_clear_every_bar_pass(world: tuple[list[GateRule], list[Metric]], dropped: int) -> None:
    gate, measured = world
    result = judge(gate, measured, dropped).result
    event(result)
    if result != "Passed":
        return
    assert gate
    for bar in gate:
        of_it = [each for each in measured if each.name == bar.metric]
        used = [each for each in of_it if (each.slice is not None if bar.slices else each.slice == bar.slice)]
        assert used
        assert bar.slices or len(used) == 1
        assert not (bar.slices and dropped)
        for found in used:
            assert math.isfinite(found.value)
            assert found.n >= bar.min_samples >= 1
            assert bar.direction in (None, found.direction)
            assert bar.unit in (None, found.unit)
            assert (bar.min if found.direction == "maximize" else bar.max) is not None
            reach = 0.0
            if bar.standard_errors is not None:
                assert bar.standard_errors > 0
                assert found.stderr is not None
                reach = bar.standard_errors * found.stderr
                assert 0 <= reach < math.inf
            assert bar.min is None or found.value - reach >= bar.min > -math.inf
            assert bar.max is None or found.value + reach <= bar.max < math.inf


def outcome(verdict: Verdict) -> tuple[str, str | None, Counter[str]]:
    return verdict.result, verdict.policy_hash, Counter(line.model_dump_json() for line in verdict.lines)


@settings(max_examples=300)
@given(WORLDS, DROPPED, st.data())
def test_order_is_nothing(world: tuple[list[GateRule], list[Metric]], dropped: int, data: st.DataObject) -> None:
    gate, measured = world
    other_gate, other_measured = data.draw(st.permutations(gate)), data.draw(st.permutations(measured))
    assert outcome(judge(gate, measured, dropped)) == outcome(judge(other_gate, other_measured, dropped))


@settings(max_examples=300)
@given(WORLDS, rules(), st.integers(0, 4))
def test_one_rule_more_never_turns_another_outcome_into_a_pass(
    world: tuple[list[GateRule], list[Metric]], extra: GateRule, place: int
) -> None:
    gate, measured = world
    assume(gate or judge([extra], measured).result != "Passed")
    more = judge([*gate[:place], extra, *gate[place:]], measured)
    if judge(gate, measured).result != "Passed" or judge([extra], measured).result != "Passed":
        assert more.result != "Passed"


def tightened(rule: GateRule) -> st.SearchStrategy[GateRule]:
    """The rule with the bars it has where they are or closer, and with as much or more evidence asked for."""
    by = st.just(0.0) | st.floats(0, 2)
    changes: dict[str, st.SearchStrategy[object]] = {"min_samples": st.integers(0, 100).map(lambda more: rule.min_samples + more)}
    if rule.min is not None:
        changes["min"] = by.map(lambda up: (rule.min or 0.0) + up)
    if rule.max is not None:
        changes["max"] = by.map(lambda down: (rule.max or 0.0) - down)
    if rule.standard_errors != 0:
        changes["standard_errors"] = st.just(rule.standard_errors) | st.floats(rule.standard_errors or 0.01, 10)
    return st.fixed_dictionaries(changes).map(lambda update: rule.model_copy(update=update))


@settings(max_examples=300)
@given(WORLDS, st.data())
def test_a_tighter_bar_never_turns_another_outcome_into_a_pass(
    world: tuple[list[GateRule], list[Metric]], data: st.DataObject
) -> None:
    gate, measured = world
    tighter = [data.draw(tightened(rule)) for rule in gate]
    result = judge(tighter, measured).result
    event(result)
    assert result != "Passed" or judge(gate, measured).result == "Passed"
