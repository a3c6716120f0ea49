"""Brings a full report to an MLflow server: one run for each attempt of an evaluation, with all files and the metrics.

A run of the same attempt is found again by its tags, and no other run is ever written to. No text of a server is repeated, nor
credentials.
"""

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from ..api.report import Report
from ..api.results import Results
from .files import NotPlain, opened
from .folder import FolderRefused, Found, files_of
from .order import Order
from .samples import SAMPLES_FILE, SamplesInvalid, samples_in
from .server import ANSWER, API, FOLDER_NAME, PAUSES, SILENCE, SUMS_NAME, Server, served_at

EXPERIMENT = "weighbridge-evaluations"
_RESULT_NAME = "result.json"
_BAD_NAME = 250


class _Failed(Exception):
    """A try that came to nothing; `reason` is one stable word, and `final` that another one would too."""

    def __init__(self, reason: str, text: str, *, final: bool) -> None:
        super().__init__(text)
        self.reason, self.final = reason, final


def upload(order: Order, server: Server, result: Path, folder: Path, results: Results) -> tuple[Report, str]:
    """The report that now lies in MLflow, or one with a problem, and what is to be said of it. Never raises."""
    samples = ""

    def visit(path: str, file: BinaryIO) -> None:
        nonlocal samples
        if path == SAMPLES_FILE:
            try:
                for _ in samples_in(file):
                    pass
            except SamplesInvalid as invalid:
                samples = str(invalid)

    try:
        found = files_of(folder, visit)
        sums = _sums(found, results.sha256)
        files = (_Part(f"{FOLDER_NAME}/{each.path}", folder / each.path, each.sha256) for each in found)
        parts = (*files, _Part(_RESULT_NAME, result, results.sha256), _Part(SUMS_NAME, sums, hashlib.sha256(sums).hexdigest()))
        run = _with_patience(lambda: _Upload(server).write(order, parts, results))
    except (FolderRefused, _Failed) as refused:
        return Report(problem=refused.reason), str(refused)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Report(problem="ReportRefused"), "what answers is no MLflow server: check the URL of the ModelRegistry"
    except (OSError, NotPlain):
        return Report(problem="ReportFailed"), "the files of the report changed while they were read"
    size = sum(each.size for each in found) + result.stat().st_size
    report = Report(uri=f"runs:/{run}", sha256=hashlib.sha256(sums).hexdigest(), bytes=size)
    if samples:
        return report.model_copy(update={"problem": "SamplesInvalid"}), f"the report is written, but {samples}"
    return report, f"the report is written, {len(found) + 2} files"


def _sums(found: Sequence[Found], result: str) -> bytes:
    """The list of all files as `sha256sum -c` reads it."""
    lines = [(_RESULT_NAME, result), *((f"{FOLDER_NAME}/{each.path}", each.sha256) for each in found)]
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(lines)).encode()


def _with_patience(attempt: Callable[[], str]) -> str:
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except _Failed as failed:
            if failed.final or pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


@dataclass(frozen=True)
class _Part:
    """One file of what is written, and what its content must be."""

    name: str
    content: Path | bytes
    sha256: str


class _Upload:
    """One try."""

    def __init__(self, server: Server) -> None:
        self._url = server.url.rstrip("/")
        self._session = server.session()

    def write(self, order: Order, parts: Sequence[_Part], results: Results) -> str:
        """Writes everything and gives the id of the run. Raises _Failed and OSError."""
        with self._session:
            info = self._run(order)["info"]
            run_id, artifacts = str(info["run_id"]), self._store(str(info["artifact_uri"]))
            for part in parts:
                if isinstance(part.content, bytes):
                    self._put(f"{artifacts}/{quote(part.name)}", io.BytesIO(part.content), part)
                else:
                    with opened(part.content) as file:
                        self._put(f"{artifacts}/{quote(part.name)}", file, part)
            self._post("/runs/log-batch", {"run_id": run_id, "metrics": _metrics(results, int(info["start_time"]))})
            self._post("/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": time.time_ns() // 1_000_000})
        return run_id

    def _run(self, order: Order) -> dict[str, Any]:
        """The run of this attempt: the one there is, or a new one."""
        experiment = self._experiment()
        own = ("weighbridge.dev/uid", "weighbridge.dev/attempt")
        wanted = " and ".join(f"tags.`{key}` = '{order.tags[key]}'" for key in own)
        asked = {"experiment_ids": [experiment], "filter": wanted, "max_results": 1, "order_by": ["attributes.start_time ASC"]}
        runs = self._post("/runs/search", asked).get("runs", [])
        if runs:
            return dict(runs[0])
        tags = [{"key": key, "value": value} for key, value in order.tags.items()]
        made = {"experiment_id": experiment, "run_name": order.evaluation_job, "start_time": time.time_ns() // 1_000_000}
        return dict(self._post("/runs/create", made | {"tags": tags})["run"])

    def _experiment(self) -> str:
        known = self._ask("GET", f"{API}/experiments/get-by-name", params={"experiment_name": EXPERIMENT}, missing=True)
        if not known:
            # Somebody may make it at the same moment: then it is there at the next try.
            known = {"experiment": self._post("/experiments/create", {"name": EXPERIMENT}, taken=True)}
        found = known["experiment"]
        if found.get("lifecycle_stage", "active") != "active":
            text = f"experiment {EXPERIMENT} was deleted on the MLflow server: restore it"
            raise _Failed("ReportRefused", text, final=True)
        return str(found["experiment_id"])

    def _store(self, uri: str) -> str:
        """The path that the run's artifacts are put below."""
        if (path := served_at(uri)) is None:
            text = "the MLflow server keeps its artifacts elsewhere: reports need one that serves artifacts (--serve-artifacts)"
            raise _Failed("ReportUnsupported", text, final=True)
        return path

    def _put(self, path: str, file: BinaryIO, part: _Part) -> None:
        body = _Proved(file)
        self._ask("PUT", path, data=body if len(body) else b"", headers={"Content-Type": "application/octet-stream"})
        if body.sha256 != part.sha256:
            raise _Failed("ReportInvalid", "a file of the report was changed after the engine had ended", final=True)

    def _post(self, path: str, body: Mapping[str, Any], *, taken: bool = False) -> dict[str, Any]:
        return self._ask("POST", f"{API}{path}", json=body, taken=taken)

    def _ask(self, method: str, path: str, *, missing: bool = False, taken: bool = False, **content: Any) -> dict[str, Any]:
        """The answer's JSON; nothing where the server has no such thing and `missing` allows that."""
        try:
            with self._session.request(
                method, f"{self._url}{path}", timeout=SILENCE, allow_redirects=False, stream=True, **content
            ) as response:
                body = response.raw.read(ANSWER, decode_content=True)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise _Failed(
                "ReportFailed", f"the MLflow server did not take the report ({type(error).__name__})", final=False
            ) from None
        if response.status_code == 404 and missing:
            return {}
        if response.status_code != 200:
            raise _answered(response.status_code, taken=taken)
        try:
            found = json.loads(body or b"{}")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _Failed("ReportRefused", "what answers is no MLflow server: check the URL of the ModelRegistry", final=True)
        return found


class _Proved:
    """A file on its way out, with the digest of what was really sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(size)
        self._digest.update(part)
        return part

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _answered(status: int, *, taken: bool) -> _Failed:
    if status in (401, 403):
        text = f"the MLflow server refuses the credentials of reportCredentialsSecretRef (status {status})"
        return _Failed("ReportRefused", text, final=True)
    again = status >= 500 or status in (408, 429) or taken
    reason = "ReportFailed" if again else "ReportRefused"
    return _Failed(reason, f"the MLflow server did not take the report (status {status})", final=not again)


def _metrics(results: Results, at: int) -> list[dict[str, Any]]:
    """The metrics as MLflow names them: `name` or `name/slice`. The time is the run's own, so that none is there twice."""
    named: dict[str, float] = {}
    for metric in results.metrics:
        name = metric.name if metric.slice is None else f"{metric.name}/{metric.slice}"
        plain = "".join(each if each.isascii() and (each.isalnum() or each in "_-. :/") else "_" for each in name)
        named.setdefault(plain[:_BAD_NAME].strip("/. "), metric.value)
    return [{"key": key, "value": value, "timestamp": at, "step": 0} for key, value in named.items() if key]
