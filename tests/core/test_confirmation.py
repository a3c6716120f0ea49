"""A version is promoted for the first time only on what the registry says now; policy and names of a registry count too."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.api.versionstatus import RegistryState
from weighbridge.core.facts import Absent, Failed, Known, ModelSnapshot, Pending
from weighbridge.core.modelversion import CONFIRMED, confirmed_since
from weighbridge.core.offers import RESULTS_TAG, results
from weighbridge.core.plan import Repoint, WriteRegistry

from .test_modelversion import after, condition, look, on, serving, verdict
from .things import START, dataset_pin, model_version, pin, registry, snapshot

OLD = START - timedelta(seconds=CONFIRMED + 1)
DOWN = Failed("RegistryUnavailable", "no answer", START, 5.0)


def pinned() -> ModelVersion:
    """Evaluated elsewhere, pinned here, not promoted yet."""
    return after(model_version("1"), evaluations={})


@pytest.mark.parametrize(
    ("answer", "serving", "wait", "stalled"),
    [
        (Known(snapshot("1"), OLD), ("Unknown", "Checking"), 0.5, "False"),
        (Pending(), ("Unknown", "Checking"), 0.5, "False"),
        (DOWN, ("Unknown", "RegistryUnavailable"), 5.0, "False"),
        (Absent("Gated", "accept the terms", START), ("False", "Gated"), 300.0, "True"),
    ],
)
def test_a_first_promotion_waits_for_the_registry(answer: Any, serving: tuple[str, str], wait: float, stalled: str) -> None:
    plan = look(pinned(), snapshot=answer)
    assert not [action for action in plan.actions if isinstance(action, Repoint)]
    assert condition(plan, "Serving") == serving
    assert condition(plan, "Stalled")[0] == stalled
    assert plan.requeue_after == wait, "no hot loop while the registry says no or nothing"
    assert confirmed_since(pinned().model_copy(update={"status": plan.status})) is not None


def test_bytes_that_changed_after_the_verdict_stop_the_promotion() -> None:
    plan = look(pinned(), snapshot=Known(snapshot("1", content="other"), START))
    assert not [action for action in plan.actions if isinstance(action, Repoint)]
    assert condition(plan, "Ready") == ("False", "ArtifactChanged")


def test_what_served_before_is_taken_back_without_the_registry() -> None:
    version = serving("1")
    assert confirmed_since(version) is None
    plan = look(version, snapshot=DOWN, targets=on("models:/model/9"))
    assert [action.cause for action in plan.actions if isinstance(action, Repoint)] == ["Restore"]


@pytest.mark.parametrize(("said", "promoted"), [(0.0, []), (0.9, []), (1.0, ["Promotion"]), (3.0, ["Promotion"])])
def test_only_what_was_said_after_the_wish_confirms_it(said: float, promoted: list[str]) -> None:
    """A promotion wished a moment after the last look must not rest on that look."""
    held = after(pinned())
    assert condition(look(pinned()), "Serving") == ("Unknown", "Checking")
    plan = look(held, at=3, snapshot=Known(snapshot("1"), START + timedelta(seconds=said)))
    assert [action.cause for action in plan.actions if isinstance(action, Repoint)] == promoted


def test_a_verdict_on_a_fallback_proves_nothing_about_the_version() -> None:
    version = model_version("1")
    job = verdict(version, "Passed")
    assert job.status.resolved is not None
    instead = job.status.resolved.model.model_copy(update={"fallback": True})
    status = job.status.model_copy(update={"resolved": job.status.resolved.model_copy(update={"model": instead})})
    measured = job.model_copy(update={"status": status})
    plan = look(version, evaluations={job.metadata.name: measured})
    assert condition(plan, "Evaluated") == ("False", "EvaluationError")
    assert not [action for action in plan.actions if isinstance(action, Repoint)]


def test_what_runs_code_is_refused_where_the_registry_says_so_unless_it_serves() -> None:
    unsafe = Known(snapshot("1", unsafe="weights only as pickle (model.pkl)"), START)
    strict = registry(unsafeFormats="Refuse")
    assert condition(look(model_version("1"), snapshot=unsafe, registry=strict), "Ready") == ("False", "UnsafeFormat")
    assert condition(look(pinned(), snapshot=unsafe, registry=strict), "Ready") == ("False", "UnsafeFormat")
    assert condition(look(pinned(), snapshot=unsafe), "Resolved") == ("True", "Pinned")
    stays = look(serving("1"), snapshot=unsafe, registry=strict, targets=on("models:/model/1"))
    assert condition(stays, "Serving") == ("True", "Proved")
    assert [(drift.type, "can run code" in drift.message) for drift in stays.status.drift] == [("Registry", True)]


def test_an_evaluation_that_somebody_else_made_proves_nothing() -> None:
    version = model_version("1")
    job = verdict(version, "Passed")
    easy = job.model_copy(update={"spec": job.spec.model_copy(update={"gate": ()})})
    plan = look(version, evaluations={job.metadata.name: easy})
    assert condition(plan, "Evaluated") == ("False", "EvaluationError")
    assert "made by somebody else" in plan.status.evaluations[0].message
    assert condition(look(version), "Evaluated") == ("True", "GatePassed")


def test_a_new_name_of_the_same_content_is_told_and_takes_nothing_away() -> None:
    renamed = snapshot("1").pin.model_copy(update={"name": "new", "digest": snapshot("2").pin.digest})
    plan = look(pinned(), snapshot=Known(replace(snapshot("1"), pin=renamed), START))
    assert condition(plan, "Resolved") == ("True", "Pinned")
    assert [(drift.type, "is called new" in drift.message) for drift in plan.status.drift] == [("Registry", True)]


SHA = "c" * 40


def hub_version() -> ModelVersion:
    source = {"registryRef": {"name": "mlflow"}, "name": "org/model", "revision": "main"}
    return model_version("1", source=source, evaluated=False)


def hub(*, aliases: Any = None, results: str = "None", **change: Any) -> dict[str, Any]:
    commit = pin("1").model_copy(update={"name": "org/model", "version": SHA, "uri": f"hf://org/model@{SHA}"})
    said: ModelSnapshot = replace(snapshot("1"), pin=commit, **change)
    policy = registry(mlflow=None, huggingFace={}, writeBack={"aliases": aliases or {}, "evaluationResults": results})
    return {"registry": policy, "snapshot": Known(said, START), "evaluations": {}}


def evaluated(version: ModelVersion) -> EvaluationJob:
    job = verdict(model_version("1"), "Passed")
    measured = {"metrics": [{"name": "accuracy", "value": 0.95, "direction": "maximize", "n": 9}], "sha256": "0" * 64}
    data = {**dataset_pin().to_json(), "path": "org/holdout"}
    body = {**job.status.to_json(), "results": measured}
    body["resolved"]["datasets"] = [data]
    return job.model_copy(update={"status": type(job.status).model_validate(body)})


def test_the_hub_keeps_no_state_which_is_no_error() -> None:
    told = look(hub_version(), **hub())
    assert condition(told, "RegistrySynced") == ("True", "WriteBackUnsupported")
    assert not [action for action in told.actions if isinstance(action, WriteRegistry)]


def test_a_hub_alias_is_a_git_tag_and_a_repository_of_others_is_no_error() -> None:
    aliases = {"Production": "champion"}
    where = on(f"hf://org/model@{SHA}")
    promoted = after(hub_version(), **hub(aliases=aliases))
    served = after(promoted, **hub(aliases=aliases), targets=where)
    plan = look(served, **hub(aliases=aliases), targets=where)
    (write,) = [action for action in plan.actions if isinstance(action, WriteRegistry)]
    assert (dict(write.order.tags), write.order.alias) == ({}, "champion")
    refused = Failed("WriteBackUnsupported", "the token may not set tags there", START, 3600.0)
    plan = look(served, at=60, **hub(aliases=aliases), targets=where, last_write=refused)
    assert condition(plan, "RegistrySynced") == ("True", "WriteBackUnsupported")
    assert not [action for action in plan.actions if isinstance(action, WriteRegistry)]


def test_results_are_offered_where_asked_and_only_those_of_this_content() -> None:
    job = evaluated(model_version("1"))
    assert job.status.resolved is not None
    same = job.status.resolved.model
    (offered,) = results([job], same)
    assert (offered.dataset, offered.metric, offered.value) == ("org/holdout", "accuracy", 0.95)
    assert results([job], pin("2")) == ()


def offering(version: ModelVersion, **said: Any) -> tuple[str, str, list[WriteRegistry]]:
    world = {**hub(results="PullRequest", **said), "evaluations": {"e": evaluated(model_version("1"))}}
    plan = look(version, **world)
    return *condition(plan, "RegistrySynced"), [action for action in plan.actions if isinstance(action, WriteRegistry)]


def test_results_are_offered_once_whatever_becomes_of_the_offer() -> None:
    version = after(hub_version(), **hub())
    status, reason, (write,) = offering(version)
    assert (status, reason) == ("Unknown", "Writing")
    assert [each.dataset for each in write.order.results] == ["org/holdout"]
    value = write.order.tags[RESULTS_TAG]
    assert offering(version, tags={RESULTS_TAG: f"newer {value}"})[:2] == ("True", "Synced")
    told = version.model_copy(
        update={"status": version.status.model_copy(update={"registry": RegistryState(tags={RESULTS_TAG: value})})}
    )
    assert offering(told) == ("True", "Synced", [])
