"""Names of the objects the operator creates: deterministic, so that creating twice finds the first one."""

import hashlib
import json

from ..api.evaluationjob import EvaluationJob
from ..api.modelversion import Evaluation, ModelVersion

MANAGED_BY = {"app.kubernetes.io/managed-by": "weighbridge"}
JOB_LABEL = "weighbridge.dev/evaluation-job"
VERSION_LABEL = "weighbridge.dev/model-version"


def label_value(name: str) -> str:
    """A name as a label value: itself where it fits (63 characters), else its start and a hash."""
    return name if len(name) <= 63 else f"{name[:52].rstrip('-.')}-{_hash(name)}"


def job_name(evaluation: EvaluationJob, attempt: int = 1) -> str:
    """Name of the Kubernetes Job: one per attempt of an EvaluationJob object, also after one of the same name was deleted."""
    suffix = f"-{attempt}" if attempt > 1 else ""
    return _joined(evaluation.metadata.name, evaluation.metadata.uid, limit=63 - len(suffix)) + suffix


def evaluation_name(version: ModelVersion, evaluation: Evaluation, digest: str) -> str:
    """Name of the EvaluationJob: another content, template or gate is another evaluation."""
    # Without defaults: a field that a later release brings must not name every evaluation anew.
    asked = evaluation.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"max_age"})
    inputs = json.dumps(asked, sort_keys=True) + digest + version.metadata.uid
    return _joined(f"{version.metadata.name}-{evaluation.name}", inputs, limit=120)


def _joined(stem: str, inputs: str, limit: int) -> str:
    return f"{stem[: limit - 9].rstrip('-.')}-{_hash(inputs)}".replace(".", "-")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
