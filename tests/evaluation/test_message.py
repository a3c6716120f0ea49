"""From the reporter to the operator: everything of a large evaluation fits, and a message that was tampered with is no result."""

import base64
import hashlib
import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api.evaluationjob import Invariant, Metric, Results
from weighbridge.api.report import Report
from weighbridge.core.evaluationfacts import ResultProblem
from weighbridge.evaluation import result
from weighbridge.evaluation.message import MAX_MESSAGE, read_summary, summary
from weighbridge.evaluation.result import read_result

from .documents import DIGEST, MMLU, MMLU_GROUPS, OTHER_DIGEST, encoded

COMPARISONS = 5 * 1.25 * 220
"""Bytes that five comparisons with a champion need at the most: 220 bytes of JSON each, not compressed at all."""


def reason(outcome: Results | ResultProblem) -> str:
    return outcome.reason if isinstance(outcome, ResultProblem) else "Results"


def measured(count: int) -> Results:
    metrics = tuple(Metric(name=f"m{each}", value=1 / (each + 3), direction="maximize", n=1000 + each) for each in range(count))
    return Results(metrics=metrics, sha256="c" * 64)


def mmlu(names: tuple[str, ...]) -> Results:
    """Measurements as lm-eval gives them, no two digits alike."""
    digits = random.Random(1)
    metrics = tuple(
        Metric(
            name=f"mmlu_{name}/acc",
            value=digits.random(),
            direction="maximize",
            n=digits.randint(100, 1534),
            unit="ratio",
            stderr=digits.random() / 20,
        )
        for name in names
    )
    return Results(metrics=metrics, sha256=hashlib.sha256(b"document").hexdigest())


def test_a_summary_carries_57_sub_scores_to_the_last_digit() -> None:
    message = summary(mmlu(MMLU), DIGEST)
    assert len(MMLU) == 57
    assert 2400 < len(message) < 2600
    assert read_summary(message.decode(), DIGEST) == mmlu(MMLU)


def test_a_summary_of_everything_there_is_leaves_room_for_five_comparisons() -> None:
    names = ("never-leaks-a-secret", "never-insults", "answers-in-the-language-of-the-question")
    invariants = tuple(Invariant(name=name, holds=True, n=1000 + len(name), broken=0) for name in names)
    report = Report(uri=f"runs:/{'0123456789abcdef' * 2}", sha256=hashlib.sha256(b"sums").hexdigest(), bytes=123456789)
    outcome = mmlu((*MMLU, *MMLU_GROUPS)).model_copy(update={"invariants": invariants, "report": report})
    message = summary(outcome, DIGEST)
    assert len(message) < 2950
    assert len(message) + COMPARISONS / 2 < MAX_MESSAGE, "they compress to less than half"
    assert read_summary(message.decode(), DIGEST) == outcome


def test_invariants_are_never_dropped() -> None:
    names = ["".join(chr(0x20000 + (each * 7919 + number * 104729) % 0x4000) for each in range(128)) for number in range(32)]
    invariants = tuple(Invariant(name=name, holds=False, n=1, broken=1) for name in names)
    outcome = read_summary(summary(measured(3).model_copy(update={"invariants": invariants}), DIGEST).decode(), DIGEST)
    assert reason(outcome) == "ResultTooLarge"


def test_a_summary_about_another_subject_is_no_result() -> None:
    assert reason(read_summary(summary(measured(1), OTHER_DIGEST).decode(), DIGEST)) == "WrongSubject"


@pytest.mark.parametrize(
    "report", [Report(problem="ReportRefused"), Report(uri="runs:/1", sha256="a" * 64, problem="SamplesInvalid")]
)
def test_a_report_that_is_not_there_or_not_all_right_says_why(report: Report) -> None:
    outcome = measured(1).model_copy(update={"report": report})
    assert read_summary(summary(outcome, DIGEST).decode(), DIGEST) == outcome


@given(st.integers(0, 400), st.integers(0, 255))
def test_damage_never_changes_numbers_unnoticed(place: int, byte: int) -> None:
    message = bytearray(summary(measured(3), DIGEST))
    message[place % len(message)] = byte
    outcome = read_summary(message.decode("latin-1"), DIGEST)
    assert outcome == measured(3) or reason(outcome) in {"ResultInvalid", "ResultMissing"}


def test_what_does_not_fit_is_dropped_from_the_end_and_counted() -> None:
    hashed = tuple(
        Metric(name=hashlib.sha512(bytes([each])).hexdigest(), value=1 / (each + 3), direction="minimize", n=each)
        for each in range(128)
    )
    message = summary(Results(metrics=hashed, sha256="c" * 64), DIGEST)
    outcome = read_summary(message.decode(), DIGEST)
    assert isinstance(outcome, Results)
    assert len(message) <= MAX_MESSAGE
    assert outcome.metrics == hashed[: len(outcome.metrics)]
    assert outcome.truncated == 128 - len(outcome.metrics) > 0


def test_the_largest_single_metric_fits() -> None:
    longest = {"name": 128, "slice": 128, "unit": 32}
    text = {field: "".join(chr(0x20000 + (each * 7919 + size) % 0x4000) for each in range(size)) for field, size in longest.items()}
    largest = Metric(value=-1.2345678901234567e-300, direction="minimize", n=(1 << 53) - 1, stderr=1.2345678901234567e-300, **text)
    outcome = Results(metrics=(largest,), sha256="c" * 64)
    assert read_summary(summary(outcome, DIGEST).decode(), DIGEST) == outcome


PROBLEMS = (result.MISSING, result.TOO_LARGE, result.DUPLICATED, result.WRONG_SUBJECT, read_result(b"{}", DIGEST))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_travels_as_it_is(problem: ResultProblem) -> None:
    assert read_summary(summary(problem, DIGEST).decode(), DIGEST) == problem


def packed(content: bytes) -> str:
    return "wb2:" + base64.b85encode(zlib.compress(content, 9)).decode()


def with_columns(**columns: Any) -> bytes:
    whole = {"name": ["accuracy"], "value": [0.5], "direction": ["maximize"], "n": [1]}
    metrics = {name: [None] for name in ("unit", "stderr", "slice")} | whole | columns
    content = {"subject": {"digest": DIGEST}, "sha256": "c" * 64, "truncated": 0, "metrics": metrics}
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "ResultMissing"),
        (" \n", "ResultMissing"),
        ("Error: out of memory", "ResultInvalid"),
        ("wb2:", "ResultInvalid"),
        ('wb2:""', "ResultInvalid"),
        ("wb2:\u00e4", "ResultInvalid"),
        ("wb2:" + base64.b85encode(b"not zlib").decode(), "ResultInvalid"),
        (summary(measured(57), DIGEST).decode()[:-8], "ResultInvalid"),
        (packed(b" " * (1 << 21)), "ResultInvalid"),
        (packed(b"[" * 200_000), "ResultInvalid"),
        ("wb1:" + base64.b64encode(zlib.compress(encoded(), 9)).decode(), "ResultInvalid"),
        (packed(b"{}"), "ResultInvalid"),
        (packed(with_columns(name=["a", "b"])), "ResultInvalid"),
        (packed(with_columns(name="accuracy")), "ResultInvalid"),
        (packed(with_columns(extra=[1])), "ResultInvalid"),
        (packed(with_columns(value=[7.0], unit=["ratio"])), "ResultInvalid"),
        (packed(with_columns(direction=[["maximize"]])), "ResultInvalid"),
        (packed(json.dumps({"problem": "RootedByEngine", "message": "x"}).encode()), "ResultInvalid"),
        (packed(json.dumps({"problem": "ResultMissing", "message": "x" * 513}).encode()), "ResultInvalid"),
        (packed(json.dumps({"problem": "ResultMissing", "message": "\u001b[2J"}).encode()), "ResultInvalid"),
        (packed(encoded()), "ResultInvalid"),
    ],
)
def test_a_hostile_message_is_a_problem(message: str, expected: str) -> None:
    assert reason(read_summary(message, DIGEST)) == expected
