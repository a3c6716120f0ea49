"""Progress from the engine's file to the operator's memory, over a real connection."""

import asyncio
import json
import os
import socket
import time
from pathlib import Path

import pytest

from weighbridge.api.base import Key
from weighbridge.core.evaluationfacts import Heard
from weighbridge.core.progress import SELDOM
from weighbridge.evaluation.job import running
from weighbridge.evaluation.progress import progress_in, read_progress, serve
from weighbridge.runtime.prober import HttpProber
from weighbridge.runtime.progress import BackgroundProgress

ME = Key("EvaluationJob", "ns", "weekly")


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{}", b'{"done": 1}', b'{"done": -1, "total": 2}', b'{"done": 3, "total": 2}', b'{"done": 0, "total": 0}',
        b'{"done": 1.5, "total": 2}', b'{"done": true, "total": 2}',
        b'{"done": 1, "total": 1e400}', b'{"done": 1, "total": 2, "x": 1}',
        b'{"done": 1, "total": ' + b"9" * 30 + b"}", b'{"done": 1, "total": 2}' + b" " * 1024, b"[" * 1000, b"\xff",
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_no_progress(document: bytes) -> None:
    assert read_progress(document) is None


def test_the_file_is_read_with_distrust(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    assert progress_in(path) is None
    (tmp_path / "other").write_text('{"done": 1, "total": 4}')
    path.symlink_to(tmp_path / "other")
    assert progress_in(path) is None
    path.unlink()
    os.mkfifo(path)
    assert progress_in(path) is None
    path.unlink()
    (tmp_path / "other").rename(path)
    assert progress_in(path) == Heard(1, 4)


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer


def test_only_one_question_is_answered() -> None:
    port = serve(0, lambda: Heard(3, 7))
    assert json.loads(ask(port, b"GET /progress HTTP/1.1\r\nHost: x\r\n\r\n").split(b"\r\n\r\n")[1]) == {"done": 3, "total": 7}
    for line in (b"GET / HTTP/1.1", b"GET /progress/../etc/passwd HTTP/1.1", b"POST /progress HTTP/1.1", b"HEAD", b"\x00\xff"):
        assert ask(port, line + b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert ask(port, b"GET /progress HTTP/1.1\r\nX: " + b"x" * 8000)[:13] in (b"HTTP/1.1 200 ", b"")


def test_who_asks_and_says_no_more_keeps_nobody_else_waiting_for_long() -> None:
    port = serve(0, lambda: Heard(3, 7))
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET ")
        started = time.monotonic()
        assert b"200 OK" in ask(port, b"GET /progress HTTP/1.1\r\n\r\n")
        assert time.monotonic() - started < 4


async def test_the_operator_asks_seldom_and_waits_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    path.write_text('{"done": 1, "total": 4}')
    port = serve(0, lambda: progress_in(path))
    woken: list[Key] = []
    now = 100.0
    async with HttpProber() as prober:
        progress = BackgroundProgress(prober.fetch, woken.append, lambda: now, port)
        assert progress.ask(ME, "pod", "127.0.0.1") is None
        await asyncio.gather(*progress._tasks)
        assert (progress.ask(ME, "pod", "127.0.0.1"), woken) == (Heard(1, 4), [ME])
        path.write_text('{"done": 2, "total": 4}')
        now += SELDOM - 1
        assert progress.ask(ME, "pod", "127.0.0.1") == Heard(1, 4)
        assert not progress._tasks
        now += 1
        progress.ask(ME, "pod", "127.0.0.1")
        await asyncio.gather(*progress._tasks)
        assert progress.ask(ME, "pod", "127.0.0.1") == Heard(2, 4)
        assert progress.ask(ME, "another pod", "127.0.0.1") is None
        await asyncio.gather(*progress._tasks)
        path.unlink()
        now += SELDOM
        progress.ask(ME, "pod", "127.0.0.1")
        await asyncio.gather(*progress._tasks)
        assert progress.ask(ME, "pod", "127.0.0.1") is None
        await progress.close()


async def test_a_pod_that_cannot_be_reached_is_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with HttpProber() as prober:
        assert await prober.fetch("127.0.0.1", port, "/progress", 100) is None


def test_the_newest_running_pod_is_asked() -> None:
    def pod(number: int, **status: str) -> dict[str, object]:
        return {"metadata": {"uid": f"u{number}", "creationTimestamp": f"2026-01-01T00:00:0{number}Z"}, "status": status}

    pods = [pod(1, phase="Running", podIP="10.0.0.1"), pod(2, phase="Running", podIP="10.0.0.2"), pod(3, phase="Pending")]
    assert running(pods) == ("u2", "10.0.0.2")
    assert running([pod(1, phase="Failed", podIP="10.0.0.1"), pod(2, phase="Running")]) is None
