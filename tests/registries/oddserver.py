"""An HTTP server that does what a healthy registry never does."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Seen:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    content: bytes


@dataclass
class OddServer:
    """Where it listens and what came in. `answer` is called with the connection's handler for every request."""

    port: int
    seen: list[Seen] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Handlers that hang wait for this; it is set when the test is over."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Answer = Callable[[BaseHTTPRequestHandler, OddServer], None]


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer with this status, body and these headers (`_` for `-`)."""

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.send_response_only(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body if handler.command != "HEAD" else b"")

    return answer


def raw(*parts: bytes) -> Answer:
    """These bytes instead of an answer of HTTP, then the end of the connection."""

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for part in parts:
                handler.wfile.write(part)

    return answer


def endless(start: bytes, part: bytes, pause: float = 0.0, most: int = 1 << 30) -> Answer:
    """These bytes, then `part` again and again: until the other side has had enough, the test is over, or `most` bytes are out."""

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(start)
            for _ in range(most // len(part)):
                if server.released.wait(pause) if pause else server.released.is_set():
                    return
                handler.wfile.write(part)

    return answer


def passed_on(handler: BaseHTTPRequestHandler, server: OddServer, port: int) -> tuple[int, bytes, Mapping[str, str]]:
    """What the server on that port says to the request: status, body, headers for `reply`."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port)) as behind:
        headers = {**handler.headers, "Host": f"127.0.0.1:{port}"}
        behind.request(handler.command, handler.path, server.seen[-1].content, headers)
        found = behind.getresponse()
        body = found.read()
    own = {"transfer-encoding", "connection"} | ({"content-length"} if handler.command != "HEAD" else set())
    return (
        found.status,
        body,
        {name.title().replace("-", "_"): value for name, value in found.getheaders() if name.lower() not in own},
    )


@contextlib.contextmanager
def odd(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[OddServer]:
    """Runs such a server; with `tls`, it speaks that."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            found.seen.append(Seen(self.path, dict(self.headers.items()), content))
            answer(self, found)

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = OddServer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        found.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
