"""What strangers may send to the operator: one address for registries' webhooks and for alerts, off by default, and bounded in
connections, time and size whatever comes.

Must not log headers or bodies, and knows nothing of what they mean.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

from aiohttp import web

from ..controllers.ports import ClusterError
from ..registries.credentials import Credentials
from ..settings import Address
from . import logs

_SECONDS = 10.0
"""A connection lives this long, whatever it does: senders that drip hold nothing, and the next request finds today's leader."""
_MOST_CONNECTIONS = 128
_SECONDS_TO_READ = 5.0
_SECRET_AGE = timedelta(seconds=30)
_MOST_SECRETS = 10_000


async def serve(stack: AsyncExitStack, address: Address, routes: Iterable[web.RouteDef]) -> None:
    """Listens until the stack is left. Raises OSError where the address is taken."""
    if not address.port:
        return
    application = web.Application()
    application.add_routes(routes)
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


async def body(request: web.Request, largest: int) -> bytes:
    """The body, of at most so many bytes. Raises HTTPRequestEntityTooLarge, TimeoutError and ConnectionError."""
    taken = bytearray()
    async with asyncio.timeout(_SECONDS_TO_READ):
        while chunk := await request.content.readany():
            taken += chunk
            if len(taken) > largest:
                raise web.HTTPRequestEntityTooLarge(largest)
    return bytes(taken)


async def settled(work: Awaitable[tuple[web.Response, str]], what: str, place: str) -> tuple[web.Response, str]:
    """The answer and one word for it, also where the request or the cluster made trouble. `what` and `place` name the request in
    the log; they must be names that are known here."""
    try:
        return await work
    except web.HTTPRequestEntityTooLarge:
        return web.Response(status=413, text="too large\n"), "too-large"
    except (TimeoutError, ConnectionError):
        return web.Response(status=408, text="too slow\n"), "too-slow"
    except ClusterError as error:
        logs.event(logging.WARNING, f"{what} not taken", place=place, reason=error.reason, message=error.public)
        return not_now(), "unavailable"


def not_now() -> web.Response:
    """Asks the sender to try again: who repeats what failed finds the leader with the next connection, or the one after it."""
    return web.Response(status=503, text="not now\n", headers={"Retry-After": "1", "Connection": "close"})


def refused() -> web.Response:
    """The one answer to all that is not proved, whether what it names exists or not."""
    return web.Response(status=401, text="not accepted\n")


class SharedSecrets:
    """What is shared with senders; remembered for half a minute, so that requests do not cost the API server one each."""

    def __init__(self, read: Callable[[str, str], Awaitable[Mapping[str, str] | None]], now: Callable[[], datetime]) -> None:
        """`read` gives a Secret by namespace and name (ClusterError where that cannot be told)."""
        self._read, self._now = read, now
        self._known: OrderedDict[tuple[str, str], tuple[datetime, Credentials]] = OrderedDict()

    async def __call__(self, namespace: str, name: str, key: str) -> str:
        """The value; empty where there is none. Raises ClusterError."""
        now, place = self._now(), (namespace, name)
        known = self._known.get(place)
        if known is None or now - known[0] > _SECRET_AGE:
            known = self._known[place] = (now, Credentials(await self._read(namespace, name) or {}))
            while len(self._known) > _MOST_SECRETS:
                self._known.popitem(last=False)
        return known[1].get(key, "")
