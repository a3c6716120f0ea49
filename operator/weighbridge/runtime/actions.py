"""Carries out the actions of a plan, in one `match` over their kinds. Each is idempotent and has its precondition.

What failed leaves as a `ClusterError` with public text; as `Conflict` where the world has moved on since it was looked at: then the
plan is stale and the object has to be looked at again. It must not decide, and must not repeat anything by itself.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol

from ..api.base import API_VERSION, Key, Resource
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import FINALIZER
from ..controllers.ports import ClusterError
from ..core.facts import WriteOrder
from ..core.plan import Action, Create, Delete, Repoint, SetFinalizer, Wake, WriteRegistry
from ..evaluation.manifest import traced
from ..serving.base import Patch
from ..serving.targets import adapter
from . import logs
from .cluster import Cluster
from .metrics import Metrics
from .news import News
from .queue import Priority, Queue
from .refusal import AlreadyExists, NotFound
from .rollbacks import reason
from .store import ObjectStore
from .tracing import OFF, Tracer

_MANAGED_BY = ("app.kubernetes.io/managed-by", "weighbridge")


class ActionFailed(ClusterError):
    """An action could not be carried out, for a reason the API server does not know of."""


class RegistryWriter(Protocol):
    """The writing side of the guarded registries."""

    def write(self, registry: ModelRegistry, order: WriteOrder, asker: Key) -> None: ...


class Actions:
    """Everything a plan may do to the world."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        registries: RegistryWriter,
        store: ObjectStore,
        queue: Queue[Key],
        news: News,
        metrics: Metrics,
        tracer: Tracer = OFF,
    ) -> None:
        self._cluster, self._registries, self._store = cluster, registries, store
        self._queue, self._news, self._metrics, self._tracer = queue, news, metrics, tracer

    async def run(self, action: Action, resource: Resource, started: float) -> None:
        """Carries out one action for the resource in a pass that started then (monotonic seconds). Raises ActionFailed and the
        other `ClusterError`s."""
        namespace = resource.metadata.namespace
        match action:
            case Create({"kind": "Job"} as manifest):
                with self._tracer.span("evaluation", {"weighbridge.job": manifest["metadata"]["name"]}):
                    await self._create(traced(manifest, self._tracer.traceparent()), resource)
            case Create(manifest):
                await self._create(manifest, resource)
            case Delete(api_version, kind, name, uid):
                await self._cluster.delete(api_version, kind, namespace, name, uid)
            case Repoint():
                await self._repoint(action, resource, started)
            case WriteRegistry(registry, order):
                self._write_registry(registry, order, resource)
            case SetFinalizer(present):
                await self._set_finalizer(present, resource)
            case Wake(keys):
                for key in keys:
                    self._queue.add(key, Priority.URGENT)

    async def _create(self, manifest: Mapping[str, Any], resource: Resource) -> None:
        metadata = {**manifest["metadata"], "namespace": resource.metadata.namespace}
        try:
            body = await self._cluster.create({**manifest, "metadata": metadata})
        except AlreadyExists:
            api_version, kind, name = manifest["apiVersion"], manifest["kind"], metadata["name"]
            found = await self._cluster.get(api_version, kind, resource.metadata.namespace, name)
            if found is None:
                raise ActionFailed("NameTaken", f"{kind} {name} is just going away; it is created when it is gone") from None
            if not _is_ours(found, metadata, resource.metadata.uid):
                text = f"there is a {kind} {name} already that belongs to somebody else: rename or delete it"
                raise ActionFailed("NameTaken", text) from None
            body = found
        self._news.seen(body, Priority.FRESH)

    async def _repoint(self, action: Repoint, resource: Resource, started: float) -> None:
        target = f"{action.target.kind}/{action.target.name}"
        why = reason(action, resource, self._store) if action.cause == "Rollback" else ""
        about = {"weighbridge.target": target} | ({"weighbridge.reason": why} if why else {})
        with self._tracer.span(action.cause.lower(), about):
            for patch in adapter(action.target).patches(action):
                await self._send(patch, resource.metadata.namespace)
        seconds = time.monotonic() - started
        if why:
            self._metrics.rolled_back(why, seconds)
        logs.event(
            logging.INFO,
            action.cause.lower(),
            seconds=round(seconds, 4),
            namespace=resource.metadata.namespace,
            target=target,
            version=action.value,
            by=resource.metadata.name,
        )

    async def _send(self, patch: Patch, namespace: str) -> None:
        if patch.how == "Json":
            await self._cluster.json_patch(patch.api_version, patch.kind, namespace, patch.name, patch.body)
            return
        metadata = {**patch.body["metadata"], "namespace": namespace}
        await self._cluster.apply({**patch.body, "metadata": metadata})

    def _write_registry(self, name: str, order: WriteOrder, resource: Resource) -> None:
        registry = self._store.registry(resource.metadata.namespace, name)
        if registry is None:
            raise ActionFailed(
                "RegistryNotFound", f"there is no ModelRegistry {name} in this namespace: create it or correct registryRef"
            )
        self._registries.write(registry, order, resource.key)

    async def _set_finalizer(self, present: bool, resource: Resource) -> None:
        meta = resource.metadata
        others = [name for name in meta.finalizers if name != FINALIZER]
        wanted = [*others, FINALIZER] if present else others
        if set(wanted) == set(meta.finalizers):
            return
        body = {"metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid, "finalizers": wanted}}
        try:
            answer = await self._cluster.merge(API_VERSION, resource.info.kind, meta.namespace, meta.name, body)
        except NotFound:
            if present:
                raise
            return
        self._news.seen(answer, Priority.FRESH)


def _is_ours(found: Mapping[str, Any], wanted: Mapping[str, Any], uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences", ())
    if wanted.get("ownerReferences"):
        return any(owner.get("uid") == uid for owner in owners)
    return (found["metadata"].get("labels") or {}).get(_MANAGED_BY[0]) == _MANAGED_BY[1]
