"""Real registries for what evaluation pods load: an MLflow server for the whole run, a Hub for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import set_client_factory
from huggingface_hub.utils import _http

from tests.registries.hubserver import Hub, Server, serving
from tests.registries.mlflowserver import MlflowServer, running
from weighbridge.registries.hub_transport import install

READER = "hf_reader"
"""A token that the stand-in knows; it is on no list of a gated repository."""


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server that lets everybody in."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    folder = tmp_path_factory.mktemp("mlflow")
    with running(folder) as url:
        yield MlflowServer(url, folder / "artifacts")


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that lets nobody in without a password."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\n"
        "admin_username = admin\nadmin_password = correct-horse-battery\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    secret = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32, "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
    with running(folder, "--app-name", "basic-auth", environment=secret) as url:
        yield url


@pytest.fixture
def mlflow_here(mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """The MLflow server, as this process's own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    # What loads in pods sets these for its process; afterwards they are as they were.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    assert mlflow_server.client
    return mlflow_server


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """A Hub with nothing in it but a token."""
    hub = Hub(tmp_path / "hub")
    hub.add_token(READER, "reader")
    return hub


@pytest.fixture
def hub_client() -> Iterator[None]:
    """What loads in pods takes the process's one Hub client for itself; afterwards it is the adapters' again."""
    install()
    before = _http._GLOBAL_CLIENT_FACTORY
    yield
    set_client_factory(before)


@pytest.fixture
def hub_server(hub: Hub, hub_client: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The Hub served, as this process's own."""
    with serving(hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_TOKEN", READER)
        yield server
