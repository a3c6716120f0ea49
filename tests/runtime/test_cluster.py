"""What the API server really does with the writes the operator relies on."""

import asyncio

import pytest

from weighbridge.api.base import API_VERSION
from weighbridge.controllers.ports import ClusterError
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


MODEL_SERVERS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str, plural: str = "modelservers", scope: str = "Namespaced") -> dict[str, object]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "ModelServer", "plural": plural, "singular": plural[:-1]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": scope, "names": names, "versions": [version]},
    }


async def test_a_kind_that_nobody_knew_is_found_as_soon_as_it_is_there(
    connection: Connection, cluster: Cluster, namespace: str
) -> None:
    group = f"{namespace}.example.com"
    server = {"apiVersion": f"{group}/v1", "kind": "ModelServer", "metadata": {"name": "one", "namespace": namespace}}
    with pytest.raises(ClusterError) as refused:
        await cluster.get(f"{group}/v1", "ModelServer", namespace, "one")
    assert refused.value.reason == "UnknownKind"
    await connection.request("POST", MODEL_SERVERS, body=definition(group))
    await until_served(cluster, f"{group}/v1")
    await created(cluster, {**server, "spec": {"model": "1"}})
    await cluster.json_patch(
        f"{group}/v1", "ModelServer", namespace, "one", [{"op": "replace", "path": "/spec/model", "value": "2"}]
    )
    body = await cluster.get(f"{group}/v1", "ModelServer", namespace, "one")
    assert body is not None
    assert body["spec"] == {"model": "2"}
    assert [entry["manager"] for entry in body["metadata"]["managedFields"]][-1] == "weighbridge"


async def test_a_kind_without_namespaces_is_none_that_could_serve(connection: Connection, cluster: Cluster, namespace: str) -> None:
    group = f"{namespace}.example.com"
    await connection.request("POST", MODEL_SERVERS, body=definition(group, scope="Cluster"))
    async with asyncio.timeout(20):
        while True:
            found = await connection.request("GET", f"{MODEL_SERVERS}/modelservers.{group}")
            if any(each["type"] == "Established" and each["status"] == "True" for each in found["status"].get("conditions") or ()):
                break
            await asyncio.sleep(0.05)
    assert not await cluster.serves(f"{group}/v1", "ModelServer")
    with pytest.raises(ClusterError):
        await cluster.get(f"{group}/v1", "ModelServer", namespace, "one")


async def test_a_json_patch_whose_test_does_not_hold_is_a_conflict_and_changes_nothing(cluster: Cluster, namespace: str) -> None:
    made = await cluster.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "models", "namespace": namespace}, "data": {"model": "1"}}
    )
    change = {"op": "replace", "path": "/data/model", "value": "2"}
    for path, value in (("/metadata/uid", "another"), ("/metadata/resourceVersion", "1"), ("/data/model", "7")):
        with pytest.raises(Conflict):
            await cluster.json_patch("v1", "ConfigMap", namespace, "models", [{"op": "test", "path": path, "value": value}, change])
    assert await cluster.get("v1", "ConfigMap", namespace, "models") == made
    seen = made["metadata"]["resourceVersion"]
    after = await cluster.json_patch(
        "v1", "ConfigMap", namespace, "models", [{"op": "test", "path": "/metadata/resourceVersion", "value": seen}, change]
    )
    assert after["data"] == {"model": "2"}


async def test_an_object_that_a_patch_would_break_is_not_repeated_in_the_refusal(cluster: Cluster, namespace: str) -> None:
    body = {"metadata": {"name": "models", "namespace": namespace}, "data": {"password": "canary4711"}}
    await cluster.create({"apiVersion": "v1", "kind": "ConfigMap", **body})
    with pytest.raises(Invalid) as refused:
        await cluster.json_patch(
            "v1", "ConfigMap", namespace, "models", [{"op": "replace", "path": "/data", "value": {"model": 5}}]
        )
    assert "canary4711" not in refused.value.public
    with pytest.raises(Invalid) as refused:
        await cluster.json_patch("v1", "ConfigMap", namespace, "models", [{"op": "add", "path": "/data/model", "value": 5}])
    assert "canary4711" not in refused.value.public


async def until_served(cluster: Cluster, api_version: str) -> None:
    async with asyncio.timeout(20):
        while not await cluster.serves(api_version, "ModelServer"):  # noqa: ASYNC110 - discovery tells nobody when it changes
            await asyncio.sleep(0.05)


async def created(cluster: Cluster, body: dict[str, object]) -> None:
    """A kind is in the discovery a moment before it can be written."""
    async with asyncio.timeout(20):
        while True:
            try:
                await cluster.create(body)
            except NotFound:
                await asyncio.sleep(0.05)
            else:
                return
