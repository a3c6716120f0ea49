"""What is in an MLflow artifact, to the last file: other bytes, names nobody can read, files that change while they are read."""

import contextlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import DESCRIPTION, MlflowServer
from tests.registries.oddserver import OddServer, odd, passed_on, reply
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetPin, DatasetReference, ModelPin, ModelReference
from weighbridge.core.pin import MOST_READ_BYTES
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.mlflow import MlflowRegistry

HERE = LocalRef(name="r")


def pin(url: str, name: str, version: str) -> ModelPin:
    registry = MlflowRegistry(url, None, request_timeout=20, allow=LOCAL, may_write=lambda: True)
    return registry.model(ModelReference(registry_ref=HERE, name=name, version=version)).pin


def dataset(url: str, path: str, file: str | None = None) -> DatasetPin:
    registry = MlflowRegistry(url, None, request_timeout=20, allow=LOCAL, may_write=lambda: True)
    return registry.dataset(DatasetReference(name="d", registry_ref=HERE, path=path, file=file))


@pytest.mark.parametrize(
    ("file", "content"),
    [("data.bin", b"Weights"), ("code/deep/a.py", b"2"), ("MLmodel", DESCRIPTION.replace(b"3.17.2", b"3.17.1"))],
)
def test_other_bytes_of_the_same_size_are_another_pin(mlflow_server: MlflowServer, file: str, content: bytes) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    before, path = pin(mlflow_server.url, name, version), mlflow_server.model_folder(name, version) / file
    assert len(content) == path.stat().st_size
    path.write_bytes(content)
    after = pin(mlflow_server.url, name, version)
    assert (before.created_at, before.source) == (after.created_at, after.source)
    assert before.digest != after.digest


def test_of_large_files_only_the_size_counts(mlflow_server: MlflowServer) -> None:
    """The limit of what can be noticed, stated here so that nobody believes in more."""
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    large = mlflow_server.model_folder(name, version) / "large.bin"
    pins = []
    for size, first in ((MOST_READ_BYTES, b"a"), (MOST_READ_BYTES, b"b"), (MOST_READ_BYTES + 1, b"a")):
        with large.open("wb") as file:
            file.write(first)
            file.truncate(size)
        pins.append(pin(mlflow_server.url, name, version).fingerprint)
    assert pins[0] == pins[1] != pins[2]


def test_renamed_model(mlflow_server: MlflowServer) -> None:
    name, other = mlflow_server.new_name(), mlflow_server.new_name()
    version = mlflow_server.register(name)
    before = pin(mlflow_server.url, name, version)
    mlflow_server.client.rename_registered_model(name, other)
    with pytest.raises(RegistryAbsent) as no:
        pin(mlflow_server.url, name, version)
    assert no.value.reason == "ModelNotFound"
    after = pin(mlflow_server.url, other, version)
    assert (before.created_at, before.fingerprint) == (after.created_at, after.fingerprint)
    assert before.digest != after.digest


def test_run_that_holds_the_files_was_deleted(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    run_id = mlflow_server.run({"MLmodel": DESCRIPTION, "data.bin": b"1"}, "model")
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run_id}/model", run_id)
    client.create_model_version(name, f"{client.get_run(run_id).info.artifact_uri}/model", run_id)
    before = [pin(mlflow_server.url, name, version) for version in "12"]
    client.delete_run(run_id)
    for version in "12":
        with pytest.raises(RegistryAbsent) as no:
            pin(mlflow_server.url, name, version)
        assert (no.value.reason, run_id in no.value.public) == ("ArtifactMissing", True)
    client.restore_run(run_id)
    assert [pin(mlflow_server.url, name, version) for version in "12"] == before


def test_name_that_mlflow_hands_out_to_nobody(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    folder = mlflow_server.model_folder(name, version)
    for fine in ("a b.txt", "a%b.txt", "ü.txt", "a&b=c+d?.txt"):
        (folder / fine).write_bytes(b"1")
    assert pin(mlflow_server.url, name, version)
    (folder / "a#b.txt").write_bytes(b"1")
    with pytest.raises(RegistryAbsent) as no:
        pin(mlflow_server.url, name, version)
    assert (no.value.reason, "a#b.txt" in no.value.public) == ("ArtifactUnsupported", True)


def between(port: int, interrupt: Callable[[], None]) -> Callable[[BaseHTTPRequestHandler, OddServer], None]:
    """Lets everything through to that port; before the first file is read, something happens."""

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        if "artifact_file_path=data.bin" in handler.path or handler.path.endswith("x.csv"):
            interrupt()
        status, body, headers = passed_on(handler, server, port)
        reply(status, body, **headers)(handler, server)

    return answer


def outcome(ask: Callable[[], object]) -> tuple[type[Exception], str, str]:
    with pytest.raises((RegistryAbsent, RegistryFailed)) as ended:
        ask()
    error = ended.value
    assert isinstance(error, RegistryAbsent | RegistryFailed)
    return type(error), error.reason, error.public


@pytest.mark.parametrize("content", [b"more weights", b"w", b""])
def test_file_that_changes_its_size_while_it_is_read(mlflow_server: MlflowServer, content: bytes) -> None:
    name, data = mlflow_server.new_name(), mlflow_server.new_name()
    version = mlflow_server.register(name)
    weights = mlflow_server.model_folder(name, version) / "data.bin"
    run_id = mlflow_server.run({"x.csv": b"a,b,c"}, f"datasets/{data}")
    mlflow_server.log_dataset(run_id, data, "00000001")
    table = mlflow_server.run_folder(run_id) / "datasets" / data / "x.csv"
    port = int(mlflow_server.url.rpartition(":")[2])
    for file, ask in (
        (weights, lambda url: pin(url, name, version)),
        (table, lambda url: dataset(url, data)),
        (table, lambda url: dataset(url, data, "x.csv")),
    ):
        was = file.read_bytes()
        with odd(between(port, lambda file=file: file.write_bytes(content) and None)) as server:
            kind, reason, message = outcome(lambda ask=ask, url=server.url: ask(url))
        assert (kind, reason) == (RegistryFailed, "RegistryUnavailable")
        assert "change while" in message
        file.write_bytes(was)
    assert pin(mlflow_server.url, name, version)


def test_file_that_is_gone_when_it_is_read(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    weights = mlflow_server.model_folder(name, version) / "data.bin"
    with odd(between(int(mlflow_server.url.rpartition(":")[2]), lambda: weights.unlink(missing_ok=True))) as server:
        kind, reason, message = outcome(lambda: pin(server.url, name, version))
    assert (kind, reason, "data.bin" in message) == (RegistryAbsent, "ArtifactIncomplete", True)


@pytest.mark.parametrize(
    ("given", "said"), [(b"weig", "hands out 4"), (b"", "hands out 0"), (b"weights and more", "hands out more")]
)
def test_storage_that_gives_something_else_than_it_lists(mlflow_server: MlflowServer, given: bytes, said: str) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    port = int(mlflow_server.url.rpartition(":")[2])

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        status, body, headers = passed_on(handler, server, port)
        body = given if "artifact_file_path=data.bin" in handler.path else body
        reply(status, body, **{key: value for key, value in headers.items() if key != "Content_Length"})(handler, server)

    with odd(answer) as server:
        kind, reason, message = outcome(lambda: pin(server.url, name, version))
    assert (kind, reason, "data.bin" in message, said in message) == (RegistryAbsent, "ArtifactIncomplete", True, True)


def test_file_that_grows_without_end_is_not_read_to_it(mlflow_server: MlflowServer) -> None:
    """Its size was 7 bytes in the list; what is read is not much more."""
    name, sent = mlflow_server.new_name(), list[int]()
    version = mlflow_server.register(name)
    port = int(mlflow_server.url.rpartition(":")[2])

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        if "artifact_file_path=data.bin" not in handler.path:
            status, body, headers = passed_on(handler, server, port)
            reply(status, body, **headers)(handler, server)
            return
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=data.bin\r\n\r\n")
        with contextlib.suppress(OSError):
            while sum(sent) < 1 << 30:
                sent.append(handler.connection.send(bytes(1 << 16)))

    with odd(answer) as server:
        assert outcome(lambda: pin(server.url, name, version))[1] == "ArtifactIncomplete"
    assert sum(sent) < 32 << 20  # what the system's buffers took


class TestOneFileOfADataset:
    FILES = {"train.csv": b"1", "test.csv": b"22", "deep/test.csv": b"333"}

    def logged(self, server: MlflowServer) -> tuple[str, str]:
        name, run_id = server.new_name(), ""
        run_id = server.run(self.FILES, f"datasets/{name}")
        server.log_dataset(run_id, name, "00000001")
        return name, run_id

    def test_is_all_that_counts(self, mlflow_server: MlflowServer) -> None:
        name, run_id = self.logged(mlflow_server)
        folder = mlflow_server.run_folder(run_id) / "datasets" / name
        before = {file: dataset(mlflow_server.url, name, file) for file in (None, *self.FILES)}
        assert len({each.digest for each in before.values()}) == 4
        assert {each.uri for each in before.values()} == {f"runs:/{run_id}/datasets/{name}"}
        assert [each.file for each in before.values()] == ["", *self.FILES]
        (folder / "test.csv").write_bytes(b"99")
        (folder / "empty.csv").write_bytes(b"")
        after = {file: dataset(mlflow_server.url, name, file) for file in self.FILES}
        assert {file for file in self.FILES if before[file] != after[file]} == {"test.csv"}

    @pytest.mark.parametrize("file", ["none.csv", "deep", "deep/", "../x.csv", "./test.csv", "TEST.csv", "deep//test.csv"])
    def test_missing(self, mlflow_server: MlflowServer, file: str) -> None:
        name, _ = self.logged(mlflow_server)
        kind, reason, message = outcome(lambda: dataset(mlflow_server.url, name, file))
        assert (kind, reason) == (RegistryAbsent, "ArtifactMissing")
        assert all(each in message for each in (file, *self.FILES))

    def test_empty(self, mlflow_server: MlflowServer) -> None:
        name, run_id = self.logged(mlflow_server)
        (mlflow_server.run_folder(run_id) / "datasets" / name / "test.csv").write_bytes(b"")
        _, reason, message = outcome(lambda: dataset(mlflow_server.url, name, "test.csv"))
        assert (reason, "test.csv (empty)" in message) == ("ArtifactMissing", True)

    def test_that_is_the_whole_dataset(self, mlflow_server: MlflowServer) -> None:
        name, run_id = mlflow_server.new_name(), mlflow_server.run({"x.csv": b"12345", "y.csv": b"1"}, "files")
        mlflow_server.log_dataset(run_id, name, "00000001", f'{{"uri": "runs:/{run_id}/files/x.csv"}}', "local")
        whole, one = dataset(mlflow_server.url, name), dataset(mlflow_server.url, name, "x.csv")
        assert (whole.uri, whole.file) == (f"runs:/{run_id}/files/x.csv", "")
        assert (one.uri, one.file) == (f"runs:/{run_id}/files", "x.csv")
        assert whole.fingerprint == one.fingerprint
        _, reason, message = outcome(lambda: dataset(mlflow_server.url, name, "y.csv"))
        assert (reason, "x.csv" in message) == ("ArtifactMissing", True)  # it lies there, but is no part of the dataset

    def test_source_in_a_deleted_run(self, mlflow_server: MlflowServer) -> None:
        name, run_id = mlflow_server.new_name(), mlflow_server.run({"x.csv": b"12345"}, "files")
        mlflow_server.log_dataset(mlflow_server.run(), name, "00000001", f'{{"uri": "runs:/{run_id}/files"}}', "local")
        assert dataset(mlflow_server.url, name)
        mlflow_server.client.delete_run(run_id)
        _, reason, message = outcome(lambda: dataset(mlflow_server.url, name))
        assert (reason, run_id in message) == ("ArtifactMissing", True)
        later = mlflow_server.run({"x.csv": b"12345"}, f"datasets/{name}")
        mlflow_server.log_dataset(later, name, "00000001")
        assert dataset(mlflow_server.url, name).uri == f"runs:/{later}/datasets/{name}"
