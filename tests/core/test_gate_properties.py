"""What holds for every gate and every measurement: only good evidence passes, order is nothing, and more demands never help."""

import math
from collections import Counter

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from weighbridge.api.gate import GateRule, Verdict
from weighbridge.api.results import Comparison, Invariant, Metric
from weighbridge.core.champion import UNKNOWN, Champion
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


CHAMPIONS = st.builds(
    Champion,
    evaluation=st.just("champion"),
    metrics=st.lists(metrics(), max_size=6).map(tuple) | EVERYTHING.map(tuple) | EVERYTHING.map(tuple),
    dropped=st.sampled_from([0, 0, 0, 1]),
    problem=st.sampled_from([None, None, None, "other data"]),
)
INVARIANTS = st.lists(
    st.builds(
        Invariant,
        name=st.sampled_from(["safe", "sane"]),
        holds=st.sampled_from([True, True, False]),
        n=st.sampled_from([0, 10, 10, 10]),
        broken=st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=2,
)
MARGINS = st.sampled_from([0.0, 0.1, 0.3])


def regressions() -> st.SearchStrategy[GateRule]:
    """Rules as they may be stored, sensible or not, mostly on what is measured."""
    changes = st.fixed_dictionaries(
        {"max_regression": MARGINS | MARGINS | st.floats()},
        optional={
            "confidence": st.sampled_from([0.9, 0.9, 0.9, 0.5, 1.0, math.nan]),
            "slice": SLICES,
            "slices": st.sampled_from([None, "Every"]),
            "standard_errors": st.sampled_from([None, 0.5, 2.0, 0.0]),
        },
    )
    bare = NAMES.map(lambda name: GateRule(metric=name))
    on_metrics = st.tuples(bare | bare | NAMES.flatmap(likely_rules), changes).map(lambda each: each[0].model_copy(update=each[1]))
    on_invariants = st.builds(
        GateRule,
        invariant=st.sampled_from(["safe", "sane"]),
        min_samples=st.sampled_from([1, 1, 11]),
        min=st.sampled_from([None, None, 0.0]),
    )
    return on_metrics | on_metrics | on_metrics | on_invariants


def tidy_regressions() -> st.SearchStrategy[GateRule]:
    """Rules as people write them, so that passes are not rare."""
    sure = st.sampled_from([{}, {}, {"confidence": 0.9}, {"confidence": 0.9}, {"standardErrors": 0.5}])
    on = st.sampled_from([{}, {}, {"slice": "new"}, {"slices": "Every"}])
    return st.builds(lambda name, margin, how, where: rule(name, margin, **how, **where), NAMES, MARGINS, sure, on)


def rule(name: str, margin: float, **more: object) -> GateRule:
    return GateRule.model_validate({"metric": name, "maxRegression": margin, **more})


def comparisons_for(gate: list[GateRule], measured: list[Metric], champion: Champion | None) -> st.SearchStrategy[list[Comparison]]:
    """Mostly the tests that the rules need, with numbers that fit; some do not."""
    by_place = {(each.name, each.slice): each for each in (champion.metrics if champion else ())}
    asked = {(rule.metric, rule.max_regression) for rule in gate if rule.confidence is not None}
    fitting = []
    for each in measured:
        other = by_place.get((each.name, each.slice))
        gain = 0.0 if other is None else (each.value - other.value) * (1 if each.direction == "maximize" else -1)
        for name, margin in asked:
            if name == each.name and margin is not None and 0 <= margin < math.inf:
                fitting.append((each, margin, gain))
    return (
        st.tuples(*(likely_test(*each) for each in fitting))
        .map(list)
        .flatmap(lambda tests: st.just(tests) | st.just(tests) | st.just(tests[1:]) | st.just(tests + tests[:1]))
    )


def likely_test(measured: Metric, margin: float, gain: float) -> st.SearchStrategy[Comparison]:
    return st.builds(
        Comparison,
        metric=st.just(measured.name),
        slice=st.just(measured.slice),
        margin=st.just(margin),
        n=st.just(measured.n) | st.sampled_from([50, 100]),
        difference=st.just(gain) | st.just(gain) | st.none() | st.floats(),
        p_not_inferior=st.sampled_from([0.01, 0.01, 0.3, None]),
        p_inferior=st.sampled_from([0.99, 0.99, 0.01, None]),
        problem=st.sampled_from(["", "", "", "no partner"]),
    )


ODD = st.tuples(st.lists(regressions(), min_size=1, max_size=2), EVERYTHING | st.lists(metrics(), max_size=4), DROPPED, INVARIANTS)
TIDY_WORLD = st.tuples(st.lists(tidy_regressions(), min_size=1, max_size=2), EVERYTHING, st.just(0), st.just([]) | INVARIANTS)


@settings(max_examples=500)
@given(ODD | TIDY_WORLD | TIDY_WORLD, st.data())
def test_only_a_valid_comparison_or_nothing_to_compare_with_passes(
    world: tuple[list[GateRule], list[Metric], int, list[Invariant]], data: st.DataObject
) -> None:
    gate, measured, dropped, invariants = world
    alike = st.builds(Champion, evaluation=st.just("champion"), metrics=st.just(tuple(measured)))
    champion = data.draw(st.none() | st.just(UNKNOWN) | CHAMPIONS | CHAMPIONS | alike | alike)
    comparisons = data.draw(comparisons_for(gate, measured, champion))
    verdict = judge(gate, measured, dropped, champion=champion, comparisons=comparisons, invariants=invariants)
    event(f"{verdict.result}, {'no champion' if champion is None else 'champion'}")
    turned = judge(
        gate[::-1], measured[::-1], dropped, champion=champion, comparisons=comparisons[::-1], invariants=invariants[::-1]
    )
    assert outcome(turned) == outcome(verdict), "order is nothing"
    if verdict.result != "Passed":
        return
    assert all(each.holds and each.broken == 0 < each.n for each in invariants)
    for rule in gate:
        if rule.invariant is not None:
            assert rule.min is None
            (said,) = [each for each in invariants if each.name == rule.invariant]
            assert said.n >= rule.min_samples
            continue
        of_it = [each for each in measured if each.name == rule.metric]
        used = [each for each in of_it if (each.slice is not None if rule.slices else each.slice == rule.slice)]
        assert used
        assert not (rule.slices and dropped)
        for found in used:
            assert math.isfinite(found.value)
            assert found.n >= rule.min_samples >= 1
            check(rule, found, champion, comparisons)
        if rule.slices and champion is not None:
            theirs = {each.slice for each in champion.metrics if each.name == rule.metric} - {None}
            assert theirs == {each.slice for each in used}
            assert not champion.dropped


def check(rule: GateRule, found: Metric, champion: Champion | None, comparisons: list[Comparison]) -> None:
    """That a regression which passed was shown to be within the margin, if there is anything to regress from."""
    margin = rule.max_regression
    assert margin is not None
    assert 0 <= margin < math.inf
    if champion is None:
        return
    assert champion.problem is None
    (other,) = [each for each in champion.metrics if (each.name, each.slice) == (found.name, found.slice)]
    assert math.isfinite(other.value)
    assert other.n >= rule.min_samples
    assert (other.direction, other.unit) == (found.direction, found.unit)
    gain = (found.value - other.value) * (1 if found.direction == "maximize" else -1)
    reach = 0.0
    if rule.confidence is not None:
        assert 0.5 < rule.confidence < 1
        (test,) = [each for each in comparisons if (each.metric, each.slice, each.margin) == (found.name, found.slice, margin)]
        assert not test.problem
        assert test.n == found.n == other.n
        assert test.p_not_inferior is not None
        assert test.p_not_inferior <= 1 - rule.confidence
        assert test.difference is not None
        assert math.isclose(test.difference, gain, rel_tol=1e-6, abs_tol=1e-6 * max(abs(found.value), abs(other.value)))
    elif rule.standard_errors is not None:
        assert found.stderr is not None
        assert other.stderr is not None
        reach = rule.standard_errors * math.hypot(found.stderr, other.stderr)
        assert 0 <= reach < math.inf
    assert gain - reach >= -margin - 1e-5 * max(1.0, abs(found.value), abs(other.value))


@settings(max_examples=200)
@given(st.lists(regressions(), min_size=1, max_size=2), EVERYTHING, MARGINS, st.data())
def test_a_smaller_margin_never_turns_another_outcome_into_a_pass(
    gate: list[GateRule], measured: list[Metric], less: float, data: st.DataObject
) -> None:
    champion = data.draw(st.none() | CHAMPIONS)
    plain = [rule.model_copy(update={"confidence": None}) for rule in gate]
    tighter = [
        rule if rule.max_regression is None else rule.model_copy(update={"max_regression": rule.max_regression - less})
        for rule in plain
    ]
    result = judge(tighter, measured, champion=champion).result
    assert result != "Passed" or judge(plain, measured, champion=champion).result == "Passed"
