"""What the contract suite needs of a registry beside its adapter: somebody who registers, breaks and reads back. One class per
adapter, and one line in `BENCHES`.

Registries can do different things. What one cannot do is a flag here, and the suite then asserts the opposite."""

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol

import mlflow

from tests.registries.hubserver import DATASETS, LARGE, MODELS, Server
from tests.registries.mlflowserver import MlflowServer
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetPin, ModelPin, ModelReference
from weighbridge.core.pin import read_for_proof
from weighbridge.registries.base import Registry
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.hub import HubRegistry
from weighbridge.registries.mlflow import MlflowRegistry

LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Bench(Protocol):
    """An administrator of one registry."""

    tells_version: bool
    """The server says which version of its software it is."""
    numbers_return: bool
    """A version deleted and made again may have the same number."""
    content_is_fixed: bool
    """What a version names can never be other content."""
    keeps_tags: bool
    """Own tags can be written to a version."""
    writes_to_move_an_alias: int
    version_missing: str
    """Reason where the model is there and the version is not."""
    alias_missing: str
    dataset_revision_missing: str
    content_missing: str
    """Reason where the content of a version is gone."""
    no_versions: Sequence[str]
    """Versions that no model has."""

    def connect(self, may_write: Callable[[], bool] = lambda: True) -> Registry: ...
    def by_version(self, name: str, version: str, registry: str = "r") -> ModelReference: ...
    def by_alias(self, name: str, alias: str, registry: str = "r") -> ModelReference: ...
    def unsupported(self, name: str) -> Sequence[ModelReference]:
        """References that another registry would understand."""
        ...

    def new_name(self) -> str: ...
    def register(self, name: str) -> str:
        """Registers another version with content, gives the version."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None: ...
    def delete_model(self, name: str) -> None: ...
    def overwrite(self, name: str, version: str) -> None:
        """Other bytes where the version's are kept, or as near as the registry lets anybody come."""
        ...

    def remove_content(self, name: str, version: str) -> None: ...
    def dataset(self, name: str, files: Mapping[str, bytes]) -> str:
        """Registers a dataset, gives its revision."""
        ...

    def remove_dataset_files(self, name: str) -> None: ...
    def tags(self, name: str, version: str) -> Mapping[str, str]: ...
    def aliases(self, name: str) -> Mapping[str, str]: ...
    def download(self, pin: ModelPin | DatasetPin, to: Path) -> Path:
        """What a pod would do with the address of a pin."""
        ...

    def contents(self, folder: Path, files: Mapping[str, int]) -> Mapping[str, str]:
        """What an engine computes of downloaded files for their fingerprint."""
        ...


class MlflowBench:
    """A real MLflow server."""

    tells_version = True
    numbers_return = True
    content_is_fixed = False
    keeps_tags = True
    writes_to_move_an_alias = 1
    version_missing = "VersionNotFound"
    alias_missing = "AliasNotFound"
    dataset_revision_missing = "DatasetNotFound"
    content_missing = "ArtifactMissing"
    no_versions = ("99", "abc", "99999999999999999999", "0", "-1")

    def __init__(self, server: MlflowServer) -> None:
        self._server = server
        self._runs: dict[str, str] = {}

    def connect(self, may_write: Callable[[], bool] = lambda: True) -> Registry:
        return MlflowRegistry(self._server.url, None, request_timeout=20, allow=LOCAL, may_write=may_write)

    def by_version(self, name: str, version: str, registry: str = "r") -> ModelReference:
        return ModelReference(registry_ref=LocalRef(name=registry), name=name, version=version)

    def by_alias(self, name: str, alias: str, registry: str = "r") -> ModelReference:
        return ModelReference(registry_ref=LocalRef(name=registry), name=name, alias=alias)

    def unsupported(self, name: str) -> Sequence[ModelReference]:
        return (ModelReference(registry_ref=LocalRef(name="r"), name=name, revision="main"),)

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

    def download(self, pin: ModelPin | DatasetPin, to: Path) -> Path:
        mlflow.set_tracking_uri(self._server.url)
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=pin.uri, dst_path=str(to)))
        (folder / "registered_model_meta").unlink(missing_ok=True)  # MLflow's client writes it into what it downloads
        return folder

    def contents(self, folder: Path, files: Mapping[str, int]) -> Mapping[str, str]:
        return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in read_for_proof(files)}


class HubBench:
    """A Hub of real git repositories."""

    tells_version = False
    numbers_return = False
    content_is_fixed = True
    keeps_tags = False
    writes_to_move_an_alias = 2
    """Delete and create: nothing moves a tag."""
    version_missing = "RevisionNotFound"
    alias_missing = "RevisionNotFound"
    dataset_revision_missing = "RevisionNotFound"
    content_missing = "ArtifactIncomplete"
    no_versions = ("0" * 40, "a" * 39, "no/such branch", "..", ".", "%2e%2e", "refs/pr/7", "-1", "main?expand=sha", "\u00fc\u4f60")
    token = "hf_token-of-the-bench"

    def __init__(self, server: Server) -> None:
        self._server, self._hub = server, server.hub
        self._hub.add_token(self.token, "bench", read=["*"], write=["*"])
        self._registered = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def connect(self, may_write: Callable[[], bool] = lambda: True) -> Registry:
        credentials = Credentials({"HF_TOKEN": self.token})
        return HubRegistry(self.url, credentials, request_timeout=20, allow=LOCAL, may_write=may_write, results=True)

    def by_version(self, name: str, version: str, registry: str = "r") -> ModelReference:
        return ModelReference(registry_ref=LocalRef(name=registry), name=name, revision=version)

    by_alias = by_version

    def unsupported(self, name: str) -> Sequence[ModelReference]:
        where = LocalRef(name="r")
        return (
            ModelReference(registry_ref=where, name=name, version="1"),
            ModelReference(registry_ref=where, name=name, alias="main"),
        )

    def new_name(self) -> str:
        return f"org/{uuid.uuid4().hex[:12]}"

    def register(self, name: str) -> str:
        if not self._hub.git(MODELS, name).folder.exists():
            self._hub.create_repo(MODELS, name)
        self._registered += 1
        files = {"model.safetensors": b"weights %d" % self._registered, "config.json": b"{}", "code/deep/a.py": b"1"}
        return self._hub.commit(MODELS, name, files)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._hub.tag(MODELS, name, alias, version)

    def delete_model(self, name: str) -> None:
        self._hub.delete_repo(MODELS, name)

    def overwrite(self, name: str, version: str) -> None:
        self._hub.commit(MODELS, name, {"model.safetensors": b"other weights"})

    def remove_content(self, name: str, version: str) -> None:
        self._hub.delete_large(MODELS, name, version, "model.safetensors")

    def dataset(self, name: str, files: Mapping[str, bytes]) -> str:
        self._hub.create_repo(DATASETS, name)
        return self._hub.commit(DATASETS, name, {"README.md": b"# Data\n"} | dict(files))

    def remove_dataset_files(self, name: str) -> None:
        git = self._hub.git(DATASETS, name)
        sha = git.resolve("main")
        assert sha is not None
        self._hub.commit(DATASETS, name, {}, remove=set(git.files(sha)) - {"README.md"})

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        return {}

    def aliases(self, name: str) -> Mapping[str, str]:
        references = self._hub.git(MODELS, name).references("refs/tags")
        return {reference.removeprefix("refs/tags/"): sha for reference, sha in references.items()}

    def download(self, pin: ModelPin | DatasetPin, to: Path) -> Path:
        """In a process of its own: in this one, only questions may use huggingface_hub's client."""
        kind, name, sha = ("model", pin.name, pin.version) if isinstance(pin, ModelPin) else ("dataset", pin.path, pin.revision)
        assert pin.uri == f"hf://{'datasets/' if kind == 'dataset' else ''}{name}@{sha}"
        code = f"import huggingface_hub as h; print(h.snapshot_download({name!r}, repo_type={kind!r}, revision={sha!r}))"
        folder = client(code, HF_ENDPOINT=self.url, HF_TOKEN=self.token, HF_HOME=str(to)).strip()
        return Path(folder)

    def contents(self, folder: Path, files: Mapping[str, int]) -> Mapping[str, str]:
        """The digest of what git LFS keeps, git's blob id of the rest."""
        read = {path: (folder / path).read_bytes() for path in files}
        return {
            path: hashlib.sha256(content).hexdigest()
            if path.endswith(LARGE)
            else hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            for path, content in read.items()
        }


def client(code: str, **environment: str) -> str:
    """Runs the real huggingface_hub in a process of its own, as a pod does; gives what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | quiet | environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


BENCHES: Mapping[str, Callable[[Callable[[str], Any]], Bench]] = {
    "mlflow": lambda fixture: MlflowBench(fixture("mlflow_server")),
    "huggingFace": lambda fixture: HubBench(fixture("hub_server")),
}
"""Each makes a bench of the fixture that runs its server."""
