"""An invariant that is broken fails the verdict whatever the averages say; one that was asked for must have been looked at."""

import pytest

from weighbridge.api.gate import GateRule
from weighbridge.api.results import Invariant
from weighbridge.core.gate import judge, score
from weighbridge.core.policy import policy_hash, words

from .test_gate import metric
from .test_gate import rule as bar

NO_LEAK = GateRule(invariant="no-leak")


def invariant(holds: bool = True, n: int = 10, broken: int = 0, name: str = "no-leak") -> Invariant:
    return Invariant(name=name, holds=holds, n=n, broken=broken)


@pytest.mark.parametrize(
    ("asked", "reported", "verdict", "said"),
    [
        (NO_LEAK, [invariant()], "Passed", "invariant no-leak holds on 10 cases"),
        (NO_LEAK, [invariant(False, broken=2)], "Failed", "invariant no-leak is broken on 2 of 10 cases"),
        (NO_LEAK, [invariant(False)], "Failed", "broken on 0 of 10 cases"),
        (NO_LEAK, [invariant(True, broken=1)], "Failed", "broken on 1 of 10 cases"),
        (NO_LEAK, [invariant(True, n=0)], "Error", "rests on no cases"),
        (NO_LEAK, [invariant(False, n=0)], "Error", "rests on no cases"),
        (NO_LEAK, [invariant(name="other")], "Error", "invariant no-leak was not reported"),
        (NO_LEAK, [invariant(), invariant()], "Error", "more than once"),
        (NO_LEAK, [invariant(), invariant(False, broken=1)], "Failed", "more than once"),
        (GateRule(invariant="no-leak", min_samples=11), [invariant()], "Inconclusive", "rests on 10 cases, fewer than 11"),
        (GateRule(invariant="no-leak", min_samples=11), [invariant(False, broken=1)], "Failed", "broken on 1 of 10"),
    ],
)
def test_one_rule(asked: GateRule, reported: list[Invariant], verdict: str, said: str) -> None:
    outcome = judge([asked], [metric()], invariants=reported)
    (line,) = outcome.lines
    assert (outcome.result, line.verdict, said in line.message) == (verdict, verdict, True), line.message
    assert line.rule == "invariant no-leak holds"


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [
        ([invariant()], "Passed"),
        ([invariant(False, broken=1)], "Failed"),
        ([invariant(False)], "Failed"),
        ([invariant(), invariant(False, broken=1)], "Failed"),
        ([invariant(True, n=0)], "Error"),
    ],
)
def test_an_invariant_that_no_rule_names_outvotes_every_average(reported: list[Invariant], verdict: str) -> None:
    outcome = judge([bar()], [metric(1.0)], invariants=reported)
    assert outcome.result == verdict
    assert [line.verdict for line in outcome.lines] == ["Passed"] + [verdict] * (verdict != "Passed")
    assert outcome.policy_hash == policy_hash([bar()])
    assert judge([], [], invariants=reported).result != "Passed"


def test_as_many_as_there_may_be_fit_into_a_verdict_in_an_order_of_their_own() -> None:
    broken = [invariant(False, broken=1, name=f"{each:0128}") for each in range(32)]
    outcome = judge([bar()] * 64, [metric()], invariants=broken)
    assert len(outcome.lines) == 96
    assert judge([bar()] * 64, [metric()], invariants=broken[::-1]) == outcome


@pytest.mark.parametrize(
    "more",
    [
        {"min": 1.0},
        {"max": 1.0},
        {"max_regression": 0.0},
        {"slice": "a"},
        {"slices": "Every"},
        {"unit": "x"},
        {"direction": "maximize"},
    ],
)
def test_a_rule_with_more_than_the_invariant_is_an_error(more: dict[str, object]) -> None:
    (line,) = judge([NO_LEAK.model_copy(update=more)], [metric()], invariants=[invariant()]).lines
    assert (line.verdict, "leave out the bars" in line.message) == ("Error", True)
    (line,) = judge([GateRule()], [metric()], invariants=[invariant()]).lines
    assert (line.verdict, "either a metric or an invariant" in line.message) == ("Error", True)


def test_words_score_and_storage() -> None:
    assert words(NO_LEAK) == "invariant no-leak holds"
    assert NO_LEAK.to_json() == {"invariant": "no-leak", "minSamples": 1}
    both = [NO_LEAK, bar()]
    assert score(both, judge(both, [metric(0.951234)], invariants=[invariant()])) == "accuracy 0.9512"
    assert score([NO_LEAK], judge([NO_LEAK], [], invariants=[invariant(False)])) == ""
    assert policy_hash(both) == policy_hash(both[::-1]) != policy_hash([bar()])
