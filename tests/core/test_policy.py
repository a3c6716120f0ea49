"""A gate that contradicts itself never passes and says so; gates that ask the same have the same fingerprint."""

import math
from typing import Any

import pytest

from weighbridge.api.gate import GateRule
from weighbridge.api.results import Metric
from weighbridge.core.gate import judge
from weighbridge.core.policy import policy_hash


def rule(**kind: Any) -> GateRule:
    return GateRule.model_validate({"metric": "accuracy", **kind})


MEASURED = [
    Metric(name="accuracy", value=0.5, direction="maximize", n=100, stderr=0.0, slice=name) for name in (None, "new", "old")
]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (rule(), "has no bar"),
        (rule(min=math.nan), "not a finite number"),
        (rule(min=-math.inf), "not a finite number"),
        (rule(min=0.1, max=math.inf), "not a finite number"),
        (rule(min=0.6, max=0.4), "can never hold: its min is above its max"),
        (rule(max=0.9, direction="maximize"), "accuracy is one to maximize, and the only bar is at most 0.9"),
        (rule(min=0.1, direction="minimize"), "accuracy is one to minimize, and the only bar is at least 0.1"),
        (rule(min=0.1, slice="new", slices="Every"), "set slice or slices"),
        (rule(min=0.1, standardErrors=0), "must be above 0"),
        (rule(min=0.1).model_copy(update={"standard_errors": math.nan}), "must be above 0"),
    ],
)
def test_a_rule_that_nothing_can_clear_is_an_error(asked: GateRule, said: str) -> None:
    (line,) = judge([asked], MEASURED).lines
    assert (line.verdict, said in line.message) == ("Error", True), line.message


EVERY = {"slices": "Every"}


@pytest.mark.parametrize(
    ("one", "other", "contradict"),
    [
        ({}, {}, True),
        ({"slice": "new"}, {"slice": "new"}, True),
        (EVERY, EVERY, True),
        (EVERY, {"slice": "new"}, True),
        ({"slice": "new"}, EVERY, True),
        ({"slice": "new"}, {"slice": "old"}, False),
        ({}, {"slice": "new"}, False),
        ({}, EVERY, False),
        (EVERY, {}, False),
        ({"metric": "other"}, {}, False),
    ],
)
def test_two_rules_that_never_both_hold_are_an_error_that_names_both(
    one: dict[str, Any], other: dict[str, Any], contradict: bool
) -> None:
    low, high = rule(min=0.0, max=0.4, **one), rule(**{"min": 0.6, **other})
    for gate in ([low, high], [high, low]):
        lines = judge(gate, MEASURED).lines
        both = ["at most 0.4”" in line.message and "at least 0.6”" in line.message for line in lines]
        assert both == [contradict, contradict], lines
        assert not contradict or [line.verdict for line in lines] == ["Error", "Error"]


def test_bars_that_touch_can_both_hold() -> None:
    assert judge([rule(min=0.5), rule(min=0.1, max=0.5)], MEASURED).result == "Passed"


def test_the_fingerprint_is_that_of_what_is_asked() -> None:
    gate = [rule(min=1, max=2), rule(min=0, slice="new")]
    same = policy_hash(gate)
    assert len(same) == 16
    assert judge(gate, MEASURED).policy_hash == same
    again = [rule(min=-0.0, slice="new", minSamples=1, unit=None), rule(max=2.0, min=1.0), rule(min=0, slice="new")]
    assert policy_hash(again) == same
    for other in (
        rule(min=1, max=2.5),
        rule(min=1, max=2, minSamples=2),
        rule(min=1, max=2, unit="x"),
        rule(min=1, max=2, **EVERY),
    ):
        assert policy_hash([other, gate[1]]) != same
    assert policy_hash(gate[:1]) != same


def test_the_fingerprint_stays_over_versions_of_the_program() -> None:
    assert policy_hash([rule(min=0.93)]) == "efdb1aef4be8f716"


def test_a_rule_without_the_newer_fields_is_stored_as_before_so_that_nothing_is_evaluated_anew() -> None:
    assert rule(min=0.93).to_json() == {"metric": "accuracy", "min": 0.93, "minSamples": 1}
