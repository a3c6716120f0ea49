"""Evaluation datasets of MLflow beside those that runs logged, on a real server."""

import json
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import MlflowServer
from tests.registries.oddserver import OddServer, odd, passed_on, reply
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetPin, DatasetReference
from weighbridge.core.pin import records_fingerprint
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.mlflow import MlflowRegistry

TWO: Sequence[Mapping[str, Any]] = ({"inputs": {"q": "a"}, "expectations": {"x": 1}}, {"inputs": {"q": "b"}})


def pin(url: str, path: str, revision: str | None = None, file: str | None = None) -> DatasetPin:
    registry = MlflowRegistry(url, None, request_timeout=20, allow=LOCAL, may_write=lambda: True)
    reference = DatasetReference(name="d", registry_ref=LocalRef(name="r"), path=path, revision=revision, file=file)
    return registry.dataset(reference)


def refusal(url: str, path: str, revision: str | None = None, file: str | None = None) -> tuple[str, str]:
    with pytest.raises(RegistryAbsent) as no:
        pin(url, path, revision, file)
    return no.value.reason, no.value.public


def test_by_name_and_by_id(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    by_name, by_id = pin(mlflow_server.url, name), pin(mlflow_server.url, dataset_id)
    assert (by_name.path, by_id.path) == (name, dataset_id)
    assert (by_name.uri, by_name.revision, by_name.fingerprint) == (by_id.uri, by_id.revision, by_id.fingerprint)
    assert by_name.uri == f"mlflow-datasets:/{dataset_id}"
    assert by_name.fingerprint == records_fingerprint(dataset_id=dataset_id, digest=by_name.revision, records=2)
    assert pin(mlflow_server.url, name, by_name.revision) == by_name


def test_every_change_of_records_is_another_pin(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    pins = [pin(mlflow_server.url, name)]
    client.get_dataset(dataset_id).merge_records([{"inputs": {"q": "a"}, "expectations": {"x": 2}}])
    pins.append(pin(mlflow_server.url, name))  # changed
    client.get_dataset(dataset_id).merge_records([{"inputs": {"q": "c"}}])
    pins.append(pin(mlflow_server.url, name))  # added
    found = client.get_dataset(dataset_id)
    found.delete_records([found.records[0].dataset_record_id])
    pins.append(pin(mlflow_server.url, name))  # deleted
    assert len({each.digest for each in pins}) == 4
    assert len({each.revision for each in pins}) == 3  # MLflow's own digest does not tell of the deletion


def test_tags_do_not_move_the_pin(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    before = pin(mlflow_server.url, name)
    mlflow_server.client.set_dataset_tags(dataset_id, {"seen": "yes"})
    assert pin(mlflow_server.url, name) == before


def test_without_records(mlflow_server: MlflowServer) -> None:
    name, client = mlflow_server.new_name(), mlflow_server.client
    dataset_id = mlflow_server.evaluation_dataset(name, ())
    assert refusal(mlflow_server.url, name)[0] == "ArtifactMissing"
    found = client.get_dataset(dataset_id)
    found.merge_records(list(TWO))
    assert pin(mlflow_server.url, name)
    found.delete_records([each.dataset_record_id for each in client.get_dataset(dataset_id).records])
    reason, message = refusal(mlflow_server.url, dataset_id)
    assert (reason, dataset_id in message) == ("ArtifactMissing", True)


def test_several_of_one_name(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    ids = [mlflow_server.evaluation_dataset(name, TWO) for _ in range(3)]
    reason, message = refusal(mlflow_server.url, name)
    assert reason == "DatasetAmbiguous"
    assert all(each in message for each in ids)
    second = pin(mlflow_server.url, ids[1])
    assert pin(mlflow_server.url, name, second.revision).uri == second.uri


def test_former_state(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    former = pin(mlflow_server.url, name).revision
    mlflow_server.client.get_dataset(dataset_id).merge_records([{"inputs": {"q": "c"}}])
    for path in (name, dataset_id):
        reason, message = refusal(mlflow_server.url, path, former)
        assert (reason, former in message) == ("DatasetNotFound", True)
        assert pin(mlflow_server.url, name).revision in message


def test_deleted_and_unknown(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    mlflow_server.client.delete_dataset(dataset_id)
    for path in (name, dataset_id, f"d-{'0' * 32}", f"d-{'0' * 31}"):
        assert refusal(mlflow_server.url, path)[0] == "DatasetNotFound"


def test_has_no_files(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    mlflow_server.evaluation_dataset(name, TWO)
    assert refusal(mlflow_server.url, name, file="x.csv")[0] == "ReferenceUnsupported"


@pytest.mark.parametrize("name", ["it's", 'say "x"', "a AND b; -- %", "%", "back\\slash"])
def test_names_are_taken_literally(mlflow_server: MlflowServer, name: str) -> None:
    unique = f"{mlflow_server.new_name()} {name}"
    dataset_id = mlflow_server.evaluation_dataset(unique, TWO)
    mlflow_server.evaluation_dataset(unique.upper(), TWO)
    assert pin(mlflow_server.url, unique).uri == f"mlflow-datasets:/{dataset_id}"


def test_name_of_both_kinds(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    run_id = mlflow_server.run({"x.csv": b"1"}, f"datasets/{name}")
    mlflow_server.log_dataset(run_id, name, "00000001")
    logged = pin(mlflow_server.url, name)
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    reason, message = refusal(mlflow_server.url, name)
    assert (reason, dataset_id in message, "00000001" in message) == ("DatasetAmbiguous", True, True)
    assert pin(mlflow_server.url, name, "00000001") == logged
    records = pin(mlflow_server.url, dataset_id)
    assert pin(mlflow_server.url, name, records.revision).uri == records.uri
    assert refusal(mlflow_server.url, name, "00000002")[0] == "DatasetNotFound"


def test_use_by_a_run_is_no_dataset_of_its_own(mlflow_server: MlflowServer) -> None:
    """`mlflow.genai.evaluate` logs the evaluation dataset it used as an input of its run."""
    name = mlflow_server.new_name()
    dataset_id = mlflow_server.evaluation_dataset(name, TWO)
    before = pin(mlflow_server.url, name)
    for _ in range(2):
        source = json.dumps({"dataset_id": dataset_id})
        mlflow_server.log_dataset(mlflow_server.run(), name, before.revision, source, "mlflow_evaluation_dataset")
    assert pin(mlflow_server.url, name) == before
    mlflow_server.log_dataset(mlflow_server.run({"x.csv": b"1"}, f"datasets/{name}"), name, "00000001")
    mlflow_server.log_dataset(mlflow_server.run(), name, before.revision, source, "mlflow_evaluation_dataset")
    assert refusal(mlflow_server.url, name)[0] == "DatasetAmbiguous"


@pytest.mark.parametrize(
    ("version", "said"),
    [(b"3.1.4", (404, b"<title>404 Not Found</title>")), (None, (501, b'{"error_code": "NOT_IMPLEMENTED", "message": "files"}'))],
)
def test_servers_that_have_none(mlflow_server: MlflowServer, version: bytes | None, said: tuple[int, bytes]) -> None:
    """Older ones do not know the address; ones that keep everything in files say that they cannot."""
    name, missing, records = (mlflow_server.new_name() for _ in range(3))
    mlflow_server.log_dataset(mlflow_server.run({"x.csv": b"1"}, f"datasets/{name}"), name, "00000001")
    mlflow_server.evaluation_dataset(records, TWO)

    def older(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        if "/api/3.0/mlflow/datasets" in handler.path:
            reply(said[0], said[1])(handler, server)
        elif handler.path == "/version" and version:
            reply(200, version)(handler, server)
        else:
            status, body, headers = passed_on(handler, server, int(mlflow_server.url.rpartition(":")[2]))
            reply(status, body, **headers)(handler, server)

    with odd(older) as server:
        assert pin(server.url, name) == pin(mlflow_server.url, name)
        for path in (missing, records, f"d-{'0' * 32}"):
            assert refusal(server.url, path)[0] == "DatasetNotFound"


def test_newer_server_behind_something_that_hides_them(mlflow_server: MlflowServer) -> None:
    """What a proxy does not let through is not missing."""

    def hiding(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        if handler.path.startswith("/api/3.0/"):
            reply(404, b"no such page")(handler, server)
        else:
            status, body, headers = passed_on(handler, server, int(mlflow_server.url.rpartition(":")[2]))
            reply(status, body, **headers)(handler, server)

    with odd(hiding) as server, pytest.raises(RegistryFailed) as failed:
        pin(server.url, mlflow_server.new_name())
    assert (failed.value.reason, "/api/3.0" in failed.value.public) == ("RegistryMisconfigured", True)
