"""Conditions keep their transition time unless the status moves."""

from datetime import timedelta

from weighbridge.core.conditions import Draft, Summary, find, settle

from .things import START


def test_the_time_moves_only_with_the_status() -> None:
    first = settle((), [Draft("Ready", False, "Checking", "a")], 1, START)
    later = START + timedelta(minutes=1)
    second = settle(first, [Draft("Ready", False, "Waiting", "b")], 2, later)
    assert (second[0].last_transition_time, second[0].reason, second[0].observed_generation) == (START, "Waiting", 2)
    third = settle(second, [Draft("Ready", True, "Done", "c")], 2, later)
    assert third[0].last_transition_time == later


def test_ready_reconciling_and_stalled_never_contradict_each_other() -> None:
    for state, expected in (("Ready", "TFF"), ("InProgress", "FTF"), ("Stalled", "FFT")):
        drafts = Summary(state, "Reason").drafts()  # type: ignore[arg-type]
        settled = settle((), drafts, 1, START)
        assert "".join(each.status[0] for each in settled) == expected
    ready = find(settled, "Ready")
    assert ready is not None
    assert find(settled, "Other") is None


def test_messages_are_cut_to_what_the_schema_takes() -> None:
    (condition,) = settle((), [Draft("Ready", None, "Long", "x" * 5000)], 1, START)
    assert len(condition.message) == 1024
    assert condition.status == "Unknown"
