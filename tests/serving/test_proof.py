"""The questions of a probe and the judgement of any answer at all."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api.serving import HttpGet, Identity, Invariant, Probe
from weighbridge.serving.json_values import Odd, at, cut, misses, read, shown
from weighbridge.serving.proof import JSON, NO_ANSWER, Answer, Question, Trouble, examine

PORT = 8080
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)


def run(probe: Probe, answers: Callable[[Question], Answer]) -> tuple[Trouble | None, list[Question]]:
    """One examination; what came of it, and what was asked."""
    examination, asked = examine(probe), []
    try:
        question = next(examination)
        while True:
            asked.append(question)
            question = examination.send(answers(question))
    except StopIteration as end:
        return end.value, asked


def says(document: Any, status: int = 200) -> Callable[[Question], Answer]:
    return lambda question: Answer(status, json.dumps(document).encode())


def invariant(answer: str = "/predictions/0", body: str = '{"inputs": [1]}', **bounds: Any) -> Probe:
    return Probe(invariants=(Invariant(name="flat-fee", port=PORT, body=body, answer=answer, **bounds),))


def judged(document: Any, status: int = 200, **given: Any) -> Trouble | None:
    return run(invariant(**given), says(document, status))[0]


@pytest.mark.parametrize("value", [0.5, 0.9, 0.7, 0.50000001])
def test_a_number_within_its_bounds_passes(value: float) -> None:
    assert judged({"predictions": [value]}, min=0.5, max=0.9) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.49, "is 0.49, expected a number, at least 0.5 and at most 0.9"),
        (0.91, "is 0.91"),
        ("0.7", 'is "0.7", expected a number'),
        (True, "is true, expected a number"),
        (None, "is null"),
        ([0.7], "is a list"),
        ({"value": 0.7}, "is an object"),
        (math.nan, "is not a finite number"),
        (math.inf, "is not a finite number"),
        (-math.inf, "is not a finite number"),
        (10**400, "is 1000000000"),
    ],
)
def test_anything_else_is_wrong_and_told(value: Any, told: str) -> None:
    trouble = judged({"predictions": [value]}, min=0.5, max=0.9)
    assert trouble is not None
    assert trouble.wrong
    assert told in trouble.message
    assert "invariant flat-fee" in trouble.message
    assert len(trouble.message) < 300


@pytest.mark.parametrize("bounds", [{"min": 0}, {"max": 2}])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_open_end_lets_no_infinity_pass(bounds: dict[str, Any], value: float) -> None:
    assert judged({"predictions": [value]}, **bounds) is not None


@pytest.mark.parametrize(
    "document", [{}, [], {"predictions": []}, {"predictions": {"1": 1}}, {"Predictions": [1]}, 1, None, "predictions"]
)
def test_a_missing_value_never_passes(document: Any) -> None:
    trouble = judged(document, min=-1e308)
    assert trouble is not None
    assert trouble.wrong
    assert "nothing at /predictions/0" in trouble.message


@pytest.mark.parametrize(("value", "passes"), [("low", True), ("Low", False), ("low ", False), (["low"], False), (None, False)])
def test_a_text_is_equal_or_not(value: Any, passes: bool) -> None:
    assert (judged({"predictions": [value]}, equals="low") is None) is passes


@pytest.mark.parametrize(("value", "text"), [(3, "3"), (3.0, "3.0"), (True, "true"), (None, "null"), (None, "")])
def test_equals_means_a_text_and_nothing_that_reads_like_it(value: Any, text: str) -> None:
    assert judged({"predictions": [value]}, equals=text) is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b'{"a":' * 40_000, b'{"predictions":[' + b"9" * 20_000 + b"]}", b"1 2", b"<html>"],
)
def test_an_answer_that_is_no_json_is_wrong_and_harms_nobody(body: bytes) -> None:
    trouble, _ = run(invariant(min=0), lambda question: Answer(200, body))
    assert trouble is not None
    assert trouble.wrong
    assert "is not JSON" in trouble.message


def test_an_answer_that_is_too_long_is_wrong_even_where_its_start_is_json() -> None:
    trouble, _ = run(invariant(min=0), lambda question: Answer(200, b'{"predictions": [1]}', cut=True))
    assert trouble is not None
    assert f"longer than {JSON // 1024} KiB" in trouble.message


@pytest.mark.parametrize("status", [400, 404, 405, 409, 410, 415, 422, 500, 501, 505, 204, 201])
def test_a_status_about_the_answer_is_wrong(status: int) -> None:
    trouble = judged({"predictions": [1]}, status, min=0)
    assert trouble is not None
    assert trouble.wrong
    assert f"status {status}" in trouble.message


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 407, 408, 421, 425, 429, 502, 503, 504])
def test_a_status_about_the_moment_or_the_asker_is_no_evidence(status: int) -> None:
    trouble = judged({"predictions": [1]}, status, min=0)
    assert trouble is not None
    assert not trouble.wrong


def test_a_body_that_is_no_json_is_not_even_posted() -> None:
    trouble, asked = run(invariant(body="{inputs: [1]}", min=0), says({"predictions": [1]}))
    assert asked == []
    assert trouble is not None
    assert not trouble.wrong
    assert "correct it in the spec" in trouble.message


def test_the_first_trouble_ends_the_examination() -> None:
    questions = Probe(
        http_get=HttpGet(path="/ping?token=s3cret", port=PORT),
        identity=Identity(protocol="OpenAI", port=PORT, value="/m/7"),
        invariants=(Invariant(name="a", port=PORT, body="{}", min=0), Invariant(name="b", port=9090, body="{}", min=0)),
    )
    trouble, asked = run(questions, says({}, 404))
    assert [each.path for each in asked] == ["/ping?token=s3cret"]
    assert trouble is not None
    assert "s3cret" not in trouble.message
    good = {"/ping?token=s3cret": {}, "/v1/models": {"data": [{"id": "m", "root": "/m/7"}]}, "/invocations": 1}
    trouble, asked = run(questions, lambda question: says(good[question.path])(question))
    assert trouble is None
    assert [each.path for each in asked] == ["/ping?token=s3cret", "/v1/models", "/invocations", "/invocations"]
    assert [each.port for each in asked] == [PORT, PORT, PORT, 9090]


# RFC 6901, section 5
RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3), ("/g|h", 4),
        ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_pointers_as_in_the_standard(pointer: str, value: Any) -> None:
    assert at(RFC, pointer) == value


def test_escapes_are_undone_once() -> None:
    assert at({"~1": "tilde one", "/": "slash"}, "/~01") == "tilde one"


@pytest.mark.parametrize(
    "pointer",
    ["foo", "/foo/2", "/foo/-", "/foo/-1", "/foo/01", "/foo/+1", "/foo/1.0", "/foo/١", "/m~2n", "/m~", "/foo/" + "9" * 240],
)
def test_pointers_that_point_at_nothing(pointer: str) -> None:
    assert isinstance(at({**RFC, "m~2n": 1, "m~": 1}, pointer), Odd)


@given(documents, st.data())
def test_a_pointer_finds_what_the_path_to_it_finds(document: Any, data: st.DataObject) -> None:
    value, pointer = document, ""
    while isinstance(value, dict | list) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else list(range(len(value)))))
        pointer += "/" + str(key).replace("~", "~0").replace("/", "~1")
        value = value[key]
    assert at(document, pointer) is value


@given(documents, st.none() | st.floats(-1e6, 1e6), st.none() | st.floats(-1e6, 1e6))
def test_no_value_passes_a_bound_but_a_finite_number_within_it(value: Any, least: float | None, most: float | None) -> None:
    passes = not misses(value, least=least, most=most, text=None)
    finite = type(value) is int or (type(value) is float and abs(value) < math.inf)
    inside = finite and not (least is not None and value < least) and not (most is not None and value > most)
    assert passes is (inside and (least is not None or most is not None))


@given(st.binary(max_size=200), st.sampled_from(["", "/predictions/0", "/a", "/0"]))
def test_no_bytes_pass_unless_a_number_within_the_bounds_is_where_it_should_be(body: bytes, pointer: str) -> None:
    trouble, _ = run(invariant(pointer, min=0, max=1), lambda question: Answer(200, body))
    if trouble is None:
        found = at(json.loads(body), pointer)
        assert type(found) in (int, float)
        assert 0 <= found <= 1


@given(documents, st.integers(100, 599))
def test_no_document_passes_an_identity_it_does_not_name(document: Any, status: int) -> None:
    identity = Identity(protocol="OpenAI", port=PORT, value="models:/fraud/7-\N{SNOWMAN}")
    trouble, _ = run(Probe(identity=identity), says(document, status))
    assert trouble is not None
    assert trouble.wrong is (status not in NO_ANSWER)
    other = Identity(protocol="OpenInference", port=PORT, model="fraud", value="7-\N{SNOWMAN}")
    trouble, _ = run(Probe(identity=other), lambda question: says(document)(question) if question.most else Answer(404))
    assert trouble is not None
    assert trouble.wrong


@given(st.integers(100, 599))
def test_only_200_passes_anything(status: int) -> None:
    probe = Probe(http_get=HttpGet(port=PORT), expect="ready")
    trouble, _ = run(probe, lambda question: Answer(status, b"ready"))
    assert (trouble is None) is (status == 200)


@given(st.text(st.characters(), max_size=300))
def test_texts_in_messages_are_short_and_printable(text: str) -> None:
    assert len(cut(text)) <= 65
    assert cut(text).isprintable()
    shown(text).encode()


@given(documents)
def test_what_was_written_is_read(document: Any) -> None:
    assert repr(read(json.dumps(document).encode())) == repr(document)
