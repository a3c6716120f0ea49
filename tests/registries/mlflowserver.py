"""A real MLflow server for tests, and what people do with one: register, overwrite, delete.

`WEIGHBRIDGE_MLFLOW` names the `mlflow` executable; without it the one of the running Python's environment is used.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag

DESCRIPTION = b"flavors:\n  python_function:\n    loader_module: some.module\n    data: data.bin\nmlflow_version: 3.17.2\n"


def executable() -> Path:
    """The `mlflow` command. Its Python is next to it."""
    named = os.environ.get("WEIGHBRIDGE_MLFLOW")
    return Path(named) if named else Path(sys.executable).parent / "mlflow"


@contextlib.contextmanager
def running(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Starts a server on a free port, waits until it is healthy, gives its URL, stops it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(executable()), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"), *options,
    ]  # fmt: skip
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    extra = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(environment or {})}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=clean | extra, stdout=output, stderr=output, cwd=folder, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the process and the workers it started; nothing of it is kept
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(url, timeout=1):
                return
        except (URLError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
    raise AssertionError(f"MLflow did not start:\n{log.read_text(errors='replace')[-4000:]}")


@dataclass
class MlflowServer:
    """A running server, its artifact store on disk, and an administrator's hands."""

    url: str
    artifacts: Path

    @property
    def client(self) -> "mlflow.MlflowClient":
        """MLflow's own client; it uploads where the process-wide tracking URI points."""
        mlflow.set_tracking_uri(self.url)
        return mlflow.MlflowClient(self.url, self.url)

    def new_name(self) -> str:
        """A name nobody has used."""
        return f"model-{uuid.uuid4().hex[:12]}"

    def register(self, name: str, files: Mapping[str, bytes] | None = None, run_id: str | None = None) -> str:
        """Logs a model with these files next to a description, registers it, gives its version."""
        client = self.client
        with contextlib.suppress(mlflow.MlflowException):
            client.create_registered_model(name)
        logged = client.create_logged_model("0", name="model", source_run_id=run_id)
        self.upload_model(
            logged.model_id, {"MLmodel": DESCRIPTION, "data.bin": b"weights", "code/deep/a.py": b"1"} | dict(files or {})
        )
        client.finalize_logged_model(logged.model_id, "READY")
        return str(client.create_model_version(name, f"models:/{logged.model_id}", run_id, model_id=logged.model_id).version)

    def upload_model(self, model_id: str, files: Mapping[str, bytes]) -> None:
        """Puts files into a logged model."""
        with _folder(files) as local:
            self.client.log_model_artifacts(model_id, str(local))

    def model_folder(self, name: str, version: str) -> Path:
        """Where the artifact store keeps the files of a version."""
        logged = self.client.get_model_version(name, version).source.removeprefix("models:/")
        (found,) = self.artifacts.glob(f"*/models/{logged}/artifacts")
        return found

    def run(self, files: Mapping[str, bytes] | None = None, artifact_path: str = "") -> str:
        """A finished run with these files as artifacts, gives its id."""
        client = self.client
        run = client.create_run("0")
        if files:
            with _folder(files) as local:
                client.log_artifacts(run.info.run_id, str(local), artifact_path or None)
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def run_folder(self, run_id: str) -> Path:
        """Where the artifact store keeps the artifacts of a run."""
        (found,) = self.artifacts.glob(f"*/{run_id}/artifacts")
        return found

    def log_dataset(self, run_id: str, name: str, digest: str, source: str = "{}", source_type: str = "code") -> None:
        """Says that a run used a dataset."""
        dataset = Dataset(name=name, digest=digest, source_type=source_type, source=source)
        self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])])

    def evaluation_dataset(self, name: str, records: Sequence[Mapping[str, Any]], experiment: str = "0") -> str:
        """Creates an evaluation dataset with these records, gives its id."""
        created = self.client.create_dataset(name, experiment_id=experiment)
        if records:
            created.merge_records([dict(record) for record in records])
        return str(created.dataset_id)


@contextlib.contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    local = Path(tempfile.mkdtemp())
    try:
        for path, content in files.items():
            (local / path).parent.mkdir(parents=True, exist_ok=True)
            (local / path).write_bytes(content)
        yield local
    finally:
        shutil.rmtree(local)
