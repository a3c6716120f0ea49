"""News of a target: everybody who claims it looks, and first the one that serves it."""

from typing import Any

from weighbridge.api.base import API_VERSION, Key
from weighbridge.controllers.modelversion import ModelVersionController
from weighbridge.runtime.news import News, group_of
from weighbridge.runtime.queue import Priority, Queue
from weighbridge.runtime.store import ObjectStore

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serving", "namespace": "fraud"}}


def version(number: int, state: str) -> dict[str, Any]:
    entry = {"targetRef": {"name": "serving"}, "pointer": {"container": "server", "env": "MODEL_URI"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelVersion",
        "metadata": {"name": f"v{number}", "namespace": "fraud", "uid": str(number), "resourceVersion": "1"},
        "spec": {"source": {"registryRef": {"name": "r"}, "name": "m", "version": str(number)}, "serving": [entry]},
        "status": {"serving": [{"target": "Deployment/serving", "state": state}]},
    }


def order(priority: Priority) -> list[str]:
    """Who looks, in order, at news of the target."""
    store, controllers = ObjectStore(), {"ModelVersion": ModelVersionController()}
    queue: Queue[Key] = Queue(lambda key: group_of(store, controllers, key))
    for number, state in enumerate(("Superseded", "RolledBack", "Superseded", "Serving", "Waiting"), 1):
        store.put(version(number, state))
    News(store, queue, controllers).seen(TARGET, priority)
    names = []
    while (key := queue.take()) is not None:
        names.append(key.name)
        queue.done(key)
    return names


def test_what_serves_is_looked_at_before_its_history() -> None:
    assert order(Priority.FRESH) == ["v4", "v1", "v2", "v3", "v5"]


def test_a_list_makes_nothing_urgent() -> None:
    assert order(Priority.RESYNC) == ["v1", "v2", "v3", "v4", "v5"]


def test_versions_wait_for_each_other_only_where_they_share_a_target() -> None:
    store, controllers = ObjectStore(), {"ModelVersion": ModelVersionController()}

    def claims(number: int, *names: str) -> Key:
        body = version(number, "Waiting")
        pointer = {"container": "serving", "env": "MODEL_URI"}
        body["spec"]["serving"] = [{"targetRef": {"name": name}, "pointer": pointer} for name in names]
        store.put(body)
        return Key("ModelVersion", "fraud", f"v{number}")

    one, two, both, far, none = claims(1, "a"), claims(2, "b"), claims(3, "b", "a"), claims(4, "c"), claims(5)
    groups = {key.name: group_of(store, controllers, key) for key in (one, two, both, far, none)}
    assert groups["v1"] == groups["v2"] == groups["v3"]
    assert len({groups["v1"], groups["v4"], groups["v5"]}) == 3
