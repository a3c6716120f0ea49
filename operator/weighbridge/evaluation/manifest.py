"""The Job of an evaluation: pure, and within Pod Security `restricted` by construction.

Nothing of a user's labels or annotations is copied. The pod gets pins and the workload's registry credentials, no Kubernetes token,
and nothing that writes to a registry.
"""

from typing import Any

from ..api.base import API_VERSION, seconds
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.modelregistry import ModelRegistry
from ..core.names import JOB_LABEL, MANAGED_BY, label_value
from .job import ENGINE, REPORTER
from .task import EXIT_MISCONFIGURED, EXIT_SUBJECT_CHANGED, RESULT, SUBJECT, TASK, task_of

_SHARED = "/weighbridge"
_RESULT_FILE = f"{_SHARED}/result.json"
_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
_USER = 65532
_LOCKED_DOWN = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_SCRATCH_LIMIT, _RESULT_LIMIT = "20Gi", "16Mi"
"""Space for the model and its data, and for the result."""


def job_manifest(
    job: EvaluationJob, resolved: Resolved, registry: ModelRegistry, *, name: str, evaluator_image: str, reporter_image: str
) -> dict[str, Any]:
    """The Job that carries out this evaluation; `registry` is the connection the model was found in.

    It has no time to live: the operator deletes it once the result is recorded, however long that takes.
    """
    spec = job.spec
    labels = MANAGED_BY | {JOB_LABEL: label_value(job.metadata.name)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": job.metadata.namespace,
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": job.info.kind,
                    "name": job.metadata.name,
                    "uid": job.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "backoffLimit": spec.backoff_limit,
            "activeDeadlineSeconds": max(1, int(seconds(spec.active_deadline))),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules(job)},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 30,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "runAsGroup": _USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "initContainers": [_reporter(resolved, reporter_image)],
                    "containers": [_engine(job, resolved, registry, evaluator_image)],
                    "volumes": [
                        {"name": "result", "emptyDir": {"sizeLimit": _RESULT_LIMIT}},
                        {"name": "scratch", "emptyDir": {"sizeLimit": _SCRATCH_LIMIT}},
                    ],
                }
                | _scheduling(job),
            },
        },
    }


def _failure_rules(job: EvaluationJob) -> list[dict[str, Any]]:
    """A pod that was evicted or preempted is no failed attempt; one that cannot succeed is not tried again."""
    rules: list[dict[str, Any]] = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    if job.spec.evaluator.engine == "mlflow":
        codes = [EXIT_MISCONFIGURED, EXIT_SUBJECT_CHANGED]
        rules.append({"action": "FailJob", "onExitCodes": {"containerName": ENGINE, "operator": "In", "values": codes}})
    return rules


def _engine(job: EvaluationJob, resolved: Resolved, registry: ModelRegistry, evaluator_image: str) -> dict[str, Any]:
    evaluator, resources = job.spec.evaluator, job.spec.resources
    container: dict[str, Any] = {
        "name": ENGINE,
        "image": evaluator.image or evaluator_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 (a directory of the pod alone)
            {"name": TASK, "value": task_of(job, resolved).model_dump_json(by_alias=True)},
            {"name": RESULT, "value": _RESULT_FILE},
            *_registry(registry),
        ],
        "resources": {key: dict(value) for key, value in (("limits", resources.limits), ("requests", resources.requests)) if value},
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [{"name": "result", "mountPath": _SHARED}, {"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
    }
    if evaluator.engine == "mlflow":
        container["command"] = ["python", "-m", "weighbridge.evaluation.mlflow_engine"]
    return container


def _registry(registry: ModelRegistry) -> list[dict[str, Any]]:
    """Where the registry is, and the workload's credentials for it: single known keys, never a whole Secret."""
    connection, ref = registry.spec.mlflow, registry.spec.workload_credentials_secret_ref or registry.spec.credentials_secret_ref
    where: list[dict[str, Any]] = [{"name": "MLFLOW_TRACKING_URI", "value": connection.url}] if connection else []
    if not ref:
        return where
    return where + [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": key, "optional": True}}} for key in _CREDENTIALS
    ]


def _reporter(resolved: Resolved, image: str) -> dict[str, Any]:
    return {
        "name": REPORTER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["weighbridge", "report"],
        "env": [{"name": RESULT, "value": _RESULT_FILE}, {"name": SUBJECT, "value": resolved.model.digest}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [{"name": "result", "mountPath": _SHARED, "readOnly": True}],
    }


def _scheduling(job: EvaluationJob) -> dict[str, Any]:
    """The pod fields of spec.scheduling, absent where not asked for."""
    return {key: value for key, value in job.spec.scheduling.to_json().items() if value}
