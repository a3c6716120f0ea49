"""What carries huggingface_hub's requests: only to where the question may go, bounded in time and size, with nothing else along.

The package has one HTTP client for the whole process and leaves it without time-outs. It is replaced, once, by one that sends
nothing by itself: it hands each request to the `Channel` of the question that the calling thread is at. So registries with
different addresses and tokens share the client and nothing else, and a request that belongs to no question is refused. Must be
imported only by a process that has such a registry, and must not know what is asked.
"""

import contextlib
import logging
import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import SplitResult

import httpcore2
import httpx2
from huggingface_hub import constants, set_client_factory

from .addresses import Network, allowed
from .base import RegistryFailed
from .hub_answer import elsewhere, judged

_LARGEST_ANSWER = 8 * 1024 * 1024
_MOST_REDIRECTS = 5
_PORTS = {"http": 80, "https": 443}
_NOT_SENT = (b"cookie", b"accept-encoding", b"x-amzn-trace-id")
_TAKEN = frozenset(
    b"x-error-code x-error-message x-repo-commit x-linked-etag x-linked-size".split()
    + b"ratelimit retry-after date link location content-type".split()
)
"""Headers of an answer that count. Others may do harm: cookies would be kept for the next registry, warnings logged as they are."""
_LATE = "did not answer everything in time; if it is only slow, raise spec.requestTimeout"

_current: ContextVar["Channel | None"] = ContextVar("channel", default=None)
_installing = threading.Lock()
_installed = False


def install() -> None:
    """Makes huggingface_hub send through channels, for the whole process. Later calls change nothing."""
    global _installed  # noqa: PLW0603 the package's client is as global
    with _installing:
        if _installed:
            return
        # Else it asks its vendor about agents, writes what it learns below $HF_HOME, and uploads past the client.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        constants.HF_HUB_DISABLE_XET = True
        # They would print headers and addresses as servers send them.
        for name in ("httpcore2", "httpx2", "huggingface_hub"):
            logging.getLogger(name).setLevel(logging.ERROR)
        set_client_factory(
            lambda: httpx2.Client(
                transport=_Carrier(), trust_env=False, follow_redirects=True, max_redirects=_MOST_REDIRECTS, timeout=None
            )
        )
        _installed = True


def trusted() -> ssl.SSLContext:
    """What proves a server's name: the certificates the operating system trusts."""
    return ssl.create_default_context()


class _Carrier(httpx2.BaseTransport):
    """The transport of the one client."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        channel = _current.get()
        if channel is None:
            raise RuntimeError("a request that belongs to no question")
        return channel.send(request)


class Channel:
    """Requests of one question: to one origin, over one connection at a time, until one moment."""

    def __init__(
        self, url: SplitResult, *, patience: float, deadline: float, allow: tuple[Network, ...], tls: ssl.SSLContext | None
    ) -> None:
        """`patience`: seconds for one request; `deadline`: the moment for all, on the monotonic clock."""
        self.host = url.netloc
        self._origin = (url.scheme, (url.hostname or "").lower(), url.port or _PORTS[url.scheme])
        self._patience, self._deadline, self._until = patience, deadline, deadline
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls, max_connections=1, keepalive_expiry=5, network_backend=_Backend(self, allow)
        )

    def close(self) -> None:
        self._pool.close()

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """The requests of this thread are this question's."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @property
    def remaining(self) -> float:
        """Seconds the running request has left. Raises RegistryFailed(RegistryUnavailable) where there are none."""
        if (left := self._until - time.monotonic()) <= 0:
            raise self.unavailable(_LATE)
        return left

    def unavailable(self, what: str) -> RegistryFailed:
        return RegistryFailed("RegistryUnavailable", f"{self.host} {what}")

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """Raises RegistryFailed for everything that is no answer of a Hub; what else went wrong is not chained, as it may hold what
        the server sent."""
        url = request.url
        if (url.scheme, url.host.lower(), url.port or _PORTS.get(url.scheme)) != self._origin:
            raise elsewhere(self.host)
        self._until = min(self._deadline, time.monotonic() + self._patience)
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _NOT_SENT]
        try:
            answer = self._pool.handle_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=[*headers, (b"Accept-Encoding", b"identity")],
                    content=request.read(),
                )
            )
            with contextlib.closing(answer):
                # A HEAD has no body, whatever its headers say of one; it is read to its end to keep the connection.
                body = b"".join(answer.iter_stream()) if request.method == "HEAD" else self._body(answer)
        except httpcore2.TimeoutException:
            raise self.unavailable(_LATE) from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, zlib.error):
            raise self.unavailable("broke off in the middle of an answer, or sends no HTTP; is it running and reachable?") from None
        taken = [(name, value) for name, value in answer.headers if name.lower() in _TAKEN]
        response = httpx2.Response(answer.status, headers=taken, content=body, request=request)
        judged(self.host, answer.status, response.headers, body, with_token="authorization" in request.headers)
        return response

    def _body(self, answer: httpcore2.Response) -> bytes:
        said = {name.lower(): value.strip().lower() for name, value in answer.headers}
        coding = said.get(b"content-encoding", b"identity")
        if coding not in (b"identity", b"", b"gzip", b"x-gzip", b"deflate"):
            raise RegistryFailed("RegistryMisconfigured", f"{self.host} compresses its answers in a way nobody asked for")
        length = said.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 18 or int(length) > _LARGEST_ANSWER):
            raise self._too_large()
        decoder = None if coding in (b"identity", b"") else zlib.decompressobj(zlib.MAX_WBITS | 32)
        body, received = bytearray(), 0
        for part in answer.iter_stream():
            received += len(part)
            # One byte more than fits is enough to know, however much a bomb would unfold to.
            body += part if decoder is None else decoder.decompress(part, _LARGEST_ANSWER + 1 - len(body))
            if max(len(body), received) > _LARGEST_ANSWER:
                raise self._too_large()
        if decoder is not None and received and not decoder.eof:
            raise self.unavailable("broke off in the middle of an answer")
        return bytes(body)

    def _too_large(self) -> RegistryFailed:
        return RegistryFailed(
            "RegistryMisconfigured",
            f"{self.host} answers with more than {_LARGEST_ANSWER >> 20} MiB, as the Hub never does; check spec.huggingFace.url",
        )


class _Backend(httpcore2.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, channel: Channel, allow: tuple[Network, ...]) -> None:
        self._channel, self._allow = channel, allow
        self._real = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 the question knows better
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        for address in allowed(host.strip("[]"), port, self._allow):
            try:
                return _Stream(self._channel, self._real.connect_tcp(str(address), port, self._channel.remaining))
            except httpcore2.ConnectError:
                continue  # the next address of the name may do
        raise self._channel.unavailable(
            f"refuses connections on port {port}; is it running, and is a NetworkPolicy in the way?"
        ) from None


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step ends when the running request's time does: bytes that drip in gain no time."""

    def __init__(self, channel: Channel, real: httpcore2.NetworkStream) -> None:
        self._channel, self._real = channel, real

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._real.read(max_bytes, self._channel.remaining)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._real.write(buffer, self._channel.remaining)

    def close(self) -> None:
        self._real.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        trouble: RegistryFailed
        try:
            return _Stream(self._channel, self._real.start_tls(ssl_context, server_hostname, self._channel.remaining))
        except httpcore2.ConnectError as error:
            trouble = self._channel.unavailable("breaks off while TLS is set up; does it speak https on this port?")
            if isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError):
                trouble = RegistryFailed(
                    "RegistryMisconfigured",
                    f"{self._channel.host} cannot prove its name: the certificate is for another one, expired, or of an authority "
                    "the operator's image does not trust",
                )
        raise trouble

    def get_extra_info(self, info: str) -> Any:
        return self._real.get_extra_info(info)
