"""Puts a probe's questions (serving/proof) to endpoints over HTTP, bounded in number, time and size.

Implements `probes.Prober`. It goes to the addresses it is given and nowhere else: no redirects, no proxy, no
credentials. Answers are judged, never kept.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from ..api.serving import Probe
from ..core.facts import ProbeOutcome
from ..serving.proof import Answer, Question, Trouble, examine

_AT_ONCE = 64
_AT_ONCE_OF_ONE = 16
"""Endpoints of one workload that are asked at the same time: pods that are silent hold up no other workload."""
_SECONDS = 5.0
"""For all questions to one endpoint together."""
_ALTOGETHER = 20.0
"""For all endpoints of one workload."""
_PLAIN = {"Accept-Encoding": "identity"}
_JSON = {**_PLAIN, "Content-Type": "application/json"}


@dataclass(frozen=True)
class _Finding:
    """Why one endpoint does not pass."""

    message: str
    wrong: bool


class HttpProber:
    """One HTTP client for all probes; use as an async context manager."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the deadline of all questions together counts
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(force_close=True, limit=_AT_ONCE),
            auto_decompress=False,  # a few compressed bytes could fill the memory
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, addresses: tuple[str, ...], probe: Probe) -> ProbeOutcome:
        """How many of the addresses answer all questions as the probe wants, and how many answer wrongly."""
        turns = asyncio.Semaphore(_AT_ONCE_OF_ONE)
        asked = [asyncio.ensure_future(self._in_turn(turns, address, probe)) for address in addresses]
        try:
            await asyncio.wait(asked, timeout=_ALTOGETHER) if asked else None
        finally:
            late = [each for each in asked if not each.done()]
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        found = [_Finding("not all pods could be asked in time", wrong=False) if each in late else each.result() for each in asked]
        return _outcome(found)

    async def _in_turn(self, turns: asyncio.Semaphore, address: str, probe: Probe) -> _Finding | None:
        async with turns, self._gate:
            return await self._examine(address, probe)

    async def _examine(self, address: str, probe: Probe) -> _Finding | None:
        """What is wrong with the endpoint; None where nothing is."""
        host = _host(address)
        who = f"Service {probe.service} at {host}" if probe.service else f"the pod at {host}"
        examination = examine(probe)
        try:
            question = next(examination)
            async with asyncio.timeout(_SECONDS):
                while True:
                    question = examination.send(await self._ask(host, question))
        except StopIteration as end:
            trouble: Trouble | None = end.value
            return _Finding(f"{who}:{trouble.question.port} {trouble.message}", trouble.wrong) if trouble else None
        except TimeoutError:
            silence = f"did not answer {question.name} within {_SECONDS:g} s"
        except (aiohttp.ClientConnectorError, aiohttp.ClientOSError):
            silence = f"could not be reached for {question.name}"
        except (aiohttp.ClientError, OSError, ValueError):
            silence = f"gave no whole HTTP answer to {question.name}"
        return _Finding(f"{who}:{question.port} {silence}", wrong=False)

    async def _ask(self, host: str, question: Question) -> Answer:
        url = URL(f"http://{host}:{question.port}{question.path}", encoded=True)
        method, headers = ("GET", _PLAIN) if question.body is None else ("POST", _JSON)
        async with self._opened().request(method, url, data=question.body, headers=headers, allow_redirects=False) as response:
            if response.status != 200 or not question.most:
                return Answer(response.status)
            body = await _start(response.content, question.most + 1)
            return Answer(response.status, body[: question.most], cut=len(body) > question.most)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the prober is not open")
        return self._session

    async def fetch(self, address: str, port: int, path: str, most: int) -> bytes | None:
        """The start of what a pod answers to one GET, at most that many bytes; None for silence and for anything but status 200."""
        url = URL(f"http://{_host(address)}:{port}{path}", encoded=True)
        session = self._opened()
        try:
            async with (
                self._gate,
                asyncio.timeout(_SECONDS),
                session.get(url, headers=_PLAIN, allow_redirects=False) as response,
            ):
                return await _start(response.content, most) if response.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            return None


def _host(address: str) -> str:
    """An address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _outcome(found: Iterable[_Finding | None]) -> ProbeOutcome:
    """The count; what is wrong goes before what is silent."""
    all_of_them = list(found)
    troubles = sorted((each for each in all_of_them if each is not None), key=lambda each: not each.wrong)
    return ProbeOutcome(
        asked=len(all_of_them),
        passed=len(all_of_them) - len(troubles),
        message=troubles[0].message if troubles else "",
        wrong=sum(each.wrong for each in troubles),
    )


async def _start(content: aiohttp.StreamReader, most: int) -> bytes:
    body = bytearray()
    while len(body) < most and (chunk := await content.read(most - len(body))):
        body += chunk
    return bytes(body)
