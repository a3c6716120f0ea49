"""Real servers for the registry tests, one each for the whole run."""

import os
from collections.abc import Iterator

import pytest

from tests.registries.benches import BENCHES, Bench
from tests.registries.hubserver import Hub, Server, serving
from tests.registries.mlflowserver import MlflowServer, running


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server that lets everybody in."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    folder = tmp_path_factory.mktemp("mlflow")
    with running(folder) as url:
        yield MlflowServer(url, folder / "artifacts")


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Hub for the contract suite."""
    with serving(Hub(tmp_path_factory.mktemp("hub"))) as server:
        yield server


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each adapter with the registry it talks to."""
    return BENCHES[request.param](request.getfixturevalue)
