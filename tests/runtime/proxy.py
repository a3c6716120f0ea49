"""Stands between the operator and the real API server and, when told to, breaks what passes through in the ways networks do."""

import asyncio
import json
import ssl
from collections import Counter, defaultdict
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web

_END = b""


class Proxy:
    """Plain HTTP on a free port, to an API server over TLS."""

    def __init__(self, kubeconfig: dict[str, Any]) -> None:
        self._upstream = kubeconfig["clusters"][0]["cluster"]["server"]
        self._config = kubeconfig
        self._streams: dict[str, list[asyncio.Queue[bytes]]] = defaultdict(list)
        self._open: dict[str, asyncio.Event] = defaultdict(_set_event)
        self.refuse: dict[tuple[str, str], int] = {}
        """Status to answer with, by verb (`list` or `watch`) and plural, until it is taken out."""
        self.refused = 0
        self.lists: Counter[str] = Counter()
        """Lists answered so far, by plural."""

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def kubeconfig(self) -> str:
        """A kubeconfig that leads here."""
        cluster = {"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "proxy", "context": {"cluster": "proxy", "user": self._config["users"][0]["name"]}}
        return json.dumps(
            {**self._config, "clusters": [cluster], "contexts": [context], "current-context": "proxy"},
        )

    def streams(self, plural: str) -> int:
        """Watches that are open now."""
        return len(self._streams[plural])

    def inject(self, plural: str, line: bytes, end: bool = False) -> None:
        """Sends a line into all open watches of the kind, and ends them cleanly if told so."""
        for stream in self._streams[plural]:
            stream.put_nowait(line)
            if end:
                stream.put_nowait(_END)

    def hold(self, plural: str) -> None:
        """Lets lists and watches of the kind wait."""
        self._open[plural].clear()

    def let_go(self, plural: str) -> None:
        """Ends `hold`."""
        self._open[plural].set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rstrip("/").rsplit("/", 1)[-1]
        watch = request.query.get("watch") == "true"
        if request.method == "GET":
            await self._open[plural].wait()
            if code := self.refuse.get(("watch" if watch else "list", plural)):
                self.refused += 1
                return web.json_response({"kind": "Status", "code": code, "message": "refused by the proxy"}, status=code)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"host", "accept-encoding", "content-length"}
        } | {"Accept-Encoding": "identity"}
        url = f"{self._upstream}{request.rel_url}"
        body = await request.read()
        async with self._session.request(request.method, url, headers=headers, data=body or None) as answer:
            if not watch:
                self.lists[plural] += request.method == "GET"
                kind = answer.headers.get("Content-Type", "application/json")
                return web.Response(status=answer.status, body=await answer.read(), headers={"Content-Type": kind})
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            await self._pass_on(plural, answer, response)
            return response

    async def _pass_on(self, plural: str, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        stream: asyncio.Queue[bytes] = asyncio.Queue()

        async def read() -> None:
            async for line in answer.content:
                stream.put_nowait(line)
            stream.put_nowait(_END)

        self._streams[plural].append(stream)
        reader = asyncio.create_task(read())
        try:
            while (line := await stream.get()) != _END:
                await response.write(line)
        finally:
            self._streams[plural].remove(stream)
            reader.cancel()


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
