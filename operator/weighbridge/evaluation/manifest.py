"""The Job of an evaluation: pure, and within Pod Security `restricted` by construction.

Nothing of a user's labels or annotations is copied. The pod gets pins and the workload's credentials for the registries they lie
in, no Kubernetes token, and nothing that writes to a registry.
"""

from collections.abc import Mapping
from typing import Any

from ..api.base import API_VERSION, seconds
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.modelregistry import ModelRegistry, RegistryKind
from ..core.names import JOB_LABEL, MANAGED_BY, label_value
from .job import ENGINE, REPORTER
from .task import EXIT_MISCONFIGURED, EXIT_SUBJECT_CHANGED, RESULT, SUBJECT, TASK, task_of

_SHARED = "/weighbridge"
_RESULT_FILE = f"{_SHARED}/result.json"
_ADDRESS: dict[RegistryKind, str] = {"mlflow": "MLFLOW_TRACKING_URI", "huggingFace": "HF_ENDPOINT"}
"""Environment variable that tells a registry's own client where it is."""
_CREDENTIALS: dict[RegistryKind, tuple[str, ...]] = {
    "mlflow": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "huggingFace": ("HF_TOKEN",),
}
"""Keys of its Secret, and the environment variables they become."""
_MANNERS: dict[RegistryKind, dict[str, str]] = {
    "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true"},
    "huggingFace": {"HF_HOME": "/tmp/huggingface", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"},  # noqa: S108
}
"""What its client needs on a read-only root; no reports to vendors. Xet takes memory without bound and has been seen to hang."""
_USER = 65532
_LOCKED_DOWN = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_RESULT_LIMIT = "16Mi"
"""Space for the result."""


def job_manifest(
    job: EvaluationJob,
    resolved: Resolved,
    registries: Mapping[str, ModelRegistry],
    *,
    name: str,
    evaluator_image: str,
    reporter_image: str,
) -> dict[str, Any]:
    """The Job that carries out this evaluation; `registries` are connections by name, at least those the pins were found in.

    It has no time to live: the operator deletes it once the result is recorded, however long that takes. Raises ValueError where
    the pins lie in two registries of one kind: a pod has one address of each.
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
                    "containers": [_engine(job, resolved, registries, evaluator_image)],
                    "volumes": [
                        {"name": "result", "emptyDir": {"sizeLimit": _RESULT_LIMIT}},
                        {"name": "scratch", "emptyDir": {"sizeLimit": spec.scratch}},
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


def _engine(
    job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry], evaluator_image: str
) -> dict[str, Any]:
    evaluator, resources = job.spec.evaluator, job.spec.resources
    container: dict[str, Any] = {
        "name": ENGINE,
        "image": evaluator.image or evaluator_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 (a directory of the pod alone)
            {"name": TASK, "value": task_of(job, resolved, registries).model_dump_json(by_alias=True)},
            {"name": RESULT, "value": _RESULT_FILE},
            *(variable for registry in _in_use(resolved, registries) for variable in _access(registry)),
        ],
        "resources": {key: dict(value) for key, value in (("limits", resources.limits), ("requests", resources.requests)) if value},
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [{"name": "result", "mountPath": _SHARED}, {"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
    }
    if evaluator.engine == "mlflow":
        container["command"] = ["python", "-m", "weighbridge.evaluation.mlflow_engine"]
    return container


def _in_use(resolved: Resolved, registries: Mapping[str, ModelRegistry]) -> list[ModelRegistry]:
    """The registries that the pins were found in, the model's first. Raises ValueError for two of one kind."""
    names = dict.fromkeys((resolved.model.registry, *(each.registry for each in resolved.datasets)))
    found = [registries[name] for name in names]
    if len({registry.spec.kind for registry in found}) < len(found):
        raise ValueError(f"two registries of one kind in one evaluation: {', '.join(names)}")
    return found


def _access(registry: ModelRegistry) -> list[dict[str, Any]]:
    """Where the registry is, and the workload's credentials for it: single known keys, never a whole Secret."""
    spec = registry.spec
    variables: list[dict[str, Any]] = [{"name": _ADDRESS[spec.kind], "value": spec.url}]
    variables += [{"name": key, "value": value} for key, value in _MANNERS[spec.kind].items()]
    if ref := spec.workload_credentials_secret_ref or spec.credentials_secret_ref:
        variables += [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": key, "optional": True}}}
            for key in _CREDENTIALS[spec.kind]
        ]
    return variables


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
