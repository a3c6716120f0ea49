"""The paired tests: exact where they say so, never wrong more often than they may be, and the same on every machine."""

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from weighbridge.api.results import Comparison
from weighbridge.core.bounded import betting
from weighbridge.core.paired import at_least, clopper_pearson, compare, mcnemar
from weighbridge.core.signflip import BLOCKS, sign_flip


def weigh(
    candidate: list[float], champion: list[float], margin: float = 0.0, direction: str = "maximize", seed: str = "s"
) -> Comparison:
    left, right = ({f"{place:06}": value for place, value in enumerate(values)} for values in (candidate, champion))
    return compare(left, right, metric="accuracy", direction=direction, margin=margin, seed=seed)  # type: ignore[arg-type]


def p_values(found: Comparison) -> tuple[float, float]:
    assert found.p_not_inferior is not None
    assert found.p_inferior is not None
    return found.p_not_inferior, found.p_inferior


@given(st.integers(1, 3000), st.data())
def test_a_binomial_tail_is_that_of_scipy(n: int, data: st.DataObject) -> None:
    count, p = data.draw(st.integers(-1, n + 1)), data.draw(st.floats(0, 1))
    assert at_least(count, n, p) == pytest.approx(binom.sf(count - 1, n, p), rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("count", [1, 49_000, 50_000, 50_300, 51_000, 99_999])
def test_the_tail_of_a_hundred_thousand_is_that_of_scipy(count: int) -> None:
    assert at_least(count, 100_000, 0.5) == pytest.approx(binom.sf(count - 1, 100_000, 0.5), rel=1e-7)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(wins: int, losses: int) -> None:
    not_inferior, inferior = mcnemar(wins, losses)
    if wins + losses:
        assert not_inferior == pytest.approx(binomtest(wins, wins + losses, 0.5, "greater").pvalue)
        assert inferior == pytest.approx(binomtest(wins, wins + losses, 0.5, "less").pvalue)
    assert not_inferior + inferior >= 1


def bounds(wins: int, losses: int, n: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the difference, by Clopper-Pearson bounds: a tenth of alpha for the discordant rate."""
    discordant, rate, share = wins + losses, 0.1 * alpha, 0.9 * alpha
    most = beta.ppf(1 - rate, discordant + 1, n - discordant) if discordant < n else 1.0
    least = beta.ppf(rate, discordant, n - discordant + 1) if discordant else 0.0
    low = beta.ppf(share, wins, losses + 1) if wins else 0.0
    high = beta.ppf(1 - share, wins + 1, losses) if losses else 1.0
    return most * min(0.0, 2 * low - 1), least * min(0.0, 2 * high - 1)


@settings(max_examples=200)
@given(st.integers(1, 2000), st.data(), st.sampled_from([0.005, 0.02, 0.1, 0.3]), st.sampled_from([0.001, 0.01, 0.05, 0.2, 0.45]))
def test_with_a_margin_the_p_value_is_where_the_clopper_pearson_bounds_reach_it(
    n: int, data: st.DataObject, margin: float, alpha: float
) -> None:
    wins = data.draw(st.integers(0, n))
    losses = data.draw(st.integers(0, n - wins))
    not_inferior, inferior = clopper_pearson(wins, losses, n, margin)
    low, high = bounds(wins, losses, n, alpha)
    if abs(low + margin) > 1e-6:
        assert (not_inferior <= alpha) == (low > -margin)
    if abs(high + margin) > 1e-6:
        assert (inferior <= alpha) == (high < -margin)


@pytest.mark.parametrize(("wins", "losses", "n", "margin"), [(20, 20, 2000, 0.008), (5, 9, 1000, 0.02), (100, 90, 600, 0.03)])
def test_at_the_p_value_the_lower_bound_is_the_margin(wins: int, losses: int, n: int, margin: float) -> None:
    p, _ = clopper_pearson(wins, losses, n, margin)
    assert 0.0001 < p < 0.5
    assert bounds(wins, losses, n, p)[0] == pytest.approx(-margin, rel=1e-6)


@pytest.mark.parametrize(("wins", "losses", "n", "margin"), [(5, 40, 1000, 0.01), (10, 60, 500, 0.05), (0, 9, 100, 0.02)])
def test_at_the_other_p_value_the_upper_bound_is_the_margin(wins: int, losses: int, n: int, margin: float) -> None:
    _, p = clopper_pearson(wins, losses, n, margin)
    assert 0.0001 < p < 0.5
    assert bounds(wins, losses, n, p)[1] == pytest.approx(-margin, rel=1e-6)


def null(rate: float, margin: float, n: int) -> Iterator[tuple[int, int, float]]:
    """Each outcome (wins, losses) of n pairs whose difference lies on the margin, with its probability."""
    win, lose = (rate - margin) / 2, (rate + margin) / 2
    for wins in range(n + 1):
        for losses in range(n - wins + 1):
            ways = math.comb(n, wins) * math.comb(n - wins, losses)
            yield wins, losses, ways * win**wins * lose**losses * (1 - rate) ** (n - wins - losses)


def largest_excess(outcomes: list[tuple[float, float]]) -> float:
    """How far the probability of a p-value of at most alpha is above alpha, over all alphas, of outcomes (p-value, probability)."""
    total, worst = 0.0, -1.0
    for p, group in itertools.groupby(sorted(outcomes), key=lambda each: each[0]):
        total += sum(probability for _, probability in group)
        worst = max(worst, total - p)
    return worst


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
@pytest.mark.parametrize("margin", [0.01, 0.05, 0.1, 0.3, 0.8, 1.0])
def test_on_the_margin_the_exact_bound_is_wrong_at_most_as_often_as_it_may_be(n: int, margin: float) -> None:
    found = {(w, lost): clopper_pearson(w, lost, n, margin) for w in range(n + 1) for lost in range(n - w + 1)}
    for rate in {margin + (1 - margin) * step / 20 for step in range(21)}:
        outcomes = list(null(rate, margin, n))
        for side in (0, 1):
            assert largest_excess([(found[w, lost][side], p) for w, lost, p in outcomes]) <= 1e-9, (rate, side)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
def test_without_a_margin_mcnemar_is_wrong_at_most_as_often_as_it_may_be(n: int) -> None:
    for step in range(1, 21):
        outcomes = list(null(step / 20, 0.0, n))
        for side in (0, 1):
            assert largest_excess([(mcnemar(w, lost)[side], p) for w, lost, p in outcomes]) <= 1e-9


SMALL = 0.004
"""What nearly all differences of a skewed metric are."""


def bet(differences: list[float], margin: float) -> tuple[float, float]:
    return betting([each + margin for each in differences], margin)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.1, 0.3, 0.8, 1.0])
def test_on_the_margin_the_betting_test_of_0_and_1_is_wrong_at_most_as_often_as_it_may_be(n: int, margin: float) -> None:
    found = {
        (w, lost): bet([1.0] * w + [-1.0] * lost + [0.0] * (n - w - lost), margin)
        for w in range(n + 1)
        for lost in range(n - w + 1)
    }
    for rate in {margin + (1 - margin) * step / 10 for step in range(11)}:
        outcomes = list(null(rate, margin, n))
        for side in (0, 1):
            assert largest_excess([(found[w, lost][side], p) for w, lost, p in outcomes]) <= 1e-9, (rate, side)


@pytest.mark.parametrize("n", [1, 5, 17, 30, 60, 100, 300])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize(("usual", "rare"), [(SMALL, -0.9), (0.0, -0.9), (0.0, -0.3), (0.1, -1.0), (-0.5, 0.9), (-0.25, 1.0)])
def test_on_the_margin_skewed_scores_do_not_deceive_the_betting_test(n: int, margin: float, usual: float, rare: float) -> None:
    share = (usual + margin) / (usual - rare)  # of the rare difference, which puts the mean on the margin
    found = [bet([rare] * count + [usual] * (n - count), margin) for count in range(n + 1)]
    for side in (0, 1):
        outcomes = [(found[count][side], float(binom.pmf(count, n, share))) for count in range(n + 1)]
        assert largest_excess(outcomes) <= 1e-9


def collapse(digits: random.Random) -> tuple[float, float]:
    """On 3 % of the samples the candidate collapses: 0.027 worse on average."""
    score = digits.uniform(0.9, 0.99)
    return (score - 0.9 if digits.random() < 0.03 else score), score


def jitter(digits: random.Random) -> tuple[float, float]:
    score = digits.uniform(0.9, 0.94)
    return (score - 0.9 if digits.random() < 0.05 else score + digits.uniform(-0.02, 0.0589)), score


def nearly_bits(digits: random.Random) -> tuple[float, float]:
    """0 and 1 but for a few: which test is made is chance, too."""
    score = 0.1 if digits.random() < 0.002 else 1.0
    return (0.0 if digits.random() < 0.0102 else score), score


@pytest.mark.parametrize(("drawn", "margin"), [(collapse, 0.01), (jitter, 0.026), (nearly_bits, 0.01)])
@pytest.mark.parametrize(("n", "times"), [(17, 600), (30, 600), (60, 500), (100, 400), (300, 200), (600, 100)])
def test_a_regression_passes_no_more_often_than_promised(
    drawn: Callable[[random.Random], tuple[float, float]], margin: float, n: int, times: int
) -> None:
    digits = random.Random(f"{drawn.__name__} {n}")
    passed = 0
    for _ in range(times):
        pairs = [drawn(digits) for _ in range(n)]
        passed += p_values(weigh([one for one, _ in pairs], [other for _, other in pairs], margin))[0] <= 0.05
    assert passed <= binom.isf(1e-3, times, 0.05)


@pytest.mark.parametrize("discordant", [0, 1, 3, 10, 30])
@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
def test_on_0_and_1_the_betting_test_asks_for_at_least_half_of_what_the_exact_bound_asks(discordant: int, margin: float) -> None:
    """As many wins as losses."""
    low, high = 2 * discordant + 1, 100_000
    while low < high:
        middle = (low + high) // 2
        enough = clopper_pearson(discordant, discordant, middle, margin)[0] <= 0.05
        low, high = (low, middle) if enough else (middle + 1, high)
    values = [1.0, -1.0] * discordant + [0.0] * (low // 2 - 2 * discordant)
    assert bet(values, margin)[0] > 0.05


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.sampled_from([0.0, 0.01, 0.5, 1.0]), st.randoms())
def test_the_betting_test_knows_no_order_of_samples(values: list[float], margin: float, digits: random.Random) -> None:
    turned = digits.sample(values, len(values))
    assert bet(values, margin) == bet(turned, margin)


def test_the_betting_test_finds_what_is_plainly_so() -> None:
    digits = random.Random(11)
    champion = [digits.uniform(0.3, 0.7) for _ in range(1000)]
    for change, side in ((0.0, 0), (0.1, 0), (-0.1, 1)):
        candidate = [each + change + digits.uniform(-0.2, 0.2) for each in champion]
        found = weigh(candidate, champion, 0.05)
        assert (found.test, p_values(found)[side] < 0.05, p_values(found)[1 - side]) == ("Betting", True, 1.0)


def test_few_identical_scores_show_nothing_and_one_score_among_bits_changes_little() -> None:
    assert p_values(weigh([0.5] * 5, [0.5] * 5, 0.01))[0] > 0.9
    bits = weigh([1.0] * 30, [1.0] * 30, 0.01)
    mixed = weigh([1.0] * 29 + [0.5], [1.0] * 29 + [0.5], 0.01)
    assert (bits.test, mixed.test, p_values(bits)[0]) == ("ClopperPearson", "Betting", 1.0)
    assert p_values(mixed)[0] > 0.75
    assert p_values(weigh([0.5] * 500, [0.5] * 500, 0.01))[0] < 0.05


def test_a_margin_that_nothing_can_exceed_is_always_kept() -> None:
    assert p_values(weigh([0.0, 0.1], [1.0, 0.9], 1.5)) == (0.0, 1.0)
    assert p_values(weigh([0.5, 0.1], [1.0, 0.9], 1.0)) == (0.0, 1.0)


def test_other_scores_need_many_pairs() -> None:
    few = weigh([2.5] * 199, [2.0] * 199, 0.01)
    assert few.problem == "scores outside 0 to 1 take at least 200 pairs, and there are 199"
    assert (few.n, few.difference, few.p_not_inferior, few.p_inferior, few.test) == (199, None, None, None, "")
    many = weigh([2.5] * 200, [2.0] * 200, 0.01)
    assert (many.test, p_values(many), many.problem) == ("SignFlip", (0.0001, 1.0), "")
    assert weigh([2.5] * 3, [2.5] * 3).test == "Identical"


def test_a_hundred_thousand_scores_take_no_time() -> None:
    digits = random.Random(5)
    candidate, champion = ([digits.random() for _ in range(100_000)] for _ in range(2))
    started = time.process_time()
    weigh(candidate, champion, 0.01)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "values", [[1.0, 2, 3, 4], [0.5, 0.5, 0.5], [1.0, 0, 2, 0, 2], [1e-9, 1e9], [0.1] * 8, [3.0] * 4 + [1.0] * 5]
)
def test_over_all_signs_the_sign_flip_test_is_wrong_at_most_as_often_as_it_may_be(values: list[float]) -> None:
    every = list(itertools.product((1, -1), repeat=len(values)))
    found = [sign_flip([sign * value for sign, value in zip(signs, values, strict=True)], "s") for signs in every]
    for side in (0, 1):
        assert largest_excess([(each[side], 1 / len(every)) for each in found]) <= 1e-9


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_the_sign_flip_test_counts_flips_that_reach_as_far(values: list[int]) -> None:
    sums = [sum(s * v for s, v in zip(signs, values, strict=True)) for signs in itertools.product((1, -1), repeat=len(values))]
    expected = [sum(each >= sum(values) for each in sums) / len(sums), sum(each <= sum(values) for each in sums) / len(sums)]
    assert list(sign_flip([value / 10 for value in values], "s")) == pytest.approx(expected)


def test_random_flips_come_close_to_all_of_them_and_are_the_same_each_time() -> None:
    values = [math.sin(each * each) + 0.2 for each in range(40)]
    mean, deviation = sum(values), math.sqrt(sum(each * each for each in values))
    normal = 0.5 * math.erfc(mean / deviation / math.sqrt(2))
    above, below = sign_flip(values, "seed")
    assert above == pytest.approx(normal, abs=0.02)
    assert above + below == pytest.approx(1, abs=0.001)
    assert sign_flip(values, "seed") == (above, below) == (0.1862, 0.8139)
    assert sign_flip(values, "other seed") != (above, below)


def test_no_draw_makes_a_p_value_of_zero_and_many_samples_are_told_apart_as_few_are() -> None:
    worse = [-0.1 + 0.05 * math.sin(each) for each in range(20 * BLOCKS + 7)]
    assert sign_flip(worse, "s") == (1.0, 0.0001)
    assert sign_flip([-each for each in worse], "s") == (0.0001, 1.0)


BITS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=60)
UNIT = st.floats(0, 1)
SCORES = st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=30)
OTHERS = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=8).map(lambda drawn: drawn * 200)
MARGINS = st.sampled_from([0.0, 0.01, 0.5])


def only_one_side_can_be_shown(pairs: list[tuple[float, float]], margin: float) -> None:
    candidate, champion = [each for each, _ in pairs], [each for _, each in pairs]
    found = weigh(candidate, champion, margin)
    better, worse = p_values(found)
    assert 0 <= better <= 1
    assert 0 <= worse <= 1
    assert better + worse >= 1 - 1e-9
    assert found.n == len(pairs)
    mirrored = weigh([1 - each for each in candidate], [1 - each for each in champion], margin, "minimize")
    assert mirrored.difference == pytest.approx(found.difference, abs=1e-9)
    if found.test == mirrored.test and found.test != "SignFlip":
        assert p_values(mirrored) == pytest.approx((better, worse))


@given(BITS | SCORES, MARGINS)
def test_whatever_is_compared_only_one_side_can_be_shown_and_a_metric_to_minimize_is_the_mirror(
    pairs: list[tuple[float, float]], margin: float
) -> None:
    only_one_side_can_be_shown(pairs, margin)


@settings(deadline=None, max_examples=5)
@given(OTHERS, MARGINS)
def test_so_it_is_with_scores_outside_0_to_1(pairs: list[tuple[float, float]], margin: float) -> None:
    only_one_side_can_be_shown(pairs, margin)


@given(BITS)
def test_without_a_margin_to_swap_the_sides_is_to_swap_the_answers(pairs: list[tuple[float, float]]) -> None:
    one, other = [each for each, _ in pairs], [each for _, each in pairs]
    found, swapped = weigh(one, other), weigh(other, one)
    if found.test != "Identical":
        assert p_values(found) == pytest.approx(p_values(swapped)[::-1])


@given(BITS | SCORES, st.sampled_from([0.001, 0.01, 0.1]), st.sampled_from([2, 5]))
def test_a_wider_margin_never_makes_it_harder(pairs: list[tuple[float, float]], margin: float, times: int) -> None:
    candidate, champion = [each for each, _ in pairs], [each for _, each in pairs]
    tight, wide = p_values(weigh(candidate, champion, margin)), p_values(weigh(candidate, champion, margin * times))
    assert wide[0] <= tight[0] + 1e-9
    assert wide[1] >= tight[1] - 1e-9


def test_what_is_plainly_so_is_found() -> None:
    n = 2000
    champion = [1.0] * 1900 + [0.0] * 100
    same_but_for_noise = [1.0] * 1880 + [0.0] * 20 + [1.0] * 20 + [0.0] * 80
    worse = [1.0] * 1800 + [0.0] * 200
    found = weigh(same_but_for_noise, champion, 0.01)
    assert (found.test, found.n, found.difference) == ("ClopperPearson", n, 0.0)
    assert p_values(found)[0] < 0.05
    assert p_values(weigh(worse, champion, 0.01))[1] < 0.001
    assert p_values(weigh(worse, champion))[1] < 1e-20
    scores = [0.5 + 0.3 * math.sin(each) for each in range(n)]
    noisy = [each + 0.05 * math.cos(7 * place) for place, each in enumerate(scores)]
    assert p_values(weigh(noisy, scores, 0.01))[0] < 0.01
    assert p_values(weigh([each - 0.02 for each in noisy], scores, 0.01))[1] < 0.01


def test_identical_answers_are_no_regression_and_too_few_show_nothing_about_a_margin() -> None:
    found = weigh([1.0, 0.0], [1.0, 0.0])
    assert (found.test, p_values(found)) == ("Identical", (0.0, 1.0))
    assert weigh([0.3, 0.1], [0.3, 0.1]).test == "Identical"
    assert p_values(weigh([1.0] * 10, [1.0] * 10, 0.01))[0] > 0.5
    assert p_values(weigh([1.0] * 600, [1.0] * 600, 0.01))[0] < 0.05


def test_what_lies_on_the_margin_is_not_told_apart_by_rounding() -> None:
    found = weigh([0.7] * 10, [0.8] * 10, 0.1)
    assert (found.test, p_values(found)) == ("Betting", (1.0, 1.0))
    found = weigh([1.7] * 300, [1.8] * 300, 0.1)
    assert (found.test, p_values(found)) == ("SignFlip", (1.0, 1.0))


def test_samples_without_partner_are_a_problem_that_names_them() -> None:
    left, right = {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0, "e": 1.0}, {"a": 1.0}
    found = compare(left, right, metric="accuracy", direction="maximize", margin=0.1, seed="s", slice="new")
    assert found.problem == "4 samples were measured on one side only: b, c, d …"
    assert (found.n, found.slice, found.margin, found.p_not_inferior, found.p_inferior) == (1, "new", 0.1, None, None)
    longest = {"x" * 5000 + str(each): 1.0 for each in range(5)}
    assert len(compare(longest, {}, metric="accuracy", direction="maximize", margin=0.1, seed="s").problem) <= 512


@pytest.mark.parametrize(
    ("candidate", "champion", "margin"),
    [
        ([], [], 0.1),
        ([math.nan], [1.0], 0.1),
        ([1.0], [math.inf], 0.1),
        ([1.7e308], [-1.7e308], 0.1),
        ([1.0], [1.0], -0.1),
        ([1.0], [1.0], math.nan),
        ([1.0], [1.0], math.inf),
    ],
)
def test_what_is_no_number_is_refused(candidate: list[float], champion: list[float], margin: float) -> None:
    with pytest.raises(ValueError, match=r"margin|samples|finite"):
        weigh(candidate, champion, margin)


def test_the_order_of_samples_is_nothing() -> None:
    values = {f"s{each}": math.sin(each) for each in range(3000)}
    turned = dict(reversed(values.items()))
    other = {name: value - 0.001 * math.cos(value * 1000) for name, value in values.items()}
    one, two = (compare(each, other, metric="m", direction="minimize", margin=0.0, seed="s") for each in (values, turned))
    assert one == two
    assert one.to_json().keys() == {"metric", "margin", "n", "difference", "pNotInferior", "pInferior", "test", "problem"}
