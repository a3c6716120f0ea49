"""The reporter as the kubelet runs it: a process that is told to stop and leaves a message."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from weighbridge.api.results import Results
from weighbridge.core.evaluationfacts import ResultProblem
from weighbridge.evaluation import task
from weighbridge.evaluation.message import read_summary
from weighbridge.evaluation.reporter import Written
from weighbridge.evaluation.result import DUPLICATED, MAX_DOCUMENT

from .documents import DIGEST, OTHER_DIGEST, encoded, metric

SOURCES = str(Path(task.__file__).parents[2])


@dataclass
class Reporter:
    process: subprocess.Popen[str]
    result: Path
    log: Path
    port: int

    def line(self) -> str:
        """The next line the process prints; waits for it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> Results | ResultProblem:
        """What is in the log after the kubelet's order to stop, which must be obeyed within a second of work."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=10) == 0
        return read_summary(self.log.read_text(encoding="ascii"), DIGEST)

    def write(self, data: bytes) -> None:
        partial = self.result.with_suffix(".partial")
        partial.write_bytes(data)
        partial.rename(self.result)


@pytest.fixture
def reporter(tmp_path: Path) -> Iterator[Reporter]:
    result, log = tmp_path / "result.json", tmp_path / "termination-log"
    log.touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": SOURCES,
        task.RESULT: str(result),
        task.SUBJECT: DIGEST,
        task.TERMINATION_LOG: str(log),
        task.PROGRESS: str(tmp_path / "progress.json"),
        task.PROGRESS_PORT: str(port),
        "MLFLOW_TRACKING_TOKEN": "s3cret",
    }
    command = [sys.executable, "-m", "weighbridge.evaluation.reporter"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        started = Reporter(process, result, log, port)
        assert started.line() == "reporter: waiting for the result"
        yield started
        process.kill()


def test_a_result_is_recorded_when_it_appears_and_the_reporter_stays(reporter: Reporter) -> None:
    reporter.write(encoded(metric(value=0.5)))
    assert reporter.line() == "reporter: result recorded, 1 metrics"
    assert reporter.process.poll() is None
    recorded = read_summary(reporter.log.read_text(encoding="ascii"), DIGEST)
    assert isinstance(recorded, Results)
    assert recorded.metrics[0].value == 0.5
    assert reporter.stop() == recorded


def test_a_result_that_appears_just_before_the_end_is_read(reporter: Reporter) -> None:
    reporter.write(encoded(metric(value=0.7)))
    outcome = reporter.stop()
    assert isinstance(outcome, Results)
    assert outcome.metrics[0].value == 0.7


@pytest.mark.parametrize(
    ("first", "second"),
    [(b'{"schemaVersion":', encoded()), (encoded(), encoded(metric(value=0.99))), (encoded(), b'{"schemaVersion":')],
)
def test_two_results_that_differ_are_no_result(reporter: Reporter, first: bytes, second: bytes) -> None:
    reporter.write(first)
    assert reporter.line()
    reporter.write(second)
    assert "written more than once" in reporter.line()
    reporter.write(first)
    outcome = reporter.stop()
    assert isinstance(outcome, ResultProblem)
    assert outcome.reason == "ResultDuplicated"


def test_the_same_result_again_changes_nothing(reporter: Reporter) -> None:
    for _ in range(2):
        reporter.write(encoded())
        assert reporter.line() == "reporter: result recorded, 1 metrics"
    assert isinstance(reporter.stop(), Results)


def test_a_result_that_is_still_being_written_is_no_second_one(tmp_path: Path) -> None:
    path, whole = tmp_path / "result.json", encoded()
    written = Written(path, DIGEST)
    assert written.look() is None
    path.write_bytes(whole[:40])
    assert isinstance(written.look(), ResultProblem)
    with path.open("ab") as file:
        file.write(whole[40:])
    assert isinstance(written.look(), Results)
    assert written.look() is None
    with path.open("ab") as file:
        file.write(b" ")
    assert written.look() == DUPLICATED
    assert written.look(last=True) == DUPLICATED


def test_progress_is_told_while_the_engine_runs(reporter: Reporter, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{reporter.port}/progress"
    with pytest.raises(HTTPError, match="404"):
        urlopen(address, timeout=10)
    (tmp_path / "progress.json").write_text('{"done": 2, "total": 5}')
    with urlopen(address, timeout=10) as answer:
        assert json.load(answer) == {"done": 2, "total": 5}
    reporter.write(encoded())
    assert isinstance(reporter.stop(), Results)


def test_an_engine_that_wrote_nothing(reporter: Reporter) -> None:
    outcome = reporter.stop()
    assert isinstance(outcome, ResultProblem)
    assert outcome.reason == "ResultMissing"


def test_a_result_for_another_subject(reporter: Reporter) -> None:
    reporter.write(encoded(digest=OTHER_DIGEST))
    outcome = reporter.stop()
    assert isinstance(outcome, ResultProblem)
    assert outcome.reason == "WrongSubject"


def test_a_huge_file_is_not_read(reporter: Reporter) -> None:
    with reporter.result.open("wb") as file:
        file.truncate(MAX_DOCUMENT * 1000)
    outcome = reporter.stop()
    assert isinstance(outcome, ResultProblem)
    assert outcome.reason == "ResultTooLarge"


@pytest.mark.parametrize("trap", ["link", "pipe", "folder"])
def test_a_trap_in_place_of_the_file_is_a_problem(reporter: Reporter, trap: str, tmp_path: Path) -> None:
    if trap == "link":
        (tmp_path / "elsewhere").write_bytes(encoded())
        reporter.result.symlink_to(tmp_path / "elsewhere")
    elif trap == "pipe":
        os.mkfifo(reporter.result)
    else:
        reporter.result.mkdir()
    outcome = reporter.stop()
    assert isinstance(outcome, ResultProblem)
    assert outcome.reason == "ResultInvalid"


def test_neither_results_nor_the_environment_are_printed(reporter: Reporter) -> None:
    reporter.write(json.dumps({"schemaVersion": "v1", "confidential": 1}).encode())
    reporter.stop()
    assert reporter.process.stdout is not None
    printed = reporter.process.stdout.read()
    assert "confidential" not in printed
    assert "s3cret" not in printed
    assert "breaks the contract" in printed


def test_without_its_settings_it_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "weighbridge.evaluation.reporter"]
    ended = subprocess.run(command, env={"PYTHONPATH": SOURCES}, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == task.EXIT_MISCONFIGURED
    assert ended.stderr == f"reporter: {task.RESULT} is not set; the operator sets it in the pod it creates\n"
