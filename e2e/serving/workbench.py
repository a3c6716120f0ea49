"""What the tests have inside the cluster; runs in a pod of the operator image.

A gate before the registry for each stage (a port that can be closed: connections break and new ones are refused), an eye on each
Service (which model answers, and whether well), and a hand that posts where it is told. Steered over HTTP on port 8000.
"""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
from aiohttp import web

from weighbridge.runtime.clock import now

REGISTRY = ("mlflow", 5000)
_PAUSE = 0.2
"""Seconds between two questions to a Service."""
_LONGEST = 20.0
"""Seconds for one request to the workbench: the API server, which passes it on, waits for a minute."""


class Gate:
    """Passes bytes on to the registry while it is open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def set(self, *, opened: bool) -> None:
        if opened and self._server is None:
            self._server = await asyncio.start_server(self._pass, "", self._port)
        elif not opened and self._server is not None:
            self._server.close()
            self._server = None
            for writer in list(self._open):
                writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, beyond = await asyncio.open_connection(*REGISTRY)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, beyond}
        await asyncio.gather(self._copy(reader, beyond), self._copy(there, writer))
        self._open -= {writer, beyond}

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


class Eye:
    """Asks a Service again and again, over a new connection each time, until it is closed."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self.seen: list[list[Any]] = []
        self.wanted: list[Any] = []
        self.settled = asyncio.Event()
        """The last answer is the wanted one."""
        self._task = asyncio.create_task(self._look())

    def close(self) -> None:
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            began = now().timestamp()
            try:
                async with self._session.get(self._url) as answer:
                    said = await answer.json()
                    found = [said["model"], said["good"]]
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                found = ["", False]
            if not self.seen or self.seen[-1][1:] != found:
                self.seen.append([began, *found])
            if found == self.wanted:
                self.settled.set()
            await asyncio.sleep(_PAUSE)


class Workbench:
    """Everything the tests steer."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._gates: dict[int, Gate] = {}
        self._eyes: dict[str, Eye] = {}

    async def ready(self, _: web.Request) -> web.Response:
        return web.Response()

    async def gate(self, request: web.Request) -> web.Response:
        """{"port": 5101, "open": true}"""
        wish = await request.json()
        await self._gates.setdefault(wish["port"], Gate(wish["port"])).set(opened=wish["open"])
        return web.Response()

    async def watch(self, request: web.Request) -> web.Response:
        """{"url": …}: from now on it is asked again and again; what was seen before is forgotten."""
        url = (await request.json())["url"]
        if url in self._eyes:
            self._eyes.pop(url).close()
        self._eyes[url] = Eye(self._session, url)
        return web.Response()

    async def settled(self, request: web.Request) -> web.Response:
        """{"url": …, "model": …}: gives [[time, model, good], …], one for each change, once it answers well with this model.
        Then it is not asked any more. Nothing where that takes longer."""
        wish = await request.json()
        eye = self._eyes[wish["url"]]
        eye.wanted = [wish["model"], True]
        try:
            await asyncio.wait_for(eye.settled.wait(), _LONGEST)
        except TimeoutError:
            return web.json_response(None)
        self._eyes.pop(wish["url"]).close()
        return web.json_response(eye.seen)

    async def get(self, request: web.Request) -> web.Response:
        """{"url": …}: gives what was answered; nothing where nobody answers."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get((await request.json())["url"]) as answer:
                return web.json_response(await answer.json())
        return web.json_response(None)

    async def post(self, request: web.Request) -> web.Response:
        """{"url": …, "headers": {…}, "body": …}: gives the status; nothing where nobody answers."""
        wish = await request.json()
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(wish["url"], headers=wish.get("headers"), data=json.dumps(wish.get("body"))) as answer:
                return web.json_response(answer.status)
        return web.json_response(None)


async def main() -> None:
    connector = aiohttp.TCPConnector(force_close=True, ttl_dns_cache=600)  # addresses of Services stay
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2), connector=connector) as session:
        bench = Workbench(session)
        application = web.Application()
        for handler in (bench.gate, bench.watch, bench.settled, bench.get, bench.post):
            application.router.add_post(f"/{handler.__name__}", handler)
        application.router.add_get("/ready", bench.ready)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, None, 8000).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
