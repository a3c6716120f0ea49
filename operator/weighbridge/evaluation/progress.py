"""Progress: how far an engine is, by its own word, read from a file of its and served to the operator by the reporter.

Both ends distrust it: only two whole numbers ever pass. Nothing that is wrong here ends an evaluation.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ..core.evaluationfacts import Heard
from .files import NotPlain, opened
from .result import Strict, strict_json

MAX_BYTES = 1024
"""Bytes of a progress document."""
PATH = "/progress"
_MOST = (1 << 53) - 1
_SECONDS = 2.0
"""For one question, all together."""
_REQUEST = 4096
"""Bytes of a question that are read."""


class _Progress(Strict):
    done: Annotated[int, Field(ge=0, le=_MOST)]
    total: Annotated[int, Field(ge=1, le=_MOST)]


_PROGRESS: TypeAdapter[_Progress] = TypeAdapter(_Progress)


def read_progress(document: bytes) -> Heard | None:
    """What a document says; None where it says nothing that can be believed."""
    try:
        read = _PROGRESS.validate_python(strict_json(document)) if len(document) <= MAX_BYTES else None
    except (ValidationError, ValueError, RecursionError):
        return None
    return Heard(read.done, read.total) if read is not None and read.done <= read.total else None


def progress_in(path: Path) -> Heard | None:
    """What the engine's file says."""
    try:
        with opened(path) as file:
            return read_progress(file.read(MAX_BYTES + 1))
    except (NotPlain, OSError):
        return None


def serve(port: int, told: Callable[[], Heard | None]) -> int:
    """Answers `GET /progress` from a thread of its own, one question at a time, until the process ends. Returns the port, which
    is a free one for 0. Raises OSError where it is taken."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    listener = socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=8)
    threading.Thread(target=_answer_all, args=(listener, told), daemon=True).start()
    return int(listener.getsockname()[1])


def _answer_all(listener: socket.socket, told: Callable[[], Heard | None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
            with connection:
                _answer(connection, told)
        except OSError:
            time.sleep(0.01)  # somebody went away, or there are no more handles: neither may turn this into a busy loop


def _answer(connection: socket.socket, told: Callable[[], Heard | None]) -> None:
    end = time.monotonic() + _SECONDS
    asked = b""
    while b"\r\n\r\n" not in asked and len(asked) < _REQUEST:
        connection.settimeout(max(end - time.monotonic(), 0.001))
        part = connection.recv(_REQUEST - len(asked))
        if not part:
            return
        asked += part
    connection.settimeout(max(end - time.monotonic(), 0.001))
    connection.sendall(_reply(asked.split(b"\r\n", 1)[0], told))
    connection.shutdown(socket.SHUT_WR)


def _reply(line: bytes, told: Callable[[], Heard | None]) -> bytes:
    method, _, rest = line.partition(b" ")
    path = rest.partition(b" ")[0]
    now = told() if (method, path) == (b"GET", PATH.encode()) else None
    status = "200 OK" if now else "404 Not Found"
    body = json.dumps({"done": now.done, "total": now.total}).encode() if now else b"{}"
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
