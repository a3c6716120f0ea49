"""Servers that are down, slow, rude or something else than a Hub: each trouble has its reason, none looks like a missing model, and
no secret leaves."""

import gzip
import json
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.registries.benches import LOCAL, client
from tests.registries.hubserver import DATASETS, MODELS, Handler, Hub, Problem, Server, serving
from tests.registries.oddserver import Answer, OddServer, odd, reply
from weighbridge.api.base import LocalRef
from weighbridge.api.modelregistry import ModelRegistry
from weighbridge.api.references import DatasetReference, ModelReference
from weighbridge.core.facts import WriteOrder
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.connections import connect
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.hub import HubRegistry

CANARY = "hf_canaryTokenThatMayNeverShow"
MODEL = ModelReference(registry_ref=LocalRef(name="r"), name="org/m", revision="main")
DATASET = DatasetReference(name="d", registry_ref=LocalRef(name="r"), path="org/d")
SHA = "a" * 40
TREE = [
    {
        "type": "file",
        "oid": "b" * 40,
        "size": 3,
        "path": "model.safetensors",
        "lfs": {"oid": "c" * 64, "size": 3, "pointerSize": 99},
    }
]


def adapter(url: str, timeout: float = 10, token: str = CANARY, **more: Any) -> HubRegistry:
    credentials = Credentials({"HF_TOKEN": token}) if token else None
    options = {"allow": LOCAL, "may_write": lambda: True, "results": True} | more
    return HubRegistry(url, credentials, request_timeout=timeout, **options)


def failure(url: str, timeout: float = 10) -> RegistryFailed:
    """The one reason all questions end with."""
    found = []
    for ask in (lambda to: to.server(), lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
        with pytest.raises(RegistryFailed) as failed:
            ask(adapter(url, timeout))
        assert CANARY not in "".join(traceback.format_exception(failed.value))
        found.append(failed.value)
    assert len({(each.reason, each.public) for each in found}) == 1
    return found[0]


def echo(status: int, **headers: str) -> Answer:
    """Sends back everything it is sent, the token included, in every place an error text could come from."""

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        said = handler.headers["Authorization"]
        body = json.dumps({"error": said, "errors": [{"message": said}]}).encode()
        told = {"X_Error_Message": said, "X_Echo": said, "X_HF_Warning": f"topic; {said}", "X_Request_Id": said}
        reply(status, body, **(told | headers))(handler, server)

    return answer


def lowered(server: OddServer) -> list[dict[str, str]]:
    """Headers of what came in, by name in lower case."""
    return [{name.lower(): value for name, value in each.headers.items()} for each in server.seen]


def redirect(where: str) -> Answer:
    return reply(307, Location=where)


def gzipped(body: bytes) -> Answer:
    return reply(200, gzip.compress(body, 1), Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("answer", "reason", "says"),
    [
        (reply(401, X_Error_Message="Invalid credentials in Authorization header"), "Unauthorized", "HF_TOKEN"),
        (reply(401, b'{"error": "User Access Token is expired"}'), "Unauthorized", "HF_TOKEN"),
        (reply(403, b"<html>blocked by the firewall</html>"), "RegistryMisconfigured", "HTTP 403"),
        (reply(404, b"default backend - 404"), "RegistryMisconfigured", "spec.huggingFace.url"),
        (reply(404, b'{"error": "Sorry, we cannot find the page"}'), "RegistryMisconfigured", "spec.huggingFace.url"),
        (reply(500, b'{"error": "Internal Error"}'), "RegistryUnavailable", "HTTP 500"),
        (reply(503, b"<html>"), "RegistryUnavailable", "HTTP 503"),
        (reply(504, X_Error_Code="RepoNotFound"), "RegistryUnavailable", "HTTP 504"),
        (reply(200, b"<html>please log in</html>", Content_Type="text/html"), "RegistryMisconfigured", "login page"),
        (reply(200, b""), "RegistryMisconfigured", "login page"),
        (reply(200, b'"text"'), "RegistryMisconfigured", "login page"),
        (reply(200, b'{"id": "org/m", '), "RegistryUnavailable", "broken JSON"),
        (reply(200, b'{"a":' * 100_000), "RegistryUnavailable", "broken JSON"),
        (reply(200, b"{}", Content_Length="5000", Connection="close"), "RegistryUnavailable", "broke off"),
        (redirect("http://127.0.0.1:1/elsewhere?secret"), "RegistryMisconfigured", "redirects elsewhere"),
        (redirect("https://127.0.0.1/"), "RegistryMisconfigured", "redirects elsewhere"),
        (redirect("http://[broken"), "RegistryMisconfigured", "redirects elsewhere"),
        (redirect("ftp://x/"), "RegistryMisconfigured", "redirects elsewhere"),
        (redirect("/api/again"), "RegistryMisconfigured", "in circles"),
        (reply(302), "RegistryMisconfigured", "redirects elsewhere"),
        (reply(418, b"teapot"), "RegistryMisconfigured", "HTTP 418"),
        (reply(200, b" " * (9 << 20)), "RegistryMisconfigured", "8 MiB"),
        (reply(200, b"{}", Content_Length=str(10**15)), "RegistryMisconfigured", "8 MiB"),
        (reply(200, b"{}", Content_Length=str(10**30)), "RegistryUnavailable", "broke off"),
        (gzipped(b"0" * (1 << 28)), "RegistryMisconfigured", "8 MiB"),
        (gzipped(b"<html>"), "RegistryMisconfigured", "login page"),
        (reply(200, gzip.compress(b'{"id": 1}')[:-9], Content_Encoding="gzip"), "RegistryUnavailable", "broke off"),
        (reply(200, b"no gzip", Content_Encoding="gzip"), "RegistryUnavailable", "broke off"),
        (reply(200, b"x", Content_Encoding="br"), "RegistryMisconfigured", "compresses"),
        (echo(400), "RegistryMisconfigured", ""),
        (echo(500), "RegistryUnavailable", "HTTP 500"),
        (echo(429), "RateLimited", "fewer requests"),
        (echo(401), "Unauthorized", "HF_TOKEN"),
        (echo(200, Content_Type="text/html"), "RegistryMisconfigured", ""),
    ],
)  # fmt: skip
def test_each_trouble_has_its_reason(answer: Answer, reason: str, says: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with odd(answer) as server:
        found = []
        for ask in (lambda to: to.server(), lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
            with pytest.raises(RegistryFailed) as failed:
                ask(adapter(server.url))
            assert CANARY not in "".join(traceback.format_exception(failed.value))
            found.append(failed.value)
    assert {each.reason for each in found} == {reason}
    assert all(says in each.public for each in found)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=0;t=55', "Retry_After": "7"}, 55.0),
        ({"RateLimit": '"api";r=12;t=55', "Retry_After": "7"}, 7.0),
        ({"RateLimit": '"api";r=0;t=999999999'}, 3600.0),
        ({"RateLimit": '"api";r=0;t=' + "9" * 5000, "Retry_After": "17"}, 17.0),
        ({"Retry_After": "99999999999999999999"}, 3600.0),
        ({"Retry_After": "-1"}, None),
        ({"RateLimit": "nonsense"}, None),
    ],
)
def test_rate_limit_says_how_long(headers: dict[str, str], seconds: float | None) -> None:
    with odd(reply(429, b"slow down", **headers)) as server:
        failed = failure(server.url)
        assert len(server.seen) == 3  # one per question: no retries of its own
    assert (failed.reason, failed.retry_after) == ("RateLimited", seconds)


def test_a_full_quota_told_with_every_answer_delays_nobody() -> None:
    with odd(reply(503, RateLimit='"api";r=499;t=300')) as server:
        assert failure(server.url).retry_after is None


def test_refused_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert failure(f"http://127.0.0.1:{unused.getsockname()[1]}").reason == "RegistryUnavailable"


def test_unknown_host() -> None:
    failed = failure("http://no-such-host.invalid")
    assert (failed.reason, "no-such-host.invalid" in failed.public) == ("RegistryUnavailable", True)


def _drip(part: bytes, first: bytes = b"") -> Answer:
    def drip(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.close_connection = True
        try:
            handler.wfile.write(first)
            while not server.released.wait(0.02):
                handler.wfile.write(part)
                handler.wfile.flush()
        except OSError:
            return

    return drip


@pytest.mark.parametrize(
    "answer",
    [
        lambda _, server: server.released.wait(60) and None,
        _drip(b" ", b"HTTP/1.1 200 OK\r\n\r\n"),
        _drip(b"X", b"HTTP/1.1 200 OK\r\nX-Drip: "),
        _drip(b"1", b"HTTP/1.1 2"),
        _drip(b"1\r\n \r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        _drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "body", "headers", "status", "chunks", "interim"],
)
def test_slow_servers_end_at_the_time_limit(answer: Answer) -> None:
    with odd(answer) as server:
        start = time.monotonic()
        assert failure(server.url, timeout=0.4).reason == "RegistryUnavailable"
        assert time.monotonic() - start < 3 * 0.4 + 5


def test_a_question_has_a_limit_however_many_requests_it_takes() -> None:
    """Each page comes in time, and there is always another."""

    def page(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        server.released.wait(0.2)
        if "/revision/" in handler.path:
            return reply(200, json.dumps({"id": "org/m", "sha": SHA}).encode())(handler, server)
        return reply(200, b"[]", Link=f'<{server.url}{handler.path}>; rel="next"')(handler, server)

    with odd(page) as server:
        registry, start = adapter(server.url, timeout=0.5), time.monotonic()
        with pytest.raises(RegistryFailed) as failed:
            registry.model(MODEL)
    assert failed.value.reason == "RegistryUnavailable"
    assert time.monotonic() - start < 6 * 0.5 + 5


def test_endless_body_is_cut_off() -> None:
    sent = [0]

    def pour(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.close_connection = True
        part = b"x" * (1 << 20)
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(1024):
                handler.wfile.write(part)
                sent[0] += len(part)
        except OSError:
            return

    with odd(pour) as server:
        assert failure(server.url).reason == "RegistryMisconfigured"
    assert sent[0] < 3 * (64 << 20)


def test_a_bomb_takes_no_more_memory_than_an_answer_may() -> None:
    with odd(gzipped(b"0" * (1 << 28))) as server:
        registry = adapter(server.url)
        tracemalloc.start()
        with pytest.raises(RegistryFailed):
            registry.server()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 32 << 20


def test_next_page_elsewhere_is_not_fetched() -> None:
    with odd(reply(200, b"[]")) as elsewhere:

        def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
            if "/revision/" in handler.path:
                reply(200, json.dumps({"id": "org/m", "sha": SHA}).encode())(handler, server)
            elif "/tree/" in handler.path:
                reply(200, b"[]", Link=f'<http://localhost:{elsewhere.port}/next>; rel="next"')(handler, server)
            else:
                reply(200, b"OK")(handler, server)

        with odd(answer) as server, pytest.raises(RegistryFailed) as failed:
            adapter(server.url).model(MODEL)
        assert failed.value.reason == "RegistryMisconfigured"
        assert elsewhere.seen == []


def test_redirects_elsewhere_get_no_token() -> None:
    with odd(reply(200, b"{}")) as elsewhere:
        for where in (f"http://localhost:{elsewhere.port}/", f"//localhost:{elsewhere.port}/"):
            with odd(redirect(where)) as server:
                assert failure(server.url).reason == "RegistryMisconfigured"
                assert lowered(server)[0]["authorization"] == f"Bearer {CANARY}"
        assert elsewhere.seen == []


def scripted(**answers: Any) -> Answer:
    """A Hub of fixed answers, by a word in the path; the JSON of `tree`, `commits`, … as given."""
    usual: dict[str, Any] = {
        "revision": {"id": "org/m", "sha": SHA},
        "auth-check": "OK",
        "tree": TREE,
        "commits": [{"id": SHA, "date": "2026-01-01T00:00:00.000Z"}],
        "refs": {"branches": [], "converts": [], "tags": []},
        "discussions": {"discussions": [], "count": 0, "start": 0},
        "whoami": {"name": "me"},
    } | {name.replace("_", "-"): value for name, value in answers.items()}

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        word = next((word for word in usual if f"/{word}" in handler.path), "")
        body = usual.get(word)
        reply(200, body if isinstance(body, bytes) else json.dumps(body).encode())(handler, server)

    return answer


@pytest.mark.parametrize(
    "answers",
    [
        {"revision": []}, {"revision": {"sha": SHA}}, {"revision": {"id": "org/m"}}, {"revision": {"id": ["org/m"], "sha": SHA}},
        {"revision": {"id": "../x", "sha": SHA}}, {"revision": {"id": "org/m", "sha": SHA[:39]}},
        {"revision": {"id": "org/m", "sha": 7}},
        {"tree": {}}, {"tree": [7]}, {"tree": [{}]}, {"tree": [TREE[0] | {"path": "../x"}]}, {"tree": [TREE[0] | {"path": "/x"}]},
        {"tree": [TREE[0] | {"path": "a\nb"}]}, {"tree": [TREE[0] | {"size": "x", "lfs": None}]},
        {"tree": [TREE[0] | {"size": -1, "lfs": 0}]},
        {"tree": [TREE[0] | {"lfs": {"oid": "short", "size": 3}}]}, {"tree": [TREE[0] | {"lfs": {"oid": "c" * 64, "size": 1e400}}]},
        {"tree": [TREE[0] | {"oid": None}]}, {"tree": b"[" + b"[]," * 700_000 + b"[]]"},
    ],
)  # fmt: skip
def test_nonsense_is_no_answer(answers: dict[str, Any]) -> None:
    with odd(scripted(**answers)) as server:
        for ask in (lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
            with pytest.raises(RegistryFailed) as failed:
                ask(adapter(server.url))
            assert failed.value.reason == "RegistryMisconfigured"


@pytest.mark.parametrize("size", [3.0, True, None, "3", 10**30])
def test_files_of_odd_sizes_break_nothing(size: object) -> None:
    with odd(scripted(tree=[TREE[0] | {"size": size, "lfs": None}])) as server, pytest.raises((RegistryFailed, RegistryAbsent)):
        adapter(server.url).dataset(DATASET)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path / "hub")
    hub.add_token(CANARY, "canary", write=["*"])
    for kind, name in ((MODELS, "org/m"), (DATASETS, "org/d")):
        hub.create_repo(kind, name)
        hub.commit(kind, name, {"model.safetensors": b"weights", "config.json": b"{}"})
    return hub


@pytest.fixture
def server(hub: Hub) -> Iterator[Server]:
    with serving(hub) as server:
        yield server


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("X-Repo-Commit", "f" * 40, "RegistryMisconfigured"),
        ("X-Repo-Commit", "", "RegistryMisconfigured"),
        ("X-Linked-Size", "99", "ArtifactIncomplete"),
        ("X-Linked-Etag", f'"{"f" * 64}"', "ArtifactIncomplete"),
    ],
)
def test_a_file_must_be_of_the_very_commit_and_content(hub: Hub, header: str, value: str, reason: str) -> None:
    class Lying(Handler):
        def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
            super()._send(status, body, dict(headers) | ({header: value} if header in headers else {}))

    with serving(hub) as server:
        server.RequestHandlerClass = Lying
        for ask in (lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
            with pytest.raises((RegistryFailed, RegistryAbsent)) as found:
                ask(adapter(url(server)))
            assert found.value.reason == reason


def test_access_is_asked_for_even_where_a_file_can_be_had(hub: Hub) -> None:
    class Half(Handler):
        def _auth_check(self, rest: list[str]) -> None:
            raise Problem(403, "GatedRepo", "not you")

    with serving(hub) as server:
        server.RequestHandlerClass = Half
        for ask in (lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
            with pytest.raises(RegistryAbsent) as no:
                ask(adapter(url(server)))
            assert no.value.reason == "Gated"


def test_forbidden_by_the_hub_is_a_no_for_a_model_and_a_failure_for_the_server() -> None:
    with odd(reply(403, X_Error_Message="Forbidden: the token lacks a permission")) as server:
        with pytest.raises(RegistryFailed) as failed:
            adapter(server.url).server()
        assert failed.value.reason == "Unauthorized"
        for ask in (lambda to: to.model(MODEL), lambda to: to.dataset(DATASET)):
            with pytest.raises(RegistryAbsent) as no:
                ask(adapter(server.url))
            assert no.value.reason == "AccessDenied"


def test_from_a_spec_to_a_registry(hub: Hub) -> None:
    with serving(hub) as server:
        spec = {"huggingFace": {"url": url(server)}, "writeBack": {"evaluationResults": "PullRequest"}}
        registry = ModelRegistry.model_validate({"metadata": {"name": "r", "namespace": "ns", "uid": "u"}, "spec": spec})
        connected = connect(registry, Credentials({"HF_TOKEN": CANARY}), LOCAL, lambda: True)
        pin = connected.model(MODEL).pin
        connected.write(_offer(pin))
        assert dict(connected.model(MODEL).tags) == {"weighbridge.dev/results": "0123456789ab"}


@pytest.mark.parametrize(
    "secret", [{}, {"token": "x"}, {"HF_TOKEN": " "}, {"HF_TOKEN": "a\nb"}, {"HF_TOKEN": "a b"}, {"HF_TOKEN": "hf_ü"}]
)
def test_secret_without_a_usable_token(secret: dict[str, str]) -> None:
    with pytest.raises(RegistryFailed) as failed:
        HubRegistry(
            "http://127.0.0.1:1", Credentials(secret), request_timeout=1, allow=LOCAL, may_write=lambda: True, results=False
        )
    assert failed.value.reason == "SecretIncomplete"
    assert "HF_TOKEN" in failed.value.public


def test_loopback_is_refused_without_an_allow_list() -> None:
    with odd(reply(200, b"{}")) as server:
        with pytest.raises(RegistryFailed) as failed:
            adapter(server.url, allow=()).server()
        assert failed.value.reason == "AddressRefused"
        assert server.seen == []


def test_connects_to_the_address_that_was_checked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that has another address when it is looked up again leads nowhere else: it is looked up once per connection."""
    real, asked = socket.getaddrinfo, list[str]()

    def resolve(host: str, port: int, *rest: Any, **more: Any) -> Any:
        if host != "rebinding.example":
            return real(host, port, *rest, **more)
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.2", port)), (0, 0, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr("weighbridge.registries.addresses.socket.getaddrinfo", resolve)
    assert adapter(f"http://rebinding.example:{server.server_port}").model(MODEL)
    assert {each.headers["host"] for each in server.asked} == {f"rebinding.example:{server.server_port}"}
    assert len(asked) == 1


def test_no_cookies_are_kept(hub: Hub) -> None:
    with odd(reply(200, b"[]", Set_Cookie="session=leak; Path=/")) as server:
        for _ in range(2):
            adapter(server.url, token="").server()
        assert [each.get("cookie") for each in lowered(server)] == [None, None]
        assert [each["accept-encoding"] for each in lowered(server)] == ["identity"] * 2


def test_compressed_answers_are_read_all_the_same() -> None:
    with odd(gzipped(b'[{"id": "org/m"}]')) as server:
        assert adapter(server.url, token="").server().version == ""


def test_registries_of_different_tokens_never_mix_them(hub: Hub) -> None:
    """All share huggingface_hub's one client."""
    names = [f"org/m{number}" for number in range(4)]
    for number, name in enumerate(names):
        hub.create_repo(MODELS, name, private=True)
        hub.commit(MODELS, name, {"model.safetensors": b"weights"})
        hub.add_token(f"hf_{number}", f"user{number}", read=[name])
    with serving(hub) as one, serving(hub) as two:
        troubles = list[BaseException]()
        start = threading.Barrier(8)

        def work(number: int, where: Server) -> None:
            registry = adapter(url(where), token=f"hf_{number}", results=False)
            start.wait()
            try:
                for _ in range(5):
                    for name in names:
                        reference = ModelReference(registry_ref=LocalRef(name="r"), name=name, revision="main")
                        if name == names[number]:
                            assert registry.model(reference).pin.name == name
                            continue
                        with pytest.raises(RegistryAbsent, match="has no model"):
                            registry.model(reference)
            except BaseException as trouble:
                troubles.append(trouble)

        threads = [threading.Thread(target=work, args=(number, where)) for number in range(4) for where in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert troubles == []
        for where in (one, two):
            tokens = {each.headers["authorization"] for each in where.asked}
            assert tokens == {f"Bearer hf_{number}" for number in range(4)}
            assert all(each.headers["host"] == f"127.0.0.1:{where.server_port}" for each in where.asked)


def test_a_request_that_belongs_to_no_question_is_refused(server: Server) -> None:
    from huggingface_hub import HfApi

    adapter(url(server))
    before = len(server.asked)
    with pytest.raises(RuntimeError, match="no question"):
        HfApi(url(server), CANARY).model_info("org/m")
    assert len(server.asked) == before


def test_nothing_of_the_environment_and_nothing_on_disk(server: Server, tmp_path: Path) -> None:
    """In a process of its own, since the package reads its environment when it is imported."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login other password leak-netrc\n")
    (home / "token").write_text("leak-file")
    before = {each for each in tmp_path.rglob("*") if "hub/" not in str(each)}
    with odd(reply(502)) as proxy:
        environment = {
            "HOME": str(home), "HF_HOME": str(home), "HF_TOKEN_PATH": str(home / "token"), "NETRC": str(home / ".netrc"),
            "http_proxy": proxy.url, "HTTPS_PROXY": proxy.url, "ALL_PROXY": proxy.url, "no_proxy": "", "HF_TOKEN": "leak-token",
            "HF_ENDPOINT": proxy.url, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "", "HF_DEBUG": "1", "CLAUDECODE": "1",
            "HF_HUB_USER_AGENT_ORIGIN": "leak-origin", "AI_AGENT": "leak-agent", "AGENT": "leak-agent",
            "HF_HUB_DISABLE_XET": "", "PYTHONPATH": ":".join(sys.path),
        }  # fmt: skip
        code = f"""
from ipaddress import ip_network
from weighbridge.registries.hub import HubRegistry
from weighbridge.registries.credentials import Credentials
from weighbridge.api.references import ModelReference
from weighbridge.api.base import LocalRef
from weighbridge.core.facts import WriteOrder
from weighbridge.registries.base import RegistryFailed
for credentials in (Credentials({{"HF_TOKEN": "{CANARY}"}}), None):
    registry = HubRegistry("{url(server)}", credentials, request_timeout=10, allow=(ip_network("127.0.0.0/8"),),
                           may_write=lambda: True, results=True)
    registry.server()
    pin = registry.model(ModelReference(registry_ref=LocalRef(name="r"), name="org/m", revision="main")).pin
    try:
        registry.write(WriteOrder(pin, {{}}, "champion" if credentials else "other"))
        print("written")
    except RegistryFailed as failed:
        print(failed.reason)
"""
        assert client(code, **environment).split() == ["written", "WriteBackUnsupported"]
        assert proxy.seen == []
    said = [(each.path, each.headers) for each in server.asked]
    assert "leak" not in str(said)
    assert not [path for path, _ in said if "agent-harness" in path or "telemetry" in path]
    assert {headers.get("authorization") for _, headers in said} == {f"Bearer {CANARY}", None}
    assert all(re.fullmatch(r"weighbridge/[\w.+-]+", headers["user-agent"]) for _, headers in said)
    assert {each for each in tmp_path.rglob("*") if "hub/" not in str(each)} == before


def test_importing_the_adapter_does_not_load_the_package() -> None:
    code = "import sys, weighbridge.registries.connections; print([m for m in ('huggingface_hub', 'httpx2') if m in sys.modules])"
    assert client(code, PYTHONPATH=":".join(sys.path)).strip() == "[]"


def _certificate(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(path) + ".key", "-out", str(path)], check=True, capture_output=True)
    return path


@pytest.mark.parametrize(("host", "trusted"), [("hub.example", True), ("other.example", True), ("hub.example", False)])
def test_tls_proves_the_name_before_anything_is_sent(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    certificate = _certificate(tmp_path, "hub.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, f"{certificate}.key")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    real = socket.getaddrinfo

    def resolve(name: str, port: int, *rest: Any, **more: Any) -> Any:
        return [(0, 0, 0, "", ("127.0.0.1", port))] if name == host else real(name, port, *rest, **more)

    monkeypatch.setattr("weighbridge.registries.addresses.socket.getaddrinfo", resolve)
    with serving(hub, tls=context) as server:
        registry = adapter(f"https://{host}:{server.server_port}")
        if trusted and host == "hub.example":
            assert registry.model(MODEL).pin.name == "org/m"
            assert server.asked
        else:
            with pytest.raises(RegistryFailed) as failed:
                registry.model(MODEL)
            assert failed.value.reason == "RegistryMisconfigured"
            assert "certificate" in failed.value.public
            assert server.asked == []


def test_a_server_without_tls_on_an_https_address(server: Server) -> None:
    with pytest.raises(RegistryFailed) as failed:
        adapter(f"https://127.0.0.1:{server.server_port}").server()
    assert failed.value.reason == "RegistryUnavailable"


@pytest.mark.parametrize("answer", [echo(500), echo(400), echo(403), echo(409), echo(200, Content_Type="text/html")])
def test_trouble_while_writing_shows_no_token(hub: Hub, answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """The reads come from a real Hub, the writes meet a server that sends the token back."""
    caplog.set_level(logging.DEBUG)
    with serving(hub) as server:
        pin = adapter(url(server)).model(MODEL).pin

    def mixed(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        if handler.command == "POST":
            answer(handler, server)
        else:
            scripted(revision={"id": "org/m", "sha": pin.version})(handler, server)

    with odd(mixed) as odd_server:
        for order in (WriteOrder(pin, {}, "champion"), _offer(pin)):
            with pytest.raises(RegistryFailed) as failed:
                adapter(odd_server.url).write(order)
            assert CANARY not in "".join(traceback.format_exception(failed.value))
    assert CANARY not in caplog.text


def _offer(pin: Any) -> WriteOrder:
    from weighbridge.core.facts import EvaluationResult

    return WriteOrder(pin, {"weighbridge.dev/results": "0123456789ab"}, None, (EvaluationResult("org/d", SHA, "accuracy", 0.9),))


def test_a_hub_that_asks_for_uploads_elsewhere_gets_none() -> None:
    """The package would upload large files where the server says; results are small, whatever it says."""
    with odd(reply(200, b"{}")) as elsewhere:
        lfs = {"objects": [{"oid": "x", "size": 1, "actions": {"upload": {"href": f"http://localhost:{elsewhere.port}/up"}}}]}

        def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
            if "/preupload/" in handler.path:
                body = json.loads(server.seen[-1].content)
                files = [{"path": each["path"], "uploadMode": "lfs", "shouldIgnore": False} for each in body["files"]]
                return reply(200, json.dumps({"files": files}).encode())(handler, server)
            if "/info/lfs/" in handler.path:
                body = json.loads(server.seen[-1].content)
                found = [each | lfs["objects"][0] | {"oid": each["oid"], "size": each["size"]} for each in body["objects"]]
                return reply(200, json.dumps({"transfer": "basic", "objects": found}).encode())(handler, server)
            return scripted()(handler, server)

        with odd(answer) as server:
            registry = adapter(server.url)
            pin = _pinned()
            with pytest.raises(RegistryFailed) as failed:
                registry.write(_offer(pin))
            assert [each.path for each in server.seen if "/info/lfs/" in each.path]
        assert failed.value.reason == "RegistryMisconfigured"
        assert elsewhere.seen == []


def _pinned() -> Any:
    from weighbridge.api.references import ModelPin

    sha = f"sha256:{'0' * 64}"
    return ModelPin.model_validate(
        {
            "registry": "r",
            "name": "org/m",
            "version": SHA,
            "uri": f"hf://org/m@{SHA}",
            "created_at": 0,
            "fingerprint": sha,
            "digest": sha,
        }
    )
