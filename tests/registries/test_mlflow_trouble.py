"""Servers that are down, slow, rude or something else than MLflow: each trouble has its reason, and no secret leaves."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import MlflowServer
from tests.registries.oddserver import OddServer, endless, odd, reply
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetReference, ModelReference
from weighbridge.registries.base import EntryFailed, RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.mlflow import MlflowRegistry

CANARY = "canary-token-1234"
MODEL = ModelReference(registry_ref=LocalRef(name="r"), name="m", version="1")
DATASET = DatasetReference(name="d", registry_ref=LocalRef(name="r"), path="d")


def adapter(url: str, timeout: float = 10) -> MlflowRegistry:
    credentials = Credentials({"MLFLOW_TRACKING_TOKEN": CANARY})
    return MlflowRegistry(url, credentials, request_timeout=timeout, allow=LOCAL, may_write=lambda: True)


def failure(url: str, timeout: float = 10) -> RegistryFailed:
    """The one reason all questions end with."""
    found = []
    for ask in (lambda to: to.server(), lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
        with pytest.raises(RegistryFailed) as failed:
            ask(adapter(url, timeout))
        assert CANARY not in str(failed.value)
        found.append(failed.value)
    assert len({(each.reason, each.public) for each in found}) == 1
    return found[0]


def redirect(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
    reply(302, Location="http://127.0.0.1:1/elsewhere?secret")(handler, server)


@pytest.mark.parametrize(
    ("answer", "reason", "says"),
    [
        (reply(401, b"You are not authenticated."), "Unauthorized", "MLFLOW_TRACKING_TOKEN"),
        (reply(403, b"<html>blocked by your firewall</html>"), "RegistryMisconfigured", "in front of"),
        (reply(404, b'{"detail": "Not Found"}'), "RegistryMisconfigured", "spec.mlflow.url"),
        (reply(404, b'{"kind": "Status", "code": 404, "reason": "NotFound"}'), "RegistryMisconfigured", "spec.mlflow.url"),
        (reply(200, b'{"kind": "Status", "status": "Failure"}'), "RegistryMisconfigured", "login page"),
        (reply(403, b"Invalid Host header - possible DNS rebinding attack detected"), "RegistryMisconfigured", "--allowed-hosts"),
        (reply(404, b"default backend - 404"), "RegistryMisconfigured", "spec.mlflow.url"),
        (reply(500, b'{"error_code": "INTERNAL_ERROR"}'), "RegistryUnavailable", "HTTP 500"),
        (reply(503, b"<html>"), "RegistryUnavailable", "HTTP 503"),
        (reply(200, b"<html>please log in</html>", Content_Type="text/html"), "RegistryMisconfigured", "login page"),
        (reply(200, b""), "RegistryMisconfigured", "login page"),
        (reply(200, b"[1, 2]"), "RegistryMisconfigured", "login page"),
        (reply(200, b'{"model_version": {"name": "m", '), "RegistryUnavailable", "broken JSON"),
        (reply(200, b'{"a":' * 100_000), "RegistryUnavailable", "broken JSON"),
        (reply(200, b"{}", Content_Length="5000", Connection="close"), "RegistryUnavailable", "broke off"),
        (redirect, "RegistryMisconfigured", "redirects"),
        (reply(418, b"teapot"), "RegistryMisconfigured", "HTTP 418"),
        (reply(200, b" " * (9 << 20)), "RegistryMisconfigured", "8 MiB"),
    ],
)
def test_each_trouble_has_its_reason(answer: Callable[[BaseHTTPRequestHandler, OddServer], None], reason: str, says: str) -> None:
    with odd(answer) as server:
        failed = failure(server.url)
    assert failed.reason == reason
    assert says in failed.public


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("17", "", 17.0),
        (" 17 ", "Wed, 21 Oct 2015 07:28:00 GMT", 17.0),
        ("99999999999999999999", "", 3600.0),
        ("9" * 5000, "", 3600.0),
        ("-1", "", None),
        ("soon", "Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:29:30 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 90.0),  # the server's clock alone counts
        ("Wed, 21 Oct 2015 09:29:30 +0200", "Wed, 21 Oct 2015 07:28:00 GMT", 90.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", 3600.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", None),  # over
        ("Wed, 21 Oct 2099 07:28:00 GMT", "", None),
        ("Wed, 21 Oct 2099 07:28:00 GMT", "yesterday", None),
        ("Wed, 21 Oct 2099 07:28:00 -0000", "Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("Wed, 99 Oct 99999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
@pytest.mark.parametrize(("status", "reason"), [(429, "RateLimited"), (503, "RegistryUnavailable")])
def test_a_server_says_how_long(header: str, date: str, seconds: float | None, status: int, reason: str) -> None:
    with odd(reply(status, b"slow down", Retry_After=header, **({"Date": date} if date else {}))) as server:
        failed = failure(server.url)
    assert (failed.reason, failed.retry_after) == (reason, seconds)


def test_no_retries_of_its_own() -> None:
    with odd(reply(503)) as server:
        failure(server.url)
        assert len(server.seen) == 3  # one per question


def test_refused_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert failure(f"http://127.0.0.1:{unused.getsockname()[1]}").reason == "RegistryUnavailable"


def test_unknown_host() -> None:
    failed = failure("http://no-such-host.invalid")
    assert (failed.reason, "no-such-host.invalid" in failed.public) == ("RegistryUnavailable", True)


def test_silence_ends_at_the_time_limit() -> None:
    with odd(lambda _, server: server.released.wait(60) and None) as server:
        start = time.monotonic()
        assert failure(server.url, timeout=0.3).reason == "RegistryUnavailable"
        assert time.monotonic() - start < 10


def test_dripping_body_ends_at_the_time_limit() -> None:
    def drip(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.released.wait(0.05):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return

    with odd(drip) as server:
        start = time.monotonic()
        assert failure(server.url, timeout=0.5).reason == "RegistryUnavailable"
        assert time.monotonic() - start < 15


def test_redirect_is_not_followed_and_gets_no_credentials() -> None:
    with odd(reply(200, b"{}")) as elsewhere:
        location = f"http://localhost:{elsewhere.port}/"
        with odd(reply(307, Location=location)) as server:
            assert failure(server.url).reason == "RegistryMisconfigured"
            assert server.seen[0].headers["Authorization"] == f"Bearer {CANARY}"
        assert elsewhere.seen == []


def test_nothing_of_the_environment_or_of_other_connections_goes_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("machine 127.0.0.1 login other password leak-netrc\n")
    with odd(reply(200, b"{}", Set_Cookie="session=leak-cookie; Path=/")) as server, odd(reply(502)) as proxy:
        for name, value in {
            "HOME": str(home), "NETRC": str(home / ".netrc"), "http_proxy": proxy.url, "ALL_PROXY": proxy.url, "no_proxy": "",
            "MLFLOW_TRACKING_TOKEN": "leak-token", "MLFLOW_TRACKING_USERNAME": "leak-user", "MLFLOW_TRACKING_PASSWORD": "leak-pass",
            "MLFLOW_WORKSPACE": "leak-workspace", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        anonymous = MlflowRegistry(server.url, None, request_timeout=10, allow=LOCAL, may_write=lambda: True)
        adapter(server.url).server()
        anonymous.server()
        assert proxy.seen == []
        assert len(server.seen) == 4
        assert "leak" not in str(server.seen)
        assert ["Authorization" in each.headers for each in server.seen] == [True, True, False, False]
        assert {each.headers["Host"] for each in server.seen} == {f"127.0.0.1:{server.port}"}


def test_both_kinds_of_credentials() -> None:
    with odd(reply(200, b"{}")) as server:
        both = Credentials({"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p\n", "MLFLOW_TRACKING_TOKEN": "t"})
        MlflowRegistry(server.url, both, request_timeout=10, allow=LOCAL, may_write=lambda: True).server()
        assert server.seen[0].headers["Authorization"] == "Basic dTpw"


@pytest.mark.parametrize(
    "secret",
    [{}, {"token": "x"}, {"MLFLOW_TRACKING_USERNAME": "u"}, {"MLFLOW_TRACKING_TOKEN": " "}, {"MLFLOW_TRACKING_TOKEN": "a\nb"}],
)
def test_secret_without_usable_keys(secret: dict[str, str]) -> None:
    with pytest.raises(RegistryFailed) as failed:
        MlflowRegistry("http://127.0.0.1:1", Credentials(secret), request_timeout=1, allow=LOCAL, may_write=lambda: True)
    assert failed.value.reason == "SecretIncomplete"
    assert "token" in failed.value.public.lower()


def test_forbidden_to_read_is_a_no_for_a_model_and_a_failure_for_the_server() -> None:
    with odd(reply(403, b"Permission denied")) as server:
        with pytest.raises(RegistryFailed) as failed:
            adapter(server.url).server()
        assert failed.value.reason == "Unauthorized"
        for ask in (lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
            with pytest.raises(RegistryAbsent) as no:
                ask(adapter(server.url))
            assert no.value.reason == "AccessDenied"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model_version": []}', b'{"model_version": {"name": 7, "version": {}}}',
        b'{"model_version": {"name": "m", "version": "1", "status": "READY", "creation_timestamp": 1e400}}',
        b'{"model_version": {"name": "m", "version": "1", "status": "READY", "creation_timestamp": "99999999999999999999"}}',
    ],
)  # fmt: skip
def test_nonsense_is_no_answer(body: bytes) -> None:
    with odd(reply(200, body)) as server, pytest.raises(RegistryFailed) as failed:
        adapter(server.url).model(MODEL)
    assert failed.value.reason in ("RegistryMisconfigured", "ModelNotReady")


def test_loopback_is_refused_without_an_allow_list() -> None:
    with odd(reply(200, b"{}")) as server:
        closed = MlflowRegistry(server.url, None, request_timeout=10, allow=(), may_write=lambda: True)
        with pytest.raises(RegistryFailed) as failed:
            closed.server()
        assert failed.value.reason == "AddressRefused"
        assert server.seen == []


def test_connects_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that has another address when it is looked up again leads nowhere else: it is looked up once per request."""
    with odd(reply(200, b"{}")) as server:
        answers = []

        def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            answers.append(host)
            return [(0, 0, 0, "", ("127.0.0.2", port)), (0, 0, 0, "", ("127.0.0.1", port))]

        monkeypatch.setattr("weighbridge.registries.addresses.socket.getaddrinfo", _only("rebinding.example", resolve))
        adapter(f"http://rebinding.example:{server.port}").server()
        assert {each.headers["Host"] for each in server.seen} == {f"rebinding.example:{server.port}"}
        assert len(answers) == len(server.seen) == 2


def _only(name: str, resolve: Callable[..., object]) -> Callable[..., object]:
    real = socket.getaddrinfo
    return lambda host, port, *rest, **more: resolve(host, port) if host == name else real(host, port, *rest, **more)


def test_connections_with_different_credentials_never_mix() -> None:
    """Two servers, three connections, many threads: what is asked with one token is asked of that server, with that token only, and
    the answer goes to who asked."""

    def version(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        who = handler.headers["Authorization"].rpartition("-")[2]
        body = f"{server.port}.{who}".encode() if handler.path == "/version" else b"{}"
        reply(200, body, Set_Cookie=f"session={who}; Path=/")(handler, server)

    with odd(version) as one, odd(version) as other:
        wanted = [(one, 1), (one, 2), (other, 3)]
        registries = [
            MlflowRegistry(
                server.url,
                Credentials({"MLFLOW_TRACKING_TOKEN": f"token-{who}"}),
                request_timeout=10,
                allow=LOCAL,
                may_write=lambda: True,
            )
            for server, who in wanted
        ]
        turns = [index % 3 for index in range(120)]
        with ThreadPoolExecutor(12) as threads:
            versions = list(threads.map(lambda index: registries[index].server().version, turns))
        assert versions == [f"{wanted[index][0].port}.{wanted[index][1]}" for index in turns]
        assert {each.headers["Authorization"] for each in other.seen} == {"Bearer token-3"}
        assert {each.headers["Authorization"] for each in one.seen} == {"Bearer token-1", "Bearer token-2"}
        assert not any("Cookie" in each.headers for each in (*one.seen, *other.seen))


def test_dripping_never_holds_a_thread() -> None:
    """Neither in headers nor in what comes after a body: the thread of the question is free when the time is up."""
    for start, part in (
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    ):
        with odd(endless(start, part, 0.02)) as server, ThreadPoolExecutor(1) as threads:
            begun = time.monotonic()
            with pytest.raises(RegistryFailed):
                threads.submit(adapter(server.url, timeout=0.4).server).result(timeout=20)
            assert threads.submit(lambda: "free").result(timeout=20)
            assert time.monotonic() - begun < 5
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer) and not each.finished.is_set()]


def test_connection_is_used_again() -> None:
    """Many small requests on one connection: reading files one by one would be slow else."""
    ports = set[int]()

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        ports.add(handler.client_address[1])
        reply(200, b"{}")(handler, server)

    with odd(answer) as server:
        registry = adapter(server.url)
        for _ in range(5):
            registry.server()
        assert len(server.seen) == 10
    assert len(ports) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server called localhost, signed by nobody; the key is in the same file."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.key").read_text())
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_tls_of_a_name_that_is_proved(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with odd(reply(200, b"{}"), tls(certificate)) as server:
        assert adapter(f"https://localhost:{server.port}").server()
        assert server.seen[0].headers["Authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(("trusted", "host"), [(False, "localhost"), (True, "127.0.0.1")])
def test_tls_that_proves_nothing_gets_no_token(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, host: str
) -> None:
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with odd(reply(200, b"{}"), tls(certificate)) as server:
        failed = failure(f"https://{host}:{server.port}")
        assert server.seen == []
    assert (failed.reason, "certificate" in failed.public) == ("RegistryMisconfigured", True)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n{}"])
def test_dripping_over_tls_ends_at_the_time_limit(certificate: Path, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with odd(endless(start, b" ", 0.02), tls(certificate)) as server:
        begun = time.monotonic()
        assert failure(f"https://localhost:{server.port}", timeout=0.5).reason == "RegistryUnavailable"
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("name", ["team/model", "a:b"])
def test_a_name_that_no_model_can_have_is_no_fault_of_the_server(mlflow_server: MlflowServer, name: str) -> None:
    registry = MlflowRegistry(mlflow_server.url, None, request_timeout=20, allow=LOCAL, may_write=lambda: True)
    for wanted in ({"version": "1"}, {"alias": "champion"}):
        with pytest.raises(RegistryAbsent) as no:
            registry.model(ModelReference(registry_ref=LocalRef(name="r"), name=name, **wanted))
        assert no.value.reason == "ModelNotFound"


@pytest.mark.parametrize(("name", "version"), [("other", "1"), ("m", "8"), ("m", "1" * 99)])
def test_an_answer_about_another_version_is_not_pinned(name: str, version: str) -> None:
    body = {"name": name, "version": version, "status": "READY", "creation_timestamp": 1, "source": f"models:/m-{'0' * 32}"}
    with odd(reply(200, json.dumps({"model_version": body}).encode())) as server, pytest.raises(EntryFailed) as failed:
        adapter(server.url).model(MODEL)
    assert "answers with something else" in failed.value.public
