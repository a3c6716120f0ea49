"""The two small HTTP servers of the process: metrics for Prometheus, health for the kubelet.

Health means that the event loop turns, readiness that the first lists are in. Neither looks at the API server or a registry:
starting this process again would heal neither of them.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from aiohttp import web

from ..settings import Address
from .logs import SILENT
from .metrics import Metrics


async def serve(
    stack: AsyncExitStack, metrics: Metrics, ready: Callable[[], bool], metrics_at: Address, health_at: Address
) -> None:
    """Listens until the stack is left. Raises OSError where an address is taken."""

    async def tell_metrics(_: web.Request) -> web.Response:
        # With thousands of objects it takes a moment, which a rollback must not wait for.
        text = await asyncio.to_thread(metrics.text)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"})

    async def tell_health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def tell_ready(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if ready() else web.Response(status=503, text="the first lists are not in yet\n")

    await _listen(stack, metrics_at, (web.get("/metrics", tell_metrics),))
    await _listen(stack, health_at, (web.get("/healthz", tell_health), web.get("/readyz", tell_ready)))


async def _listen(stack: AsyncExitStack, address: Address, routes: tuple[web.RouteDef, ...]) -> None:
    if not address.port:
        return
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, logger=SILENT)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, address.host or None, address.port).start()
