"""The prober against real servers, friendly and not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from weighbridge.api.serving import HttpGet, Probe
from weighbridge.core.facts import ProbeOutcome
from weighbridge.runtime.prober import HttpProber

HERE = "127.0.0.1"


async def answers(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/ping":
            return web.Response(text="model version 7 is ready")
        case "/broken":
            return web.Response(status=503, text="model version 7 is ready")
        case "/elsewhere":
            raise web.HTTPFound("/ping")
        case "/silent":
            await asyncio.sleep(3600)
            return web.Response()
        case "/endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65536)
        case _:
            late = "x" * (64 * 1024) + "ready"
            return web.Response(text=late)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_get("/{path:.*}", answers)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, HERE, 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def ask(port: int, path: str, expect: str | None = None, addresses: tuple[str, ...] = (HERE,)) -> ProbeOutcome:
    async with HttpProber() as probe:
        return await probe(addresses, Probe(http_get=HttpGet(path=path, port=port), expect=expect))


async def test_an_answer_that_is_as_expected_passes(port: int) -> None:
    assert await ask(port, "/ping", "version 7") == ProbeOutcome(1, 1)
    assert await ask(port, "/ping") == ProbeOutcome(1, 1)


@pytest.mark.parametrize(
    ("path", "expect", "told"),
    [
        ("/broken", "version 7", "status 503"),
        ("/elsewhere", None, "status 302"),
        ("/ping", "version 8", "expected text"),
        ("/late", "ready", "expected text"),
        ("/endless", "ready", "expected text"),
    ],
)
async def test_any_other_answer_does_not(port: int, path: str, expect: str | None, told: str) -> None:
    outcome = await ask(port, path, expect)
    assert (outcome.asked, outcome.passed) == (1, 0)
    assert told in outcome.message
    assert f"{HERE}:{port}" in outcome.message


async def test_silence_and_absence_have_an_end(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 0.2)
    silent = await ask(port, "/silent")
    assert "did not answer" in silent.message
    absent = await ask(1, "/ping")
    assert "could not be reached" in absent.message


async def test_all_pods_are_asked_at_once_and_counted(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 0.5)
    async with asyncio.timeout(2):
        outcome = await ask(port, "/silent", addresses=(HERE,) * 20)
    assert (outcome.asked, outcome.passed) == (20, 0)


async def test_no_pods_is_no_pass(port: int) -> None:
    assert await ask(port, "/ping", addresses=()) == ProbeOutcome(0, 0)
