"""What the contract suite needs of a registry beside its adapter: somebody who registers, breaks and reads back. One class per
adapter, and one line in `BENCHES`."""

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Protocol

import mlflow

from tests.registries.mlflowserver import MlflowServer
from weighbridge.api.references import ModelPin
from weighbridge.registries.base import Registry
from weighbridge.registries.mlflow import MlflowRegistry

LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Bench(Protocol):
    """An administrator of one registry."""

    def connect(self, may_write: Callable[[], bool] = lambda: True) -> Registry: ...
    def new_name(self) -> str: ...
    def register(self, name: str) -> str:
        """Registers another version with content, gives the version."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None: ...
    def delete_model(self, name: str) -> None: ...
    def overwrite(self, name: str, version: str) -> None:
        """Other bytes under the same version."""
        ...

    def remove_content(self, name: str, version: str) -> None: ...
    def dataset(self, name: str, files: Mapping[str, bytes]) -> str:
        """Registers a dataset, gives its revision."""
        ...

    def remove_dataset_files(self, name: str) -> None: ...
    def tags(self, name: str, version: str) -> Mapping[str, str]: ...
    def aliases(self, name: str) -> Mapping[str, str]: ...
    def download(self, uri: str, to: Path) -> Path:
        """What a pod would do with the address of a pin."""
        ...

    def description(self, pin: ModelPin, folder: Path) -> bytes:
        """The model description file among downloaded files."""
        ...


class MlflowBench:
    """A real MLflow server."""

    def __init__(self, server: MlflowServer) -> None:
        self._server = server
        self._runs: dict[str, str] = {}

    def connect(self, may_write: Callable[[], bool] = lambda: True) -> Registry:
        return MlflowRegistry(self._server.url, None, request_timeout=20, allow=LOCAL, may_write=may_write)

    def new_name(self) -> str:
        return self._server.new_name()

    def register(self, name: str) -> str:
        return self._server.register(name)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._server.client.set_registered_model_alias(name, alias, version)

    def delete_model(self, name: str) -> None:
        self._server.client.delete_registered_model(name)

    def overwrite(self, name: str, version: str) -> None:
        (self._server.model_folder(name, version) / "data.bin").write_bytes(b"other weights")

    def remove_content(self, name: str, version: str) -> None:
        for file in self._server.model_folder(name, version).iterdir():
            if file.is_file():
                file.unlink()

    def dataset(self, name: str, files: Mapping[str, bytes]) -> str:
        self._runs[name] = self._server.run(files, f"datasets/{name}")
        self._server.log_dataset(self._runs[name], name, "0a1b2c3d")
        return "0a1b2c3d"

    def remove_dataset_files(self, name: str) -> None:
        for file in (self._server.run_folder(self._runs[name]) / "datasets" / name).iterdir():
            file.unlink()

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        return dict(self._server.client.get_model_version(name, version).tags)

    def aliases(self, name: str) -> Mapping[str, str]:
        return {alias: str(version) for alias, version in self._server.client.get_registered_model(name).aliases.items()}

    def download(self, uri: str, to: Path) -> Path:
        mlflow.set_tracking_uri(self._server.url)
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(to)))

    def description(self, pin: ModelPin, folder: Path) -> bytes:
        return (folder / "MLmodel").read_bytes()


BENCHES: Mapping[str, Callable[[MlflowServer], Bench]] = {"mlflow": MlflowBench}
