"""The result contract: only a whole, valid measurement of the expected subject ever becomes numbers."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from weighbridge.api.results import Invariant, Metric, Results
from weighbridge.core.evaluationfacts import ResultProblem
from weighbridge.evaluation import result
from weighbridge.evaluation.result import MAX_DOCUMENT, ResultDocument, read_result

from .documents import DIGEST, OTHER_DIGEST, document, encoded, invariant, metric


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
        (encoded(metric(unit="ratio", value=80)), "metrics[0] must have a value from 0 to 1"),
        (encoded(metric("loss"), metric(unit="ratio", value=-1e-9)), "metrics[1] must have a value from 0 to 1"),
        (encoded(invariants=[invariant(broken=1)]), "invariants[0] must hold just where"),
        (encoded(invariants=[invariant(n=0)]), "invariants[0] must hold just where"),
        (encoded(invariants=[invariant(holds=False)]), "invariants[0] must hold just where"),
        (encoded(invariants=[invariant(holds=False, n=1, broken=2)]), "invariants[0] must hold just where"),
        (encoded(invariants=[invariant(holds=1)]), "invariants[0].holds"),
        (encoded(invariants=[invariant("a\u001bb")]), "invariants[0].name must hold printable characters only"),
        (encoded(invariants=[invariant(), invariant()]), "two invariants of the same name"),
        (encoded(invariants=[invariant(str(each)) for each in range(33)]), "at most 128 metrics and 32 invariants"),
        (encoded(metrics=[]), "at least one metric"),
        (encoded(*(metric(f"m{each}") for each in range(129))), "at most 128 metrics and 32 invariants"),
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


@given(st.binary(max_size=200))
def test_noise_is_no_result(noise: bytes) -> None:
    assert reason(read_result(noise, DIGEST)) == "ResultInvalid"


def test_invariants_become_results() -> None:
    broken = invariant("never-leaks", holds=False, broken=2)
    outcome = read_result(encoded(invariants=[invariant(), broken, invariant("unseen", holds=False, n=0)]), DIGEST)
    assert isinstance(outcome, Results)
    assert outcome.invariants == (
        Invariant(name="never-insults", holds=True, n=40, broken=0),
        Invariant(name="never-leaks", holds=False, n=40, broken=2),
        Invariant(name="unseen", holds=False, n=0, broken=0),
    )


def test_the_published_schema_is_the_one_that_is_checked() -> None:
    """After a change: `python -m weighbridge.evaluation.result > operator/weighbridge/evaluation/result.schema.json`."""
    published = Path(result.__file__).with_name("result.schema.json").read_text(encoding="utf-8")
    assert json.loads(published) == result.schema()
