"""One pass, on a real API server: status once and only on change, stale views refused, failures remembered, nothing crashes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import RealServer
from tests.runtime.bench import Bench, always_plan, status

from weighbridge.api import ModelRegistry
from weighbridge.api.base import API_VERSION, Key
from weighbridge.core.facts import Failed
from weighbridge.core.plan import Delete, Plan, Wake
from weighbridge.runtime import store
from weighbridge.runtime.queue import Priority
from weighbridge.runtime.refusal import Unavailable

MakeBench = Callable[..., Bench]


async def test_status_is_written_once_and_never_again_while_nothing_changes(bench: MakeBench, api_server: RealServer) -> None:
    one = bench(always_plan())
    body = await one.create()
    await one.settle()
    assert (await one.live())["status"] == status("fine").to_json()
    for _ in range(3):
        one.queue.add(Key("ModelRegistry", one.namespace, "mlflow"), Priority.RESYNC)
        await one.settle()
    assert await api_server.writes(one.namespace, ignore=("events",)) == [
        "create modelregistries mlflow",
        "patch modelregistries/status mlflow",
    ]
    assert (await one.live())["metadata"]["generation"] == body["metadata"]["generation"]


async def test_own_writes_are_known_before_the_watch_tells_of_them(bench: MakeBench) -> None:
    one = bench(always_plan())
    await one.create()
    await one.settle()
    known = one.store.registry(one.namespace, "mlflow")
    assert known is not None
    assert known.status.conditions[0].message == "fine"
    assert known.metadata.resource_version == (await one.live())["metadata"]["resourceVersion"]


async def test_a_decision_from_a_stale_view_is_refused_and_made_again(bench: MakeBench, api_server: RealServer) -> None:
    """The spec changes while the pass observes: what was decided from the old one must not be stored."""
    one = bench(lambda resource, _: Plan(status(resource.spec.poll_interval)))
    await one.create(pollInterval="1m")

    async def change() -> None:
        one.controller.before_decision = None
        await one.cluster.merge(API_VERSION, "ModelRegistry", one.namespace, "mlflow", {"spec": {"pollInterval": "2m"}})

    one.controller.before_decision = change
    await one.settle()
    assert (await one.live())["status"]["conditions"][0]["message"] == "2m"
    assert one.outcomes()["conflict"] == 1
    patches = [write for write in await api_server.writes(one.namespace) if write == "patch modelregistries/status mlflow"]
    assert len(patches) == 1


async def test_conflicts_without_end_become_rare(bench: MakeBench) -> None:
    """Somebody who changes the object all the time cannot make the operator spin."""
    one = bench(always_plan())
    await one.create()
    round_ = iter(range(1, 1000))

    async def change() -> None:
        body = {"metadata": {"annotations": {"round": str(next(round_))}}}
        await one.cluster.merge(API_VERSION, "ModelRegistry", one.namespace, "mlflow", body)

    one.controller.before_decision = change
    for _ in range(11):
        key = one.queue.take()
        assert key is not None
        await one.reconciler.reconcile(key)
        one.queue.done(key)
    # The refreshed object is news, which makes one more pass at once; from there on only the wait is left.
    assert one.queue.due() is not None


async def test_a_failed_action_ends_the_pass_is_a_fact_of_the_next_and_waits(bench: MakeBench) -> None:
    seen: list[Failed | None] = []
    unknown = Delete("example.com/v1", "Strange", "x", "uid")
    other = Key("ModelRegistry", "elsewhere", "other")

    def decision(_resource: ModelRegistry, failure: Failed | None) -> Plan:
        seen.append(failure)
        return Plan(status(failure.message if failure else "trying"), (unknown, Wake((other,))))

    one = bench(decision)
    await one.create()
    await one.settle()
    assert seen[0] is None
    assert isinstance(seen[1], Failed)
    assert seen[1].reason == "UnknownKind"
    assert (await one.live())["status"]["conditions"][0]["message"] == seen[1].message
    assert one.outcomes().keys() == {"failed"}
    assert one.queue.due() is not None, "a failed key is tried again later"


async def test_a_failure_that_has_passed_is_forgotten(bench: MakeBench) -> None:
    seen: list[bool] = []
    unknown = Delete("example.com/v1", "Strange", "x", "uid")

    def decision(_resource: ModelRegistry, failure: Failed | None) -> Plan:
        seen.append(failure is not None)
        return Plan(status("failing" if failure else "fine"), (unknown,) if len(seen) == 1 else ())

    one = bench(decision)
    await one.create()
    await one.settle()
    assert seen[:2] == [False, True]
    assert seen[-1] is False
    assert (await one.live())["status"]["conditions"][0]["message"] == "fine"


async def test_who_was_told_of_a_failure_is_told_of_its_end(bench: MakeBench) -> None:
    """Also where the status never showed it, so that no write makes for another look."""
    seen: list[bool] = []
    unknown = Delete("example.com/v1", "Strange", "x", "uid")

    def decision(_resource: ModelRegistry, failure: Failed | None) -> Plan:
        seen.append(failure is not None)
        return Plan(status("as ever"), (unknown,) if len(seen) == 1 else ())

    one = bench(decision)
    await one.create()
    await one.settle()
    assert seen == [False, True, False]


async def test_an_unexpected_error_is_counted_and_the_key_waits(bench: MakeBench, caplog: Any) -> None:
    def decision(_resource: ModelRegistry, _failure: Failed | None) -> Plan:
        raise ZeroDivisionError("a bug")

    one = bench(decision)
    await one.create()
    await one.settle()
    assert one.outcomes() == {"error": 1}
    assert one.metrics.unexpected.samples() == {("ModelRegistry",): 1}
    assert one.queue.due() is not None
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info is not None
    assert "mlflow.example.com" not in caplog.text, "no bodies of objects in the log"


async def test_an_api_server_that_does_not_answer_changes_nothing(bench: MakeBench) -> None:
    one = bench(always_plan())
    await one.create()

    async def no_answer() -> None:
        raise Unavailable("ApiServerUnavailable", "the API server does not answer", 7.0)

    one.controller.before_decision = no_answer
    await one.settle()
    assert one.outcomes() == {"unavailable": 1}
    assert "status" not in await one.live()


async def test_an_observation_has_an_end(bench: MakeBench, monkeypatch: Any) -> None:
    monkeypatch.setattr("weighbridge.runtime.reconciler._OBSERVE_SECONDS", 0.05)
    one = bench(always_plan())
    await one.create()
    one.controller.before_decision = asyncio.Event().wait
    await one.settle()
    assert one.outcomes() == {"unavailable": 1}


async def test_nothing_is_written_by_a_replica_that_lost_the_lease_during_the_pass(bench: MakeBench) -> None:
    one = bench(always_plan())
    await one.create()

    async def lose() -> None:
        one.leads = False

    one.controller.before_decision = lose
    await one.settle()
    assert "status" not in await one.live()


async def test_conditions_that_change_are_told_as_events_once(bench: MakeBench, connection: Any) -> None:
    said = iter([status("no", ready=False, reason="Broken"), *[status("yes", ready=True, reason="Fine")] * 10])
    now = {"status": next(said)}
    one = bench(lambda _resource, _failure: Plan(now["status"]))
    await one.create()
    await one.settle()
    now["status"] = next(said)
    one.queue.add(Key("ModelRegistry", one.namespace, "mlflow"))
    await one.settle()
    events = await connection.request("GET", f"/apis/events.k8s.io/v1/namespaces/{one.namespace}/events")
    told = sorted((event["type"], event["reason"], event["note"], event["action"]) for event in events["items"])
    assert told == [("Normal", "Fine", "yes", "Ready"), ("Warning", "Broken", "no", "Ready")]
    assert {event["regarding"]["name"] for event in events["items"]} == {"mlflow"}


async def test_an_object_that_cannot_be_read_is_told_so(
    bench: MakeBench, api_server: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CRD and operator of different versions: the server took what this operator's models do not."""

    class OtherVersion(ModelRegistry):
        needed: str

    monkeypatch.setitem(store.STORED, "ModelRegistry", OtherVersion)
    one = bench(always_plan())
    await one.create()
    await one.settle()
    conditions = {each["type"]: each for each in (await one.live())["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", "InvalidSpec")
    assert (conditions["Stalled"]["status"], conditions["Stalled"]["reason"]) == ("True", "InvalidSpec")
    assert "needed" in conditions["Ready"]["message"]
    one.queue.add(Key("ModelRegistry", one.namespace, "mlflow"), Priority.RESYNC)
    await one.settle()
    assert await api_server.writes(one.namespace) == ["create modelregistries mlflow", "patch modelregistries/status mlflow"]


async def test_a_deleted_object_is_forgotten_without_a_word(bench: MakeBench, api_server: RealServer) -> None:
    one = bench(always_plan())
    body = await one.create()
    await one.settle()
    before = await api_server.writes(one.namespace)
    one.news.gone(body, Priority.FRESH)
    await one.settle()
    assert await api_server.writes(one.namespace) == before
    assert one.outcomes()["gone"] == 1


async def test_the_next_look_comes_when_the_plan_says(bench: MakeBench) -> None:
    one = bench(always_plan(requeue_after=30))
    await one.create()
    await one.settle()
    due = one.queue.due()
    assert due is not None
    assert 25 < due - asyncio.get_running_loop().time() <= 30
