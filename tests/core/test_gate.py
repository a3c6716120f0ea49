"""The gate never passes what was not measured well."""

import math

import pytest

from weighbridge.api.gate import GateRule
from weighbridge.api.results import Metric
from weighbridge.core.gate import judge, score
from weighbridge.core.policy import words


def metric(value: float = 0.95, n: int = 100, **kind: object) -> Metric:
    return Metric.model_validate({"name": "accuracy", "value": value, "direction": "maximize", "n": n, **kind})


def rule(**kind: object) -> GateRule:
    return GateRule.model_validate({"metric": "accuracy", "min": 0.9, **kind})


@pytest.mark.parametrize(
    ("bar", "measured", "verdict", "said"),
    [
        (rule(), [metric()], "Passed", "accuracy is 0.95"),
        (rule(), [metric(0.9)], "Passed", "accuracy is 0.9"),
        (rule(), [metric(0.899)], "Failed", "below 0.9"),
        (rule(min=None, max=0.2), [metric(0.3, direction="minimize")], "Failed", "above 0.2"),
        (rule(), [], "Error", "was not reported"),
        (rule(), [metric(), metric()], "Error", "more than once"),
        (rule(), [metric(n=0)], "Error", "no samples"),
        (rule(), [metric(math.nan)], "Error", "not a finite number"),
        (rule(), [metric(math.inf)], "Error", "not a finite number"),
        (rule(minSamples=101), [metric()], "Inconclusive", "fewer than 101"),
        (rule(unit="ratio"), [metric(unit="percent")], "Error", "the rule asks for ratio"),
        (rule(unit="ratio"), [metric()], "Error", "no unit"),
        (rule(), [metric(80, unit="ratio")], "Error", "outside the range"),
        (rule(slice="new"), [metric()], "Error", "was not reported"),
        (rule(slice="new"), [metric(0.1), metric(0.95, slice="new")], "Passed", "accuracy on new is 0.95"),
    ],
)
def test_one_rule(bar: GateRule, measured: list[Metric], verdict: str, said: str) -> None:
    outcome = judge([bar], measured)
    assert outcome.result == verdict
    assert said in outcome.lines[0].message


def test_the_worst_line_decides_and_no_rule_decides_nothing() -> None:
    passed, failed, inconclusive = rule(), rule(min=0.99), rule(minSamples=1000)
    assert judge([passed, failed], [metric()]).result == "Failed"
    assert judge([passed, inconclusive], [metric()]).result == "Inconclusive"
    assert judge([inconclusive, failed, GateRule(metric="recall", min=0.1)], [metric()]).result == "Error"
    assert judge([], [metric()]).result == "Inconclusive"


@pytest.mark.parametrize(
    ("bar", "measured", "verdict", "said"),
    [
        (rule(direction="maximize"), metric(), "Passed", "accuracy is 0.95"),
        (rule(direction="maximize"), metric(direction="minimize"), "Error", "to minimize, the rule says maximize"),
        (rule(direction="minimize", max=0.99), metric(), "Error", "to maximize, the rule says minimize"),
        (rule(min=None, max=0.9), metric(0.1), "Error", "only bar is at most 0.9: set min, or both for a range"),
        (rule(), metric(direction="minimize"), "Error", "only bar is at least 0.9: set max, or both for a range"),
        (rule(max=0.96), metric(), "Passed", "accuracy is 0.95"),
        (rule(max=0.96), metric(direction="minimize"), "Passed", "accuracy is 0.95"),
    ],
)
def test_the_direction_is_never_guessed(bar: GateRule, measured: Metric, verdict: str, said: str) -> None:
    (line,) = judge([bar], [measured]).lines
    assert (line.verdict, said in line.message) == (verdict, True), line.message


@pytest.mark.parametrize(
    ("bar", "value", "stderr", "verdict", "said"),
    [
        ({}, 0.95, 0.01, "Passed", "accuracy is 0.95 ± 2 × 0.01"),
        ({}, 0.91, 0.01, "Inconclusive", "too uncertain to tell whether it is at least 0.9"),
        ({}, 0.89, 0.01, "Inconclusive", "too uncertain to tell"),
        ({}, 0.87, 0.01, "Failed", "below 0.9"),
        ({}, 0.9, 0, "Passed", "accuracy is 0.9"),
        ({}, 0.899, 0, "Failed", "below 0.9"),
        ({"min": 0.5, "max": 0.6}, 0.63, 0.01, "Failed", "above 0.6"),
        ({"min": 0.5, "max": 0.6}, 0.59, 0.01, "Inconclusive", "at least 0.5 and at most 0.6"),
        ({"min": 0.5, "max": 0.6}, 0.55, 0.1, "Inconclusive", "± 2 × 0.1"),
        ({}, 0.95, None, "Error", "without a standard error"),
        ({}, 0.95, math.nan, "Error", "without a standard error"),
        ({}, 0.95, math.inf, "Error", "without a standard error"),
        ({}, 0.95, -0.1, "Error", "without a standard error"),
        ({}, 0.95, 1e308, "Inconclusive", "too uncertain"),
        ({"standardErrors": None}, 0.89, math.nan, "Failed", "below 0.9"),
        ({"standardErrors": None}, 0.89, math.inf, "Failed", "below 0.9"),
    ],
)
def test_what_is_closer_to_the_bar_than_its_error_is_inconclusive(
    bar: dict[str, object], value: float, stderr: float | None, verdict: str, said: str
) -> None:
    (line,) = judge([rule(**{"standardErrors": 2, **bar})], [metric(value, stderr=stderr)]).lines
    assert (line.verdict, said in line.message) == (verdict, True), line.message


def on_slices(**values: float) -> list[Metric]:
    return [metric(value, slice=name) for name, value in values.items()]


EVERY = {"slices": "Every"}


@pytest.mark.parametrize(
    ("bar", "measured", "verdict", "said"),
    [
        (EVERY, on_slices(new=0.93, old=0.97), "Passed", "accuracy on new is 0.93 (the worst of 2 slices)"),
        (
            EVERY,
            [metric(0.99), *on_slices(new=0.1, old=0.99)],
            "Failed",
            "accuracy on new is 0.1, below 0.9 (the worst of 2 slices)",
        ),
        (EVERY, [metric(0.1), *on_slices(new=0.95)], "Passed", "accuracy on new is 0.95 (the only slice)"),
        (EVERY, [metric(0.95)], "Error", "accuracy was not reported on any slice by the engine; reported: accuracy"),
        (EVERY, [*on_slices(new=0.95), *on_slices(new=0.95, old=0.1)], "Error", "accuracy on new was reported more than once"),
        (EVERY, [*on_slices(new=0.95, old=0.1), metric(math.nan, slice="odd")], "Error", "accuracy on odd is not a finite number"),
        (
            {**EVERY, "minSamples": 50},
            [*on_slices(new=0.95), *(metric(0.1, n=49, slice=f"s{each}") for each in range(5))],
            "Inconclusive",
            "s0 rests on 49 samples, fewer than 50 (the worst of 6 slices; fewer than 50 samples: s0, s1, s2 and 2 more)",
        ),
        (
            {**EVERY, "minSamples": 50},
            [*on_slices(old=0.1), metric(n=49, slice="new")],
            "Failed",
            "accuracy on old is 0.1, below 0.9 (the worst of 2 slices; fewer than 50 samples: new)",
        ),
        ({"slice": "Every"}, on_slices(Every=0.95, old=0.1), "Passed", "accuracy on Every is 0.95"),
    ],
)
def test_the_worst_slice_decides(bar: dict[str, object], measured: list[Metric], verdict: str, said: str) -> None:
    (line,) = judge([rule(**bar)], measured).lines
    assert (line.verdict, said in line.message) == (verdict, True), line.message


def test_of_equally_bad_slices_the_first_by_name_is_told_whatever_the_order() -> None:
    measured = [*on_slices(b=0.5, a=0.5), metric(0.99, slice="c")]
    assert {judge([rule(**EVERY)], order).lines[0].slice for order in (measured, measured[::-1])} == {"a"}


def test_a_slice_that_may_have_been_dropped_never_passes() -> None:
    measured = on_slices(new=0.95)
    assert judge([rule(**EVERY)], measured, dropped=1).result == "Error"
    assert judge([rule(slice="new")], measured, dropped=1).result == "Passed"


def test_a_line_keeps_the_numbers_it_used() -> None:
    measured = [metric(0.96, slice="old", n=400), metric(0.93, slice="new", n=200, stderr=0.004)]
    (line,) = judge([rule(**EVERY)], measured).lines
    assert (line.rule, line.value, line.stderr, line.n, line.slice) == (
        "accuracy on every slice at least 0.9",
        0.93,
        0.004,
        200,
        "new",
    )
    (odd,) = judge([rule()], [metric(math.nan, stderr=math.nan)]).lines
    assert (odd.value, odd.stderr, odd.n) == (None, None, 100)


def test_the_longest_names_fit_into_a_line() -> None:
    longest = {"metric": "m" * 128, "slice": "s" * 128, "min": 1 / 3e300, "max": 1 / 2e300, "standardErrors": 1 / 3}
    verdict = judge([rule(**longest), rule(**{**longest, "min": 2})], [])
    assert [line.verdict for line in verdict.lines] == ["Error", "Error"]


def test_words_and_score_are_for_people() -> None:
    assert words(rule(max=0.99, slice="new")) == "accuracy on new at least 0.9 and at most 0.99"
    assert words(rule(min=0.99999999, standardErrors=1.5)) == "accuracy at least 0.99999999 by 1.5 standard errors"
    assert score([rule()], judge([rule()], [metric(0.951234)])) == "accuracy 0.9512"
    assert score([rule(**EVERY)], judge([rule(**EVERY)], [metric(), *on_slices(new=0.5)])) == "accuracy 0.5"
    assert score([rule()], judge([rule()], [])) == ""
    assert score([], judge([], [])) == ""
