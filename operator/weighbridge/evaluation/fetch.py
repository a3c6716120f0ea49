"""Brings the pinned subject of an evaluation onto the disk of its pod, and proves that it is the pinned one.

Knows the registries there are, and nothing of engines: any program of ours that weighs models loads them through here. What cannot
be proved is not handed out.
"""

from collections.abc import MutableMapping
from pathlib import Path

from . import fetch_hub, fetch_mlflow
from .refusal import Refusal
from .task import EXIT_SUBJECT_CHANGED, Task, TaskDataset

CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN")


def tidy_credentials(environment: MutableMapping[str, str]) -> None:
    """Takes away the white space around credentials that `echo | base64` leaves in a Secret. Pre-flight asked without it."""
    for key in CREDENTIALS:
        if key in environment:
            environment[key] = environment[key].strip()


def fetch_model(task: Task, scratch: Path) -> Path:
    """The folder below `scratch` with the files of the pinned model. Raises Refusal."""
    wanted = task.model
    fetch = fetch_hub.fetch_model if wanted.registry == "huggingFace" else fetch_mlflow.fetch_model
    fetched = fetch(wanted, _fresh(scratch / "model"))
    if fetched.fingerprint != task.subject.fingerprint:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"the files of {wanted.name} {wanted.version} are no longer those that were pinned")
    return fetched.folder


def fetch_dataset(wanted: TaskDataset, scratch: Path) -> Path:
    """The folder below `scratch` with the files of the pinned dataset, or with the one that is wanted. Raises Refusal."""
    fetch = fetch_hub.fetch_dataset if wanted.registry == "huggingFace" else fetch_mlflow.fetch_dataset
    fetched = fetch(wanted, _fresh(scratch / f"dataset-{wanted.name}"))
    if fetched.fingerprint != wanted.fingerprint:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"the content of dataset {wanted.path} is no longer what was pinned")
    return fetched.folder


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
