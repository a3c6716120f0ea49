"""Credentials and rights on a real MLflow server with its basic-auth app."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import running
from weighbridge.api.base import LocalRef
from weighbridge.api.references import ModelPin, ModelReference
from weighbridge.core.facts import WriteOrder
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.mlflow import MlflowRegistry

ADMIN, READER, STRANGER = ("admin", "admin-password-1"), ("reader", "reader-password-1"), ("reader", "wrong-password-1")


@dataclass(frozen=True)
class Guarded:
    """A server that asks who is there."""

    url: str

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
