"""The Job of an evaluation: pure, and within Pod Security `restricted` by construction.

Nothing of a user's labels or annotations is copied. The pod gets pins and the workload's credentials for the registries they lie
in, no Kubernetes token, and nothing that writes to a registry; where a full report is asked for, the reporter alone gets what
writes it.
"""

from collections.abc import Mapping
from typing import Any

from ..api.base import API_VERSION, LocalRef, seconds
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.modelregistry import ModelRegistry, RegistryKind
from ..core.names import JOB_LABEL, MANAGED_BY, label_value
from .job import ENGINE, REPORTER
from .order import Order
from .task import (
    EXIT_MISCONFIGURED,
    EXIT_SUBJECT_CHANGED,
    PROGRESS,
    PROGRESS_PORT,
    REPORT,
    RESULT,
    SUBJECT,
    TASK,
    UPLOAD,
    task_of,
)

_SHARED = "/weighbridge"
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
_RESULT_LIMIT = "544Mi"
"""Space for the result and a full report of at most 512 MiB (folder.py)."""
_FILES = {RESULT: f"{_SHARED}/result.json", REPORT: f"{_SHARED}/report", PROGRESS: f"{_SHARED}/progress.json"}
"""What engine and reporter share."""
PORT = 8090
"""Where the reporter tells how far the engine is."""
_GRACE, _GRACE_WITH_REPORT = 30, 300
"""Seconds the reporter has once the engine has ended; more than its upload may take (reporter.py)."""


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
                    "terminationGracePeriodSeconds": _GRACE if spec.report is None else _GRACE_WITH_REPORT,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "runAsGroup": _USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "initContainers": [_reporter(job, resolved, registries, name, reporter_image)],
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
            *({"name": key, "value": value} for key, value in _FILES.items()),
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
    return variables + _credentials(spec.kind, spec.workload_credentials_secret_ref or spec.credentials_secret_ref)


def _credentials(kind: RegistryKind, ref: LocalRef | None) -> list[dict[str, Any]]:
    if ref is None:
        return []
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": key, "optional": True}}} for key in _CREDENTIALS[kind]
    ]


def _reporter(
    job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry], name: str, image: str
) -> dict[str, Any]:
    variables = _FILES | {SUBJECT: resolved.model.digest, PROGRESS_PORT: str(PORT)}
    return {
        "name": REPORTER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["weighbridge", "report"],
        "env": [
            *({"name": key, "value": value} for key, value in variables.items()),
            *_report_access(job, resolved, registries, name),
        ],
        "ports": [{"name": "progress", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [{"name": "result", "mountPath": _SHARED, "readOnly": True}],
    }


def _report_access(
    job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry], name: str
) -> list[dict[str, Any]]:
    """Where the full report goes and the credentials to write it, where one is asked for. Never the registry's other credentials:
    the operator's may do more, and the workload's are the engine's."""
    if job.spec.report is None:
        return []
    registry = registries[job.spec.report.registry_ref.name]
    order = Order(
        namespace=job.metadata.namespace,
        evaluation_job=job.metadata.name,
        uid=job.metadata.uid,
        attempt=name,
        subject=resolved.model.digest,
        model=resolved.model.uri,
        parent_run=resolved.model.run_id if resolved.model.registry == registry.metadata.name else "",
    )
    return [
        {"name": UPLOAD, "value": order.model_dump_json(by_alias=True)},
        {"name": _ADDRESS["mlflow"], "value": registry.spec.url},
        *_credentials("mlflow", registry.spec.report_credentials_secret_ref),
    ]


def _scheduling(job: EvaluationJob) -> dict[str, Any]:
    """The pod fields of spec.scheduling, absent where not asked for."""
    return {key: value for key, value in job.spec.scheduling.to_json().items() if value}
