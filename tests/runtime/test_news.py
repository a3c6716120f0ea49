"""News of a target: everybody who claims it looks, and first the one that serves it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

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


Named = frozenset[tuple[str, str]]
"""Kind and name of some targets."""
targets = st.sampled_from([("Deployment", "a"), ("Service", "a"), ("ConfigMap", "a")])
steps = st.lists(st.tuples(st.integers(1, 3), st.none() | st.frozensets(targets, max_size=2), st.booleans()), max_size=15)


def claiming(number: int, named: Named, resource_version: int) -> dict[str, Any]:
    """Its pointers live in a ConfigMap named like a target that others may claim."""
    body = version(number, "Waiting")
    body["metadata"] |= {"uid": f"{number}-{resource_version}", "resourceVersion": str(resource_version)}
    pointer = {"configMap": {"name": "a", "key": "uri"}}
    body["spec"]["serving"] = [{"targetRef": {"kind": kind, "name": name}, "pointer": pointer} for kind, name in sorted(named)]
    return body


def walked(number: int, claims: dict[int, Named]) -> str:
    """The group as it is found step by step, with nothing remembered."""
    found, before = set(claims[number]), set()
    while found != before:
        before = set(found)
        found |= {each for named in claims.values() if named & before for each in named}
    return f"fraud {'/'.join(min(found))}" if found else f"ModelVersion fraud/v{number}"


@settings(max_examples=500)
@given(steps)
def test_what_is_remembered_of_groups_is_true_after_every_change(steps: list[tuple[int, Named | None, bool]]) -> None:
    store, controllers = ObjectStore(), {"ModelVersion": ModelVersionController()}
    claims: dict[int, Named] = {}
    bodies: dict[int, dict[str, Any]] = {}
    for at, (number, named, asked) in enumerate(steps, 1):
        if named is not None:
            claims[number], bodies[number] = named, claiming(number, named, at)
            store.put(bodies[number])
        elif number in claims:
            del claims[number]
            store.remove(bodies[number])
        if asked or at == len(steps):
            for each in claims:
                assert group_of(store, controllers, Key("ModelVersion", "fraud", f"v{each}")) == walked(each, claims)


class Counting(ObjectStore):
    """Counts the versions it hands out."""

    handed_out = 0

    def claimants(self, namespace: str, kind: str, name: str) -> tuple[Any, ...]:
        found = super().claimants(namespace, kind, name)
        self.handed_out += len(found)
        return found


def test_the_group_of_one_more_version_of_a_target_is_found_without_a_look_at_all_before_it() -> None:
    store, controllers = Counting(), {"ModelVersion": ModelVersionController()}
    named: Named = frozenset({("Deployment", "a"), ("Service", "b")})
    for number in range(1, 101):
        store.put(claiming(number, named, 1))
        for key in store.known():
            assert group_of(store, controllers, key) == "fraud Deployment/a"
    assert store.handed_out == 2, "the first version, by each of its targets"
    store.remove(claiming(100, named, 1))
    for key in store.known():
        assert group_of(store, controllers, key) == "fraud Deployment/a"
    assert store.handed_out == 2 + 2 * 99
