"""A reporter that compares its result with the champion's samples, which lie in a full report on a real MLflow server."""

import contextlib
import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.memory import peak_of
from tests.registries.mlflowserver import MlflowServer, running
from weighbridge.api.report import Report
from weighbridge.api.results import Comparison, Results
from weighbridge.core.paired import compare
from weighbridge.evaluation import task
from weighbridge.evaluation.message import read_summary
from weighbridge.evaluation.order import Order, Wanted
from weighbridge.evaluation.result import read_result
from weighbridge.evaluation.samples import SAMPLES_FILE
from weighbridge.evaluation.server import Server
from weighbridge.evaluation.upload import upload

from .documents import DIGEST, encoded, metric
from .test_report import CANARY, Ended, order

ACCURACY = Wanted(metric="accuracy", margin=0.05)
METRICS = (
    metric(n=40),
    metric(n=40, slice="new customers"),
    metric("loss", direction="minimize", n=40, value=2.0),
    metric("f1"),
)


class Compared(Ended):
    """A reporter with a result of its own metrics."""

    def __init__(self, folder: Path, url: str, order: Order, files: Mapping[str, bytes], **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder, url, order, files, **environment)

    def written(self) -> bytes:
        return encoded(*METRICS)

    @property
    def results(self) -> Results:
        told = self.log.read_text(encoding="ascii")
        found = read_summary(told, DIGEST)
        assert isinstance(found, Results), found
        assert [each.name for each in found.metrics] == [each["name"] for each in METRICS]
        assert CANARY not in self.printed + found.model_dump_json()
        return found

    @property
    def comparison(self) -> Comparison:
        (found,) = self.results.comparisons
        return found


Values = Mapping[tuple[str, str | None], Mapping[str, float]]


def samples(values: Values) -> dict[str, bytes]:
    """The files of a report with these values."""
    rows = [
        {"metric": name, "id": each, "value": value} | ({} if part is None else {"slice": part})
        for (name, part), cases in values.items()
        for each, value in cases.items()
    ]
    return {SAMPLES_FILE: b"".join(json.dumps(row).encode() + b"\n" for row in rows)}


def answers(right: int, of: int = 40) -> dict[str, float]:
    return {f"case-{number}": float(number < right) for number in range(of)}


def champion(folder: Path, server: MlflowServer | Server, files: Mapping[str, bytes]) -> Report:
    """The report of an evaluation that was uploaded."""
    place = folder / "champion"
    (place / "report").mkdir(parents=True)
    for name, content in files.items():
        (place / "report" / name).write_bytes(content)
    (place / "result.json").write_bytes(encoded(*METRICS))
    measured = read_result(encoded(*METRICS), DIGEST)
    assert isinstance(measured, Results)
    whose = order(uid=str(folder), attempt=folder.name)
    where = server if isinstance(server, Server) else Server(server.url)
    report, said = upload(whose, where, place / "result.json", place / "report", measured)
    assert report.uri, said
    return report


def against(report: Report, *wanted: Wanted, **fields: Any) -> Order:
    return order(uid="u-candidate").model_copy(
        update={"champion": report.uri, "champion_sha256": report.sha256, "wanted": wanted or (ACCURACY,)} | fields
    )


def compared(folder: Path, url: str, wanted: Order, files: Mapping[str, bytes], **environment: str) -> Compared:
    return Compared(folder / "candidate", url, wanted, files, **environment)


def test_right_and_wrong_answers_and_scores_are_compared_with_the_champions(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    digits = random.Random(7)
    old = {
        ("accuracy", None): answers(30),
        ("accuracy", "new customers"): answers(5, of=12),
        ("loss", None): {f"é-{number}": digits.random() for number in range(15)},
    }
    new = {
        ("accuracy", None): answers(38),
        ("accuracy", "new customers"): answers(9, of=12),
        ("loss", None): {case: value * digits.random() for case, value in reversed(old["loss", None].items())},
    }
    wanted = (
        ACCURACY,
        Wanted(metric="accuracy", every=True, margin=0),
        Wanted(metric="loss", margin=0.01),
        Wanted(metric="accuracy", slice="new customers", margin=0),
    )
    order = against(champion(tmp_path, mlflow_server, samples(old)), *wanted)
    ended = compared(tmp_path, mlflow_server.url, order, samples(new))

    def expected(name: str, part: str | None, direction: Any, margin: float) -> Comparison:
        both = new[name, part], old[name, part]
        return compare(*both, metric=name, direction=direction, margin=margin, seed="any", slice=part)

    assert [each.test for each in ended.results.comparisons] == ["ClopperPearson", "McNemar", "Betting"]
    assert ended.results.comparisons == (
        expected("accuracy", None, "maximize", 0.05),
        expected("accuracy", "new customers", "maximize", 0),
        expected("loss", None, "minimize", 0.01),
    )
    assert "3 of 3 comparisons with the champion made" in ended.printed
    assert ended.results.report is not None
    assert ended.results.report.problem == ""


def test_many_scores_give_the_same_p_value_each_time_and_in_any_order(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    digits = random.Random(3)
    old, new = ({str(number): digits.random() for number in range(3000)} for _ in range(2))
    order = against(champion(tmp_path, mlflow_server, samples({("accuracy", None): old})))
    found = [
        compared(tmp_path / str(number), mlflow_server.url, order, samples({("accuracy", None): values})).comparison
        for number, values in enumerate((new, dict(reversed(new.items()))))
    ]
    assert found[0] == found[1]
    assert (found[0].test, found[0].n, found[0].problem) == ("Betting", 3000, "")


def tampered(server: MlflowServer, report: Report, name: str, change: Any) -> None:
    path = server.run_folder(report.uri.removeprefix("runs:/")) / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("report/samples.jsonl", lambda content: content.replace(b"1.0", b"0.0", 1)),
        ("report/samples.jsonl", lambda content: content[: len(content) // 2]),
        ("report/samples.jsonl", lambda _content: b"{"),
        ("report/samples.jsonl", lambda content: content + b" " * (70 << 20)),
        ("sha256sums.txt", lambda content: content.replace(b"a", b"b")),
        ("sha256sums.txt", lambda content: content + b" " * (2 << 20)),
    ],
)
def test_samples_that_were_changed_on_the_server_prove_nothing(
    tmp_path: Path, mlflow_server: MlflowServer, name: str, change: Any
) -> None:
    report = champion(tmp_path, mlflow_server, samples({("accuracy", None): answers(30)}))
    tampered(mlflow_server, report, name, change)
    found = compared(tmp_path, mlflow_server.url, against(report), samples({("accuracy", None): answers(40)})).comparison
    assert found.test == ""
    assert found.problem in {
        "the champion's report was changed after it was written",
        "the champion's samples.jsonl is larger than 64 MiB",
        "the champion's report cannot be read: what answers is no MLflow server",
    }


@pytest.mark.parametrize("name", ["report/samples.jsonl", "sha256sums.txt"])
def test_a_report_that_lost_a_file_proves_nothing(tmp_path: Path, mlflow_server: MlflowServer, name: str) -> None:
    report = champion(tmp_path, mlflow_server, samples({("accuracy", None): answers(30)}))
    (mlflow_server.run_folder(report.uri.removeprefix("runs:/")) / name).unlink()
    found = compared(tmp_path, mlflow_server.url, against(report), samples({("accuracy", None): answers(40)})).comparison
    assert found.problem == "the champion's report is not on the MLflow server any more"


BROKEN = {SAMPLES_FILE: b'{"metric":"accuracy","id":"1","value":"secret"}\n'}


@pytest.mark.parametrize(
    ("old", "new", "wanted", "says"),
    [
        ({}, {("accuracy", None): answers(1)}, ACCURACY, "the champion's report has no samples.jsonl"),
        ({("accuracy", None): answers(1)}, {}, ACCURACY, "this evaluation's report has no samples.jsonl"),
        (BROKEN, {("accuracy", None): answers(1)}, ACCURACY, "of the champion, line 1 of samples.jsonl breaks the contract: value"),
        ({("accuracy", None): answers(1)}, BROKEN, ACCURACY, "of this evaluation, line 1 of samples.jsonl breaks the contract"),
        ({("f1", None): answers(1)}, {("accuracy", None): answers(1)}, ACCURACY, "the champion's samples.jsonl has no values"),
        ({("accuracy", None): answers(1)}, {("f1", None): answers(1)}, ACCURACY, "this evaluation's samples.jsonl has no values"),
        (
            {("accuracy", None): answers(30, of=42)},
            {("accuracy", None): {**answers(30), "another": 1.0}},
            ACCURACY,
            "1 samples were measured for this model only, 2 for the champion only",
        ),
        (
            {("accuracy", None): {"1": -1.7e308}},
            {("accuracy", None): {"1": 1.7e308}},
            ACCURACY,
            "a difference between the samples is not a finite number",
        ),
        ({}, {}, Wanted(metric="recall", margin=0), "this evaluation's result does not have this metric"),
        ({}, {}, Wanted(metric="f1", every=True, margin=0), "this evaluation's result does not have this metric"),
    ],
)
def test_what_cannot_be_compared_says_why(
    tmp_path: Path, mlflow_server: MlflowServer, old: Any, new: Any, *, wanted: Wanted, says: str
) -> None:
    def files(values: Any) -> dict[str, bytes]:
        return dict(values) if values is BROKEN or not values else samples(values)

    report = champion(tmp_path, mlflow_server, files(old))
    found = compared(tmp_path, mlflow_server.url, against(report, wanted), files(new)).comparison
    assert found.problem.startswith(says), found
    assert "secret" not in found.problem
    assert (found.metric, found.margin, found.test) == (wanted.metric, wanted.margin, "")
    assert (found.difference, found.p_not_inferior, found.p_inferior) == (None, None, None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"champion": "", "champion_sha256": ""}, "the champion's evaluation has no full report"),
        ({"champion_sha256": ""}, "the champion's evaluation has no full report"),
        ({"champion": "runs:/../../experiments"}, "the champion's evaluation has no full report"),
        ({"champion": "runs:/" + "0" * 32}, "the champion's report is not on the MLflow server any more"),
        ({"champion_sha256": "0" * 64}, "the champion's report was changed after it was written"),
    ],
)
def test_a_champion_without_a_proved_report_says_why(
    tmp_path: Path, mlflow_server: MlflowServer, fields: Mapping[str, str], says: str
) -> None:
    values = samples({("accuracy", None): answers(30)})
    found = compared(tmp_path, mlflow_server.url, against(champion(tmp_path, mlflow_server, values), **fields), values)
    assert found.comparison.problem == says


def test_a_link_in_place_of_samples_is_not_followed(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    values = samples({("accuracy", None): answers(30)})
    report = champion(tmp_path, mlflow_server, values)
    (tmp_path / "elsewhere").write_bytes(values[SAMPLES_FILE])
    (tmp_path / "candidate/report").mkdir(parents=True)
    (tmp_path / f"candidate/report/{SAMPLES_FILE}").symlink_to(tmp_path / "elsewhere")
    found = compared(tmp_path, mlflow_server.url, against(report), {})
    assert found.comparison.problem == "of this evaluation, samples.jsonl must be a plain file that others may read"


RUN = Report(uri="runs:/" + "1" * 32, sha256="2" * 64)


def test_a_server_that_is_gone_costs_neither_the_numbers_nor_the_reason(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ended = compared(tmp_path, f"http://127.0.0.1:{port}", against(RUN), samples({("accuracy", None): answers(30)}))
    assert ended.comparison.problem == "the champion's report cannot be read: the MLflow server does not answer"
    assert ended.problem == "ReportFailed"


def test_the_champions_report_is_read_with_a_user_and_a_password(tmp_path: Path, guarded: str) -> None:
    access = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "correct-horse-battery"}
    values = samples({("accuracy", None): answers(30)})
    report = champion(tmp_path, Server(guarded, access), values)
    let_in = compared(tmp_path, guarded, against(report), values, **access)
    assert (let_in.comparison.problem, let_in.comparison.n) == ("", 40)
    shut_out = compared(tmp_path / "another", guarded, against(report), values)
    assert shut_out.comparison.problem == "the MLflow server refuses to show the champion's report to reportCredentialsSecretRef"
    for ended in (let_in, shut_out):
        assert "horse" not in ended.printed + ended.results.model_dump_json()


def test_a_server_that_has_died_since_the_champion_was_measured_is_told(tmp_path: Path) -> None:
    served = tmp_path / "server"
    served.mkdir()
    values = samples({("accuracy", None): answers(30)})
    with running(served) as url:
        report = champion(tmp_path, Server(url), values)
    found = compared(tmp_path, url, against(report), values)
    assert found.comparison.problem == "the champion's report cannot be read: the MLflow server does not answer"


@contextlib.contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """A server of one answer a connection; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reply() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer(connection.recv(65536)))

        threading.Thread(target=reply, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_samples_that_break_off_in_the_middle_are_not_compared(tmp_path: Path) -> None:
    values = samples({("accuracy", None): answers(30)})
    listed = f"{hashlib.sha256(values[SAMPLES_FILE]).hexdigest()}  report/{SAMPLES_FILE}\n".encode()
    run = json.dumps({"run": {"info": {"artifact_uri": "mlflow-artifacts:/1/2/artifacts"}}}).encode()

    def answer(asked: bytes) -> bytes:
        content = run if b"/runs/get" in asked else listed if b"sha256sums" in asked else values[SAMPLES_FILE]
        whole = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
        return whole[:-100] if content is values[SAMPLES_FILE] else whole

    report = Report(uri=RUN.uri, sha256=hashlib.sha256(listed).hexdigest())
    with answering(answer) as url:
        found = compared(tmp_path, url, against(report), values)
    assert found.comparison.problem == "the champion's report cannot be read: the MLflow server does not answer"


def test_a_server_that_falls_silent_is_given_up_and_the_comparison_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, values = f"http://127.0.0.1:{silent.getsockname()[1]}", samples({("accuracy", None): answers(30)})
        early: list[Results] = []

        class Silent(Compared):
            def during(self) -> None:
                connection, _ = silent.accept()
                with connection:
                    connection.recv(100)
                    found = read_summary(self.log.read_text(encoding="ascii"), DIGEST)
                    assert isinstance(found, Results)
                    early.append(found)
                    assert self.process.wait(timeout=30) == 0

        ended = Silent(tmp_path / "candidate", url, against(RUN), values, **{task.UPLOAD_SECONDS: "3"})
    assert early[0].comparisons == ()
    assert ended.comparison.problem == "the comparison with the champion was not done in time"
    assert ended.problem == "ReportTimedOut"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", "what answers is no MLflow server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<hi>", "what answers is no MLflow server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "what answers is no MLflow server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "does not answer"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 26\r\n\r\nno entry, canary-token-7b11", "refuses to show"),
        (b"HTTP/1.1 500 canary-token-7b11\r\nContent-Length: 0\r\n\r\n", "answers with status 500"),
        (
            b'HTTP/1.1 200 OK\r\nContent-Length: 52\r\n\r\n{"run": {"info": {"artifact_uri": "s3://bucket/key"}}}',
            "keeps its artifacts elsewhere",
        ),
    ],
)
def test_no_text_of_a_server_is_repeated(tmp_path: Path, answer: bytes, says: str) -> None:
    answer = answer.replace(b"Content-Length: 52", b"Content-Length: %d" % (len(answer.partition(b"\r\n\r\n")[2])))
    with answering(lambda _asked: answer) as url:
        ended = compared(tmp_path, url, against(RUN), samples({("accuracy", None): answers(30)}))
    assert says in ended.comparison.problem


def most(values: Sequence[float]) -> dict[str, bytes]:
    """As many samples as there may be."""
    lines = (f'{{"metric":"accuracy","id":"case {number}","value":{value}}}\n' for number, value in enumerate(values))
    return {SAMPLES_FILE: "".join(lines).encode()}


def test_the_most_samples_fit_into_the_memory_of_the_reporter(tmp_path: Path, mlflow_server: MlflowServer) -> None:
    """128 MiB in the manifest; measured with CPython 3.11: 92 MiB for 200,000 scores on each side."""
    digits, peak = random.Random(5), 0

    class Measured(Compared):
        def during(self) -> None:
            nonlocal peak
            peak = peak_of(self.process, 0.01)

    report = champion(tmp_path, mlflow_server, most([digits.random() for _ in range(200_000)]))
    started = time.monotonic()
    ended = Measured(tmp_path / "candidate", mlflow_server.url, against(report), most([digits.random() for _ in range(200_000)]))
    print(f"peak {peak >> 10} MiB, {time.monotonic() - started:.1f} s")
    assert (ended.comparison.n, ended.comparison.test) == (200_000, "Betting")
    assert 20 << 10 < peak < 110 << 10
