"""What the operator asks of an engine: the task, as the engine's container finds it in its environment.

Engines of other people read this too, so it is a contract: fields are added, never changed. It holds pins, never aliases, and no
credentials.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ..api.base import ApiModel
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.modelregistry import ModelRegistry, RegistryKind

TASK = "WEIGHBRIDGE_TASK"
"""Environment variable of the engine that holds the task as JSON."""
RESULT = "WEIGHBRIDGE_RESULT"
"""Environment variable that names the file the engine writes: under another name first, then renamed."""
REPORT = "WEIGHBRIDGE_REPORT"
"""Environment variable that names the folder of the full report, which the engine makes and writes any files into."""
PROGRESS = "WEIGHBRIDGE_PROGRESS"
"""Environment variable that names the file in which the engine tells how far it is: under another name first, then renamed."""
SUBJECT = "WEIGHBRIDGE_SUBJECT"
"""Environment variable of the reporter: digest that the result must speak of."""
TERMINATION_LOG = "WEIGHBRIDGE_TERMINATION_LOG"
"""Environment variable of the reporter: file of its termination message."""
PROGRESS_PORT = "WEIGHBRIDGE_PROGRESS_PORT"
"""Environment variable of the reporter: port on which it tells the operator how far the engine is; without it, it does not."""
UPLOAD = "WEIGHBRIDGE_UPLOAD"
"""Environment variable of the reporter: where the full report goes, as JSON (upload.py); without it, nowhere."""
UPLOAD_SECONDS = "WEIGHBRIDGE_UPLOAD_SECONDS"
"""Environment variable of the reporter: longest time for comparisons and the upload of the full report."""

EXIT_MISCONFIGURED = 2
"""Exit code of our engines: the task itself cannot be carried out; another attempt would end the same."""
EXIT_SUBJECT_CHANGED = 3
"""Exit code of our engines: what was loaded is not what was pinned, or what was pinned is gone."""
EXIT_REGISTRY_FAILED = 4
"""Exit code of our engines: the registry did not hand over what was pinned; another attempt may do better."""


class TaskSubject(ApiModel):
    """What is weighed, and what the result must name."""

    digest: str
    """Goes into the result as `subject.digest`."""
    fingerprint: str
    """Over the model's files and sizes (core/pin.py)."""


class TaskModel(ApiModel):
    """The pinned model version."""

    registry: RegistryKind = "mlflow"
    name: str
    version: str
    uri: str
    created_at: datetime
    source: str


class TaskDataset(ApiModel):
    """A pinned dataset."""

    name: str
    """Name within the evaluation."""
    registry: RegistryKind = "mlflow"
    path: str
    revision: str
    uri: str
    file: str = ""
    """The one file that is wanted, below `uri`; empty for all."""
    fingerprint: str


class Task(ApiModel):
    """One evaluation: model, datasets, parameters."""

    schema_version: Annotated[Literal["v1"], Field()] = "v1"
    subject: TaskSubject
    model: TaskModel
    datasets: tuple[TaskDataset, ...] = ()
    parameters: dict[str, str] = {}


def task_of(job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry]) -> Task:
    """The task of this evaluation on these pins; `registries` are the connections they were found in, by name."""
    model = resolved.model
    return Task(
        subject=TaskSubject(digest=model.digest, fingerprint=model.fingerprint),
        model=TaskModel(
            registry=registries[model.registry].spec.kind,
            name=model.name,
            version=model.version,
            uri=model.uri,
            created_at=model.created_at,
            source=model.source,
        ),
        datasets=tuple(
            TaskDataset(
                name=each.name,
                registry=registries[each.registry].spec.kind,
                path=each.path,
                revision=each.revision,
                uri=each.uri,
                file=each.file,
                fingerprint=each.fingerprint,
            )
            for each in resolved.datasets
        ),
        parameters=job.spec.evaluator.parameters,
    )
