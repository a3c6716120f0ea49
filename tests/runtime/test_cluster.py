"""What the API server really does with the writes the operator relies on."""

import pytest

from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster, NotLeader
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.refusal import AlreadyExists, Conflict, Invalid, NotFound


def registry(namespace: str, name: str = "mlflow", url: str = "https://mlflow.example.com") -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"mlflow": {"url": url}},
    }


def ready(message: str) -> dict[str, object]:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Ok",
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return {"observedGeneration": 1, "conditions": [condition]}


def status_of(body: dict[str, object], status: dict[str, object], **metadata: str) -> dict[str, object]:
    meta = body["metadata"]
    assert isinstance(meta, dict)
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], **metadata},
        "status": status,
    }


async def test_status_apply_with_a_stale_version_is_a_conflict_and_changes_nothing(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(registry(namespace))
    first = await cluster.apply(status_of(seen, ready("first"), resourceVersion=seen["metadata"]["resourceVersion"]), "status")
    with pytest.raises(Conflict):
        await cluster.apply(status_of(seen, ready("late"), resourceVersion=seen["metadata"]["resourceVersion"]), "status")
    now = await cluster.get(API_VERSION, "ModelRegistry", namespace, "mlflow")
    assert now == first


async def test_status_apply_cannot_change_the_spec(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(registry(namespace))
    sneaky = status_of(seen, ready("x")) | {"spec": {"mlflow": {"url": "https://elsewhere.example.com"}}}
    after = await cluster.apply(sneaky, "status")
    assert after["spec"] == seen["spec"]
    assert after["metadata"]["generation"] == 1


async def test_status_apply_removes_what_is_no_longer_said(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(registry(namespace))
    await cluster.apply(status_of(seen, ready("x") | {"serverVersion": "3.1"}), "status")
    after = await cluster.apply(status_of(seen, ready("x")), "status")
    assert "serverVersion" not in after["status"]


async def test_the_same_status_again_is_no_new_version(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(registry(namespace))
    once = await cluster.apply(status_of(seen, ready("x")), "status")
    twice = await cluster.apply(status_of(seen, ready("x")), "status")
    assert twice["metadata"]["resourceVersion"] == once["metadata"]["resourceVersion"]


async def test_status_apply_does_not_bring_a_deleted_object_back(cluster: Cluster, namespace: str) -> None:
    seen = await cluster.create(registry(namespace))
    await cluster.delete(API_VERSION, "ModelRegistry", namespace, "mlflow", seen["metadata"]["uid"])
    with pytest.raises((NotFound, Conflict)):
        await cluster.apply(status_of(seen, ready("x"), resourceVersion=seen["metadata"]["resourceVersion"]), "status")
    assert await cluster.get(API_VERSION, "ModelRegistry", namespace, "mlflow") is None


async def test_the_version_of_a_deleted_namesake_is_a_conflict(cluster: Cluster, namespace: str) -> None:
    """A uid in a status apply is not checked by the server, so the version alone has to tell the two apart. It does."""
    gone = await cluster.create(registry(namespace))
    await cluster.delete(API_VERSION, "ModelRegistry", namespace, "mlflow", gone["metadata"]["uid"])
    again = await cluster.create(registry(namespace))
    with pytest.raises(Conflict):
        await cluster.apply(status_of(gone, ready("x"), resourceVersion=gone["metadata"]["resourceVersion"]), "status")
    assert await cluster.get(API_VERSION, "ModelRegistry", namespace, "mlflow") == again


async def test_a_taken_name_is_told_from_a_conflict(cluster: Cluster, namespace: str) -> None:
    await cluster.create(registry(namespace))
    with pytest.raises(AlreadyExists):
        await cluster.create(registry(namespace))


async def test_deleting_with_another_uid_keeps_the_object(cluster: Cluster, namespace: str) -> None:
    await cluster.create(registry(namespace))
    with pytest.raises(Conflict):
        await cluster.delete(API_VERSION, "ModelRegistry", namespace, "mlflow", "00000000-0000-0000-0000-000000000000")
    assert await cluster.get(API_VERSION, "ModelRegistry", namespace, "mlflow") is not None
    await cluster.delete(API_VERSION, "ModelRegistry", namespace, "nobody", "00000000-0000-0000-0000-000000000000")


async def test_the_schemas_own_sentence_reaches_the_user(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Invalid) as refused:
        await cluster.create(registry(namespace, url="ftp://x.example.com"))
    assert "spec.mlflow.url" in refused.value.public


async def test_a_list_is_complete_over_several_pages(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.cluster._PAGE", 2)
    for number in range(5):
        await cluster.create(registry(namespace, f"registry-{number}"))
    pages = [page async for page in cluster.pages(API_VERSION, "ModelRegistry", namespace)]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert {page.resource_version for page in pages} == {pages[0].resource_version}
    assert [item["metadata"]["name"] for page in pages for item in page.items] == [f"registry-{number}" for number in range(5)]


async def test_nothing_is_written_without_permission(connection: Connection, cluster: Cluster, namespace: str) -> None:
    silenced = Cluster(connection, lambda: False)
    with pytest.raises(NotLeader):
        await silenced.create(registry(namespace))
    assert await cluster.get(API_VERSION, "ModelRegistry", namespace, "mlflow") is None
