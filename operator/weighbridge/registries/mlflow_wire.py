"""The wire below MLflow's transport: a request ends when its time is up, whatever the server sends, and leaves nothing behind.

A time-out of sockets starts anew with every byte, so a server that drips headers could hold a thread for days. Here a timer cuts
the connection. MLflow's `http_request` takes its session from a cache, by the settings for retries; `SETTINGS` are ours alone, and
the session behind them gets an adapter that knows the timer. Must not know what is asked, nor import MLflow with this module.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session
    from urllib3.response import BaseHTTPResponse

SETTINGS: Mapping[str, Any] = {
    "max_retries": 0,
    "backoff_factor": 0,
    "backoff_jitter": 0,
    "retry_codes": frozenset({599}),  # no server sends it: this only tells our session apart from MLflow's own
    "raise_on_status": False,
    "respect_retry_after_header": False,
}
"""Arguments of `http_request` that lead to the session prepared by `prepare`."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "CERTIFICATE_VERIFY_FAILED", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


class Watch:
    """Cuts the connection it was shown when the time is up."""

    def __init__(self, end: float) -> None:
        self._end, self._timer = end, threading.Timer(0, lambda: None)
        self.cut = False
        """Whether it did: what came in since then may only look like an end."""

    def over(self, connection: socket.socket) -> None:
        """From now on, this connection."""

        def cut() -> None:
            self.cut = True
            with contextlib.suppress(OSError):  # closed by now
                # Of the socket below TLS: TLS would begin to say goodbye, and its state belongs to the reading thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

        self._timer = threading.Timer(max(self._end - time.monotonic(), 0), cut)
        self._timer.daemon = True
        self._timer.start()

    def stop(self) -> None:
        self._timer.cancel()


_WATCH: ContextVar[Watch | None] = ContextVar("_WATCH", default=None)


@contextlib.contextmanager
def watched(end: float) -> Iterator[Watch]:
    """Requests of this thread inside end at that time of the monotonic clock; connecting may take as long once more."""
    watch = Watch(end)
    token = _WATCH.set(watch)
    try:
        yield watch
    finally:
        _WATCH.reset(token)
        watch.stop()


def prepare() -> None:
    """Readies the session that `http_request` will take for `SETTINGS`. Cheap when it is ready."""
    from mlflow.utils.request_utils import _get_request_session

    get: Callable[..., Session] = _get_request_session
    session = get(**SETTINGS)
    if not getattr(session.get_adapter("http://"), "of_weighbridge", False):
        from http.cookiejar import DefaultCookiePolicy

        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _adapter()
        session.mount("https://", adapter)
        session.mount("http://", adapter)


def never_connected(error: BaseException) -> bool:
    """Whether no connection came about, so that nothing was sent."""
    from requests.exceptions import ConnectionError as NoConnection
    from urllib3.exceptions import NewConnectionError

    cause = error.__cause__ or error.__context__
    reason = getattr(cause.args[0], "reason", None) if isinstance(cause, NoConnection) and cause.args else None
    return isinstance(reason, NewConnectionError)


def no_tls(error: BaseException) -> bool:
    """Whether the other side speaks no TLS, or as somebody who is not trusted: waiting does not help."""
    found: BaseException | None = error
    while found is not None:
        causes = [each for each in (*found.args, getattr(found, "reason", None)) if isinstance(each, BaseException)]
        if any(_is_no_tls(each) for each in (found, *causes)):
            return True
        found = found.__cause__ or found.__context__
    return False


def _is_no_tls(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason in _NO_TLS


def _adapter() -> Any:
    from mlflow.utils.request_utils import TCPKeepAliveHTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):
        def getresponse(self) -> Any:
            _show(self.sock)
            return super().getresponse()

    class Tls(HTTPSConnection):
        def getresponse(self) -> Any:
            _show(self.sock)
            return super().getresponse()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    class Adapter(TCPKeepAliveHTTPAdapter):
        of_weighbridge = True

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)  # type: ignore[no-untyped-call]
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

        def build_response(self, request: "PreparedRequest", answer: "BaseHTTPResponse") -> "Response":
            # Redirects are not followed; seeing one, `requests` would yet read its whole body, without any bounds.
            answer.headers.pop("Location", None)
            response: Response = super().build_response(request, answer)
            return response

    return Adapter(max_retries=0)


def _show(connection: Any) -> None:
    watch = _WATCH.get()
    if watch is not None and connection is not None:
        watch.over(connection)
