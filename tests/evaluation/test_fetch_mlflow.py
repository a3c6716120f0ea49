"""What a pod loads from a real MLflow server is what was pinned, or it ends with the reason."""

from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.tasks import REGISTERED, dataset, mlflow_task, read_identity
from tests.registries.mlflowserver import MlflowServer
from weighbridge.core.pin import records_fingerprint
from weighbridge.evaluation.fetch import fetch_dataset, fetch_model
from weighbridge.evaluation.refusal import Refusal
from weighbridge.evaluation.task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED, Task, TaskDataset

FILES = {"test.csv": b"x,label\n1,0\n2,1\n", "more/test.csv": b"x,label\n3,0\n", "notes.txt": b""}


@pytest.fixture
def task(mlflow_here: MlflowServer) -> Task:
    """A task on a fresh version."""
    name = mlflow_here.new_name()
    return mlflow_task(mlflow_here, name, mlflow_here.register(name), read_identity(REGISTERED))


@pytest.fixture
def logged(mlflow_here: MlflowServer) -> TaskDataset:
    """A dataset that a run logged."""
    run = mlflow_here.run(FILES, "datasets/holdout")
    return dataset(f"runs:/{run}/datasets/holdout", read_identity(FILES))


def refused(work: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        work(*arguments)
    assert "\n" not in str(refusal.value)
    return refusal.value.code, str(refusal.value)


def folder_of(server: MlflowServer, task: Task) -> Path:
    return server.model_folder(task.model.name, task.model.version)


def holdout_of(server: MlflowServer, wanted: TaskDataset) -> Path:
    return server.run_folder(wanted.uri.split("/")[1]) / "datasets" / "holdout"


def test_a_version_is_loaded_whole(tmp_path: Path, task: Task) -> None:
    folder = fetch_model(task, tmp_path)
    assert {path: (folder / path).read_bytes() for path in REGISTERED} == REGISTERED


def test_a_version_whose_files_belong_to_a_run_is_loaded(tmp_path: Path, mlflow_here: MlflowServer) -> None:
    name, run = mlflow_here.new_name(), mlflow_here.run(REGISTERED, "model")
    mlflow_here.client.create_registered_model(name)
    version = str(mlflow_here.client.create_model_version(name, f"runs:/{run}/model", run).version)
    task = mlflow_task(mlflow_here, name, version, read_identity(REGISTERED))
    folder = fetch_model(task, tmp_path)
    assert {path: (folder / path).read_bytes() for path in REGISTERED} == REGISTERED


def test_other_bytes_of_the_same_size_are_noticed(tmp_path: Path, mlflow_here: MlflowServer, task: Task) -> None:
    (folder_of(mlflow_here, task) / "data.bin").write_bytes(b"WEIGHTS")
    code, text = refused(fetch_model, task, tmp_path)
    assert code == EXIT_SUBJECT_CHANGED
    assert "no longer those that were pinned" in text


@pytest.mark.parametrize("change", ["added", "removed", "all removed"])
def test_other_files_are_noticed(tmp_path: Path, mlflow_here: MlflowServer, task: Task, change: str) -> None:
    folder = folder_of(mlflow_here, task)
    if change == "added":
        (folder / "more.py").write_bytes(b"2")
    for file in {"removed": ["data.bin"], "all removed": REGISTERED}.get(change, []):
        (folder / file).unlink()
    assert refused(fetch_model, task, tmp_path)[0] == EXIT_SUBJECT_CHANGED


def test_a_model_that_was_registered_again_is_another_one(tmp_path: Path, mlflow_here: MlflowServer, task: Task) -> None:
    mlflow_here.client.delete_registered_model(task.model.name)
    code, text = refused(fetch_model, task, tmp_path)
    assert (code, "no longer in the registry" in text) == (EXIT_SUBJECT_CHANGED, True)
    mlflow_here.register(task.model.name)
    (tmp_path / "again").mkdir()
    code, text = refused(fetch_model, task, tmp_path / "again")
    assert (code, "deleted and registered again" in text) == (EXIT_SUBJECT_CHANGED, True)


def test_a_server_that_is_down_is_worth_another_attempt(
    tmp_path: Path, task: Task, logged: TaskDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://127.0.0.1:1")
    try:
        for work, wanted in ((fetch_model, task), (fetch_dataset, logged)):
            code, text = refused(work, wanted, tmp_path)
            assert code == EXIT_REGISTRY_FAILED
            assert "127.0.0.1" not in text
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize("file", ["", "test.csv"])
def test_an_error_of_the_server_is_no_absence(tmp_path: Path, mlflow_here: MlflowServer, logged: TaskDataset, file: str) -> None:
    broken = holdout_of(mlflow_here, logged) / "test.csv"
    broken.unlink()
    broken.symlink_to(broken)
    assert refused(fetch_dataset, logged.model_copy(update={"file": file}), tmp_path)[0] == EXIT_REGISTRY_FAILED


def test_a_dataset_is_loaded_whole_or_by_its_one_file(tmp_path: Path, logged: TaskDataset) -> None:
    folder = fetch_dataset(logged, tmp_path)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(FILES)
    for file in ("test.csv", "more/test.csv"):
        one = {file: FILES[file]}
        wanted = logged.model_copy(update={"name": file[:4], "file": file, "fingerprint": read_identity(one)})
        folder = fetch_dataset(wanted, tmp_path)
        assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == one


def test_a_dataset_whose_address_is_one_file_is_loaded(tmp_path: Path, logged: TaskDataset) -> None:
    identity = read_identity({"test.csv": FILES["test.csv"]})
    wanted = logged.model_copy(update={"uri": f"{logged.uri}/test.csv", "fingerprint": identity})
    assert (fetch_dataset(wanted, tmp_path) / "test.csv").read_bytes() == FILES["test.csv"]


@pytest.mark.parametrize("file", ["", "test.csv"])
@pytest.mark.parametrize("change", ["overwritten", "removed", "folder removed", "run never was"])
def test_a_dataset_that_is_another_one_now_is_noticed(
    tmp_path: Path, mlflow_here: MlflowServer, logged: TaskDataset, change: str, file: str
) -> None:
    if file:
        logged = logged.model_copy(update={"file": file, "fingerprint": read_identity({file: FILES[file]})})
    folder = holdout_of(mlflow_here, logged)
    if change == "overwritten":
        (folder / "test.csv").write_bytes(FILES["test.csv"].replace(b"2,1", b"2,0"))
    elif change == "removed":
        (folder / "test.csv").unlink()
    elif change == "folder removed":
        folder.rename(folder.parent / "elsewhere")
    else:
        logged = logged.model_copy(update={"uri": f"runs:/{'0' * 32}/datasets/holdout"})
    assert refused(fetch_dataset, logged, tmp_path)[0] == EXIT_SUBJECT_CHANGED


class Records:
    """An evaluation dataset of MLflow."""

    def __init__(self, server: MlflowServer) -> None:
        from mlflow.genai.datasets import create_dataset

        assert server.client
        self._made = create_dataset(name="holdout")
        self.add({"x": 1}, {"label": 0})
        self.add({"x": 2}, {"label": 1})

    def add(self, inputs: dict[str, Any], expectations: dict[str, Any]) -> None:
        self._made.merge_records([{"inputs": inputs, "expectations": expectations}])

    def pinned(self, server: MlflowServer, records: int = 2) -> TaskDataset:
        dataset_id = self._made.dataset_id
        digest = server.client.get_dataset(dataset_id).digest
        identity = records_fingerprint(dataset_id=dataset_id, digest=digest, records=records)
        return dataset(f"mlflow-datasets:/{dataset_id}", identity, revision=digest)


def test_the_records_of_an_evaluation_dataset_are_one_table(tmp_path: Path, mlflow_here: MlflowServer) -> None:
    folder = fetch_dataset(Records(mlflow_here).pinned(mlflow_here), tmp_path)
    (file,) = folder.iterdir()
    assert sorted(file.read_text().splitlines()) == ['{"x": 1, "label": 0}', '{"x": 2, "label": 1}']


def test_records_that_are_others_now_are_noticed(tmp_path: Path, mlflow_here: MlflowServer) -> None:
    records = Records(mlflow_here)
    pinned = records.pinned(mlflow_here)
    records.add({"x": 3}, {"label": 1})
    code, text = refused(fetch_dataset, pinned, tmp_path)
    assert (code, "no longer those that were pinned" in text) == (EXIT_SUBJECT_CHANGED, True)


def test_fewer_records_than_were_pinned_are_noticed(tmp_path: Path, mlflow_here: MlflowServer) -> None:
    assert refused(fetch_dataset, Records(mlflow_here).pinned(mlflow_here, records=3), tmp_path)[0] == EXIT_SUBJECT_CHANGED


def test_a_name_that_is_input_and_expectation_says_which_to_rename(tmp_path: Path, mlflow_here: MlflowServer) -> None:
    records = Records(mlflow_here)
    records.add({"label": 3}, {"label": 1})
    code, text = refused(fetch_dataset, records.pinned(mlflow_here, records=3), tmp_path)
    assert code == EXIT_MISCONFIGURED
    assert "'label'" in text
