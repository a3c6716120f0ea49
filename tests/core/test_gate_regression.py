"""A rule on a regression passes against a champion that can be compared, or where there is none; never where that is not known."""

import math
from typing import Any

import pytest

from weighbridge.api.gate import GateLine, GateRule
from weighbridge.api.results import Comparison, Metric
from weighbridge.core.champion import Champion
from weighbridge.core.gate import judge
from weighbridge.core.policy import policy_hash, words

from .test_gate import EVERY, metric, on_slices


def rule(**kind: object) -> GateRule:
    return GateRule.model_validate({"metric": "accuracy", "maxRegression": 0.01, **kind})


def champion(*metrics: Metric, **kind: Any) -> Champion:
    return Champion("fraud-7-holdout", metrics, **kind)


def paired(difference: float = -0.005, better: float | None = 0.01, worse: float | None = 0.99, **kind: object) -> Comparison:
    said = {"metric": "accuracy", "margin": 0.01, "n": 100, "difference": difference, "test": "McNemar"}
    return Comparison.model_validate({**said, "pNotInferior": better, "pInferior": worse, **kind})


def line(asked: GateRule, measured: list[Metric], serving: Champion | None, *tests: Comparison) -> GateLine:
    (found,) = judge([asked], measured, champion=serving, comparisons=tests).lines
    return found


@pytest.mark.parametrize(
    ("asked", "value", "other", "verdict", "said"),
    [
        ({}, metric(0.95), metric(0.955), "Passed", "accuracy is 0.95, 0.005 worse than the champion's 0.955"),
        ({}, metric(0.95), metric(0.96), "Passed", "0.01 worse than"),
        ({}, metric(0.3), metric(0.31), "Passed", "0.01 worse than"),
        ({}, metric(0.95), metric(0.9601), "Failed", "0.0101 worse than the champion's 0.9601, more than 0.01 worse"),
        ({}, metric(0.95), metric(0.5), "Passed", "0.45 better than"),
        ({"maxRegression": 0}, metric(0.95), metric(0.95), "Passed", "the same as the champion's 0.95"),
        ({"maxRegression": 0}, metric(0.95), metric(math.nextafter(0.95, 1)), "Failed", "more than 0 worse"),
        ({}, metric(0.21, direction="minimize"), metric(0.2, direction="minimize"), "Passed", "0.01 worse than"),
        ({}, metric(0.22, direction="minimize"), metric(0.2, direction="minimize"), "Failed", "0.02 worse than"),
        ({}, metric(0.1, direction="minimize"), metric(0.2, direction="minimize"), "Passed", "0.1 better than"),
        ({"direction": "minimize"}, metric(0.1), metric(0.2), "Error", "to maximize, the rule says minimize"),
        ({}, metric(0.95), metric(0.95, direction="minimize"), "Inconclusive", "NotComparable: evaluate the champion anew"),
        ({}, metric(0.95, unit="ratio"), metric(0.95), "Inconclusive", "reports accuracy in no unit, this one in ratio"),
        (
            {"unit": "ratio"},
            metric(0.95, unit="ratio"),
            metric(95, unit="percent"),
            "Inconclusive",
            "in percent, this one in ratio",
        ),
        ({}, metric(0.95, unit="ratio"), metric(95, unit="ratio"), "Inconclusive", "says: accuracy is 95, outside the range"),
        ({}, metric(0.95), metric(math.nan), "Inconclusive", "NotComparable: evaluate the champion anew"),
        ({}, metric(0.95), metric(-math.inf), "Inconclusive", "not a finite number"),
        ({}, metric(0.95), metric(n=0), "Inconclusive", "rests on no samples"),
        (
            {"minSamples": 101},
            metric(n=200),
            metric(),
            "Inconclusive",
            "the champion's accuracy rests on 100 samples, fewer than 101",
        ),
        ({"minSamples": 101}, metric(), metric(n=200), "Inconclusive", "accuracy rests on 100 samples, fewer than 101"),
        ({"min": 0.96}, metric(0.95), metric(0.95), "Failed", "accuracy is 0.95, below 0.96"),
        ({"min": 0.9}, metric(0.95), metric(0.97), "Failed", "0.02 worse than"),
        ({"min": 0.96}, metric(0.95), metric(0.97), "Failed", "more than 0.01 worse; accuracy is 0.95, below 0.96"),
        ({"min": 0.9}, metric(0.95), metric(0.95), "Passed", "the same as the champion's 0.95; accuracy is 0.95"),
        ({"max": 0.96}, metric(0.95), metric(0.95), "Error", "the only bar is at most 0.96"),
        ({"min": 0.9, "max": 0.96}, metric(0.95), metric(0.95), "Passed", "accuracy is 0.95"),
        ({}, metric(1e308), metric(-1e308), "Passed", "better than"),
        ({}, metric(-1.7e308), metric(1.7e308), "Failed", "worse than"),
    ],
)
def test_against_a_champion(asked: dict[str, object], value: Metric, other: Metric, verdict: str, said: str) -> None:
    found = line(rule(**asked), [value], champion(other))
    assert (found.verdict, said in found.message) == (verdict, True), found.message


@pytest.mark.parametrize(
    ("value", "other", "verdict", "said"),
    [
        (metric(0.95, stderr=0.003), metric(0.95, stderr=0.004), "Passed", "± 0.01"),
        (metric(0.949, stderr=0.003), metric(0.95, stderr=0.004), "Inconclusive", "too uncertain to tell whether it is more than"),
        (metric(0.935, stderr=0.003), metric(0.95, stderr=0.004), "Inconclusive", "too uncertain"),
        (metric(0.929, stderr=0.003), metric(0.95, stderr=0.004), "Failed", "more than 0.01 worse"),
        (metric(0.95), metric(0.95, stderr=0.004), "Error", "without a standard error"),
        (metric(0.95, stderr=0.003), metric(0.95), "Inconclusive", "NotComparable"),
        (metric(0.95, stderr=0.003), metric(0.95, stderr=math.nan), "Inconclusive", "NotComparable"),
        (metric(0.95, stderr=1e308), metric(0.95, stderr=1e308), "Inconclusive", "too uncertain"),
    ],
)
def test_standard_errors_of_both_sides_count(value: Metric, other: Metric, verdict: str, said: str) -> None:
    found = line(rule(standardErrors=2), [value], champion(other))
    assert (found.verdict, said in found.message) == (verdict, True), found.message


SURE = {"confidence": 0.95}
SERVING = champion(metric(0.955))


@pytest.mark.parametrize(
    ("asked", "tests", "verdict", "said"),
    [
        (SURE, [paired()], "Passed", "0.005 worse than the champion's 0.955 (p = 0.01, McNemar)"),
        (SURE, [paired(better=0.05)], "Passed", "p = 0.05"),
        (SURE, [paired(better=0.06, worse=0.94)], "Inconclusive", "too few samples to tell with confidence 0.95 whether"),
        (SURE, [paired(better=0.99, worse=0.01)], "Failed", "more than 0.01 worse (p = 0.01"),
        (SURE, [paired(better=0.01, worse=0.01)], "Error", "contradicts itself"),
        (SURE, [], "Error", "a paired test of accuracy with margin 0.01 was reported not at all"),
        (SURE, [paired(), paired()], "Error", "more than once"),
        (SURE, [paired(margin=0.02)], "Error", "not at all"),
        (SURE, [paired(slice="new")], "Error", "not at all"),
        (SURE, [paired(metric="other")], "Error", "not at all"),
        (SURE, [paired(n=99)], "Error", "rests on 99 pairs, and the metric on 100 and 100 samples"),
        (SURE, [paired(difference=0.005)], "Error", "single samples differ by 0.005 on average"),
        (SURE, [paired(difference=-0.5)], "Error", "contradicts itself"),
        (SURE, [paired(difference=math.nan)], "Error", "contradicts itself or lacks a number"),
        (SURE, [paired().model_copy(update={"p_not_inferior": math.nan})], "Error", "contradicts itself or lacks a number"),
        (SURE, [paired().model_copy(update={"p_not_inferior": -1.0})], "Error", "contradicts itself or lacks a number"),
        (SURE, [paired(worse=None)], "Error", "contradicts itself or lacks a number"),
        (SURE, [paired(problem="2 samples were measured on one side only: a, b")], "Inconclusive", "NotComparable: 2 samples were"),
        ({**SURE, "min": 0.9, "standardErrors": 2}, [paired()], "Passed", "accuracy is 0.95 ± 2 × 0.01"),
        ({**SURE, "min": 0.94, "standardErrors": 2}, [paired()], "Inconclusive", "too uncertain"),
    ],
)
def test_confidence_rests_on_the_paired_test_of_that_very_question(
    asked: dict[str, object], tests: list[Comparison], verdict: str, said: str
) -> None:
    found = line(rule(**asked), [metric(0.95, stderr=0.01)], SERVING, *tests)
    assert (found.verdict, said in found.message) == (verdict, True), found.message
    assert found.champion == 0.955


def test_a_paired_test_on_other_samples_than_the_champions_is_an_error() -> None:
    found = line(rule(**SURE), [metric()], champion(metric(0.955, n=99)), paired())
    assert (found.verdict, "rests on 100 pairs, and the metric on 100 and 99 samples" in found.message) == ("Error", True)


@pytest.mark.parametrize("asked", [{}, SURE, {"standardErrors": 2}, {"min": 0.9}, EVERY])
def test_where_nothing_serves_yet_a_valid_measurement_has_nothing_to_regress_from(asked: dict[str, object]) -> None:
    place = "new" if asked is EVERY else None
    found = line(rule(**asked), [metric(stderr=0.01, slice=place)], None)
    assert (found.verdict, "nothing serves yet" in found.message) == ("Passed", True), found.message
    for bad in ([], [metric(math.nan, stderr=0.01, slice=place)], [metric(n=0, stderr=0.01, slice=place)]):
        assert line(rule(**asked), bad, None).verdict == "Error"
    assert line(rule(**asked, minSamples=101), [metric(stderr=0.01, slice=place)], None).verdict == "Inconclusive"


@pytest.mark.parametrize("asked", [{}, SURE, {"standardErrors": 2}, {"min": 0.9}])
def test_a_champion_that_is_not_known_or_cannot_be_compared_never_lets_pass(asked: dict[str, object]) -> None:
    measured = [metric(0.99, stderr=0.0)]
    (unasked,) = judge([rule(**asked)], measured, comparisons=[paired()]).lines
    assert (unasked.verdict, unasked.message.split(":")[0]) == ("Inconclusive", "NotComparable"), "the caller said nothing"
    for serving in (champion(*measured, problem="other data: evaluate it anew"), champion(), champion(*measured, *measured)):
        found = line(rule(**asked), measured, serving, paired())
        assert (found.verdict, found.message.split(":")[0]) == ("Inconclusive", "NotComparable"), found.message


@pytest.mark.parametrize(
    ("measured", "serving", "verdict", "said"),
    [
        (
            on_slices(new=0.9, old=0.97),
            champion(*on_slices(new=0.905, old=0.99)),
            "Failed",
            "accuracy on old is 0.97, 0.02 worse than the champion's 0.99, more than 0.01 worse (the worst of 2 slices)",
        ),
        (on_slices(new=0.9, old=0.97), champion(*on_slices(new=0.905, old=0.97)), "Passed", "accuracy on new is 0.9, 0.005 worse"),
        (
            on_slices(new=0.9),
            champion(*on_slices(new=0.9, old=0.9)),
            "Error",
            "on old was measured for the champion, and was not reported for this",
        ),
        (on_slices(new=0.9, old=0.97), champion(*on_slices(new=0.9)), "Inconclusive", "reports accuracy on old nowhere"),
        (on_slices(new=0.9), champion(*on_slices(new=0.9), dropped=1), "Inconclusive", "1 metrics of the champion's evaluation"),
        ([*on_slices(new=0.9), metric(0.1)], champion(*on_slices(new=0.9), metric(0.99)), "Passed", "the only slice"),
    ],
)
def test_the_slice_that_lost_most_decides(measured: list[Metric], serving: Champion, verdict: str, said: str) -> None:
    found = line(rule(**EVERY), measured, serving)
    assert (found.verdict, said in found.message) == (verdict, True), found.message


def test_of_slices_with_both_bars_the_one_with_the_least_room_is_told() -> None:
    measured, serving = on_slices(new=0.905, old=0.97), champion(*on_slices(new=0.9, old=0.979))
    assert line(rule(**EVERY, min=0.9), measured, serving).slice == "old"
    assert line(rule(**EVERY, min=0.905), measured, serving).slice == "new"


def test_a_slice_is_compared_with_the_same_slice() -> None:
    measured, serving = [metric(0.99), *on_slices(new=0.9)], champion(metric(0.9), *on_slices(new=0.95))
    assert line(rule(), measured, serving).verdict == "Passed"
    assert line(rule(slice="new"), measured, serving).verdict == "Failed"
    tested = [paired(0.09, 0.001, 1.0), paired(-0.05, 1.0, 0.001, slice="new")]
    assert line(rule(**SURE), measured, serving, *tested).verdict == "Passed"
    assert line(rule(slice="new", **SURE), measured, serving, *tested).verdict == "Failed"
    assert line(rule(slices="Every", **SURE), measured, serving, *tested).verdict == "Failed"


def test_a_line_keeps_the_champions_value() -> None:
    found = line(rule(), [metric(0.95)], champion(metric(0.955)))
    assert (found.value, found.champion) == (0.95, 0.955)
    assert line(rule(), [metric(0.95)], None).champion is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"maxRegression": math.nan}, "not a finite number"),
        ({"maxRegression": math.inf}, "not a finite number"),
        ({"maxRegression": -0.1}, "at least 0"),
        ({"confidence": 0.5}, "above 0.5"),
        ({"confidence": 1.0}, "below 1"),
        ({"confidence": math.nan}, "above 0.5"),
        ({"maxRegression": None, "min": 0.1, "confidence": 0.95}, "goes with maxRegression"),
        ({"confidence": 0.95, "standardErrors": 2}, "leave out one of them"),
        ({"max": 0.9, "direction": "maximize"}, "the only bar is at most 0.9"),
        ({"invariant": "safe"}, "either a metric or an invariant"),
    ],
)
def test_a_rule_that_contradicts_itself_is_an_error(asked: dict[str, Any], said: str) -> None:
    known = {"maxRegression": "max_regression", "standardErrors": "standard_errors"}
    odd = rule().model_copy(update={known.get(name, name): value for name, value in asked.items()})
    for serving in (champion(metric(stderr=0.01)), None):
        found = line(odd, [metric(stderr=0.01)], serving, paired(0.0))
        assert (found.verdict, said in found.message) == ("Error", True), found.message


def test_words_and_fingerprint_tell_what_is_asked() -> None:
    assert words(rule()) == "accuracy at most 0.01 worse than the champion"
    assert words(rule(**EVERY, **SURE)) == "accuracy on every slice at most 0.01 worse than the champion with confidence 0.95"
    assert words(rule(min=0.9, standardErrors=2)) == (
        "accuracy at least 0.9 by 2 standard errors and at most 0.01 worse than the champion by 2 standard errors"
    )
    assert words(rule(min=0.9, standardErrors=2, **SURE)) == (
        "accuracy at least 0.9 by 2 standard errors and at most 0.01 worse than the champion with confidence 0.95"
    )
    asked = [rule(), rule(maxRegression=0), rule(**SURE), rule(confidence=0.9), rule(min=0.9), rule(min=0.9, maxRegression=None)]
    assert len({policy_hash([each]) for each in asked}) == len(asked)


def test_the_longest_names_fit_into_a_line() -> None:
    longest = {"metric": "m" * 128, "slice": "s" * 128, "min": 1 / 3e300, "max": 1 / 2e300, "maxRegression": 1 / 3e300}
    both = rule(**longest, standardErrors=1 / 3, confidence=2 / 3)
    assert line(both, [], champion()).verdict == "Error"
    measured = metric(1 / 2.5e300, name="m" * 128, slice="s" * 128, stderr=0.0)
    assert line(both, [measured], champion(problem="p" * 2000)).verdict == "Inconclusive"
