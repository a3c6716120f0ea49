"""The prober against real servers, friendly and not."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from weighbridge.api.serving import HttpGet, Identity, Invariant, Probe
from weighbridge.core.facts import ProbeOutcome
from weighbridge.runtime.prober import HttpProber

HERE = "127.0.0.1"
BODY = '{"inputs": [1]}'


async def answers(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/ping":
            return web.Response(text="model version 7 is ready")
        case "/echo":
            return web.json_response(
                {
                    "method": request.method,
                    "body": await request.text(),
                    "headers": dict(request.headers),
                    "query": request.raw_path.partition("?")[2],
                }
            )
        case "/broken":
            return web.Response(status=500, text="model version 7 is ready")
        case "/loading":
            return web.Response(status=503, text="model version 7 is ready")
        case "/elsewhere":
            raise web.HTTPFound("/ping")
        case "/silent":
            await asyncio.sleep(3600)
            return web.Response()
        case "/reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        case "/half":
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b'{"predictions": [1]}')
            assert request.transport is not None
            request.transport.abort()
            return response
        case "/endless":
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"1" * 65536)
        case "/bomb":
            return web.Response(body=b"\x1f\x8b" + b"\0" * 1000, headers={"Content-Encoding": "gzip"})
        case "/nested":
            return web.Response(body=b"[" * 200_000)
        case "/bell":
            return web.json_response({"predictions": ["low\x07\x1b[31m" + "x" * 1000]})
        case "/nan":
            return web.Response(text='{"predictions": [NaN]}')
        case _:
            late = "x" * (64 * 1024) + "ready"
            return web.Response(text=late)


@asynccontextmanager
async def serving(routes: Mapping[str, Any] | None = None) -> AsyncIterator[int]:
    """A server with fixed answers (a status, or a document), or with the ones above."""

    async def fixed(request: web.Request) -> web.Response:
        answer = (routes or {}).get(f"{request.method} {request.raw_path}", 404)
        return web.Response(status=answer) if isinstance(answer, int) else web.Response(text=json.dumps(answer))

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answers if routes is None else fixed)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, HERE, 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving() as port:
        yield port


async def judge(questions: Probe, *addresses: str) -> ProbeOutcome:
    async with HttpProber() as probe:
        return await probe(addresses or (HERE,), questions)


async def ask(port: int, path: str, expect: str | None = None, addresses: tuple[str, ...] = (HERE,)) -> ProbeOutcome:
    async with HttpProber() as probe:
        return await probe(addresses, Probe(http_get=HttpGet(path=path, port=port), expect=expect))


def invariant(port: int, path: str, answer: str = "/predictions/0", **bounds: Any) -> Invariant:
    return Invariant(name="flat-fee", port=port, path=path, body=BODY, answer=answer, **bounds)


async def test_an_answer_that_is_as_expected_passes(port: int) -> None:
    assert await ask(port, "/ping", "version 7") == ProbeOutcome(1, 1)
    assert await ask(port, "/ping") == ProbeOutcome(1, 1)


@pytest.mark.parametrize(
    ("path", "expect", "told"),
    [
        ("/broken", "version 7", "status 500"),
        ("/ping", "version 8", "expected text"),
        ("/late", "ready", "expected text"),
        ("/endless", "ready", "expected text"),
        ("/bomb", "ready", "expected text"),
    ],
)
async def test_any_other_answer_is_wrong(port: int, path: str, expect: str, told: str) -> None:
    outcome = await ask(port, path, expect)
    assert (outcome.asked, outcome.passed, outcome.wrong) == (1, 0, 1)
    assert told in outcome.message
    assert f"{HERE}:{port}" in outcome.message


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/loading", "status 503"),
        ("/elsewhere", "status 302"),
        ("/reset", "GET /reset"),
        ("/half", "GET /half"),
        ("/silent", "did not answer GET /silent within 0.2 s"),
    ],
)
async def test_no_answer_is_no_evidence(port: int, path: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 0.2)
    outcome = await ask(port, path, "x")
    assert (outcome.asked, outcome.passed, outcome.wrong) == (1, 0, 0)
    assert told in outcome.message


async def test_absence_is_no_evidence() -> None:
    outcome = await ask(1, "/ping")
    assert "could not be reached" in outcome.message
    assert (outcome.passed, outcome.wrong) == (0, 0)


async def test_what_is_not_http_is_no_evidence() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, HERE, 0) as server:
        outcome = await ask(server.sockets[0].getsockname()[1], "/ping")
    assert (outcome.passed, outcome.wrong) == (0, 0)
    assert "no whole HTTP answer" in outcome.message


async def test_all_questions_to_one_pod_share_its_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 0.3)
    each = [
        Invariant(name=f"number-{at}", port=port, path="/echo" if at == 0 else "/silent", body="{}", answer="/body", equals="{}")
        for at in range(8)
    ]
    async with asyncio.timeout(2):
        outcome = await judge(Probe(invariants=tuple(each)))
    assert outcome.wrong == 0
    assert "did not answer invariant number-1" in outcome.message


async def test_all_pods_are_asked_at_once_and_counted(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 0.5)
    async with asyncio.timeout(3):
        outcome = await ask(port, "/silent", addresses=(HERE,) * 20)
    assert (outcome.asked, outcome.passed, outcome.wrong) == (20, 0, 0)


async def test_so_many_silent_pods_have_an_end_too(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 0.5)
    monkeypatch.setattr("weighbridge.runtime.prober._ALTOGETHER", 0.8)
    async with asyncio.timeout(3):
        outcome = await ask(port, "/silent", addresses=(HERE,) * 500)
    assert (outcome.asked, outcome.passed, outcome.wrong) == (500, 0, 0)


async def test_silent_pods_of_one_workload_hold_up_no_other(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.runtime.prober._SECONDS", 30)
    monkeypatch.setattr("weighbridge.runtime.prober._ALTOGETHER", 30)
    async with HttpProber() as probe, asyncio.timeout(5):
        stuck = asyncio.ensure_future(probe((HERE,) * 100, Probe(http_get=HttpGet(path="/silent", port=port))))
        assert await probe((HERE,), Probe(http_get=HttpGet(path="/ping", port=port))) == ProbeOutcome(1, 1)
        stuck.cancel()


async def test_one_pod_that_answers_wrongly_is_counted_and_named_before_those_that_are_silent() -> None:
    with socket.socket() as free:  # a port where 127.0.0.2 listens and 127.0.0.1 does not
        free.bind(("127.0.0.2", 0))
        port = free.getsockname()[1]
    async with await asyncio.start_server(_teapot, "127.0.0.2", port):
        outcome = await ask(port, "/ping", addresses=(HERE, "127.0.0.2"))
    assert (outcome.asked, outcome.passed, outcome.wrong) == (2, 0, 1)
    assert f"the pod at 127.0.0.2:{port} answered GET /ping with status 418, expected 200" in outcome.message


async def _teapot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_no_pods_is_no_pass(port: int) -> None:
    assert await ask(port, "/ping", addresses=()) == ProbeOutcome(0, 0)


async def test_the_invariants_input_is_posted_as_it_is_written(port: int) -> None:
    assert await judge(Probe(invariants=(invariant(port, "/echo", "/body", equals=BODY),))) == ProbeOutcome(1, 1)
    assert (await judge(Probe(invariants=(invariant(port, "/echo", "/method", equals="POST"),)))).passed == 1
    assert (
        await judge(Probe(invariants=(invariant(port, "/echo", "/headers/Content-Type", equals="application/json"),)))
    ).passed == 1
    assert (await judge(Probe(invariants=(invariant(port, "/echo?a=%2F&b", "/query", equals="a=%2F&b"),)))).passed == 1


async def test_nothing_but_the_question_is_sent(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for header in ("Authorization", "Cookie", "Proxy-Authorization"):
        outcome = await judge(Probe(invariants=(invariant(port, "/echo", f"/headers/{header}", equals="x"),)))
        assert "has nothing at /headers" in outcome.message


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/endless", "longer than 256 KiB"),
        ("/nested", "is not JSON"),
        ("/bomb", "is not JSON"),
        ("/nan", "is not a finite number"),
        ("/ping", "is not JSON"),
        ("/bell", 'is "low\ufffd\ufffd[31mxxx'),
    ],
)
async def test_odd_answers_to_an_invariant_are_wrong_and_bounded(port: int, path: str, told: str) -> None:
    outcome = await judge(Probe(invariants=(invariant(port, path, min=0),)))
    assert (outcome.asked, outcome.passed, outcome.wrong) == (1, 0, 1)
    assert told in outcome.message
    assert outcome.message.isprintable()
    assert len(outcome.message) < 300


async def test_a_service_is_named_as_one(port: int) -> None:
    outcome = await judge(Probe(http_get=HttpGet(path="/broken", port=port), service="fraud"))
    assert outcome.message == f"Service fraud at {HERE}:{port} answered GET /broken with status 500, expected 200"


@pytest.mark.parametrize("path", ["/ü", "/%zz", "/a\x00b", "//elsewhere.example.com/ping", "/#fragment", "/?%"])
async def test_odd_paths_break_nothing(port: int, path: str) -> None:
    outcome = await ask(port, path, "never")
    assert (outcome.asked, outcome.passed) == (1, 0)
    assert f"at {HERE}:{port} " in outcome.message


# -- who serves ------------------------------------------------------------------------------------------------------------------


def card(name: str, root: str | None, **more: Any) -> dict[str, Any]:
    """One entry of vLLM's `/v1/models`, as `show_available_models` in vllm/entrypoints/openai/models/serving.py makes it."""
    return {"id": name, "object": "model", "created": 1, "owned_by": "vllm", "root": root, "parent": None, "permission": [], **more}


VLLM = [card("fraud", "/mnt/models/7", max_model_len=4096), card("lora-a", "/mnt/lora/3", parent="fraud")]


@pytest.mark.parametrize(
    ("models", "model", "value", "passes"),
    [
        (VLLM, None, "/mnt/models/7", True),
        (VLLM, "fraud", "/mnt/models/7", True),
        (VLLM, "lora-a", "/mnt/lora/3", True),
        (VLLM, "lora-a", "/mnt/models/7", False),
        (VLLM, "other", "/mnt/models/7", False),
        (VLLM, None, "/mnt/models/8", False),
        (VLLM, None, "/mnt/models/", False),
        ([{"id": "fraud:7", "object": "model"}], None, "fraud:7", True),
        ([], None, "fraud:7", False),
        (["fraud:7"], None, "fraud:7", False),
        ("fraud:7", None, "fraud:7", False),
    ],
)
async def test_openai_servers_name_their_models(models: Any, model: str | None, value: str, passes: bool) -> None:
    async with serving({"GET /v1/models": {"object": "list", "data": models}}) as port:
        outcome = await judge(Probe(identity=Identity(protocol="OpenAI", port=port, model=model, value=value)))
    assert (outcome.passed, outcome.wrong) == ((1, 0) if passes else (0, 1))
    assert passes or "GET /v1/models" in outcome.message


async def test_what_the_server_names_instead_is_told() -> None:
    async with serving({"GET /v1/models": {"object": "list", "data": VLLM}}) as port:
        outcome = await judge(Probe(identity=Identity(protocol="OpenAI", port=port, value="/mnt/models/8")))
    assert 'names "/mnt/models/7", expected "/mnt/models/8"' in outcome.message


async def test_a_server_that_wants_a_key_says_nothing_of_its_model() -> None:
    async with serving({"GET /v1/models": 401}) as port:
        outcome = await judge(Probe(identity=Identity(protocol="OpenAI", port=port, value="/mnt/models/8")))
    assert (outcome.passed, outcome.wrong) == (0, 0)


META: dict[str, Any] = {"name": "fraud", "platform": "", "inputs": [], "outputs": []}
IS, READY, READY_7 = "GET /v2/models/fraud", "GET /v2/models/fraud/ready", "GET /v2/models/fraud/versions/7/ready"


@pytest.mark.parametrize(
    ("routes", "passed", "wrong"),
    [
        # Triton (docs/protocol of triton-inference-server): it names its versions, and says 400 to all else.
        ({IS: {**META, "versions": ["6", "7"]}, READY: 200, READY_7: 200}, 1, 0),
        ({IS: {**META, "versions": ["6"]}, READY: 200, READY_7: 400}, 0, 1),
        ({IS: {**META, "versions": ["7"]}, READY: 400, READY_7: 400}, 0, 0),
        ({IS: 400, READY: 400, READY_7: 400}, 0, 0),
        # MLServer (mlserver/registry.py, mlserver/rest/app.py): versions only where its settings list them, 404 for one it has not
        # loaded, 400 for one that is not ready.
        ({IS: META, READY: 200, READY_7: 200}, 1, 0),
        ({IS: META, READY: 200}, 0, 1),
        ({IS: META, READY: 400, READY_7: 400}, 0, 0),
        ({}, 0, 1),
        # KServe's own server (kserve/protocol/rest/v2_endpoints.py, kserve/errors.py): no versions, 501 where one is asked for,
        # 503 for a model that is not ready.
        ({IS: META, READY: 200, READY_7: 501}, 1, 0),
        ({IS: META, READY: 503, READY_7: 501}, 0, 0),
        # What nobody should answer.
        ({IS: {**META, "versions": "7"}, READY: 200, READY_7: 200}, 0, 1),
        ({IS: {**META, "versions": [7]}, READY: 200, READY_7: 200}, 0, 1),
        ({IS: {**META, "versions": ["7"]}, READY: 200, READY_7: 501}, 0, 1),
        ({IS: ["fraud"], READY: 200, READY_7: 200}, 0, 1),
    ],
)
async def test_open_inference_servers_name_their_version(routes: Mapping[str, Any], passed: int, wrong: int) -> None:
    async with serving(routes) as port:
        identity = Identity(protocol="OpenInference", port=port, model="fraud", value="7")
        outcome = await judge(Probe(identity=identity))
    assert (outcome.passed, outcome.wrong) == (passed, wrong)


async def test_names_and_versions_stay_one_part_of_the_path() -> None:
    async with serving({IS: META, "GET /v2/models/fraud/versions/7%2F..%2F6%3F/ready": 200}) as port:
        identity = Identity(protocol="OpenInference", port=port, model="fraud", value="7/../6?")
        assert await judge(Probe(identity=identity)) == ProbeOutcome(1, 1)


@pytest.mark.parametrize(
    ("routes", "passed", "wrong"),
    [
        ({"GET /ping": 200, "GET /version": 3.17}, 1, 0),
        # nginx.conf in mlflow/models/container/scoring_server passes on /ping and /invocations alone.
        ({"GET /ping": 200, "GET /version": 404, "GET /invocations": 405}, 1, 0),
        ({"GET /ping": 200, "GET /version": 404, "GET /invocations": 404}, 0, 1),
        ({"GET /ping": 200, "GET /version": "ready"}, 0, 1),
        ({"GET /ping": 404, "GET /version": 3.17}, 0, 1),
        ({"GET /ping": 503, "GET /version": 3.17}, 0, 0),
    ],
)
async def test_only_a_scoring_server_is_taken_for_one(routes: Mapping[str, Any], passed: int, wrong: int) -> None:
    async with serving(routes) as port:
        outcome = await judge(Probe(identity=Identity(protocol="MLflow", port=port)))
    assert (outcome.passed, outcome.wrong) == (passed, wrong)
