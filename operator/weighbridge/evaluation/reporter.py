"""The reporter: a sidecar of ours beside every engine, which reads the result and hands it to the kubelet as its last words.

It holds no Kubernetes token, and no credentials but those a full report is written with. It starts before the engine and is stopped
by the kubelet after it. It stays until it is told to go (a native sidecar that ends early is started again) and never prints what a
result or the environment holds. What an engine wrote is read with distrust: a link, a pipe or an endless file is a problem, not a
trap. The numbers are handed over before anything is compared or uploaded, so that no registry can cost them.
"""

import contextlib
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..api.report import Report
    from ..api.results import Results
    from ..core.evaluationfacts import ResultProblem
    from .order import Order
    from .server import Server

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_POLL = 1.0
"""Seconds between looks for the result."""
_UPLOAD_SECONDS = 240.0
"""For comparisons and the whole upload; the pod's grace period (manifest.py) is longer."""
_ON_COMPARISONS = 3 / 8
"""The most of it that comparisons may take."""


def main() -> int:
    """Waits for the result and for the order to stop; leaves the summary in the termination log. Returns the exit code."""
    # Blocked before anything slow is imported: a signal to a process 1 that has no handler yet would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)

    from ..api.results import Results
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

    _tell_progress(os.environ)
    _say("waiting for the result")
    outcome = _watch(result, digest, record)
    if isinstance(outcome, Results) and task.UPLOAD in os.environ:
        _report(os.environ, result, outcome, lambda results: log.write_bytes(summary(results, digest)))
    sys.stdout.flush()
    # Without waiting for threads: an upload that came too late may hang in a server that says nothing.
    os._exit(0)


def _watch(result: Path, digest: str, record: "Callable[[Results | ResultProblem], None]") -> "Results | ResultProblem":
    """Records the result each time it is new, and whatever there is (or is not) at the end, which it returns."""
    written = Written(result, digest)
    while signal.sigtimedwait(_STOP, _POLL) is None:
        if (outcome := written.look()) is not None:
            record(outcome)
    outcome = written.look(last=True)
    assert outcome is not None
    record(outcome)
    return outcome


class Written:
    """What the engine has written so far. A result that was there and is another one later is no result."""

    def __init__(self, path: Path, digest: str) -> None:
        self._path, self._digest = path, digest
        self._state: tuple[int, ...] | None = None
        self._sha256 = ""
        self._settled = self._twice = False
        """Whether the content was the same for two looks. One that is written in place may be seen half."""

    def look(self, *, last: bool = False) -> "Results | ResultProblem | None":
        """The outcome where it is new, and in any case at the last look."""
        from .result import DUPLICATED

        now = _state(self._path)
        if not last and (now is None or now == self._state):
            self._settled = self._settled or now is not None
            return None
        content = _content(self._path)
        self._compare(now, hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else "")
        if self._twice:
            return DUPLICATED
        return _read(content, self._digest)

    def _compare(self, now: tuple[int, ...] | None, sha256: str) -> None:
        renamed = now is not None and self._state is not None and now[0] != self._state[0]
        if self._sha256 and sha256 != self._sha256 and (self._settled or renamed):
            self._twice = True
        self._settled = self._settled and sha256 == self._sha256
        self._state, self._sha256 = now, sha256


def _state(path: Path) -> tuple[int, ...] | None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def read_file(path: Path, digest: str) -> "Results | ResultProblem":
    """What the file says; a file that is missing, too large or none at all is a problem."""
    return _read(_content(path), digest)


def _read(content: "bytes | ResultProblem", digest: str) -> "Results | ResultProblem":
    from .result import read_result

    return read_result(content, digest) if isinstance(content, bytes) else content


def _content(path: Path) -> "bytes | ResultProblem":
    from ..core.evaluationfacts import ResultProblem
    from .files import NotPlain, opened
    from .result import MAX_DOCUMENT, MISSING

    try:
        with opened(path) as file:
            return file.read(MAX_DOCUMENT + 1)
    except FileNotFoundError:
        return MISSING
    except NotPlain:
        return ResultProblem("ResultInvalid", "the result is not a plain file")
    except OSError:
        return ResultProblem("ResultInvalid", "the result cannot be opened: it must be a plain file that others may read")


def _tell_progress(environment: Mapping[str, str]) -> None:
    from . import task
    from .progress import progress_in, serve

    port, file = environment.get(task.PROGRESS_PORT, ""), Path(environment.get(task.PROGRESS, ""))
    if port.isdecimal():
        try:
            serve(int(port), lambda: progress_in(file))
        except OSError:
            _say("progress cannot be told: its port is taken")


def _report(environment: Mapping[str, str], result: Path, results: "Results", tell: "Callable[[Results], object]") -> None:
    """Compares with the champion where that is wanted, then uploads the full report; tells the results anew after each."""
    from ..api.report import Report
    from . import task
    from .fetch import CREDENTIALS
    from .order import read_order
    from .server import Server

    until = time.monotonic() + float(environment.get(task.UPLOAD_SECONDS, _UPLOAD_SECONDS))
    order = read_order(environment[task.UPLOAD])
    if order is None:
        _say(f"{task.UPLOAD} is not as the operator of this version writes it")
        tell(results.model_copy(update={"report": Report(problem="ReportFailed")}))
        return
    credentials = {key: environment[key].strip() for key in CREDENTIALS if key in environment}
    server = Server(environment.get("MLFLOW_TRACKING_URI", ""), credentials)
    folder = Path(environment.get(task.REPORT, ""))
    if order.wanted:
        results = _compare(order, server, folder, results, (until - time.monotonic()) * _ON_COMPARISONS)
        tell(results)
    report = _upload(order, server, result, folder, results, seconds=until - time.monotonic())
    tell(results.model_copy(update={"report": report}))


def _compare(order: "Order", server: "Server", folder: Path, results: "Results", seconds: float) -> "Results":
    """The results with all comparisons that are wanted."""
    from .comparisons import comparisons

    found = comparisons(order, server, folder, results, seconds)
    problems = sorted({each.problem for each in found} - {""})
    _say("; ".join([f"{sum(not each.problem for each in found)} of {len(found)} comparisons with the champion made", *problems]))
    return results.model_copy(update={"comparisons": found})


def _upload(order: "Order", server: "Server", result: Path, folder: Path, results: "Results", *, seconds: float) -> "Report":
    """Where the full report lies now, or why it does not; after a while it does not."""
    from ..api.report import Report
    from .upload import upload

    ended: list[tuple[Report, str]] = []
    thread = threading.Thread(target=lambda: ended.append(upload(order, server, result, folder, results)), daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        ended = [(Report(problem="ReportTimedOut"), "the MLflow server did not take the report in time")]
    report, said = ended[0]
    _say(said)
    return report


def _say(line: str) -> None:
    sys.stdout.write(f"reporter: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
