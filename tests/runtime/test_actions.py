"""Each action against a real API server: idempotent, with its precondition, and without touching what belongs to others."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.conftest import RealServer
from tests.runtime.bench import Bench, always_plan

from weighbridge.api.base import API_VERSION, Key
from weighbridge.api.modelversion import FINALIZER
from weighbridge.api.references import ModelPin
from weighbridge.api.serving import Pointer, Serving, TargetRef
from weighbridge.core.facts import WriteOrder
from weighbridge.core.plan import Create, Delete, Plan, Repoint, SetFinalizer, Wake, WriteRegistry
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.queue import Priority
from weighbridge.serving.base import Seen
from weighbridge.serving.targets import adapter

MakeBench = Callable[..., Bench]
MANAGED = {"app.kubernetes.io/managed-by": "weighbridge"}


def job(name: str = "evaluate", **metadata: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "engine", "image": "engine"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": MANAGED, **metadata},
        "spec": {"template": {"spec": pod}},
    }


def owned_by(uid: str) -> list[dict[str, Any]]:
    return [{"apiVersion": API_VERSION, "kind": "ModelRegistry", "name": "mlflow", "uid": uid, "controller": True}]


def deployment(namespace: str) -> dict[str, Any]:
    env = [{"name": "MODEL_URI", "value": "models:/fraud/1"}, {"name": "THREADS", "value": "4"}]
    containers = [{"name": "server", "image": "server:1", "env": env}, {"name": "proxy", "image": "proxy:1"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serving", "namespace": namespace, "annotations": {"team": "fraud"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "serving"}},
            "template": {"metadata": {"labels": {"app": "serving"}}, "spec": {"containers": containers}},
        },
    }


async def run(one: Bench, *actions: Any) -> None:
    one.controller.decision = always_plan(*actions)
    one.queue.add(Key("ModelRegistry", one.namespace, "mlflow"))
    await one.settle()


async def test_creating_twice_is_one_object_and_success(bench: MakeBench, api_server: RealServer) -> None:
    one = bench(always_plan())
    uid = (await one.create())["metadata"]["uid"]
    action = Create(job(ownerReferences=owned_by(uid)))
    await run(one, action)
    await run(one, action)
    assert (await api_server.writes(one.namespace)).count("create jobs evaluate") == 1
    assert "failed" not in one.outcomes()


@pytest.mark.parametrize(
    ("existing", "wanted_owner", "outcome"),
    [
        ({"labels": {}}, False, "NameTaken"),
        ({"labels": MANAGED}, False, None),
        ({"labels": MANAGED}, True, "NameTaken"),
    ],
    ids=["somebody else's", "ours by label", "another owner's"],
)
async def test_a_taken_name_counts_only_where_the_object_is_ours(
    bench: MakeBench, cluster: Cluster, existing: dict[str, Any], wanted_owner: bool, outcome: str | None
) -> None:
    one = bench(always_plan())
    uid = (await one.create())["metadata"]["uid"]
    await cluster.create(job(namespace=one.namespace, **existing))
    await run(one, Create(job(**({"ownerReferences": owned_by(uid)} if wanted_owner else {}))))
    failure = one.reconciler._failures.get(Key("ModelRegistry", one.namespace, "mlflow"))
    assert (failure.reason if failure else None) == outcome


async def test_a_created_object_of_our_kinds_is_known_and_looked_at_at_once(bench: MakeBench) -> None:
    one = bench(always_plan())
    await one.create()
    child = {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": "child", "labels": MANAGED},
        "spec": {"mlflow": {"url": "https://x.example.com"}},
    }
    first = always_plan(Create(child))
    one.controller.decision = lambda resource, failure: (
        first(resource, failure) if resource.metadata.name == "mlflow" else Plan(resource.status)
    )
    await one.settle()
    assert one.store.registry(one.namespace, "child") is not None
    assert one.outcomes() == {"changed": 2.0, "unchanged": 1.0}


async def test_deleting_needs_the_right_uid_and_is_success_when_done_already(bench: MakeBench, cluster: Cluster) -> None:
    one = bench(always_plan())
    await one.create()
    made = await cluster.create(job(namespace=one.namespace))
    wrong = Delete("batch/v1", "Job", "evaluate", "00000000-0000-0000-0000-000000000000")
    one.controller.decision = lambda resource, _: Plan(always_plan()(resource, None).status, (wrong,))
    key = one.queue.take()
    assert key is not None
    await one.reconciler.reconcile(key)
    one.queue.done(key)
    assert await cluster.get("batch/v1", "Job", one.namespace, "evaluate") is not None
    right = Delete("batch/v1", "Job", "evaluate", made["metadata"]["uid"])
    await run(one, right)
    await run(one, right)
    assert "failed" not in one.outcomes()


async def test_repointing_changes_one_value_and_leaves_every_foreign_field(bench: MakeBench, cluster: Cluster) -> None:
    one = bench(always_plan())
    await one.create()
    before = await cluster.create(deployment(one.namespace))
    action = Repoint(
        target=TargetRef(name="serving"),
        pointer=Pointer(container="server", env="MODEL_URI"),
        value="models:/fraud/2",
        uid=before["metadata"]["uid"],
        resource_version=before["metadata"]["resourceVersion"],
        cause="Rollback",
    )
    key = one.queue.take()
    assert key is not None
    one.controller.decision = always_plan(action)
    await one.reconciler.reconcile(key)
    one.queue.done(key)
    after = await cluster.get("apps/v1", "Deployment", one.namespace, "serving")
    assert after is not None
    expected = before["spec"]
    expected["template"]["spec"]["containers"][0]["env"][0]["value"] = "models:/fraud/2"
    assert after["spec"] == expected
    assert after["metadata"]["annotations"] == {"team": "fraud"}
    [owned] = [entry for entry in after["metadata"]["managedFields"] if entry["operation"] == "Apply"]
    assert owned["manager"] == "weighbridge"
    assert list(owned["fieldsV1"]) == ["f:spec"]
    assert one.metrics.rollback_seconds.samples() == {(): 1}


def in_config_map(name: str) -> Serving:
    pointer = {"configMap": {"name": name, "key": "uri"}}
    return Serving.model_validate({"targetRef": {"name": "serving"}, "pointer": pointer})


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_a_pointer_in_two_objects_is_written_in_order_or_not_at_all(
    bench: MakeBench, cluster: Cluster, meanwhile: bool
) -> None:
    one = bench(always_plan())
    await one.create()
    entry = in_config_map("models")
    target = await cluster.create(deployment(one.namespace))
    metadata = {"name": "models", "namespace": one.namespace}
    other = await cluster.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"uri": "models:/fraud/1", "else": "kept"}}
    )
    seen = Seen(target, (), {("v1", "ConfigMap", "models"): other})
    state = adapter(entry.target_ref).state(seen, entry, "models:/fraud/2", None)
    if meanwhile:
        await cluster.merge("v1", "ConfigMap", one.namespace, "models", {"data": {"else": "changed"}})
    one.controller.decision = always_plan(
        Repoint(
            entry.target_ref,
            entry.pointer,
            "models:/fraud/2",
            state.uid,
            state.resource_version,
            "Rollback",
            state.basis,
        )
    )
    key = one.queue.take()
    assert key is not None
    await one.reconciler.reconcile(key)
    one.queue.done(key)
    written = await cluster.get("v1", "ConfigMap", one.namespace, "models")
    after = await cluster.get("apps/v1", "Deployment", one.namespace, "serving")
    assert written is not None
    assert after is not None
    if meanwhile:
        assert one.outcomes() == {"conflict": 1}
        assert written["data"] == {"uri": "models:/fraud/1", "else": "changed"}
        assert after["spec"] == target["spec"]
    else:
        assert written["data"] == {"uri": "models:/fraud/2", "else": "kept"}
        assert after["spec"]["template"]["metadata"]["annotations"]["weighbridge.dev/pointer"] == "models:/fraud/2"
        assert one.metrics.rollbacks.samples() == {("Unknown",): 1}


@pytest.mark.parametrize("what", ["the target changed", "the target was replaced"])
async def test_a_target_that_is_not_the_one_that_was_seen_is_left_alone(bench: MakeBench, cluster: Cluster, what: str) -> None:
    one = bench(always_plan())
    await one.create()
    seen = (await cluster.create(deployment(one.namespace)))["metadata"]
    if what == "the target changed":
        await cluster.merge("apps/v1", "Deployment", one.namespace, "serving", {"spec": {"replicas": 5}})
    else:
        await cluster.delete("apps/v1", "Deployment", one.namespace, "serving", seen["uid"])
        await cluster.create(deployment(one.namespace))
    action = Repoint(
        TargetRef(name="serving"),
        Pointer(container="server", env="MODEL_URI"),
        "models:/fraud/2",
        seen["uid"],
        seen["resourceVersion"],
        "Promotion",
    )
    one.controller.decision = always_plan(action)
    key = one.queue.take()
    assert key is not None
    await one.reconciler.reconcile(key)
    one.queue.done(key)
    after = await cluster.get("apps/v1", "Deployment", one.namespace, "serving")
    assert after is not None
    assert after["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "models:/fraud/1"
    assert one.outcomes() == {"conflict": 1}


async def test_our_finalizer_comes_and_goes_beside_a_foreign_one(
    bench: MakeBench, connection: Connection, cluster: Cluster
) -> None:
    one = bench(always_plan())
    await one.create()
    await one.settle()
    foreign = {"metadata": {"finalizers": ["example.com/theirs"]}}
    one.news.seen(await cluster.merge(API_VERSION, "ModelRegistry", one.namespace, "mlflow", foreign), Priority.FRESH)
    await run(one, SetFinalizer(True))
    assert (await one.live())["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]
    await run(one, SetFinalizer(False))
    assert (await one.live())["metadata"]["finalizers"] == ["example.com/theirs"]


async def test_a_finalizer_that_somebody_adds_meanwhile_is_not_lost(bench: MakeBench, cluster: Cluster) -> None:
    """The list of finalizers is written whole, so the version it was read at has to be the precondition."""
    one = bench(always_plan())
    await one.create()
    await one.settle()
    foreign = {"metadata": {"finalizers": ["example.com/theirs"]}}
    await cluster.merge(API_VERSION, "ModelRegistry", one.namespace, "mlflow", foreign)
    await run(one, SetFinalizer(True))
    assert (await one.live())["metadata"]["finalizers"] == ["example.com/theirs", FINALIZER]
    assert one.outcomes()["conflict"] == 1


async def test_a_registry_that_is_gone_is_a_failure_with_a_name(bench: MakeBench) -> None:
    one = bench(always_plan())
    await one.create()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    digest = "sha256:" + "0" * 64
    pin = ModelPin(registry="r", name="m", version="1", uri="models:/m/1", created_at=at, fingerprint=digest, digest=digest)
    order = WriteOrder(pin, {}, None)
    await run(one, WriteRegistry("nobody", order))
    assert one.reconciler._failures[Key("ModelRegistry", one.namespace, "mlflow")].reason == "RegistryNotFound"
    await run(one, WriteRegistry("mlflow", order))
    assert one.orders.given
    assert all(given == order for given in one.orders.given)


async def test_waking_others_goes_before_everything_else(bench: MakeBench) -> None:
    one = bench(always_plan())
    await one.create()
    urgent, fresh = Key("ModelRegistry", one.namespace, "urgent"), Key("ModelRegistry", one.namespace, "fresh")
    key = one.queue.take()
    assert key is not None
    one.queue.add(fresh)
    one.controller.decision = always_plan(Wake((urgent,)))
    await one.reconciler.reconcile(key)
    one.queue.done(key)
    assert one.queue.take() == urgent


async def test_a_missing_right_is_told_with_what_to_grant(bench: MakeBench, connection: Connection) -> None:
    one = bench(always_plan())
    await one.create()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": one.namespace},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    made = await connection.request("POST", f"/api/v1/namespaces/{one.namespace}/resourcequotas", body=quota)
    made["status"] = {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}
    await connection.request("PUT", f"/api/v1/namespaces/{one.namespace}/resourcequotas/none/status", body=made)
    await run(one, Create(job()))
    failure = one.reconciler._failures[Key("ModelRegistry", one.namespace, "mlflow")]
    assert failure.reason == "AdmissionDenied"
    assert "exceeded quota" in failure.message
