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
from pydantic.alias_generators import to_camel

from weighbridge.api.report import Report
from weighbridge.api.results import Comparison, Invariant, Metric, Results
from weighbridge.core.evaluationfacts import ResultProblem
from weighbridge.evaluation import result
from weighbridge.evaluation.message import MAX_MESSAGE, read_summary, summary
from weighbridge.evaluation.result import read_result

from .documents import DIGEST, MMLU, MMLU_GROUPS, OTHER_DIGEST, encoded


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


def paired(number: int, **fields: Any) -> Comparison:
    """A paired test as the reporter makes it, no two digits alike."""
    digits = random.Random(f"test {number}")
    return Comparison(
        metric=f"mmlu_{MMLU[number]}/acc",
        margin=0.01,
        n=digits.randint(100, 1534),
        difference=digits.random() / 20,
        p_not_inferior=digits.random() / 1000,
        p_inferior=digits.random(),
        test=digits.choice(("McNemar", "ClopperPearson", "Betting", "SignFlip")),
    ).model_copy(update=fields)


def test_a_summary_of_everything_there_is_with_five_comparisons_fits() -> None:
    names = ("never-leaks-a-secret", "never-insults", "answers-in-the-language-of-the-question")
    invariants = tuple(Invariant(name=name, holds=True, n=1000 + len(name), broken=0) for name in names)
    report = Report(uri=f"runs:/{'0123456789abcdef' * 2}", sha256=hashlib.sha256(b"sums").hexdigest(), bytes=123456789)
    comparisons = tuple(paired(number) for number in range(5))
    outcome = mmlu((*MMLU, *MMLU_GROUPS)).model_copy(
        update={"invariants": invariants, "report": report, "comparisons": comparisons}
    )
    message = summary(outcome, DIGEST)
    print(f"{len(message)} bytes")
    assert len(message) < 3400
    assert read_summary(message.decode(), DIGEST) == outcome


def test_comparisons_stay_where_metrics_do_not_fit() -> None:
    comparisons = (*(paired(number) for number in range(30)), Comparison(metric="m", slice="s", margin=0, n=0, problem="why"))
    outcome = mmlu(MMLU).model_copy(update={"comparisons": comparisons})
    found = read_summary(summary(outcome, DIGEST).decode(), DIGEST)
    assert isinstance(found, Results)
    assert found.comparisons == comparisons
    assert (len(found.metrics) + found.truncated, found.truncated > 0) == (57, True)


def test_comparisons_that_do_not_fit_are_said_to() -> None:
    for comparisons in ([paired(number % 57, slice=str(number)) for number in range(128)], [paired(1)] * 129):
        found = read_summary(summary(measured(3).model_copy(update={"comparisons": tuple(comparisons)}), DIGEST).decode(), DIGEST)
        assert isinstance(found, ResultProblem)
        assert found == ResultProblem("ResultTooLarge", "the comparisons with the champion do not fit into the reporter's message")


@pytest.mark.parametrize(
    "fields",
    [
        {"p_not_inferior": None},
        {"difference": None},
        {"p_inferior": 1.5},
        {"difference": 10**400},
        {"margin": -0.1},
        {"n": 0},
        {"n": "5"},
        {"test": ""},
        {"test": "TTest"},
        {"problem": "why"},
        {"problem": "\u001b[2J", "difference": None, "p_not_inferior": None, "p_inferior": None, "test": ""},
        {"metric": ""},
    ],
)
def test_a_comparison_that_is_none_makes_the_message_unreadable(fields: dict[str, Any]) -> None:
    whole = paired(0).to_json() | {to_camel(name): value for name, value in fields.items()}
    content = json.loads(with_columns()) | {"comparisons": [{name: value for name, value in whole.items() if value is not None}]}
    assert reason(read_summary(packed(json.dumps(content).encode()), DIGEST)) == "ResultInvalid"


def test_the_same_comparison_twice_makes_the_message_unreadable() -> None:
    content = json.loads(with_columns()) | {"comparisons": [paired(0).to_json(), paired(0, n=7).to_json()]}
    assert reason(read_summary(packed(json.dumps(content).encode()), DIGEST)) == "ResultInvalid"
    content["comparisons"].pop()
    assert reason(read_summary(packed(json.dumps(content).encode()), DIGEST)) == "Results"


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
