"""Tasks as the operator would write them, with fingerprints computed here from the bytes that a test put into a registry."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.core.things import START
from tests.evaluation.documents import DIGEST
from tests.registries.hubserver import LARGE
from tests.registries.mlflowserver import DESCRIPTION, MlflowServer
from weighbridge.core.pin import fingerprint
from weighbridge.evaluation.task import Task, TaskDataset, TaskModel, TaskSubject

REGISTERED = {"MLmodel": DESCRIPTION, "data.bin": b"weights", "code/deep/a.py": b"1"}
"""What `MlflowServer.register` registers."""


def read_identity(files: Mapping[str, bytes]) -> str:
    """Fingerprint of small files in a registry that keeps no digests."""
    contents = {path: hashlib.sha256(content).hexdigest() for path, content in files.items() if content}
    return fingerprint({path: len(content) for path, content in files.items()}, contents)


def hub_identity(files: Mapping[str, bytes]) -> str:
    """Fingerprint of files on the Hub."""

    def digest(path: str, content: bytes) -> str:
        if path.endswith(LARGE):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    contents = {path: digest(path, content) for path, content in files.items()}
    return fingerprint({path: len(content) for path, content in files.items()}, contents)


def mlflow_task(server: MlflowServer, name: str, version: str, identity: str, *datasets: TaskDataset, **parameters: str) -> Task:
    """A task on a registered version."""
    found = server.client.get_model_version(name, version)
    created_at = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    model = TaskModel(name=name, version=version, uri=f"models:/{name}/{version}", created_at=created_at, source=found.source)
    subject = TaskSubject(digest=DIGEST, fingerprint=identity)
    return Task(subject=subject, model=model, datasets=datasets, parameters=parameters)


def hub_task(name: str, commit: str, identity: str, *datasets: TaskDataset, **parameters: str) -> Task:
    """A task on a commit of the Hub."""
    model = TaskModel(registry="huggingFace", name=name, version=commit, uri=f"hf://{name}@{commit}", created_at=START, source=name)
    return Task(subject=TaskSubject(digest=DIGEST, fingerprint=identity), model=model, datasets=datasets, parameters=parameters)


def dataset(uri: str, identity: str, **fields: Any) -> TaskDataset:
    """A dataset of a task."""
    kind = "huggingFace" if uri.startswith("hf://") else "mlflow"
    whole = {"name": "holdout", "registry": kind, "path": "holdout", "revision": "abc", "uri": uri, "fingerprint": identity}
    return TaskDataset.model_validate(whole | fields)
