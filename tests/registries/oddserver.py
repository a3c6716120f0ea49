"""An HTTP server that does what a healthy MLflow never does."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Seen:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]


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
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    return answer


@contextlib.contextmanager
def odd(answer: Answer) -> Iterator[OddServer]:
    """Runs such a server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.seen.append(Seen(self.path, dict(self.headers.items())))
            answer(self, found)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
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
