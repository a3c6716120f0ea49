"""The result contract: only a whole, valid measurement of the expected subject ever becomes numbers."""

import base64
import hashlib
import json
import math
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from weighbridge.api.evaluationjob import Metric, Results
from weighbridge.core.evaluationfacts import ResultProblem
from weighbridge.evaluation import result
from weighbridge.evaluation.result import MAX_DOCUMENT, MAX_MESSAGE, ResultDocument, read_result, read_summary, summary

from .documents import DIGEST, OTHER_DIGEST, document, encoded, metric


def reason(outcome: Results | ResultProblem) -> str:
    return outcome.reason if isinstance(outcome, ResultProblem) else "Results"


def test_a_complete_document_becomes_results_with_its_hash() -> None:
    data = encoded(metric(unit="ratio", stderr=0.004, slice="new-customers"), metric("latency_p95", direction="minimize", value=3))
    outcome = read_result(data, DIGEST)
    assert outcome == Results(
        metrics=(
            Metric(name="accuracy", value=0.95, direction="maximize", n=171, unit="ratio", stderr=0.004, slice="new-customers"),
            Metric(name="latency_p95", value=3.0, direction="minimize", n=171),
        ),
        sha256=hashlib.sha256(data).hexdigest(),
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"null", "the document"),
        (b"[" * 100_000, "not JSON"),
        (encoded(metric(value=math.nan)), "not JSON"),
        (encoded(metric(value=math.inf)), "not JSON"),
        (encoded().replace(b"0.95", b"1e999"), "metrics[0].value must be a finite number"),
        (encoded().replace(b"0.95", b"1" + b"0" * 400), "metrics[0].value"),
        (encoded().replace(b"0.95", b"1" + b"0" * 5000), "not JSON"),
        (encoded(metric(value="0.95")), "metrics[0].value"),
        (encoded(metric(value=None)), "metrics[0].value"),
        (encoded(metric(value=True)), "metrics[0].value"),
        (encoded(metric(n=1.5)), "metrics[0].n"),
        (encoded(metric(n=-1)), "metrics[0].n"),
        (encoded(metric(n=True)), "metrics[0].n"),
        (encoded(metric(n=1 << 60)), "metrics[0].n"),
        (encoded(metric(stderr=-0.1)), "metrics[0].stderr"),
        (encoded(metric(direction="up")), "metrics[0].direction"),
        (encoded(metric(name="")), "metrics[0].name"),
        (encoded(metric(name="a\nb")), "metrics[0].name must hold printable characters only"),
        (encoded(metric(name="\ud800")), "metrics[0].name"),
        (encoded(metric(name="x" * 129)), "metrics[0].name"),
        (encoded({"name": "accuracy", "value": 1, "n": 1}), "metrics[0].direction is missing"),
        (encoded({"name": "accuracy", "value": 1, "direction": "maximize"}), "metrics[0].n is missing"),
        (encoded(metric(secret_typo=1)), "metrics[0] has a field that the contract does not know"),
        (encoded(metric(), metric()), "two metrics of the same name and slice"),
        (encoded(metric(slice="a"), metric(slice="a")), "two metrics of the same name and slice"),
        (encoded(metrics=[]), "at least one metric"),
        (encoded(*(metric(f"m{each}") for each in range(129))), "at most 128 metrics"),
        (encoded(schemaVersion="v2"), "schemaVersion"),
        (encoded(digest="sha256:short"), "subject.digest"),
        (encoded().replace(b'"value": 0.95', b'"value": 0.2, "value": 0.95'), "not JSON"),
    ],
)
def test_what_breaks_the_contract_is_no_result_and_the_message_says_where(data: bytes, says: str) -> None:
    outcome = read_result(data, DIGEST)
    assert isinstance(outcome, ResultProblem)
    assert (outcome.reason, says in outcome.message) == ("ResultInvalid", True), outcome.message
    assert "secret_typo" not in outcome.message
    assert "0.95" not in outcome.message


def test_a_result_for_another_subject_is_no_result() -> None:
    assert reason(read_result(encoded(digest=OTHER_DIGEST), DIGEST)) == "WrongSubject"
    assert reason(read_summary(summary(measured(1), OTHER_DIGEST).decode(), DIGEST)) == "WrongSubject"


def test_the_size_limit_is_on_the_byte() -> None:
    data = encoded()
    assert reason(read_result(data.ljust(MAX_DOCUMENT), DIGEST)) == "Results"
    assert reason(read_result(data.ljust(MAX_DOCUMENT + 1), DIGEST)) == "ResultTooLarge"


def test_the_same_metric_on_another_slice_is_another_metric() -> None:
    assert reason(read_result(encoded(metric(), metric(slice="a"), metric(slice="b")), DIGEST)) == "Results"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(field=st.sampled_from(["name", "value", "direction", "n", "unit", "stderr", "slice"]), value=JSON)
def test_whatever_stands_in_a_field_results_are_numbers_with_a_direction_and_a_count(field: str, value: Any) -> None:
    outcome = read_result(json.dumps(document(metric(**{field: value}))).encode(), DIGEST)
    if isinstance(outcome, ResultProblem):
        assert outcome.reason == "ResultInvalid"
        return
    (read,) = outcome.metrics
    if field != "value" or isinstance(value, bool):
        assert read.value == 0.95
    assert math.isfinite(read.value)
    assert isinstance(read.n, int)
    assert read.n >= 0
    assert read.direction in {"maximize", "minimize"}
    assert read.name.isprintable()


@given(JSON | st.builds(document, st.dictionaries(st.sampled_from(["name", "value", "n", "direction"]), JSON)))
def test_no_document_without_a_valid_measurement_reads_as_results(content: Any) -> None:
    outcome = read_result(json.dumps(content).encode(), DIGEST)
    try:
        ResultDocument.model_validate(content)
    except ValidationError:
        assert reason(outcome) == "ResultInvalid"
    else:
        assert isinstance(outcome, Results)
        assert outcome.metrics


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_noise_and_damage_never_change_numbers_unnoticed(noise: bytes, place: int, byte: int) -> None:
    assert reason(read_result(noise, DIGEST)) == "ResultInvalid"
    message = bytearray(summary(measured(3), DIGEST))
    message[place % len(message)] = byte
    outcome = read_summary(message.decode("latin-1"), DIGEST)
    assert outcome == measured(3) or reason(outcome) in {"ResultInvalid", "ResultMissing"}


def measured(count: int, name: str = "subscore_{}") -> Results:
    metrics = tuple(
        Metric(
            name=name.format(each), value=1 / (each + 3), direction="maximize", n=1000 + each, unit="ratio", stderr=1 / (each + 777)
        )
        for each in range(count)
    )
    return Results(metrics=metrics, sha256="c" * 64)


def test_a_summary_carries_everything_of_57_sub_scores() -> None:
    outcome = measured(57, name="mmlu_abstract_algebra_and_more_{}")
    message = summary(outcome, DIGEST)
    assert len(message) <= MAX_MESSAGE
    assert read_summary(message.decode(), DIGEST) == outcome


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


@pytest.mark.parametrize("problem", [result.MISSING, result.TOO_LARGE, result.WRONG_SUBJECT, read_result(b"{}", DIGEST)])
def test_a_problem_travels_as_it_is(problem: ResultProblem) -> None:
    assert read_summary(summary(problem, DIGEST).decode(), DIGEST) == problem


def packed(content: bytes) -> str:
    return "wb1:" + base64.b64encode(zlib.compress(content, 9)).decode()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "ResultMissing"),
        (" \n", "ResultMissing"),
        ("Error: out of memory", "ResultInvalid"),
        ("wb1:", "ResultInvalid"),
        ("wb1:!!!!", "ResultInvalid"),
        ("wb1:\u00e4", "ResultInvalid"),
        ("wb1:" + base64.b64encode(b"not zlib").decode(), "ResultInvalid"),
        (summary(measured(57), DIGEST).decode()[:-8], "ResultInvalid"),
        (packed(b" " * (1 << 21)), "ResultInvalid"),
        (packed(b"[" * 200_000), "ResultInvalid"),
        (packed(b"{}"), "ResultInvalid"),
        (packed(json.dumps({"problem": "RootedByEngine", "message": "x"}).encode()), "ResultInvalid"),
        (packed(json.dumps({"problem": "ResultMissing", "message": "x" * 513}).encode()), "ResultInvalid"),
        (packed(json.dumps({"problem": "ResultMissing", "message": "\u001b[2J"}).encode()), "ResultInvalid"),
        (packed(encoded()), "ResultInvalid"),
    ],
)
def test_a_hostile_message_is_a_problem(message: str, expected: str) -> None:
    assert reason(read_summary(message, DIGEST)) == expected


def test_the_published_schema_is_the_one_that_is_checked() -> None:
    """After a change: `python -m weighbridge.evaluation.result > operator/weighbridge/evaluation/result.schema.json`."""
    published = Path(result.__file__).with_name("result.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == result.schema()
