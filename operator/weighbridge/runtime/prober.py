"""Asks pods the probe's question over HTTP: all at once, bounded in number, time and size. Implements `controllers.ports.Prober`.

It goes to the addresses it is given and nowhere else: no redirects, no proxy, no credentials. Answers are counted, never kept.
"""

import asyncio
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from ..api.serving import Probe
from ..core.facts import ProbeOutcome

_AT_ONCE = 32
_SECONDS = 3.0
_LONGEST = 64 * 1024


class HttpProber:
    """One HTTP client for all probes; use as an async context manager."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(force_close=True, limit=_AT_ONCE),
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, addresses: tuple[str, ...], probe: Probe) -> ProbeOutcome:
        """How many of the addresses answer as the probe wants."""
        troubles = await asyncio.gather(*(self._ask(address, probe) for address in addresses))
        failed = [trouble for trouble in troubles if trouble]
        return ProbeOutcome(asked=len(addresses), passed=len(addresses) - len(failed), message=failed[0] if failed else "")

    async def _ask(self, address: str, probe: Probe) -> str:
        """What is wrong with the answer; empty where nothing is."""
        if self._session is None:
            raise RuntimeError("the prober is not open")
        host = f"[{address}]" if ":" in address else address
        url = URL(f"http://{host}:{probe.http_get.port}{probe.http_get.path}", encoded=True)
        where = f"the pod at {host}:{probe.http_get.port}"
        try:
            async with self._gate, self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    return f"{where} answered with status {response.status}"
                if probe.expect is None:
                    return ""
                body = await _start(response.content)
        except TimeoutError:
            return f"{where} did not answer within {_SECONDS:g} s"
        except (aiohttp.ClientError, OSError):
            return f"{where} could not be reached"
        return "" if probe.expect.encode() in body else f"the answer of {where} does not contain the expected text"


async def _start(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while len(body) < _LONGEST and (chunk := await content.read(_LONGEST - len(body))):
        body += chunk
    return bytes(body)
