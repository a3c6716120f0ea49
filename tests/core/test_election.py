"""Election: a total function of the claims alone."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.core.election import Claim, newest_first, waits_for, winner

from .things import START


def a_claim(name: str, **kind: object) -> Claim:
    fields = {
        "name": name,
        "precedence": 0,
        "created_at": START,
        "eligible": True,
        "undecided": False,
        "value": name,
        "refused": False,
        "serves": False,
    }
    return Claim(**(fields | kind))  # type: ignore[arg-type]


claims = st.lists(
    st.builds(
        a_claim,
        st.sampled_from("abcdef"),
        precedence=st.integers(-1, 1),
        created_at=st.none() | st.integers(0, 3).map(lambda days: START + timedelta(days=days)),
        eligible=st.booleans(),
    ),
    unique_by=lambda each: each.name,
)


@given(claims, st.randoms())
def test_the_winner_does_not_depend_on_the_order_of_claims(found: list[Claim], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert winner(found) == winner(shuffled)
    assert newest_first(found) == newest_first(shuffled)


@given(claims)
def test_only_eligible_claims_win_and_no_newer_eligible_one_loses(found: list[Claim]) -> None:
    won = winner(found)
    assert (won is None) == (not any(each.eligible for each in found))
    if won is not None:
        assert won.eligible
        ahead = newest_first(found)[: newest_first(found).index(won)]
        assert not any(each.eligible for each in ahead)


@given(claims)
def test_losing_a_claim_that_did_not_win_changes_nothing(found: list[Claim]) -> None:
    won = winner(found)
    for each in found:
        if each != won:
            assert winner([other for other in found if other != each]) == won


def test_precedence_goes_before_time_and_time_before_name() -> None:
    old, new = a_claim("z-old"), a_claim("a-new", created_at=START + timedelta(days=1))
    assert winner([old, new]) == new
    pinned = a_claim("old", precedence=1)
    assert winner([pinned, new]) == pinned
    assert winner([a_claim("a"), a_claim("b")]) == a_claim("b")


def test_an_older_claim_is_evaluated_only_to_win_or_as_the_one_standby() -> None:
    def days(count: int) -> object:
        return START + timedelta(days=count)

    mine = a_claim("mine", eligible=False, undecided=True)
    pending = a_claim("pending", eligible=False, undecided=True, created_at=days(1))
    refused = a_claim("refused", eligible=False, created_at=days(2))
    good, better = a_claim("good", created_at=days(3)), a_claim("better", created_at=days(4))
    unresolved = a_claim("unresolved", eligible=False, undecided=True, created_at=None)
    assert waits_for("mine", [mine]) is None
    assert waits_for("mine", [mine, refused]) is None
    assert waits_for("mine", [mine, good]) is None
    assert waits_for("mine", [mine, pending]) == "pending"
    assert waits_for("mine", [mine, good, better]) == ""
    assert waits_for("mine", [mine, unresolved]) == "unresolved"
    assert waits_for("pending", [mine, pending]) is None
