"""The gate never passes what was not measured well."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api.evaluationjob import GateRule, Metric
from weighbridge.core.gate import judge, score, words


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
        (rule(min=None, max=0.2), [metric(0.3)], "Failed", "above 0.2"),
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
        (rule(slice="new"), [metric(0.1), metric(0.95, slice="new")], "Passed", "accuracy is 0.95"),
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


def test_words_and_score_are_for_people() -> None:
    assert words(rule(max=0.99, slice="new")) == "accuracy on new at least 0.9 and at most 0.99"
    assert score([rule()], [metric(0.951234)]) == "accuracy 0.9512"
    assert score([rule()], []) == ""


numbers = st.floats(allow_nan=True, allow_infinity=True)
metrics = st.builds(
    Metric,
    name=st.sampled_from(["accuracy", "recall"]),
    value=numbers,
    direction=st.sampled_from(["maximize", "minimize"]),
    n=st.integers(0, 200),
    unit=st.sampled_from([None, "ratio", "seconds"]),
    slice=st.sampled_from([None, "new"]),
)
rules = st.builds(
    GateRule,
    metric=st.sampled_from(["accuracy", "recall"]),
    min=st.none() | st.floats(-2, 2),
    max=st.none() | st.floats(-2, 2),
    min_samples=st.integers(1, 100),
    slice=st.sampled_from([None, "new"]),
)


@given(st.lists(rules, max_size=4), st.lists(metrics, max_size=4))
def test_only_a_valid_measurement_above_every_bar_passes(gate: list[GateRule], measured: list[Metric]) -> None:
    if judge(gate, measured).result != "Passed":
        return
    assert gate
    for bar in gate:
        (found,) = [each for each in measured if (each.name, each.slice) == (bar.metric, bar.slice)]
        assert math.isfinite(found.value)
        assert found.n >= bar.min_samples
        assert bar.min is None or found.value >= bar.min
        assert bar.max is None or found.value <= bar.max
        assert not (bar.min is None and bar.max is None)
