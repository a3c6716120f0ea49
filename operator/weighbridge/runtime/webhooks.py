"""Where registries may say that something has changed: `POST /webhooks/<namespace>/<ModelRegistry>`, on an address of its own that
is off by default.

A webhook is a hint to look, and costs what a look costs: polling stays the truth, and nothing a body says is believed. What was not
signed with the registry's own secret gets one short answer, whether the registry exists or not. Must not log headers or bodies.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from aiohttp import web

from ..api.base import API_VERSION, Key
from ..api.modelregistry import ModelRegistry
from ..controllers.ports import ClusterError, Store
from ..registries.credentials import Credentials
from ..registries.webhooks import Delivery, delivery
from ..settings import Address
from . import logs
from .news import Controllers
from .queue import Priority, Queue

SECRET_KEY = "WEBHOOK_SECRET"  # noqa: S105 - the name of the key, not its value
_LARGEST = 64 * 1024
_SECONDS = 10.0
"""A connection lives this long, whatever it does: senders that drip hold nothing, and the next webhook finds today's leader."""
_MOST_CONNECTIONS = 128
_MOST_REMEMBERED = 10_000
_SECRET_AGE = timedelta(seconds=30)
_MARGIN = 0.1
"""Seconds; the clock of the queue and the clock of the answers are two."""
_SECONDS_TO_READ = 5.0

T = TypeVar("T")


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
        self._secrets, self._leads, self._now, self._observe = secrets, leads, now, observe
        self._known_secrets: OrderedDict[tuple[str, str], tuple[datetime, Credentials]] = OrderedDict()
        self._taken: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        """Deliveries by registry and id, until when they are remembered."""

    async def serve(self, stack: AsyncExitStack, address: Address) -> None:
        """Listens until the stack is left. Raises OSError where the address is taken."""
        if not address.port:
            return
        application = web.Application(client_max_size=_LARGEST)
        application.add_routes([web.post("/webhooks/{namespace}/{name}", self._handle)])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, auto_decompress=False, logger=logs.SILENT)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        loop = asyncio.get_running_loop()
        server = runner.server
        assert server is not None

        def connection() -> asyncio.Protocol:
            made = server()
            loop.call_later(_SECONDS if len(server.connections) < _MOST_CONNECTIONS else 0.0, made.force_close)
            return made

        listening = await loop.create_server(connection, address.host or None, address.port)
        stack.callback(listening.close)

    async def _handle(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        registry = self._store.registry(namespace, name)
        kind = registry.spec.kind if registry is not None and registry.spec.webhook_secret_ref is not None else "unknown"
        try:
            response, outcome = await self._taken_in(request, registry)
        except web.HTTPRequestEntityTooLarge:
            response, outcome = web.Response(status=413, text="too large\n"), "too-large"
        except (TimeoutError, ConnectionError):
            response, outcome = web.Response(status=408, text="too slow\n"), "too-slow"
        except ClusterError as error:
            response, outcome = _not_now(), "unavailable"
            logs.event(
                logging.WARNING, "webhook not checked", registry=f"{namespace}/{name}", reason=error.reason, message=error.public
            )
        self._observe(kind, outcome)
        return response

    async def _taken_in(self, request: web.Request, registry: ModelRegistry | None) -> tuple[web.Response, str]:
        if not self._leads():
            # Registries that repeat what failed find the leader with the next connection, or the one after it.
            return _not_now(), "not-leading"
        async with asyncio.timeout(_SECONDS_TO_READ):
            body = await request.read()
        said = await self._checked(registry, request.headers, body) if registry is not None else None
        if registry is None or said is None:
            return web.Response(status=401, text="not accepted\n"), "refused"
        if not self._is_new(registry, said):
            return web.Response(text="known\n"), "duplicate"
        self._follow(registry, said)
        return web.Response(text="ok\n"), "accepted"

    async def _checked(self, registry: ModelRegistry, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        ref = registry.spec.webhook_secret_ref
        if ref is None:
            return None
        secret = await self._secret(registry.metadata.namespace, ref.name)
        return delivery(registry.spec.kind, secret, headers, body, self._now())

    async def _secret(self, namespace: str, name: str) -> str:
        """The shared secret; empty where there is none."""
        now, place = self._now(), (namespace, name)
        known = self._known_secrets.get(place)
        if known is None or now - known[0] > _SECRET_AGE:
            known = self._known_secrets[place] = (now, Credentials(await self._secrets(namespace, name) or {}))
            _shorten(self._known_secrets)
        return known[1].get(SECRET_KEY, "")

    def _is_new(self, registry: ModelRegistry, said: Delivery) -> bool:
        now, place = self._now(), (registry.metadata.uid, said.id)
        until = self._taken.get(place)
        if until is not None and now <= until:
            return False
        self._taken[place] = now + said.remember
        _shorten(self._taken)
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


def _not_now() -> web.Response:
    return web.Response(status=503, text="not now\n", headers={"Retry-After": "1", "Connection": "close"})


def _shorten(memory: OrderedDict[tuple[str, str], T]) -> None:
    while len(memory) > _MOST_REMEMBERED:
        memory.popitem(last=False)
