"""The store: the newest state wins in whatever order states arrive, and what was deleted stays away."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api.base import API_VERSION, Key
from weighbridge.runtime.store import ObjectStore, Unreadable

KEY = Key("ModelRegistry", "fraud", "mlflow")


def body(version: int, uid: str = "one", name: str = "mlflow", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": name, "namespace": "fraud", "uid": uid, "resourceVersion": str(version), "generation": 1},
        "spec": spec or {"mlflow": {"url": f"https://mlflow-{version}.example.com"}},
    }


def url(store: ObjectStore) -> str | None:
    found = store.registry("fraud", "mlflow")
    return found.spec.mlflow.url if found is not None and found.spec.mlflow is not None else None


@given(versions=st.permutations(range(8, 13)))
def test_the_newest_version_wins_in_any_order(versions: list[int]) -> None:
    store = ObjectStore()
    news = [store.put(body(version)) for version in versions]
    assert url(store) == "https://mlflow-12.example.com"
    assert news == [version == max(versions[: index + 1]) for index, version in enumerate(versions)]


def test_the_same_version_again_is_no_news() -> None:
    """The watch tells of own writes as well."""
    store = ObjectStore()
    assert store.put(body(10))
    assert not store.put(body(10))


@pytest.mark.parametrize("order", list(itertools.permutations(["create", "change", "delete"])))
def test_a_deletion_wins_over_every_state_of_the_same_object(order: tuple[str, ...]) -> None:
    store = ObjectStore()
    for step in order:
        if step == "delete":
            store.remove(body(12))
        else:
            store.put(body(10 if step == "create" else 14))
    assert store.get(KEY) is None


@pytest.mark.parametrize("order", list(itertools.permutations(["old", "gone", "new"])))
def test_a_namesake_made_after_a_deletion_stays_in_any_order(order: tuple[str, ...]) -> None:
    store = ObjectStore()
    steps = {
        "old": lambda: store.put(body(10, "one")),
        "gone": lambda: store.remove(body(11, "one")),
        "new": lambda: store.put(body(12, "two")),
    }
    for step in order:
        steps[step]()
    assert url(store) == "https://mlflow-12.example.com"


def test_a_sweep_forgets_what_is_not_listed_but_nothing_newer_than_the_list() -> None:
    store = ObjectStore()
    store.put(body(10, "one", "kept"))
    store.put(body(11, "two", "gone"))
    store.put(body(30, "three", "fresh"))
    gone = store.sweep("ModelRegistry", {"one"}, 20, None)
    assert [each if isinstance(each, Key) else each.key for each in gone] == [Key("ModelRegistry", "fraud", "gone")]
    assert {key.name for key in store.known()} == {"kept", "fresh"}
    assert not store.put(body(12, "two", "gone")), "a late answer brought a deleted object back"


def test_a_sweep_of_one_namespace_leaves_the_others_alone() -> None:
    store = ObjectStore()
    store.put(body(10))
    assert store.sweep("ModelRegistry", set(), 20, "elsewhere") == ()
    assert store.get(KEY) is not None


def test_what_cannot_be_read_is_kept_apart_and_told_without_its_values() -> None:
    store = ObjectStore()
    assert store.put(body(10, mlflow={"url": 5}, writeBack={"enabled": "s3cret"}))
    assert store.registry("fraud", "mlflow") is None
    found = store.get(KEY)
    assert isinstance(found, Unreadable)
    assert "spec.mlflow.url" in found.message
    assert "s3cret" not in found.message
    assert list(store.resources()) == []


def test_fields_of_a_newer_operator_are_no_trouble() -> None:
    store = ObjectStore()
    store.put(body(10, mlflow={"url": "https://m.example.com"}, fromTheFuture={"a": 1}))
    assert url(store) == "https://m.example.com"


def version(resource_version: int, *targets: dict[str, str], name: str = "v1", **pointer: Any) -> dict[str, Any]:
    given = pointer or {"container": "server", "env": "MODEL_URI"}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {"name": name, "namespace": "fraud", "uid": name, "resourceVersion": str(resource_version)},
        "spec": {
            "source": {"registryRef": {"name": "mlflow"}, "name": "m", "version": "7"},
            "serving": [{"targetRef": target, "pointer": given} for target in targets],
        },
    }


def claimants(store: ObjectStore, kind: str, name: str, namespace: str = "fraud") -> list[str]:
    return [each.metadata.name for each in store.claimants(namespace, kind, name)]


def test_versions_are_found_by_the_kind_and_name_of_what_they_claim() -> None:
    store = ObjectStore()
    store.put(version(1, {"name": "a"}, {"kind": "StatefulSet", "name": "b"}, name="v2"))
    store.put(version(1, {"name": "a"}, name="v1"))
    store.put(version(1, {"name": "c"}, name="v3", configMap={"name": "models", "key": "uri"}))
    assert claimants(store, "Deployment", "a") == ["v1", "v2"]
    assert claimants(store, "StatefulSet", "b") == ["v2"]
    assert claimants(store, "StatefulSet", "a") == []
    assert claimants(store, "Deployment", "a", "elsewhere") == []
    assert claimants(store, "ConfigMap", "models") == ["v3"]


def test_what_is_claimed_no_more_is_forgotten() -> None:
    store = ObjectStore()
    store.put(version(1, {"name": "a"}))
    store.put(version(2, {"name": "b"}))
    assert (claimants(store, "Deployment", "a"), claimants(store, "Deployment", "b")) == ([], ["v1"])
    assert store.tied("fraud", "Deployment", "b") == ("Deployment", "b")
    store.remove(version(2, {"name": "b"}))
    assert claimants(store, "Deployment", "b") == []
    assert not store._ties
    store.put({**version(3, {"name": "b"}, name="v4"), "spec": {"serving": "nonsense"}})
    assert not store._claimants


def test_the_versions_of_a_namespace_are_those_of_now() -> None:
    store = ObjectStore()
    assert store.versions("fraud") == ()
    store.put(version(1, name="v2"))
    store.put(version(1, name="v1"))
    assert [each.metadata.name for each in store.versions("fraud")] == ["v1", "v2"]
    store.put(version(2, {"name": "a"}, name="v1"))
    assert len(store.versions("fraud")[0].spec.serving) == 1
    store.remove(version(2, name="v1"))
    assert [each.metadata.name for each in store.versions("fraud")] == ["v2"]
