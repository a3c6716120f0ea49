"""The Job of an evaluation: pure, and within Pod Security `restricted` by construction.

Nothing of a user's labels or annotations is copied. The pod gets pins and the workload's credentials for the registries they lie
in, no Kubernetes token, and nothing that writes to a registry; where a full report is asked for, the reporter alone gets what
writes it.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ..api.base import API_VERSION, seconds
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.modelregistry import ModelRegistry
from ..api.report import Report
from ..core.engines import BUILT_IN, Engine
from ..core.names import JOB_LABEL, MANAGED_BY, label_value
from ..core.preflight import mebibytes
from .access import ADDRESS, access, credentials
from .job import ENGINE, REPORTER
from .kueue import PRIORITY, QUEUE
from .order import Order, Wanted
from .task import PROGRESS, PROGRESS_PORT, REPORT, RESULT, SUBJECT, TASK, UPLOAD, task_of

_SHARED = "/weighbridge"
_USER = 65532
_LOCKED_DOWN = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_RESULT_SPACE = 544
"""Mebibytes for the result and a full report of at most 512 MiB (folder.py)."""
_LOG_SPACE = 64
"""Mebibytes for each container's log."""
_DISRUPTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
"""A pod that was evicted, drained or preempted has not failed: another one takes its place."""
_OF_THE_JOB = {"queueName", "queuePriorityClassName"}
"""What spec.scheduling says of the Job, not of its pod."""
_FILES = {RESULT: f"{_SHARED}/result.json", REPORT: f"{_SHARED}/report", PROGRESS: f"{_SHARED}/progress.json"}
"""What engine and reporter share."""
TRACEPARENT = "TRACEPARENT"
"""Variable of the engine, where traces are on (W3C Trace Context)."""
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
    engines: Mapping[str, Engine] = BUILT_IN,
) -> dict[str, Any]:
    """The Job that carries out this evaluation; `registries` are connections by name, at least those the pins were found in.

    It has no time to live: the operator deletes it once the result is recorded, however long that takes. One pod of it counts:
    those that were disrupted are replaced, and what follows a failure is the operator's decision. The pod's own deadline does not
    count what it waits. In a queue the Job is made suspended, so that nothing runs past the queue where Kueue is not there. Raises
    ValueError where the pins lie in two registries of one kind: a pod has one address of each.
    """
    spec = job.spec
    labels = MANAGED_BY | {JOB_LABEL: label_value(job.metadata.name)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": job.metadata.namespace,
            "labels": labels | _queue(job),
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
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": [_DISRUPTED]},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": _GRACE if spec.report is None else _GRACE_WITH_REPORT,
                    "activeDeadlineSeconds": max(1, int(seconds(spec.active_deadline))),
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "runAsGroup": _USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "initContainers": [_reporter(job, resolved, registries, name, reporter_image)],
                    "containers": [_engine(job, resolved, registries, engines[spec.evaluator.engine], evaluator_image)],
                    "volumes": [
                        {"name": "result", "emptyDir": {"sizeLimit": f"{_RESULT_SPACE}Mi"}},
                        {"name": "scratch", "emptyDir": {"sizeLimit": spec.scratch}},
                        *_shared_memory(job),
                    ],
                }
                | _scheduling(job),
            },
        }
        | ({"suspend": True} if spec.scheduling.queue_name else {}),
    }


def traced(manifest: Mapping[str, Any], traceparent: str) -> Mapping[str, Any]:
    """The same Job, whose engine may go on with a trace; itself where there is none. What it is called does not depend on that."""
    if not traceparent:
        return manifest
    job = deepcopy(dict(manifest))
    for container in job["spec"]["template"]["spec"]["containers"]:
        container["env"].append({"name": TRACEPARENT, "value": traceparent})
    return job


def _queue(job: EvaluationJob) -> dict[str, str]:
    scheduling = job.spec.scheduling
    labels = {QUEUE: scheduling.queue_name, PRIORITY: scheduling.queue_priority_class_name}
    return {key: value for key, value in labels.items() if value}


def _shared_memory(job: EvaluationJob) -> list[dict[str, Any]]:
    size = job.spec.shared_memory
    return [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": size}}] if size else []


def _resources(job: EvaluationJob) -> dict[str, dict[str, str]]:
    """The engine's. All that the pod writes to the node's disk is within its limit; little of it is reserved unless asked for."""
    asked = job.spec.resources
    limits = {**asked.limits, "ephemeral-storage": f"{mebibytes(job.spec.scratch) + _RESULT_SPACE + _LOG_SPACE}Mi"}
    return {"limits": limits, "requests": {"ephemeral-storage": f"{_LOG_SPACE}Mi", **asked.requests}}


def _engine(
    job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry], engine: Engine, evaluator_image: str
) -> dict[str, Any]:
    evaluator = job.spec.evaluator
    container: dict[str, Any] = {
        "name": ENGINE,
        "image": engine.image_for(evaluator, evaluator_image),
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 (a directory of the pod alone)
            {"name": TASK, "value": task_of(job, resolved, registries).model_dump_json(by_alias=True)},
            *({"name": key, "value": value} for key, value in _FILES.items()),
            *(variable for registry in _in_use(resolved, registries) for variable in access(registry)),
        ],
        "resources": _resources(job),
        "securityContext": _LOCKED_DOWN,
        "volumeMounts": [
            {"name": "result", "mountPath": _SHARED},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108
            *({"name": each["name"], "mountPath": "/dev/shm"} for each in _shared_memory(job)),  # noqa: S108
        ],
    }
    for key, value in (("command", engine.command or evaluator.command), ("args", evaluator.args)):
        if value:
            container[key] = list(value)
    return container


def _in_use(resolved: Resolved, registries: Mapping[str, ModelRegistry]) -> list[ModelRegistry]:
    """The registries that the pins were found in, the model's first. Raises ValueError for two of one kind."""
    names = dict.fromkeys((resolved.model.registry, *(each.registry for each in resolved.datasets)))
    found = [registries[name] for name in names]
    if len({registry.spec.kind for registry in found}) < len(found):
        raise ValueError(f"two registries of one kind in one evaluation: {', '.join(names)}")
    return found


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
        "resources": {
            "requests": {"cpu": "10m", "memory": "64Mi", "ephemeral-storage": f"{_LOG_SPACE}Mi"},
            "limits": {"cpu": "1", "memory": "128Mi", "ephemeral-storage": f"{_LOG_SPACE}Mi"},
        },
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
        **_against(job),
        parent_run=resolved.model.run_id if resolved.model.registry == registry.metadata.name else "",
    )
    return [
        {"name": UPLOAD, "value": order.model_dump_json(by_alias=True)},
        {"name": ADDRESS["mlflow"], "value": registry.spec.url},
        *credentials("mlflow", registry.spec.report_credentials_secret_ref),
    ]


def _against(job: EvaluationJob) -> dict[str, Any]:
    """The champion's report, and the paired tests that the gate needs."""
    rules = [rule for rule in job.spec.gate if rule.confidence is not None and rule.metric is not None]
    champion = job.status.champion
    if not rules or champion is None or not champion.evaluation:
        return {}
    report = champion.report or Report()
    wanted = {
        Wanted(metric=rule.metric or "", slice=rule.slice, every=rule.slices is not None, margin=rule.max_regression or 0.0): None
        for rule in rules
    }
    return {"champion": report.uri, "champion_sha256": report.sha256, "wanted": tuple(wanted)}


def _scheduling(job: EvaluationJob) -> dict[str, Any]:
    """The pod fields of spec.scheduling, absent where not asked for."""
    return {key: value for key, value in job.spec.scheduling.to_json().items() if value and key not in _OF_THE_JOB}
