"""What a pod loads from the Hub is the pinned commit to the last byte, or it ends with the reason."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.tasks import dataset, hub_identity, hub_task
from tests.registries.hubserver import DATASETS, MODELS, Hub, Server, serving
from weighbridge.evaluation.fetch import fetch_dataset, fetch_model
from weighbridge.evaluation.refusal import Refusal
from weighbridge.evaluation.task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED, Task

NAME = "demo/classifier"
MODEL = {
    "README.md": b"---\n{}\n---\n",
    "MLmodel": b"flavors: {}\n",
    "model.skops.bin": b"weights",
    "code/deep/a.py": b"1",
    "empty": b"",
}
DATA = {
    "data/test.csv": b"x,label\n1,0\n",
    "data/train.csv": b"x,label\n2,1\n",
    "data/[test].csv": b"x,label\n3,1\n",
    "big.parquet": b"p",
}


@pytest.fixture
def task(hub: Hub, hub_server: Server) -> Task:
    """A task on a commit that is not the newest."""
    hub.create_repo(MODELS, NAME)
    commit = hub.commit(MODELS, NAME, MODEL)
    hub.commit(MODELS, NAME, {"MLmodel": b"another"})
    return hub_task(NAME, commit, hub_identity(MODEL))


def data(hub: Hub, file: str = "") -> Any:
    hub.create_repo(DATASETS, "demo/holdout")
    commit = hub.commit(DATASETS, "demo/holdout", DATA)
    identity = hub_identity({file: DATA[file]} if file else DATA)
    return dataset(f"hf://datasets/demo/holdout@{commit}", identity, path="demo/holdout", revision=commit, file=file)


def refused(work: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        work(*arguments)
    assert "\n" not in str(refusal.value)
    assert not re.search("hf_|127.0.0.1|http", str(refusal.value))
    return refusal.value.code, str(refusal.value)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_pinned_commit_is_loaded_whole_and_nothing_else_is_there(tmp_path: Path, task: Task) -> None:
    assert content(fetch_model(task, tmp_path)) == MODEL


@pytest.mark.usefixtures("hub_client")
def test_a_repository_of_many_pages_and_with_large_files_elsewhere_is_loaded_whole(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"part-{number}.bin": b"%d" % number for number in range(7)}
    with (
        serving(hub) as elsewhere,
        serving(hub, page=2, large_elsewhere=f"http://localhost:{elsewhere.server_address[1]}") as server,
    ):
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_TOKEN", "hf_reader")
        hub.create_repo(MODELS, NAME)
        commit = hub.commit(MODELS, NAME, files)
        assert content(fetch_model(hub_task(NAME, commit, hub_identity(files)), tmp_path)) == files
        assert elsewhere.asked
        assert "authorization" not in {name.lower() for asked in elsewhere.asked for name in asked.headers}
        assert "authorization" in {name.lower() for asked in server.asked for name in asked.headers}


@pytest.mark.parametrize("file", ["model.skops.bin", "MLmodel"])
def test_bytes_that_are_not_those_of_the_digest_are_noticed(tmp_path: Path, hub: Hub, task: Task, file: str) -> None:
    """The Hub answers with other bytes of the same size, under the digest that was pinned."""
    git = hub.git(MODELS, NAME)
    blob = git.files(task.model.version)[file]
    if pointer := git.pointer(blob):
        git.large(pointer[0]).write_bytes(b"WEIGHTS")
    else:
        other = git.folder / "objects" / (sha := git.write("blob", b"FLAVORS: {}\n"))[:2] / sha[2:]
        (git.folder / "objects" / blob[:2] / blob[2:]).write_bytes(other.read_bytes())
    code, text = refused(fetch_model, task, tmp_path)
    assert (code, "no longer those that were pinned" in text) == (EXIT_SUBJECT_CHANGED, True)


@pytest.mark.parametrize("change", ["repository deleted", "private", "squashed", "disabled", "content deleted"])
def test_what_is_gone_is_noticed(tmp_path: Path, hub: Hub, task: Task, change: str) -> None:
    if change == "repository deleted":
        hub.delete_repo(MODELS, NAME)
    elif change == "squashed":
        hub.commit(MODELS, NAME, MODEL, orphan=True)
    elif change == "content deleted":
        hub.delete_large(MODELS, NAME, task.model.version, "model.skops.bin")
    else:
        hub.change(MODELS, NAME, **{change: True})
    code, text = refused(fetch_model, task, tmp_path)
    assert (code, "no longer" in text) == (EXIT_SUBJECT_CHANGED, True)


def test_a_repository_that_was_gated_since_says_so(tmp_path: Path, hub: Hub, task: Task) -> None:
    hub.change(MODELS, NAME, gated="manual")
    code, text = refused(fetch_model, task, tmp_path)
    assert (code, "gated" in text) == (EXIT_REGISTRY_FAILED, True)


def test_a_token_that_was_revoked_is_worth_another_attempt(tmp_path: Path, hub: Hub, task: Task) -> None:
    hub.revoke_token("hf_reader")
    assert refused(fetch_model, task, tmp_path)[0] == EXIT_REGISTRY_FAILED


def test_a_hub_that_is_down_is_worth_another_attempt(tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert refused(fetch_model, task, tmp_path)[0] == EXIT_REGISTRY_FAILED


@pytest.mark.parametrize("file", ["", "data/test.csv", "data/[test].csv", "big.parquet"])
def test_a_dataset_is_loaded_whole_or_by_its_one_file(tmp_path: Path, hub: Hub, hub_server: Server, file: str) -> None:
    folder = fetch_dataset(data(hub, file), tmp_path)
    assert content(folder) == ({file: DATA[file]} if file else DATA)
    paths = {asked.path.partition("?")[0] for asked in hub_server.asked if "/resolve/" in asked.path}
    assert len(paths) == (1 if file else len(DATA))


def test_a_file_that_the_commit_does_not_have_is_noticed(tmp_path: Path, hub: Hub, hub_server: Server) -> None:
    wanted = data(hub).model_copy(update={"file": "data/other.csv"})
    code, text = refused(fetch_dataset, wanted, tmp_path)
    assert (code, "data/other.csv" in text) == (EXIT_SUBJECT_CHANGED, True)


@pytest.mark.parametrize("uri", ["hf://demo/classifier@main", "hf://demo/classifier", "models:/classifier/1", "hf://@" + "0" * 40])
def test_an_address_that_is_no_commit_is_refused(tmp_path: Path, task: Task, uri: str) -> None:
    moved = task.model_copy(update={"model": task.model.model_copy(update={"uri": uri})})
    assert refused(fetch_model, moved, tmp_path)[0] == EXIT_MISCONFIGURED
