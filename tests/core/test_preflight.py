"""Pre-flight: layers with one reason each, fallbacks on definite absence alone, and nothing available that is not all there."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api.evaluationjob import EvaluationJobSpec, EvaluationJobStatus
from weighbridge.api.references import ModelReference
from weighbridge.core.checks import MOST
from weighbridge.core.facts import Absent, Failed, Known, Pending
from weighbridge.core.layers import LAYERS, NOT_THERE, layer
from weighbridge.core.preflight import Examination, examine
from weighbridge.core.subjects import Answers, ask, subjects

from .things import START, dataset_pin, evaluation_job, registry, snapshot

BASELINE = {"registryRef": {"name": "mlflow"}, "name": "baseline", "version": "2"}
OTHER = {"registryRef": {"name": "mlflow"}, "name": "other", "version": "3"}
REFERENCE = {"registryRef": {"name": "mlflow"}, "path": "older", "revision": "r"}
MODEL, BASE = Known(snapshot("1"), START), Known(snapshot("2"), START)
DATA = Known(dataset_pin(), START)
GONE = Absent("VersionNotFound", "no version 1", START)
DOWN = Failed("RegistryUnavailable", "no answer", START, 5.0)
NOT_OURS = (Absent("Gated", "accept the terms", START), Absent("AccessDenied", "not for you", START), DOWN, Pending())


def spec(*, fallbacks: tuple[Any, ...] = (), datasets: bool = False, instead: bool = False, **change: Any) -> EvaluationJobSpec:
    found = evaluation_job(datasets=datasets, fallback={"models": list(fallbacks)}, **change).spec.to_json()
    if instead:
        found["datasets"][0]["fallback"] = [REFERENCE]
    return EvaluationJobSpec.model_validate(found)


def look(wanted: EvaluationJobSpec, *answers: Answers, **policy: Any) -> Examination:
    return examine(wanted, {"mlflow": registry(**policy)}, answers)


def lines(found: Examination) -> list[tuple[str, str, str]]:
    return [(check.name, check.result, check.reason) for check in found.checks]


@pytest.mark.parametrize(
    ("answer", "passed", "stop"),
    [
        (Absent("ModelNotFound", "m", START), (), ("Model/Exists", "Failed", "ModelNotFound")),
        (Absent("AccessDenied", "m", START), (), ("Model/Access", "Failed", "AccessDenied")),
        (Absent("Gated", "m", START), ("Exists",), ("Model/Access", "Failed", "Gated")),
        (Absent("ArtifactIncomplete", "m", START), ("Exists", "Access"), ("Model/Complete", "Failed", "ArtifactIncomplete")),
        (Failed("ModelNotReady", "m", START, 1.0), ("Exists", "Access"), ("Model/Complete", "Waiting", "ModelNotReady")),
        (DOWN, (), ("Model/Exists", "Waiting", "RegistryUnavailable")),
        (Pending(), (), ("Model/Exists", "Waiting", "Checking")),
    ],
)
def test_one_reason_tells_how_every_layer_above_came_out(answer: Any, passed: tuple[str, ...], stop: tuple[str, str, str]) -> None:
    found = look(spec(), (answer,))
    said = [line for line in lines(found) if line[0].startswith("Model/")]
    assert said == [*((f"Model/{each}", "Passed", "Available") for each in passed), stop]
    assert found.decision == ("Refused" if stop[1] == "Failed" else "Waiting")
    assert found.resolved is None


def test_every_reason_has_one_layer() -> None:
    assert {layer(reason) for reason in NOT_THERE} == {"Exists", "Complete"}
    assert layer("NeverHeardOf") == LAYERS[0]


@pytest.mark.parametrize(("policy", "decision"), [("Allow", "Available"), ("Refuse", "Refused")])
def test_unsafe_formats_are_a_matter_of_policy(policy: str, decision: str) -> None:
    pickled = Known(snapshot("1", unsafe="weights only as pickle (model.pkl)"), START)
    found = look(spec(), (pickled,), unsafeFormats=policy)
    assert found.decision == decision
    (check,) = [each for each in found.checks if each.name == "Model/Format"]
    assert "model.pkl" in check.message
    assert (check.result, check.reason) == (("Failed", "UnsafeFormat") if policy == "Refuse" else ("Passed", "Available"))


def test_an_engine_that_cannot_load_the_format_is_told_before_a_pod_is_made() -> None:
    safetensors = Known(replace(snapshot("1"), formats=frozenset({"safetensors"})), START)
    found = look(spec(), (safetensors,))
    assert (found.decision, found.reason) == ("Refused", "EngineUnsupported")
    assert look(spec(evaluator={"engine": "container", "image": "mine"}), (safetensors,)).decision == "Available"


def test_a_fallback_is_asked_for_only_after_a_definite_absence() -> None:
    wanted = spec(fallbacks=(BASELINE, OTHER))
    asked: list[str] = []

    def said(**answers: Any) -> Answers:
        asked.clear()

        def question(reference: Any) -> Any:
            asked.append(reference.name)
            return answers[reference.name]

        return ask(subjects(wanted)[0], question)

    for answer in (MODEL, *NOT_OURS):
        assert said(model=answer) == (answer,)
    assert said(model=GONE, baseline=BASE) == (GONE, BASE)
    assert said(model=GONE, baseline=DOWN) == (GONE, DOWN)
    assert said(model=GONE, baseline=GONE, other=MODEL) == (GONE, GONE, MODEL)
    assert asked == ["model", "baseline", "other"]


def test_a_fallback_is_said_everywhere() -> None:
    found = look(spec(fallbacks=(BASELINE,)), (GONE, BASE))
    assert found.decision == "Available"
    assert found.resolved is not None
    assert (found.resolved.model.version, found.resolved.model.fallback, found.resolved.fallback) == ("2", True, True)
    assert "model 1" in found.fallback
    assert "baseline 2" in found.fallback
    assert "VersionNotFound" in found.fallback
    assert ("Model/Exists", "Failed", "VersionNotFound") in lines(found)
    assert ("Model/Fallback-1/Complete", "Passed", "Available") in lines(found)


@pytest.mark.parametrize("answer", NOT_OURS)
def test_a_fallback_that_cannot_be_told_is_not_skipped(answer: Any) -> None:
    found = look(spec(fallbacks=(BASELINE, OTHER)), (GONE, answer))
    assert found.decision == ("Refused" if isinstance(answer, Absent) else "Waiting")


def test_where_no_fallback_exists_the_wanted_one_is_named() -> None:
    found = look(spec(fallbacks=(BASELINE,)), (GONE, Absent("ModelNotFound", "no baseline", START)))
    assert (found.decision, found.reason) == ("Refused", "VersionNotFound")
    assert "no version 1; none of its fallbacks exists either" in found.message


def test_a_dataset_has_fallbacks_of_its_own() -> None:
    missing = Absent("DatasetNotFound", "no holdout", START)
    found = look(spec(datasets=True, instead=True), (MODEL,), (missing, DATA))
    assert found.resolved is not None
    assert (found.resolved.model.fallback, found.resolved.datasets[0].fallback) == (False, True)
    assert "older r is evaluated in its place" in found.fallback
    assert [each.references[1].path for each in subjects(spec(datasets=True, instead=True))[1:]] == ["older"]  # type: ignore[union-attr]


def test_its_age_is_that_of_the_oldest_answer_absences_included() -> None:
    old = Absent("VersionNotFound", "no", START - timedelta(minutes=9))
    assert look(spec(fallbacks=(BASELINE,)), (old, BASE)).oldest == START - timedelta(minutes=9)


ANSWER = st.sampled_from([MODEL, BASE, GONE, *NOT_OURS])


@given(st.lists(ANSWER, min_size=3, max_size=3), st.sampled_from([DATA, *NOT_OURS, Absent("DatasetNotFound", "no", START)]))
def test_available_means_all_of_it_and_an_outage_is_never_a_no(said: list[Any], dataset: Any) -> None:
    wanted = spec(fallbacks=(BASELINE, OTHER), datasets=True)
    by_name = dict(zip(("model", "baseline", "other"), said, strict=True))
    model = ask(subjects(wanted)[0], lambda ref: by_name[ref.name] if isinstance(ref, ModelReference) else dataset)
    found = look(wanted, model, (dataset,))
    assert (found.decision == "Available") == (isinstance(model[-1], Known) and isinstance(dataset, Known))
    assert (found.resolved is not None) == (found.decision == "Available")
    assert (found.decision == "Refused") == any(isinstance(each, Absent) for each in (model[-1], dataset))
    if found.resolved is not None:
        assert found.resolved.model.fallback == (len(model) > 1) == bool(found.fallback)
        assert all(isinstance(each, Absent) and each.reason in NOT_THERE for each in model[:-1])


def test_the_list_of_checks_fits_into_a_status_and_keeps_what_did_not_pass() -> None:
    names = [f"d{number}" for number in range(8)]
    other = [{"registryRef": {"name": "mlflow"}, "path": "other"}] * 4
    datasets = [{"name": name, "registryRef": {"name": "mlflow"}, "path": name, "fallback": other} for name in names]
    body = evaluation_job(fallback={"models": [BASELINE] * 4}).spec.to_json() | {"datasets": datasets}
    wanted = EvaluationJobSpec.model_validate(body)
    empty = Absent("ArtifactMissing", "no files", START)
    found = look(wanted, *((empty,) * 5 for _ in range(9)))
    assert len(found.checks) == MOST
    assert sum(check.result == "Failed" for check in found.checks) == 45
    assert EvaluationJobStatus(preflight=found.checks).preflight == found.checks


@pytest.mark.parametrize(("tables", "decision"), [(None, "Available"), (1, "Available"), (0, "Refused"), (2, "Refused")])
def test_a_dataset_that_the_engine_could_not_read_gets_no_pod(tables: int | None, decision: str) -> None:
    data = Known(dataset_pin().model_copy(update={"tables": tables}), START)
    assert look(spec(datasets=True), (MODEL,), (data,)).decision == decision
    container = {"engine": "container", "image": "mine"}
    assert look(spec(datasets=True, evaluator=container), (MODEL,), (data,)).decision == "Available"


def test_a_registry_that_was_not_asked_is_not_said_to_answer() -> None:
    unsupported = Absent("ReferenceUnsupported", "no revisions there", START)
    assert [name for name, *_ in lines(look(spec(), (unsupported,)))] == ["Model/Exists"]


@pytest.mark.parametrize(("size", "decision"), [(None, "Available"), (20 * 2**30, "Available"), (20 * 2**30 + 1, "Refused")])
def test_what_does_not_fit_on_the_pods_disk_gets_no_pod(size: int | None, decision: str) -> None:
    large = Known(replace(snapshot("1"), pin=snapshot("1").pin.model_copy(update={"size": size})), START)
    assert look(spec(), (large,)).decision == decision
    assert look(spec(scratch="1Ti"), (large,)).decision == "Available"
