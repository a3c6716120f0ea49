"""What is MLflow's own: where artifacts and datasets lie, what a run tells, which states an entry may be in. On a real server."""

import json
import subprocess
from pathlib import Path

import mlflow
import pytest

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import MlflowServer, executable
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetPin, DatasetReference, DatasetUse, ModelReference
from weighbridge.core.facts import ModelSnapshot, WriteOrder
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.mlflow import MlflowRegistry


def registry(server: MlflowServer) -> MlflowRegistry:
    return MlflowRegistry(server.url, None, request_timeout=20, allow=LOCAL, may_write=lambda: True)


def look(server: MlflowServer, name: str, version: str) -> ModelSnapshot:
    return registry(server).model(ModelReference(registry_ref=LocalRef(name="r"), name=name, version=version))


def refusal(server: MlflowServer, name: str, version: str) -> tuple[str, str]:
    with pytest.raises(RegistryAbsent) as no:
        look(server, name, version)
    return no.value.reason, no.value.public


def dataset(server: MlflowServer, path: str, revision: str | None = None) -> DatasetPin:
    return registry(server).dataset(DatasetReference(name="d", registry_ref=LocalRef(name="r"), path=path, revision=revision))


def test_revision_is_no_word_of_mlflow(mlflow_server: MlflowServer) -> None:
    reference = ModelReference(registry_ref=LocalRef(name="r"), name="m", revision="main")
    with pytest.raises(RegistryAbsent) as no:
        registry(mlflow_server).model(reference)
    assert (no.value.reason, "version or alias" in no.value.public) == ("ReferenceUnsupported", True)


def dataset_refusal(server: MlflowServer, path: str, revision: str | None = None) -> tuple[str, str]:
    with pytest.raises(RegistryAbsent) as no:
        dataset(server, path, revision)
    return no.value.reason, no.value.public


def test_what_a_user_trains_is_found_with_its_lineage_and_dataset(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    name, data = mlflow_server.new_name(), mlflow_server.new_name()
    command = [executable().parent / "python", Path(__file__).parent / "train.py", mlflow_server.url, name, data]
    run_id = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()[-1]
    found = look(mlflow_server, name, "1")
    lineage = found.lineage
    assert (found.pin.run_id, lineage.run_id) == (run_id, run_id)
    assert (lineage.code_commit, lineage.code_source) == ("0123abc", "https://git.example.com/x.git")
    assert (dict(lineage.parameters), dict(lineage.metrics)) == ({"C": "0.5"}, {"accuracy": 0.97})
    assert (lineage.signature, lineage.base_models) == ("4 inputs, 1 output", ())
    assert lineage.dependencies.startswith(f"requirements.txt: mlflow=={mlflow.__version__}, ")
    assert "scikit-learn==" in lineage.dependencies
    pinned = dataset(mlflow_server, data)
    assert lineage.datasets == (DatasetUse(name=data, digest=pinned.revision, context="evaluation"),)
    assert pinned.uri == f"runs:/{run_id}/datasets/{data}"
    assert (found.unsafe, found.formats) == ("", {"mlflow", "skops"})
    pickled, scripted = (look(mlflow_server, f"{name}-{kind}", "1") for kind in ("pickled", "scripted"))
    assert (pickled.unsafe, pickled.formats) == ("weights only as pickle (model.pkl)", {"mlflow", "pickle"})
    assert (pickled.lineage.signature, "cloudpickle==" in pickled.lineage.dependencies) == ("", True)
    assert scripted.unsafe == "weights only as pickle (python_model.pkl) and brings code of its own (code)"


def test_deleted_run_is_no_lineage_and_no_error(mlflow_server: MlflowServer) -> None:
    name, run_id = mlflow_server.new_name(), mlflow_server.run()
    version = mlflow_server.register(name, run_id=run_id)
    before = look(mlflow_server, name, version)
    mlflow_server.client.delete_run(run_id)
    after = look(mlflow_server, name, version)
    assert (before.lineage.run_id, after.lineage.run_id) == (run_id, "")
    assert before.pin == after.pin


def test_deleted_logged_model(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    client = mlflow_server.client
    logged = client.get_model_version(name, version).source.removeprefix("models:/")
    client.delete_logged_model(logged)
    reason, message = refusal(mlflow_server, name, version)
    assert (reason, logged in message) == ("ArtifactMissing", True)


@pytest.mark.parametrize(
    ("file", "content", "reason", "named"),
    [
        ("data.bin", None, "ArtifactIncomplete", "data.bin"),
        ("data.bin", b"", "ArtifactIncomplete", "data.bin"),
        ("MLmodel", None, "ArtifactMissing", "MLmodel"),
        ("MLmodel", b"", "ArtifactMissing", "MLmodel"),
        ("MLmodel", b"flavors: [", "ArtifactIncomplete", "MLmodel"),
        ("MLmodel", b"just text", "ArtifactIncomplete", "MLmodel"),
        ("MLmodel", b"flavors: {}", "ArtifactIncomplete", "MLmodel"),
        ("MLmodel", b"\xff\xfe\x00", "ArtifactIncomplete", "MLmodel"),
        ("MLmodel", b"flavors: {python_function: {env: {virtualenv: python_env.yaml}}}", "ArtifactIncomplete", "python_env.yaml"),
        (
            "MLmodel",
            b"flavors: {python_function: {artifacts: {a: {path: artifacts/a.bin}}}}",
            "ArtifactIncomplete",
            "artifacts/a.bin",
        ),
        ("MLmodel", b"flavors: {python_function: {model_code_path: /home/x/agent.py}}", "ArtifactIncomplete", "agent.py"),
    ],
)
def test_files_that_are_not_as_described(
    mlflow_server: MlflowServer, file: str, content: bytes | None, reason: str, named: str
) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    path = mlflow_server.model_folder(name, version) / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found, message = refusal(mlflow_server, name, version)
    assert found == reason
    assert named in message
    assert f"{name} {version}" in message


def test_files_in_folders_are_part_of_the_fingerprint(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    before = look(mlflow_server, name, version).pin
    (mlflow_server.model_folder(name, version) / "code/deep/a.py").write_bytes(b"22")
    assert look(mlflow_server, name, version).pin.fingerprint != before.fingerprint


def test_unfinished_upload_is_waited_for(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    client.create_registered_model(name)
    logged = client.create_logged_model("0", name="model").model_id
    client.create_model_version(name, f"models:/{logged}", model_id=logged)
    with pytest.raises(RegistryFailed) as failed:
        look(mlflow_server, name, "1")
    assert failed.value.reason == "ModelNotReady"
    client.finalize_logged_model(logged, "FAILED")
    assert refusal(mlflow_server, name, "1")[0] == "ArtifactIncomplete"


def test_model_in_a_run_as_mlflow_2_kept_them(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    run_id = mlflow_server.run({"MLmodel": b"flavors: {python_function: {data: d}}", "d/x": b"1"}, "nested/model")
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run_id}/nested/model", run_id)
    address = client.get_run(run_id).info.artifact_uri
    client.create_model_version(name, f"{address}/nested/model", run_id)
    by_run, by_address = look(mlflow_server, name, "1").pin, look(mlflow_server, name, "2").pin
    assert by_run.fingerprint == by_address.fingerprint
    (mlflow_server.run_folder(run_id) / "nested/model/d/x").unlink()
    assert refusal(mlflow_server, name, "1")[0] == "ArtifactIncomplete"


def test_copied_version_has_the_files_of_its_original(mlflow_server: MlflowServer) -> None:
    name, copy = mlflow_server.new_name(), mlflow_server.new_name()
    version = mlflow_server.register(name)
    mlflow_server.client.copy_model_version(f"models:/{name}/{version}", copy)
    original, copied = look(mlflow_server, name, version).pin, look(mlflow_server, copy, "1").pin
    assert original.fingerprint == copied.fingerprint
    assert original.digest != copied.digest
    mlflow_server.client.delete_model_version(name, version)
    assert refusal(mlflow_server, copy, "1")[0] == "ArtifactMissing"


def test_files_outside_of_the_server(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/model?token=canary")
    reason, message = refusal(mlflow_server, name, "1")
    assert (reason, "canary" in message) == ("ArtifactUnsupported", False)


def test_only_own_tags_are_told(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    version = mlflow_server.register(name)
    client.set_model_version_tag(name, version, "team", "fraud")
    client.set_model_version_tag(name, version, "weighbridge.dev/state", "Serving")
    assert look(mlflow_server, name, version).tags == {"weighbridge.dev/state": "Serving"}


def test_foreign_tags_are_never_written(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    pin = look(mlflow_server, name, version).pin
    with pytest.raises(ValueError, match="team"):
        registry(mlflow_server).write(WriteOrder(pin, {"team": "ours"}, None))
    assert mlflow_server.client.get_model_version(name, version).tags == {}


def test_what_people_wrote_stays(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    version = mlflow_server.register(name)
    client.set_model_version_tag(name, version, "team", "fraud")
    client.set_model_version_tag(name, version, "weighbridge.dev/rejected", "scores look wrong")
    client.set_registered_model_alias(name, "theirs", version)
    order = WriteOrder(look(mlflow_server, name, version).pin, {"weighbridge.dev/state": "Serving"}, "champion")
    registry(mlflow_server).write(order)
    said = {"team": "fraud", "weighbridge.dev/rejected": "scores look wrong", "weighbridge.dev/state": "Serving"}
    assert client.get_model_version(name, version).tags == said
    assert dict(client.get_registered_model(name).aliases) == {"theirs": version, "champion": version}


def test_an_alias_taken_away_while_the_tags_are_written_is_left_and_told(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    ours, theirs = mlflow_server.register(name), mlflow_server.register(name)
    client.set_registered_model_alias(name, "champion", ours)

    def meanwhile() -> bool:
        client.set_registered_model_alias(name, "champion", theirs)
        return True

    adapter = MlflowRegistry(mlflow_server.url, None, request_timeout=20, allow=LOCAL, may_write=meanwhile)
    order = WriteOrder(look(mlflow_server, name, ours).pin, {"weighbridge.dev/state": "Serving"}, "champion")
    with pytest.raises(RegistryFailed) as failed:
        adapter.write(order)
    assert (failed.value.reason, "alias champion" in failed.value.public) == ("WriteNotKept", True)
    assert client.get_model_version_by_alias(name, "champion").version == theirs


def test_refused_alias_is_told_apart(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    with pytest.raises(RegistryFailed) as failed:
        registry(mlflow_server).write(WriteOrder(look(mlflow_server, name, version).pin, {}, "v3"))
    assert (failed.value.reason, "alias v3" in failed.value.public) == ("WriteRefused", True)


@pytest.mark.parametrize("name", ["it's", 'say "x"', "a AND b; -- %", "%", "_", "back\\slash", "SELECT 1"])
def test_dataset_names_are_taken_literally(mlflow_server: MlflowServer, name: str) -> None:
    unique = f"{name} {mlflow_server.new_name()}"
    mlflow_server.log_dataset(mlflow_server.run({"x.csv": b"1"}, "files"), unique, "0a1b2c3d")
    mlflow_server.log_dataset(mlflow_server.run(), "another", "ffffffff")
    assert dataset_refusal(mlflow_server, unique[:-1])[0] == "DatasetNotFound"
    assert dataset_refusal(mlflow_server, unique)[0] in ("ArtifactMissing", "ArtifactUnsupported")  # found, without files


def test_a_dataset_name_no_search_can_express(mlflow_server: MlflowServer) -> None:
    assert dataset_refusal(mlflow_server, "both ' and \"")[0] == "DatasetNotFound"


def test_latest_state_of_a_dataset_and_a_named_one(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    for digest in ("00000001", "00000002"):
        mlflow_server.log_dataset(mlflow_server.run({"x.csv": digest.encode()}, f"datasets/{name}"), name, digest)
    assert dataset(mlflow_server, name).revision == "00000002"
    assert dataset(mlflow_server, name, "00000001").revision == "00000001"


def test_later_use_of_a_dataset_does_not_move_its_pin(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    mlflow_server.log_dataset(mlflow_server.run({"x.csv": b"1"}, f"datasets/{name}"), name, "00000001")
    before = dataset(mlflow_server, name)
    mlflow_server.log_dataset(mlflow_server.run(), name, "00000001")
    mlflow_server.log_dataset(mlflow_server.run({"x.csv": b"1"}, f"datasets/{name}"), name, "00000001")
    assert dataset(mlflow_server, name) == before


def test_several_states_in_one_run_need_a_revision(mlflow_server: MlflowServer) -> None:
    name, run_id = mlflow_server.new_name(), mlflow_server.run({"x.csv": b"1"})
    mlflow_server.log_dataset(run_id, name, "00000001")
    mlflow_server.log_dataset(run_id, name, "00000002")
    reason, message = dataset_refusal(mlflow_server, name)
    assert reason == "DatasetAmbiguous"
    assert "00000001" in message
    assert "00000002" in message


@pytest.mark.parametrize("source", ["runs:/{run}/files/x.csv", "runs:/{run}/files", "{root}/files/x.csv", "{root}/files"])
def test_dataset_whose_source_is_on_the_server(mlflow_server: MlflowServer, source: str) -> None:
    name, run_id = mlflow_server.new_name(), mlflow_server.run({"x.csv": b"12345"}, "files")
    root = mlflow_server.client.get_run(run_id).info.artifact_uri
    address = json.dumps({"uri": source.format(run=run_id, root=root)})
    mlflow_server.log_dataset(run_id, name, "00000001", address, "local")
    pin = dataset(mlflow_server, name)
    assert pin.uri == f"runs:/{run_id}/files" + ("/x.csv" if source.endswith("csv") else "")
    mlflow.set_tracking_uri(mlflow_server.url)
    there = Path(mlflow.artifacts.download_artifacts(artifact_uri=pin.uri))
    assert (there if there.is_file() else there / "x.csv").read_bytes() == b"12345"


@pytest.mark.parametrize(
    "address", ['{"url": "https://x.example.com/d.csv"}', '{"uri": "s3://b/d.csv"}', "[]", "no json", '{"uri": 7}']
)
def test_dataset_kept_elsewhere(mlflow_server: MlflowServer, address: str) -> None:
    name = mlflow_server.new_name()
    mlflow_server.log_dataset(mlflow_server.run(), name, "00000001", address, "http")
    reason, message = dataset_refusal(mlflow_server, name)
    assert (reason, f"datasets/{name}" in message) == ("DatasetUnsupported", True)


def test_dataset_path_never_leaves_its_run(mlflow_server: MlflowServer) -> None:
    name, run_id = mlflow_server.new_name(), mlflow_server.run({"x.csv": b"1"})
    mlflow_server.log_dataset(run_id, name, "00000001", json.dumps({"uri": f"runs:/{run_id}/a/../../.."}), "local")
    assert dataset_refusal(mlflow_server, name)[0] == "ArtifactUnsupported"


def test_empty_dataset_file_is_a_missing_one(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    run_id = mlflow_server.run({"x.csv": b"1"}, f"datasets/{name}")
    mlflow_server.log_dataset(run_id, name, "00000001")
    (mlflow_server.run_folder(run_id) / "datasets" / name / "x.csv").write_bytes(b"")
    assert dataset_refusal(mlflow_server, name)[0] == "ArtifactMissing"


def test_server_that_does_not_know_its_host_name(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = mlflow_server.url.rpartition(":")[2]
    monkeypatch.setattr("weighbridge.registries.addresses.socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", 0))])
    adapter = MlflowRegistry(f"http://mlflow.mlflow.svc:{port}", None, request_timeout=20, allow=LOCAL, may_write=lambda: True)
    with pytest.raises(RegistryFailed) as failed:
        adapter.server()
    assert failed.value.reason == "RegistryMisconfigured"
    assert "--allowed-hosts" in failed.value.public
    assert f"mlflow.mlflow.svc:{port}" in failed.value.public
