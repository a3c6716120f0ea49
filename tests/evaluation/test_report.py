"""Full reports on their way to a real MLflow server, which also refuses, dies and falls silent; the numbers come first."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.memory import peak_of
from tests.registries.mlflowserver import MlflowServer, running
from weighbridge.api.results import Results
from weighbridge.evaluation import task
from weighbridge.evaluation.folder import MAX_BYTES, FolderRefused, files_of
from weighbridge.evaluation.message import read_summary
from weighbridge.evaluation.order import Order
from weighbridge.evaluation.samples import MAX_LINE, SamplesInvalid, read_samples
from weighbridge.evaluation.upload import EXPERIMENT

from .documents import DIGEST, encoded, metric

SOURCES = str(Path(task.__file__).parents[2])
CANARY = "canary-token-7b11"
SAMPLE = {"metric": "accuracy", "id": "1", "value": 1}


def order(**fields: str) -> Order:
    whole = {
        "namespace": "ns",
        "evaluation_job": "weekly",
        "uid": "u-1",
        "attempt": "weekly-1",
        "subject": DIGEST,
        "model": "models:/m/1",
    }
    return Order(**whole | fields)


def lines(*samples: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(sample).encode() + b"\n" for sample in samples)


class Ended:
    """What a reporter left that was started, given a result and a report, and told to stop."""

    def __init__(self, folder: Path, url: str, order: Order, files: Mapping[str, bytes], **environment: str) -> None:
        result, self.log, report = folder / "result.json", folder / "termination-log", folder / "report"
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": SOURCES,
            task.RESULT: str(result),
            task.REPORT: str(report),
            task.SUBJECT: DIGEST,
            task.TERMINATION_LOG: str(self.log),
            task.UPLOAD: order.model_dump_json(by_alias=True),
            "MLFLOW_TRACKING_URI": url,
            "MLFLOW_TRACKING_TOKEN": CANARY,
        }
        for path, content in files.items():
            (report / path).parent.mkdir(parents=True, exist_ok=True)
            (report / path).write_bytes(content)
        self.document = self.written()
        command = [sys.executable, "-m", "weighbridge.evaluation.reporter"]
        with subprocess.Popen(
            command, env=variables | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "reporter: waiting for the result\n"
            result.write_bytes(self.document)
            self.process = process
            self.before()
            process.send_signal(signal.SIGTERM)
            self.during()
            self.printed = process.stdout.read()
            self.code = process.wait(timeout=60)

    def written(self) -> bytes:
        return encoded(metric(), metric("f1", slice="new customers"), metric("f1#", value=0.5))

    def before(self) -> None: ...

    def during(self) -> None: ...

    @property
    def results(self) -> Results:
        found = read_summary(self.log.read_text(encoding="ascii"), DIGEST)
        assert isinstance(found, Results), found
        assert CANARY not in self.printed
        assert len(found.metrics) == 3
        return found

    @property
    def problem(self) -> str:
        assert self.results.report is not None
        assert self.results.report.uri == ""
        return self.results.report.problem


def files_in_run(server: MlflowServer, run: str) -> dict[str, bytes]:
    folder = server.run_folder(run)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_lies_in_a_run_of_its_own_below_the_models(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    parent = mlflow_server.run({"model.txt": b"m"})
    files = {"samples.jsonl": lines(SAMPLE), "plots/confusion matrix.png": b"\x89PNG", "empty": b""}
    ended = Ended(tmp_path, mlflow_server.url, order(uid="u-own", parent_run=parent), files)
    report = ended.results.report
    assert ended.code == 0
    assert report is not None, ended.printed
    assert (report.problem, report.uri[:6]) == ("", "runs:/"), ended.printed
    run = mlflow_server.client.get_run(report.uri.removeprefix("runs:/"))
    assert mlflow_server.client.get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert (run.info.run_name, run.info.status, run.data.tags["mlflow.parentRunId"]) == ("weekly", "FINISHED", parent)
    assert run.data.tags["weighbridge.dev/uid"] == "u-own"
    assert run.data.metrics == {"accuracy": 0.95, "f1/new customers": 0.95, "f1_": 0.5}
    stored = files_in_run(mlflow_server, run.info.run_id)
    sums = stored.pop("sha256sums.txt")
    assert report.sha256 == hashlib.sha256(sums).hexdigest()
    assert stored == {f"report/{path}": content for path, content in files.items()} | {"result.json": ended.document}
    listed = "".join(f"{hashlib.sha256(stored[path]).hexdigest()}  {path}\n" for path in sorted(stored))
    assert sums.decode() == listed
    assert report.bytes == sum(map(len, stored.values()))
    assert set(files_in_run(mlflow_server, parent)) == {"model.txt"}
    assert mlflow_server.client.get_run(parent).data.metrics == {}


def test_the_same_attempt_finds_its_run_again_and_another_one_does_not(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    uris = []
    for number, wanted in enumerate((order(uid="u-again"), order(uid="u-again"), order(uid="u-again", attempt="weekly-2"))):
        (tmp_path / str(number)).mkdir()
        report = Ended(tmp_path / str(number), mlflow_server.url, wanted, {}).results.report
        assert report is not None
        uris.append(report.uri)
    assert uris[0] == uris[1] != uris[2]


def test_samples_that_break_their_contract_are_kept_and_told(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    ended = Ended(tmp_path, mlflow_server.url, order(uid="u-samples"), {"samples.jsonl": lines(SAMPLE, SAMPLE)})
    assert ended.results.report is not None
    assert ended.results.report.problem == "SamplesInvalid"
    assert "line 2 of samples.jsonl has the metric, slice and id of an earlier one" in ended.printed
    assert "report/samples.jsonl" in files_in_run(mlflow_server, ended.results.report.uri.removeprefix("runs:/"))


def test_a_server_that_refuses_costs_the_report_and_not_the_numbers(tmp_path: Path, guarded: str) -> None:
    assert Ended(tmp_path, guarded, order(), {"a": b"a"}).problem == "ReportRefused"


def test_what_writes_the_report_may_be_a_user_with_a_password(tmp_path: Path, guarded: str) -> None:
    access = {"MLFLOW_TRACKING_USERNAME": " admin\n", "MLFLOW_TRACKING_PASSWORD": "correct-horse-battery\n"}
    ended = Ended(tmp_path, guarded, order(), {"a": b"a"}, **access)
    assert ended.results.report is not None
    assert ended.results.report.problem == "", ended.printed
    assert "horse" not in ended.printed


def test_a_server_that_dies_in_the_middle_costs_the_report_and_not_the_numbers(tmp_path: Path) -> None:
    served = tmp_path / "server"
    served.mkdir()

    class Dies(Ended):
        def during(self) -> None:
            # As soon as files arrive, which takes the first of very many.
            end = time.monotonic() + 60
            while not list(served.glob("artifacts/*/*/artifacts/report/*")) and time.monotonic() < end:
                time.sleep(0.01)
            assert len(list(served.glob("artifacts/*/*/artifacts/report/*"))) < 1500
            stop.__exit__(None, None, None)

    stop = running(served)
    url = stop.__enter__()
    ended = Dies(tmp_path, url, order(), {f"file-{number}": b"x" * 100 for number in range(1500)})
    assert ended.problem == "ReportFailed", ended.printed


def test_a_server_that_falls_silent_is_given_up_and_the_numbers_were_there_before(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        class Silent(Ended):
            def during(self) -> None:
                connection, _ = silent.accept()
                with connection:
                    connection.recv(100)
                    early = read_summary(self.log.read_text(encoding="ascii"), DIGEST)
                    assert isinstance(early, Results)
                    assert early.report is None
                    assert self.process.wait(timeout=30) == 0

        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = Silent(tmp_path, url, order(), {}, **{task.UPLOAD_SECONDS: "2"})
    assert ended.problem == "ReportTimedOut"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<hi>", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"]
)
def test_what_is_no_mlflow_server_gets_nothing(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def reply() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=reply, daemon=True).start()
        ended = Ended(tmp_path, f"http://127.0.0.1:{odd.getsockname()[1]}", order(), {"a": b"a"})
    assert ended.problem == "ReportRefused"


def test_a_report_of_links_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    for number, make in enumerate(
        (
            lambda report: (report / "link").symlink_to(tmp_path / "secret"),
            lambda report: (report / "folder").symlink_to("/etc"),
            lambda report: os.mkfifo(report / "pipe"),
            lambda report: (report / "a\nb").touch(),
            lambda report: (report / "d/d/d/d/d/d/d/d/d/d").mkdir(parents=True),
        )
    ):
        report = tmp_path / f"report-{number}"
        report.mkdir()
        make(report)
        with pytest.raises(FolderRefused) as refused:
            files_of(report)
        assert refused.value.reason == "ReportInvalid"
    (tmp_path / "all").symlink_to("/etc")
    with pytest.raises(FolderRefused):
        files_of(tmp_path / "all")
    assert files_of(tmp_path / "nothing") == ()


def test_a_report_that_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(FolderRefused, match="larger than 512 MiB"):
        files_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[]\n", "line 1 of samples.jsonl breaks the contract: it is"),
        (lines(SAMPLE) + b"{", "line 2 of samples.jsonl is not one JSON object"),
        (lines(SAMPLE | {"value": "1"}), "value of it is missing"),
        (lines(SAMPLE | {"secret": 1}), "breaks the contract: it is"),
        (lines({"metric": "a", "value": 1}), "id of it is missing"),
        (b'{"metric":"a","id":"1","value":NaN}', "is not one JSON object"),
        (b" " * (MAX_LINE + 1), "longer than"),
        (lines(SAMPLE | {"id": "2"}, SAMPLE | {"id": "2"}), "line 2 of samples.jsonl has the metric"),
    ],
)
def test_samples_are_read_with_distrust(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "samples.jsonl").write_bytes(content)
    with pytest.raises(SamplesInvalid, match=says) as invalid:
        list(read_samples(tmp_path / "samples.jsonl"))
    assert "secret" not in str(invalid.value)


def test_samples_are_bounded_in_number(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"".join(b'{"metric":"a","id":"%d","value":0.5,"slice":"s"}\n' % number for number in range(200_000)))
    assert sum(1 for _ in read_samples(path)) == 200_000
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(SamplesInvalid, match="more than 200000 lines"):
        list(read_samples(path))
    with pytest.raises(SamplesInvalid, match="plain file"):
        list(read_samples(tmp_path / "none"))


def test_the_memory_of_the_reporter_is_within_its_limit(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    """128 MiB in the manifest; measured with CPython 3.11: 60 MiB, with 200,000 samples and a file of 64 MiB."""
    peak = 0

    class Measured(Ended):
        def during(self) -> None:
            nonlocal peak
            peak = peak_of(self.process, 0.02)

    content = b"".join(b'{"metric":"a","id":"%d","value":0.5}\n' % number for number in range(199_999))
    ended = Measured(tmp_path, mlflow_server.url, order(uid="u-memory"), {"large": b"x" * (64 << 20), "samples.jsonl": content})
    assert ended.results.report is not None
    assert ended.results.report.problem == "", ended.printed
    print(f"peak {peak >> 10} MiB")
    assert 20 << 10 < peak < 100 << 10
