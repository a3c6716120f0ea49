"""The metrics as a whole: bounded whatever users write, right for Prometheus' parser, and cheap with many objects."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.core.things import START, evaluation_job, model_version, pin, registry

from weighbridge.api.base import Key, Resource
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.series import MOST_WORDS

ODD = 'odd"\\\n{}€'
MODEL = ODD.replace("\n", "")
MANY = 10_000


class Inventory:
    """A store with these objects."""

    def __init__(self, *there: Resource) -> None:
        self.there = list(there)

    def resources(self) -> Iterable[Resource]:
        return self.there


def metrics(inventory: Inventory) -> Metrics:
    return Metrics(Queue[Key](lambda key: key), inventory)


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": START}


def with_status(resource: Resource, **status: Any) -> Any:
    return type(resource).model_validate({**resource.model_dump(by_alias=True), "status": status})


def version(number: int, **more: Any) -> Any:
    """A ModelVersion with everything that gauges tell of one."""
    kinds = ("Ready", "Approved", "Evaluated", "RegistrySynced", "RollbackReady")
    return with_status(
        model_version(str(number)),
        phase="Serving",
        version=str(number),
        resolved=pin(str(number)).model_dump(by_alias=True),
        conditions=[condition(kind, "False", "RolloutFailed") for kind in kinds],
        serving=[{"target": "Deployment/server", "state": "Serving"}],
        drift=[{"type": "Pointer", "message": "", "since": START}],
        **more,
    )


def measured(number: int, metric: str = "accuracy") -> Any:
    job = evaluation_job(metadata={"name": f"job-{number}"}, gate=[{"metric": metric, "min": 0.9, "maxRegression": 0.1}])
    line = {"rule": "r", "verdict": "Passed", "value": 0.95, "champion": 0.94}
    return with_status(job, phase="Passed", verdict={"result": "Passed", "lines": [line]})


def samples(told: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(told.text().decode())
    found = [(each.name, tuple(sorted(each.labels.items())), each.value) for family in families for each in family.samples]
    assert len({each[:2] for each in found}) == len(found), "each series once"
    return {(name, labels): value for name, labels, value in found}


def test_text_of_users_reaches_prometheus_as_it_is() -> None:
    odd = model_version("1", source={"registryRef": {"name": "mlflow"}, "name": MODEL, "version": "1"})
    unreachable = with_status(registry(), conditions=[condition("Ready", "False", "RegistryUnavailable")])
    waiting = with_status(evaluation_job(), phase="Queued", job={"name": "j", "waitingSince": START})
    found = samples(metrics(Inventory(odd, measured(1, ODD), unreachable, waiting, version(2))))
    models = {dict(labels)["model"] for name, labels in found if name == "weighbridge_modelversion_info"}
    assert models == {MODEL, "model"}
    scored = {
        name: (dict(labels)["metric"], value)
        for (name, labels), value in found.items()
        if "weighbridge_evaluation_" in name and "metric" in dict(labels)
    }
    assert scored == {
        "weighbridge_evaluation_score": (ODD, 0.95),
        "weighbridge_evaluation_threshold": (ODD, 0.9),
        "weighbridge_evaluation_champion_score": (ODD, 0.94),
    }
    who = (("name", "v2"), ("namespace", "ns"))
    assert found["weighbridge_modelversion_write_back_waiting_since_timestamp_seconds", who] == START.timestamp()
    approved = (*who, ("reason", "RolloutFailed"), ("type", "Approved"))
    assert found["weighbridge_modelversion_condition", approved] == 0
    waits = (("name", "evaluation"), ("namespace", "ns"))
    assert found["weighbridge_evaluationjob_waiting_since_timestamp_seconds", waits] == START.timestamp()
    where = (("name", "mlflow"), ("namespace", "ns"), ("reason", "RegistryUnavailable"), ("registry", "mlflow"))
    assert found["weighbridge_modelregistry_ready", where] == 0


def test_gauges_go_with_their_objects() -> None:
    inventory = Inventory(version(1), measured(1), with_status(registry(), conditions=[condition("Ready", "True", "Reachable")]))
    told = metrics(inventory)
    assert [labels for _, labels in samples(told) if "name" in dict(labels)]
    inventory.there.clear()
    assert [labels for _, labels in samples(told) if "name" in dict(labels)] == []


def test_no_counter_grows_with_what_users_write() -> None:
    inventory = Inventory()
    told = metrics(inventory)
    first = evaluation_job()
    ready = [condition("Validated", "False", "Some"), condition("Complete", "True", "Some")]
    refused = with_status(first, phase="Refused", conditions=ready).status
    ended = with_status(first, phase="Error", conditions=ready, verdict={"result": "Error"}).status

    def say(number: int) -> None:
        each = f"{ODD}{number}" if number % 2 else f"Reason{number}"
        told.registry_request(each, each, each, 0.1)
        told.kube_request(each, number, 0.1)
        told.waited(each, 0.1)
        told.rolled_back(each, 0.1)
        told.webhook(each, each)
        told.alert(each)
        told.passes.labels(each, each).inc()
        engine = first.spec.evaluator.model_copy(update={"engine": f"engine-{number}"})
        job = named(first, number).model_copy(update={"spec": first.spec.model_copy(update={"evaluator": engine})})
        for status in (refused, ended):
            said = tuple(found.model_copy(update={"reason": f"Reason{number}"}) for found in status.conditions)
            told.milestones.tell(job, status.model_copy(update={"conditions": said}), START)

    for number in range(200):
        say(number)
    few = len(samples(told))
    for number in range(200, MANY):
        say(number)
    assert len(samples(told)) == few
    words = [dict(labels) for name, labels in samples(told) if name == "weighbridge_evaluations_refused_total"]
    assert len(words) == MOST_WORDS + 1
    text = told.text().decode()
    assert "odd" not in text
    assert "engine-" not in text


def test_labels_do_not_collide_with_those_of_a_scrape_except_for_the_namespace() -> None:
    labels = {name for series in metrics(Inventory()).catalogue for name in series.labels}
    assert labels & {"job", "instance", "pod", "container", "service", "endpoint", "node", "cluster", "alertname", "le"} == set()


def test_what_is_told_is_what_is_documented() -> None:
    told = metrics(Inventory(version(1), measured(1), registry()))
    catalogue = {series.name: series for series in told.catalogue}
    assert len(catalogue) == len(told.catalogue)
    for family in text_string_to_metric_families(told.text().decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert (catalogue[name].kind, catalogue[name].text) == (family.type, family.documentation)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(catalogue[name].labels)


def named(resource: Resource, number: int) -> Any:
    return resource.model_copy(update={"metadata": resource.metadata.model_copy(update={"name": f"name-{number}"})})


def test_a_scrape_over_ten_thousand_versions_and_evaluations_is_cheap() -> None:
    some = (version(1), measured(1))
    inventory = Inventory(*(named(each, number) for number in range(MANY) for each in some))
    told = metrics(inventory)
    before = time.process_time()
    text = told.text()
    took = time.process_time() - before
    assert text.count(b"\n") > 13 * MANY
    assert took < 5, "it takes half a second on a quiet machine"
    assert len(text) < 30 * 2**20


@pytest.mark.parametrize("status", ["True", "False", "Unknown"])
def test_a_condition_has_one_series_whatever_it_says(status: str) -> None:
    told = metrics(Inventory(with_status(model_version("1"), conditions=[condition("Ready", status, "R")])))
    [value] = [value for (name, _), value in samples(told).items() if name == "weighbridge_modelversion_condition"]
    assert value == {"True": 1, "False": 0, "Unknown": -1}[status]
