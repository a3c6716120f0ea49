"""The reporter: a sidecar of ours beside every engine, which reads the result and hands it to the kubelet as its last words.

It holds no credentials and no Kubernetes token, starts before the engine and is stopped by the kubelet after it. It stays until it
is told to go (a native sidecar that ends early is started again) and never prints what a result or the environment holds. What an
engine wrote is read with distrust: a link, a pipe or an endless file is a problem, not a trap.
"""

import contextlib
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..api.evaluationjob import Results
    from ..core.evaluationfacts import ResultProblem

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_POLL = 1.0
"""Seconds between looks for the result."""


def main() -> int:
    """Waits for the result and for the order to stop; leaves the summary in the termination log. Returns the exit code."""
    # Blocked before anything slow is imported: a signal to a process 1 that has no handler yet would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)

    from ..api.evaluationjob import Results
    from . import task
    from .message import summary

    try:
        result, digest = Path(os.environ[task.RESULT]), os.environ[task.SUBJECT]
    except KeyError as error:
        sys.stderr.write(f"reporter: {error.args[0]} is not set; the operator sets it in the pod it creates\n")
        return task.EXIT_MISCONFIGURED
    log = Path(os.environ.get(task.TERMINATION_LOG, "/dev/termination-log"))

    def record(outcome: "Results | ResultProblem") -> None:
        log.write_bytes(summary(outcome, digest))
        _say(f"result recorded, {len(outcome.metrics)} metrics" if isinstance(outcome, Results) else outcome.message)

    _say("waiting for the result")
    _watch(result, digest, record)
    return 0


def _watch(result: Path, digest: str, record: "Callable[[Results | ResultProblem], None]") -> None:
    """Records the result each time it is new, and whatever there is (or is not) at the end."""
    seen: tuple[int, ...] | None = None
    while signal.sigtimedwait(_STOP, _POLL) is None:
        now = _state(result)
        if now is not None and now != seen:
            seen = now
            record(read_file(result, digest))
    record(read_file(result, digest))


def _state(path: Path) -> tuple[int, ...] | None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def read_file(path: Path, digest: str) -> "Results | ResultProblem":
    """What the file says; a file that is missing, too large or none at all is a problem."""
    from ..core.evaluationfacts import ResultProblem
    from .result import MAX_DOCUMENT, MISSING, read_result

    try:
        # NOFOLLOW and NONBLOCK: neither a link nor a pipe of the engine's may lead or hold the reporter.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return MISSING
    except OSError:
        return ResultProblem("ResultInvalid", "the result cannot be opened: it must be a plain file that others may read")
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ResultProblem("ResultInvalid", "the result is not a plain file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return read_result(file.read(MAX_DOCUMENT + 1), digest)
    finally:
        os.close(handle)


def _say(line: str) -> None:
    sys.stdout.write(f"reporter: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
