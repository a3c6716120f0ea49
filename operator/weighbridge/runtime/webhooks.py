"""Where registries may say that something has changed: `POST /webhooks/<namespace>/<ModelRegistry>`.

A webhook is a hint to look, and costs what a look costs: polling stays the truth, and nothing a body says is believed. What was not
signed with the registry's own secret gets one short answer, whether the registry exists or not. Must not log headers or bodies.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Protocol

from aiohttp import web

from ..api.base import API_VERSION, Key
from ..api.modelregistry import ModelRegistry
from ..controllers.ports import Store
from ..registries.webhooks import Delivery, delivery
from . import inbound, logs
from .news import Controllers
from .queue import Priority, Queue

SECRET_KEY = "WEBHOOK_SECRET"  # noqa: S105 - the name of the key, not its value
_LARGEST = 64 * 1024
_MOST_REMEMBERED = 10_000
_MARGIN = 0.1
"""Seconds; the clock of the queue and the clock of the answers are two."""


class Hints(Protocol):
    """The guarded registries, as far as they take hints."""

    def hint(self, registry: ModelRegistry, names: frozenset[str] | None) -> float: ...


class Webhooks:
    """Takes webhooks in."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue[Key],
        controllers: Controllers,
        registries: Hints,
        secrets: Callable[[str, str], Awaitable[Mapping[str, str] | None]],
        leads: Callable[[], bool],
        now: Callable[[], datetime],
        observe: Callable[[str, str], None],
    ) -> None:
        """`secrets` reads a Secret by namespace and name (ClusterError where that cannot be told). `leads`: whether this process
        acts on what it hears. `observe` is told of every webhook: kind of the registry, outcome."""
        self._store, self._queue, self._controllers, self._registries = store, queue, controllers, registries
        self._leads, self._now, self._observe = leads, now, observe
        self._secret = inbound.SharedSecrets(secrets, now)
        self._taken: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        """Deliveries by registry and id, until when they are remembered."""

    def routes(self) -> tuple[web.RouteDef, ...]:
        """What to listen for."""
        return (web.post("/webhooks/{namespace}/{name}", self._handle),)

    async def _handle(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        registry = self._store.registry(namespace, name)
        kind = registry.spec.kind if registry is not None and registry.spec.webhook_secret_ref is not None else "unknown"
        response, outcome = await inbound.settled(self._taken_in(request, registry), "webhook", f"{namespace}/{name}")
        self._observe(kind, outcome)
        return response

    async def _taken_in(self, request: web.Request, registry: ModelRegistry | None) -> tuple[web.Response, str]:
        if not self._leads():
            return inbound.not_now(), "not-leading"
        body = await inbound.body(request, _LARGEST)
        said = await self._checked(registry, request.headers, body) if registry is not None else None
        if registry is None or said is None:
            return inbound.refused(), "refused"
        if not self._is_new(registry, said):
            return web.Response(text="known\n"), "duplicate"
        self._follow(registry, said)
        return web.Response(text="ok\n"), "accepted"

    async def _checked(self, registry: ModelRegistry, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        ref = registry.spec.webhook_secret_ref
        if ref is None:
            return None
        secret = await self._secret(registry.metadata.namespace, ref.name, SECRET_KEY)
        return delivery(registry.spec.kind, secret, headers, body, self._now())

    def _is_new(self, registry: ModelRegistry, said: Delivery) -> bool:
        now, place = self._now(), (registry.metadata.uid, said.id)
        until = self._taken.get(place)
        if until is not None and now <= until:
            return False
        self._taken[place] = now + said.remember
        while len(self._taken) > _MOST_REMEMBERED:
            self._taken.popitem(last=False)
        return True

    def _follow(self, registry: ModelRegistry, said: Delivery) -> None:
        wait = self._registries.hint(registry, said.names)
        after = wait + _MARGIN if wait > 0 else 0.0
        meta = registry.metadata
        body = {"apiVersion": API_VERSION, "kind": registry.info.kind, "metadata": {"namespace": meta.namespace, "name": meta.name}}
        keys = {registry.key}.union(*(each.affected("ModelRegistry", body, self._store) for each in self._controllers.values()))
        for key in keys:
            # In the slow lane: what has really changed, here or elsewhere, goes first.
            self._queue.add(key, Priority.RESYNC, after)
        logs.event(logging.DEBUG, "webhook", registry=f"{meta.namespace}/{meta.name}", objects=len(keys))
