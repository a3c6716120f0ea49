"""Every adapter against servers that are down, slow, rude or hostile: nothing of that is ever an answer or a definite no, all of it
ends in time and in little memory, and the token goes nowhere else. A new adapter joins by a line in `ADAPTERS`."""

import contextlib
import gzip
import logging
import socket
import struct
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import pytest

from tests.registries.benches import LOCAL, Bench
from tests.registries.oddserver import Answer, OddServer, endless, odd, passed_on, raw, reply
from weighbridge.api.base import LocalRef, ObjectMeta
from weighbridge.api.modelregistry import ModelRegistry
from weighbridge.api.references import DatasetReference, ModelPin, ModelReference
from weighbridge.core.facts import WriteOrder
from weighbridge.registries.base import REQUESTS_PER_QUESTION, Registry, RegistryAbsent, RegistryFailed
from weighbridge.registries.connections import connect
from weighbridge.registries.credentials import Credentials

CANARY = "canary-token-9f4c1b"
TIMEOUT = 1.0
BOUND = TIMEOUT * REQUESTS_PER_QUESTION + 2.0
"""Seconds a question may take; the last two are for a busy machine."""
MEMORY = 64 << 20


@dataclass(frozen=True)
class Adapter:
    """How a registry is named in a ModelRegistry, and what is asked of it."""

    kind: str
    secret: str
    model: Mapping[str, str]

    def connect(self, url: str) -> Registry:
        spec = {self.kind: {"url": url}, "requestTimeout": f"{TIMEOUT:.0f}s"}
        registry = ModelRegistry(metadata=ObjectMeta(name="r", namespace="ns", uid="u"), spec=spec)
        return connect(registry, Credentials({self.secret: CANARY}), LOCAL, lambda: True)


ADAPTERS = {
    "mlflow": Adapter("mlflow", "MLFLOW_TRACKING_TOKEN", {"name": "m", "version": "1"}),
    "huggingFace": Adapter("huggingFace", "HF_TOKEN", {"name": "o/m", "revision": "main"}),
}

PIN = ModelPin.model_validate(
    {"registry": "r", "name": "o/m", "version": "1", "uri": "u", "created_at": "2026-01-01T00:00:00Z"}
    | dict.fromkeys(("fingerprint", "digest"), f"sha256:{'0' * 64}")
)
DATASET = DatasetReference(name="d", registry_ref=LocalRef(name="r"), path="o/d")
OPERATIONS: Mapping[str, Callable[[Registry, Adapter], object]] = {
    "server": lambda to, _: to.server(),
    "model": lambda to, by: to.model(ModelReference(registry_ref=LocalRef(name="r"), **by.model)),
    "dataset": lambda to, _: to.dataset(DATASET),
    "write": lambda to, _: to.write(WriteOrder(PIN, {"weighbridge.dev/state": "Serving"}, "champion")),
}


def json_reply(body: bytes, **headers: str) -> Answer:
    return reply(200, body, Content_Type="application/json", **headers)


def silence(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
    handler.close_connection = True
    server.released.wait(60)


def reset(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
    """Half an answer, then a reset of the connection."""
    handler.close_connection = True
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"half": ')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def then_silence(start: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.wfile.write(start)
        handler.wfile.flush()
        silence(handler, server)

    return answer


def itself(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
    reply(302, Location=handler.path)(handler, server)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MEBIBYTE = bytes(1 << 20)
BOMB = gzip.compress(MEBIBYTE * 16, 6)
"""16 MiB of zeros in 16 KiB; gzip files may follow each other."""
UNAVAILABLE, MISCONFIGURED, EITHER = (
    {"RegistryUnavailable"},
    {"RegistryMisconfigured"},
    {"RegistryUnavailable", "RegistryMisconfigured"},
)


@dataclass(frozen=True)
class Fault:
    """What a server does, and which words may be found for it."""

    answer: Answer
    reasons: set[str]
    retry_after: float | None = None


FAULTS = {
    "says nothing": Fault(silence, UNAVAILABLE),
    "says nothing in the middle of headers": Fault(then_silence(b"HTTP/1.1 200 OK\r\nContent-Ty"), UNAVAILABLE),
    "drips headers": Fault(endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05), UNAVAILABLE),
    "never stops to begin": Fault(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), UNAVAILABLE),
    "drips a body": Fault(endless(OK + b"\r\n{", b" ", 0.05), UNAVAILABLE),
    "drips a body after a complete one": Fault(endless(OK + b"\r\n{}", b" ", 0.05), UNAVAILABLE),
    "drips the length of a chunk": Fault(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0", 0.05), UNAVAILABLE),
    "drips trailers": Fault(endless(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"A: b\r\n", 0.05), UNAVAILABLE),
    "429": Fault(reply(429, b"slow down"), {"RateLimited"}),
    "429 with Retry-After": Fault(reply(429, b"slow down", Retry_After="7"), {"RateLimited"}, 7.0),
    "500": Fault(reply(500, b"oops"), UNAVAILABLE),
    "502": Fault(reply(502, b"<html>"), UNAVAILABLE),
    "503": Fault(reply(503), UNAVAILABLE),
    "503 with Retry-After": Fault(reply(503, Retry_After="8"), UNAVAILABLE, 8.0),
    "page of a login": Fault(reply(200, b"<html>please log in</html>", Content_Type="text/html"), MISCONFIGURED),
    "page that says it is JSON": Fault(json_reply(b"<html>please log in</html>"), EITHER),
    "404 of a proxy": Fault(reply(404, b"default backend - 404"), EITHER),
    "404 of another service": Fault(reply(404, b'{"detail": "Not Found"}', Content_Type="application/json"), EITHER),
    "nothing": Fault(reply(200), EITHER),
    "nothing that says it is JSON": Fault(json_reply(b""), EITHER),
    "JSON without its end": Fault(json_reply(b'{"half": '), EITHER),
    "less than announced": Fault(json_reply(b"{}", Content_Length="5000", Connection="close"), UNAVAILABLE),
    "a list": Fault(json_reply(b"[1, 2]"), EITHER),
    "null": Fault(json_reply(b"null"), EITHER),
    "a number": Fault(json_reply(b"7"), EITHER),
    "something else": Fault(json_reply(b'{"unexpected": true}'), EITHER),
    "redirects in a circle": Fault(itself, EITHER),
    "redirects with a gigabyte": Fault(endless(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", MEBIBYTE), EITHER),
    "a gigabyte": Fault(endless(OK + b"\r\n", MEBIBYTE), EITHER),
    "a gigabyte as error": Fault(endless(b"HTTP/1.1 500 Oops\r\n\r\n", MEBIBYTE), EITHER),
    "a gigabyte of headers": Fault(endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000), EITHER),
    "a gigabyte in one header": Fault(endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 8192), EITHER),
    "a gigabyte in 1 MiB": Fault(endless(OK + b"Content-Encoding: gzip\r\n\r\n", BOMB, most=64 * len(BOMB)), EITHER),
    "what is no gzip": Fault(json_reply(b"{}", Content_Encoding="gzip"), EITHER),
    "deeply nested JSON": Fault(json_reply(b'{"a":' * 500_000), EITHER),
    "crowded JSON": Fault(json_reply(b'{"a": [' + b"{}," * 2_000_000 + b"{}]}"), EITHER),
    "broken chunks": Fault(raw(OK, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"), UNAVAILABLE),
    "chunks without an end": Fault(raw(OK, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), UNAVAILABLE),
    "resets in the middle": Fault(reset, UNAVAILABLE),
    "no HTTP": Fault(raw(b"220 mail.example.com ESMTP\r\n"), UNAVAILABLE),
}


@pytest.fixture(params=sorted(ADAPTERS))
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return ADAPTERS[request.param]


@pytest.fixture(params=list(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> Callable[[Registry, Adapter], object]:
    return OPERATIONS[request.param]


@pytest.fixture(autouse=True)
def no_canary(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    for each in caplog.get_records("call"):
        assert CANARY not in f"{each.getMessage()} {each.args} {each.exc_text}"


def failure(adapter: Adapter, operation: Callable[[Registry, Adapter], object], url: str) -> RegistryFailed:
    """What the operation ends with: in time, and without a word of the token in whatever a log could show of it."""
    registry = adapter.connect(url)
    start = time.monotonic()
    with pytest.raises((RegistryFailed, RegistryAbsent)) as ended, contextlib.closing(registry):
        operation(registry, adapter)
    assert time.monotonic() - start < BOUND
    error = ended.value
    shown = "".join(traceback.format_exception(error))
    assert CANARY not in f"{error} {error!r} {vars(error)} {shown}"
    assert isinstance(error, RegistryFailed), f"a definite no: {vars(error)}"
    return error


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_is_a_failure(adapter: Adapter, operation: Callable[[Registry, Adapter], object], fault: str) -> None:
    wanted = FAULTS[fault]
    with odd(wanted.answer) as server:
        adapter.connect(server.url).close()  # what is loaded on first use is not the question's
        tracemalloc.start()
        try:
            failed = failure(adapter, operation, server.url)
            assert tracemalloc.get_traced_memory()[1] < MEMORY
        finally:
            tracemalloc.stop()
    assert failed.reason in wanted.reasons
    assert failed.retry_after == wanted.retry_after


IN_THE_MIDDLE = (
    "429", "page of a login", "404 of a proxy", "404 of another service", "something else", "less than announced",
    "resets in the middle",
)  # fmt: skip


@dataclass
class Passing:
    """Lets requests through to a registry, all but one."""

    port: int
    fault: Answer
    spoilt: int
    """Which one, counted from 0."""
    passed: int = 0

    def __call__(self, handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        self.passed += 1
        if self.passed - 1 == self.spoilt:
            self.fault(handler, server)
            return
        status, body, headers = passed_on(handler, server, self.port)
        reply(status, body, **headers)(handler, server)


@pytest.fixture
def behind(bench: Bench, request: pytest.FixtureRequest) -> tuple[Adapter, int]:
    """The adapter of a bench and where its registry listens."""
    kind = request.node.callspec.params["bench"]
    if kind == "mlflow":
        return ADAPTERS[kind], int(request.getfixturevalue("mlflow_server").url.rpartition(":")[2])
    server = request.getfixturevalue("hub_server")
    server.hub.add_token(CANARY, "canary", read=["*"], write=["*"])
    return ADAPTERS[kind], server.server_port


@pytest.mark.parametrize("fault", IN_THE_MIDDLE)
def test_a_fault_in_the_middle_of_a_question_is_a_failure(bench: Bench, behind: tuple[Adapter, int], fault: str) -> None:
    """Whichever of the requests meets the fault: what was said before it proves nothing. Where the fault is survived, because not
    all of an answer counts, the outcome is the one without it."""
    adapter, port = behind
    name, data = bench.new_name(), bench.new_name()
    reference = bench.by_version(name, bench.register(name))
    bench.dataset(data, {"a.csv": b"1", "b/c.csv": b"2"})
    dataset = DatasetReference(name="d", registry_ref=LocalRef(name="r"), path=data)
    healthy = bench.connect()
    pin = healthy.model(reference).pin

    def write(to: Registry, turn: int) -> bool:
        order = WriteOrder(pin, {"weighbridge.dev/turn": str(turn)}, f"alias-{turn}")
        to.write(order)
        return f"alias-{turn}" in healthy.model(reference).aliases

    operations: Mapping[str, tuple[Callable[[Registry, int], object], Callable[[], object]]] = {
        "model": (lambda to, _: to.model(reference), lambda: healthy.model(reference)),
        "dataset": (lambda to, _: to.dataset(dataset), lambda: healthy.dataset(dataset)),
        "write": (write, lambda: True),
    }
    for operation, (ask, expected) in operations.items():
        met = 0
        for turn in range(100):
            passing = Passing(port, FAULTS[fault].answer, turn)
            with odd(passing) as server, contextlib.closing(adapter.connect(server.url)) as registry:
                outcome: object = None
                with contextlib.suppress(RegistryFailed):
                    outcome = ask(registry, turn)
            assert outcome in (None, expected()), f"{operation}, request {turn}"
            met += outcome is None
            if passing.passed <= turn:
                break
        assert passing.passed <= turn, "there is an end to it"
        assert met >= 3, operation


def test_redirect_elsewhere_gets_no_token(adapter: Adapter, operation: Callable[[Registry, Adapter], object]) -> None:
    with odd(reply(200, b"{}")) as elsewhere:
        for location in (
            f"http://localhost:{elsewhere.port}/",
            f"http://127.0.0.1:{elsewhere.port}/",
            f"//localhost:{elsewhere.port}/",
        ):
            with odd(reply(307, Location=location)) as server:
                assert failure(adapter, operation, server.url).reason in EITHER
                assert CANARY in str(server.seen)
        assert CANARY not in str(elsewhere.seen)


def test_refused_connection(adapter: Adapter, operation: Callable[[Registry, Adapter], object]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert failure(adapter, operation, f"http://127.0.0.1:{unused.getsockname()[1]}").reason in UNAVAILABLE


def test_nobody_accepts(adapter: Adapter, operation: Callable[[Registry, Adapter], object]) -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        assert failure(adapter, operation, f"http://127.0.0.1:{full.getsockname()[1]}").reason in UNAVAILABLE


def test_name_that_does_not_exist(adapter: Adapter, operation: Callable[[Registry, Adapter], object]) -> None:
    failed = failure(adapter, operation, "http://no-such-host.invalid")
    assert failed.reason in UNAVAILABLE
    assert "no-such-host.invalid" in failed.public


def test_tls_to_a_plain_port(adapter: Adapter, operation: Callable[[Registry, Adapter], object]) -> None:
    with odd(reply(200, b"{}")) as server:
        assert failure(adapter, operation, f"https://127.0.0.1:{server.port}").reason in EITHER
        assert CANARY not in str(server.seen)
