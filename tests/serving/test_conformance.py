"""What every adapter promises, for every kind of pointer, against a real API server: it changes one field of the object that was
seen, drops nothing beside it, and knows whose the field is."""

import json
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.serving.benches import BENCHES, FIRST, IMAGE, PLURALS, SECOND, Bench
from weighbridge.api.serving import Pointer
from weighbridge.core.facts import TargetState
from weighbridge.core.plan import Repoint
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.refusal import Conflict
from weighbridge.serving.base import Adapter, Patch, Seen
from weighbridge.serving.configmaps import EDITION, POINTER
from weighbridge.serving.targets import adapter

pytestmark = pytest.mark.usefixtures("foreign_kinds")
Body = dict[str, Any]


@dataclass
class Target:
    """A target in a namespace of its own, seen and changed as the operator does it."""

    bench: Bench
    cluster: Cluster
    connection: Connection
    namespace: str

    @property
    def adapter(self) -> Adapter:
        return adapter(self.bench.entry.target_ref)

    async def create(self, manifest: Body | None = None) -> None:
        """By somebody who does not apply it."""
        body = manifest or self.bench.manifest()
        await self.cluster.create({**body, "metadata": {**body["metadata"], "namespace": self.namespace}})
        if self.bench.data is not None:
            metadata = {"name": "models", "namespace": self.namespace}
            await self.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self.bench.data})

    async def applied(self, manifest: Body, manager: str = "argocd-controller") -> None:
        """By another manager's server-side apply, which takes what it says."""
        root, plural = (
            ("api" if manifest["apiVersion"] == "v1" else "apis"),
            {"ConfigMap": "configmaps", **PLURALS}[manifest["kind"]],
        )
        where = f"/{root}/{manifest['apiVersion']}/namespaces/{self.namespace}/{plural}/{manifest['metadata']['name']}"
        query = (("fieldManager", manager), ("force", "true"))
        await self.connection.request("PATCH", where, query=query, body=manifest, content_type="application/apply-patch+yaml")

    async def body(self) -> Body:
        found = await self.cluster.get(self.bench.api_version, self.bench.kind, self.namespace, "server")
        assert found is not None
        return found

    async def config_map(self) -> Body:
        found = await self.cluster.get("v1", "ConfigMap", self.namespace, "models")
        assert found is not None
        return found

    async def objects(self) -> list[Body]:
        return [await self.body(), *([await self.config_map()] if self.bench.data is not None else [])]

    async def state(self, wished: str, pointer: Pointer | None = None) -> TargetState:
        entry = self.bench.entry.model_copy(update={"pointer": pointer or self.bench.pointer})
        body = await self.body()
        names = self.adapter.wants(body, entry).others
        others = {name: await self.cluster.get(name[0], name[1], self.namespace, name[2]) for name in names}
        return self.adapter.state(Seen(body, (), others), entry, wished, None)

    def patches(self, state: TargetState, value: str) -> tuple[Patch, ...]:
        ref = self.bench.entry.target_ref
        action = Repoint(ref, self.bench.pointer, value, state.uid, state.resource_version, "Promotion", state.basis)
        return self.adapter.patches(action)

    async def send(self, *patches: Patch) -> None:
        for patch in patches:
            if patch.how == "Json":
                await self.cluster.json_patch(patch.api_version, patch.kind, self.namespace, patch.name, patch.body)
            else:
                metadata = {**patch.body["metadata"], "namespace": self.namespace}
                await self.cluster.apply({**patch.body, "metadata": metadata})

    async def point(self, value: str) -> None:
        await self.send(*self.patches(await self.state(value), value))


@pytest.fixture(params=BENCHES, ids=lambda bench: bench.name)
def target(request: pytest.FixtureRequest, cluster: Cluster, connection: Connection, namespace: str) -> Target:
    return Target(request.param, cluster, connection, namespace)


async def test_the_pointer_is_read_and_belongs_to_nobody_who_applies_it(target: Target) -> None:
    await target.create()
    state = await target.state(target.bench.second)
    assert (state.pointer, state.other_applier, state.misfit, state.undeclared) == (target.bench.first, None, None, None)


async def test_repointing_changes_one_field_and_doing_it_again_nothing(target: Target) -> None:
    await target.create()
    before = await target.objects()
    await target.point(target.bench.second)
    after = await target.objects()
    changes = [change for old, new in zip(before, after, strict=True) for change in _differences(_content(old), _content(new))]
    assert len(changes) == (1 if target.bench.data is None else 2), changes
    assert all(target.bench.second in str(new) for _, _, new in changes), changes
    assert (await target.state(target.bench.second)).pointer == target.bench.second
    await target.point(target.bench.second)
    assert await target.objects() == after, "not even a new resourceVersion"


@pytest.mark.parametrize("what", ["changed", "replaced", "changed in another field by another applier"])
async def test_an_object_that_is_not_the_one_that_was_seen_stays_as_it_is(target: Target, what: str) -> None:
    await target.create()
    patches = target.patches(await target.state(target.bench.second), target.bench.second)
    bench = target.bench
    if what == "replaced":
        await target.cluster.delete(
            bench.api_version, bench.kind, target.namespace, "server", (await target.body())["metadata"]["uid"]
        )
        body = bench.manifest()
        await target.cluster.create({**body, "metadata": {**body["metadata"], "namespace": target.namespace}})
    elif what == "changed":
        change = {"metadata": {"labels": {"touched": "true"}}}
        await target.cluster.merge(bench.api_version, bench.kind, target.namespace, "server", change)
    else:
        meta = {"name": "server", "annotations": {"touched": "true"}}
        await target.applied({"apiVersion": bench.api_version, "kind": bench.kind, "metadata": meta})
    before = await target.body()
    with pytest.raises(Conflict):
        await target.send(*patches)
    assert await target.body() == before


async def test_another_manager_that_applies_the_field_is_told_by_name(target: Target) -> None:
    await target.create()
    await target.point(target.bench.second)
    # Of two objects either one will do.
    if target.bench.data is not None:
        data = {"model.uri": target.bench.second}
        await target.applied({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "models"}, "data": data})
    else:
        await target.applied(target.bench.manifest())
    assert (await target.state(target.bench.second)).other_applier == "argocd-controller"


async def test_what_others_apply_beside_the_field_does_not_make_it_theirs_nor_takes_it_away(target: Target) -> None:
    await target.create()
    bare = target.bench.manifest(bare=True)
    await target.applied(bare)
    assert (await target.state(target.bench.second)).other_applier is None
    await target.point(target.bench.second)
    for manager in ("argocd-controller", "another", "argocd-controller"):
        await target.applied(bare, manager)
        if target.bench.data is not None:
            labels = {"name": "models", "labels": {"team": "fraud"}}
            await target.applied({"apiVersion": "v1", "kind": "ConfigMap", "metadata": labels, "data": {"other": "x"}}, manager)
    state = await target.state(target.bench.second)
    assert (state.pointer, state.other_applier) == (target.bench.second, None)


async def test_what_kubectl_applied_is_adopted(target: Target, foreign_kinds: RealServer) -> None:
    bench = target.bench
    manifests = [bench.manifest()]
    if bench.data is not None:
        manifests.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "models"}, "data": bench.data})
    for manifest in manifests:
        _kubectl_apply(foreign_kinds, target.namespace, manifest)
    await target.point(bench.first)
    assert (await target.state(bench.first)).other_applier is None
    await target.point(bench.second)
    state = await target.state(bench.second)
    assert (state.pointer, state.other_applier) == (bench.second, None)


async def test_what_is_misspelt_is_told_with_a_sentence_that_helps(target: Target) -> None:
    await target.create()
    for change, reason, words in target.bench.misspelt:
        state = await target.state(target.bench.second, target.bench.pointer.model_copy(update=change))
        found = state.misfit or state.undeclared
        assert found is not None
        assert found.reason == reason
        assert words in found.message
        assert "serving.pointer." in found.message or reason == "PointerHasOtherSource"


@pytest.mark.parametrize("target", [bench for bench in BENCHES if bench.lacks], ids=lambda bench: bench.name, indirect=True)
async def test_a_pointer_that_was_taken_away_is_put_back(target: Target) -> None:
    """Somebody replaced the object with one that lacks the field, or the list or map that it stands in."""
    await target.create()
    await target.point(target.bench.second)
    gone = target.bench.manifest(bare=True)
    seen = (await target.body())["metadata"]
    await target.cluster.delete(target.bench.api_version, target.bench.kind, target.namespace, "server", seen["uid"])
    await target.cluster.create({**gone, "metadata": {**gone["metadata"], "namespace": target.namespace}})
    assert (await target.state(target.bench.second)).pointer != target.bench.second
    await target.point(target.bench.second)
    assert (await target.state(target.bench.second)).pointer == target.bench.second


IMAGES = [bench for bench in BENCHES if bench.name.endswith("-image")]


@pytest.mark.parametrize("target", IMAGES, ids=lambda bench: bench.name, indirect=True)
async def test_versions_with_different_pointers_take_nothing_from_each_other(target: Target) -> None:
    await target.create()
    by_env = replace(target, bench=next(each for each in BENCHES if each.name == f"{target.bench.kind}-env"))
    for one, value in ((target, f"{IMAGE}:2"), (by_env, SECOND), (target, f"{IMAGE}:3"), (by_env, FIRST), (target, f"{IMAGE}:4")):
        await one.point(value)
    assert (await target.state("")).pointer == f"{IMAGE}:4"
    assert (await by_env.state("")).pointer == FIRST


CONFIG_MAPS = [bench for bench in BENCHES if bench.data is not None]


@pytest.fixture(params=CONFIG_MAPS, ids=lambda bench: bench.name)
async def by_config_map(request: pytest.FixtureRequest, cluster: Cluster, connection: Connection, namespace: str) -> Target:
    target = Target(request.param, cluster, connection, namespace)
    await target.create()
    await target.point(target.bench.first)
    return target


def annotations(body: Body) -> dict[str, str]:
    found: dict[str, str] = body["spec"]["template"]["metadata"]["annotations"]
    return found


async def test_a_crash_between_the_two_patches_heals(by_config_map: Target) -> None:
    first, second = by_config_map.bench.first, by_config_map.bench.second
    one, two = by_config_map.patches(await by_config_map.state(second), second)
    await by_config_map.send(one)
    assert (await by_config_map.state(second)).pointer == first, "not all is done"
    await by_config_map.point(second)
    assert (await by_config_map.state(second)).pointer == second
    assert annotations(await by_config_map.body())[POINTER] == second
    with pytest.raises(Conflict):
        await by_config_map.send(two)


async def test_a_crash_after_which_the_version_is_no_longer_wished_goes_back(by_config_map: Target) -> None:
    first, second = by_config_map.bench.first, by_config_map.bench.second
    await by_config_map.send(by_config_map.patches(await by_config_map.state(second), second)[0])
    assert (await by_config_map.state(first)).pointer == second, "pods that start now read the other one"
    await by_config_map.point(first)
    assert (await by_config_map.state(first)).pointer == first
    assert (await by_config_map.config_map())["data"]["model.uri"] == first


async def test_a_foreign_edit_shows_and_pods_that_may_have_read_it_start_anew(by_config_map: Target) -> None:
    target, first = by_config_map, by_config_map.bench.first
    before = annotations(await target.body())
    await target.cluster.merge("v1", "ConfigMap", target.namespace, "models", {"data": {"model.uri": "foreign"}})
    edited = (await target.config_map())["metadata"]["resourceVersion"]
    state = await target.state(first)
    assert state.pointer == "foreign"
    one, two = target.patches(state, first)
    await target.send(one)
    assert (await target.state(first)).pointer is None, "a crash here leaves something to do"
    await target.point(first)
    assert (await target.state(first)).pointer == first
    assert annotations(await target.body()) == before | {EDITION: edited}, "another template"
    settled = await target.objects()
    await target.point(first)
    assert await target.objects() == settled
    await target.point(target.bench.second)
    assert annotations(await target.body()) == before | {EDITION: edited, POINTER: target.bench.second}
    with pytest.raises(Conflict):
        await target.send(two)


async def test_two_targets_may_have_keys_in_one_config_map(by_config_map: Target) -> None:
    target = by_config_map
    body = target.bench.manifest()
    await target.cluster.create({**body, "metadata": {"name": "neighbour", "namespace": target.namespace}})
    pointer = Pointer.model_validate({"configMap": {"name": "models", "key": "other"}})
    entry = target.bench.entry.model_copy(update={"pointer": pointer})
    ref = entry.target_ref.model_copy(update={"name": "neighbour"})
    [name] = target.adapter.wants(body, entry).others
    seen = Seen(
        await target.cluster.get(ref.api_version, ref.kind, target.namespace, "neighbour") or {},
        (),
        {name: await target.config_map()},
    )
    state = target.adapter.state(seen, entry, "b", None)
    action = Repoint(ref, pointer, "b", state.uid, state.resource_version, "Promotion", state.basis)
    await target.send(*target.adapter.patches(action))
    await target.point(target.bench.second)
    assert (await target.config_map())["data"] == {"model.uri": target.bench.second, "other": "b"}


async def test_a_config_map_that_cannot_change_is_told(by_config_map: Target) -> None:
    await by_config_map.cluster.merge("v1", "ConfigMap", by_config_map.namespace, "models", {"immutable": True})
    misfit = (await by_config_map.state(by_config_map.bench.second)).misfit
    assert misfit is not None
    assert "immutable" in misfit.message


def _kubectl_apply(server: RealServer, namespace: str, manifest: Body) -> None:
    command = [str(server.server.kubectl), "--kubeconfig", str(server.kubeconfig), "-n", namespace, "apply", "-f", "-"]
    subprocess.run(command, input=json.dumps(manifest), text=True, check=True, capture_output=True)


def _content(body: Body) -> Body:
    found = deepcopy(body)
    for name in ("managedFields", "resourceVersion", "generation"):
        found["metadata"].pop(name, None)
    return found


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif old != new:
        yield path, old, new
