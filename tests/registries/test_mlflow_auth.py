"""Credentials and rights on a real MLflow server with its basic-auth app."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import running
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetPin, DatasetReference, ModelPin, ModelReference
from weighbridge.core.facts import WriteOrder
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.mlflow import MlflowRegistry

ADMIN, READER, STRANGER = ("admin", "admin-password-1"), ("reader", "reader-password-1"), ("reader", "wrong-password-1")


@dataclass(frozen=True)
class Guarded:
    """A server that asks who is there."""

    url: str
    datasets: dict[str, str] = field(default_factory=dict)
    """Ids of evaluation datasets in the experiments `shown`, `hidden`, or both."""
    experiments: dict[str, str] = field(default_factory=dict)

    def experiment(self, name: str) -> str:
        """Id of the experiment, which is made on first use."""
        if name not in self.experiments:
            self.experiments[name] = self.admin("/api/2.0/mlflow/experiments/create", {"name": name})["experiment_id"]
        return self.experiments[name]

    def admin(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        token = base64.b64encode(":".join(ADMIN).encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        with urlopen(Request(self.url + path, json.dumps(body).encode(), headers, method=method)) as response:
            return json.load(response)

    def adapter(self, who: tuple[str, str] | None) -> MlflowRegistry:
        keys = {"MLFLOW_TRACKING_USERNAME": who[0], "MLFLOW_TRACKING_PASSWORD": who[1]} if who else None
        credentials = Credentials(keys) if keys else None
        return MlflowRegistry(self.url, credentials, request_timeout=20, allow=LOCAL, may_write=lambda: True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server where the reader may read `shown`, and `hidden` is for the administrator alone."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder}/auth.db\nadmin_username = {ADMIN[0]}\n"
        f"admin_password = {ADMIN[1]}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    secrets = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "for-tests"}
    with running(folder, "--app-name", "basic-auth", environment=secrets) as url:
        server = Guarded(url)
        server.admin("/api/2.0/mlflow/users/create", {"username": READER[0], "password": READER[1]})
        for name in ("shown", "hidden"):
            server.admin("/api/2.0/mlflow/registered-models/create", {"name": name})
            server.admin("/api/2.0/mlflow/model-versions/create", {"name": name, "source": "s3://bucket/x"})
        grant = {"username": READER[0], "resource_type": "registered_model", "resource_id": "shown", "permission": "READ"}
        server.admin("/api/3.0/mlflow/users/permissions/grant", grant)
        for name, experiment in (("shown", ("shown",)), ("hidden", ("hidden",)), ("both", ("shown", "hidden"))):
            ids = [server.experiment(each) for each in experiment]
            created = server.admin("/api/3.0/mlflow/datasets/create", {"name": f"{name}-records", "experiment_ids": ids})
            records = {"records": json.dumps([{"inputs": {"q": "a"}}])}
            server.admin(f"/api/3.0/mlflow/datasets/{created['dataset']['dataset_id']}/records", records)
            server.datasets[name] = created["dataset"]["dataset_id"]
        reading = {"username": READER[0], "resource_type": "experiment", "permission": "READ"}
        server.admin("/api/3.0/mlflow/users/permissions/grant", reading | {"resource_id": server.experiment("shown")})
        yield server


@pytest.mark.parametrize("who", [STRANGER, None])
def test_wrong_or_no_password(guarded: Guarded, who: tuple[str, str] | None) -> None:
    adapter = guarded.adapter(who)
    reference = ModelReference(registry_ref=LocalRef(name="r"), name="shown", version="1")
    for ask in (adapter.server, lambda: adapter.model(reference)):
        with pytest.raises(RegistryFailed) as failed:
            ask()
        assert failed.value.reason == "Unauthorized"
        assert "MLFLOW_TRACKING_PASSWORD" in failed.value.public
        assert "wrong-password-1" not in failed.value.public


def test_right_password(guarded: Guarded) -> None:
    assert guarded.adapter(READER).server().version


def test_hidden_model_is_no_missing_model(guarded: Guarded) -> None:
    for version, alias in (("1", None), (None, "champion"), ("9", None)):
        reference = ModelReference(registry_ref=LocalRef(name="r"), name="hidden", version=version, alias=alias)
        with pytest.raises(RegistryAbsent) as no:
            guarded.adapter(READER).model(reference)
        assert no.value.reason == "AccessDenied"


def records(guarded: Guarded, who: tuple[str, str], path: str) -> DatasetPin:
    return guarded.adapter(who).dataset(DatasetReference(name="d", registry_ref=LocalRef(name="r"), path=path))


def test_evaluation_datasets_of_experiments_one_may_read(guarded: Guarded) -> None:
    """With access control MLflow lets nobody but administrators search everything."""
    for name in ("shown", "hidden", "both"):
        assert records(guarded, ADMIN, f"{name}-records").uri == f"mlflow-datasets:/{guarded.datasets[name]}"
    assert records(guarded, READER, "shown-records") == records(guarded, ADMIN, "shown-records")
    assert records(guarded, READER, guarded.datasets["shown"]).uri == f"mlflow-datasets:/{guarded.datasets['shown']}"


@pytest.mark.parametrize("name", ["hidden", "both", "unknown"])
def test_evaluation_dataset_one_may_not_read_is_no_missing_one(guarded: Guarded, name: str) -> None:
    path = guarded.datasets.get(name, f"d-{'0' * 32}")
    with pytest.raises(RegistryAbsent) as no:
        records(guarded, READER, path)
    assert (no.value.reason, path in no.value.public) == ("AccessDenied", True)


def test_reader_may_not_write(guarded: Guarded) -> None:
    body = guarded.admin("/api/2.0/mlflow/model-versions/search?filter=name%3D'shown'", {}, "GET")
    created = body["model_versions"][0]["creation_timestamp"]
    sha = f"sha256:{'0' * 64}"
    pin = ModelPin.model_validate(
        {"registry": "r", "name": "shown", "version": "1", "uri": "models:/shown/1", "created_at": created / 1000}
        | {"fingerprint": sha, "digest": sha}
    )
    with pytest.raises(RegistryFailed) as failed:
        guarded.adapter(READER).write(WriteOrder(pin, {"weighbridge.dev/state": "Serving"}, None))
    assert (failed.value.reason, "EDIT" in failed.value.public) == ("WriteForbidden", True)
    guarded.adapter(ADMIN).write(WriteOrder(pin, {"weighbridge.dev/state": "Serving"}, None))
