"""Loads pinned models and datasets from the MLflow server of the environment (MLFLOW_TRACKING_URI and its credentials).

Runs in evaluation pods only and reads only. Nothing is tried twice: a pod that could not load is replaced by its Job. Files of runs
are not read through `runs:/…` addresses, where MLflow turns every failure into "does not exist" and mixes in the run's models.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..core.pin import records_fingerprint
from .proof import Fetched, files_in, proved_by_reading
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED, TaskDataset, TaskModel

_RUN, _RECORDS = "runs:/", "mlflow-datasets:/"
_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""What MLflow reads from the environment while it works: no bars in the log, no hidden waiting."""
_ADDED = "registered_model_meta"
"""MLflow adds this file to what it downloads of a registered model; it is not in the registry."""
RECORDS_FILE = "records.jsonl"
"""What the records of an evaluation dataset are written to: one object a line, inputs and expectations side by side."""


def fetch_model(wanted: TaskModel, to: Path) -> Fetched:
    """Downloads the version into `to`. Raises Refusal: also where the registry's entry is another one than was pinned."""
    what = f"{wanted.name} version {wanted.version}"
    with _asking(what):
        mlflow = _mlflow()
        client = mlflow.MlflowClient()
        found = client.get_model_version(wanted.name, wanted.version)
        created_at = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
        if abs(created_at - wanted.created_at) >= timedelta(milliseconds=1) or found.source != wanted.source:
            raise Refusal(EXIT_SUBJECT_CHANGED, f"{what} is another one than was pinned: it was deleted and registered again")
        stored = client.get_model_version_download_uri(wanted.name, wanted.version)
        if stored.startswith(_RUN):
            folder = _download_of_run(stored, to, what)
        else:
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=wanted.uri, dst_path=str(to)))
            (folder / _ADDED).unlink(missing_ok=True)
    return Fetched(folder, proved_by_reading(folder, files_in(folder)))


def fetch_dataset(wanted: TaskDataset, to: Path) -> Fetched:
    """Downloads files that a run logged, or the records of an evaluation dataset, into `to`. Raises Refusal."""
    if wanted.uri.startswith(_RECORDS):
        return _fetch_records(wanted, to)
    if wanted.uri.startswith(_RUN):
        return _fetch_files(wanted, to)
    raise Refusal(EXIT_MISCONFIGURED, f"the address of dataset {wanted.path} is none of MLflow's that this engine can read")


def _fetch_files(wanted: TaskDataset, to: Path) -> Fetched:
    """The files of a folder, or the one file that `uri` or `file` names: that one lies in `to` by its path below the folder."""
    what = f"dataset {wanted.path}"
    address = f"{wanted.uri.rstrip('/')}/{wanted.file}".rstrip("/")
    with _asking(what):
        found = _download_of_run(address, to / Path(wanted.file).parent, what)
    if found.is_dir():
        return Fetched(found, proved_by_reading(found, files_in(found)))
    return Fetched(to, proved_by_reading(to, {found.relative_to(to).as_posix(): found.stat().st_size}))


def _download_of_run(address: str, to: Path, what: str) -> Path:
    """The folder or file of a run's artifacts below `to`. Raises Refusal where the run has none of that name any more."""
    mlflow = _mlflow()
    run_id, _, path = address.removeprefix(_RUN).partition("/")
    parent, _, name = path.strip("/").rpartition("/")
    root = f"{mlflow.MlflowClient().get_run(run_id).info.artifact_uri}/{parent}".rstrip("/")
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{root}/{name}", dst_path=str(to)))
    except _troubles():
        # The failure does not tell whether the server is in trouble or the files are gone; what the server lists does.
        if name not in {Path(each.path).name for each in mlflow.artifacts.list_artifacts(artifact_uri=root)}:
            raise Refusal(EXIT_SUBJECT_CHANGED, f"the files of {what} are no longer in the registry") from None
        raise


def _fetch_records(wanted: TaskDataset, to: Path) -> Fetched:
    """Records have no address of one state: the registry's digest must be the pinned one before and after they were read."""
    dataset_id, what = wanted.uri.removeprefix(_RECORDS), f"dataset {wanted.path}"
    with _asking(what):
        client = _mlflow().MlflowClient()
        before = client.get_dataset(dataset_id)
        records = before.records
        after = client.get_dataset(dataset_id)
    if not before.digest == after.digest == wanted.revision:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"the records of {what} are no longer those that were pinned")
    rows = [_row(record.inputs, record.expectations or {}, what) for record in records]
    (to / RECORDS_FILE).write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return Fetched(to, records_fingerprint(dataset_id=dataset_id, digest=after.digest, records=len(rows)))


def _row(inputs: dict[str, Any], expectations: dict[str, Any], what: str) -> dict[str, Any]:
    if both := sorted(set(inputs) & set(expectations)):
        raise Refusal(EXIT_MISCONFIGURED, f"records of {what} have {both[0][:100]!r} both as input and as expectation: rename one")
    return inputs | expectations


def _mlflow() -> Any:
    """MLflow, told to work quietly. Untyped: its own annotations are not complete."""
    os.environ.update(_QUIET)
    import mlflow

    return mlflow


def _troubles() -> tuple[type[Exception], ...]:
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    return MlflowException, RequestException, OSError


@contextlib.contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turns trouble with the registry into a refusal: gone for good, or worth another attempt."""
    try:
        yield
    except _troubles() as error:
        if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
            raise Refusal(EXIT_SUBJECT_CHANGED, f"{what} is no longer in the registry") from error
        raise Refusal(EXIT_REGISTRY_FAILED, f"the MLflow server did not hand over {what} ({type(error).__name__})") from error
