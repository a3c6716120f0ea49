"""Deployments as serving targets: read the pointer and who owns it, judge the rollout, build the patch. No I/O here."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..api.serving import Pointer
from ..core.facts import Misfit, RolloutState, TargetState
from ..core.plan import Repoint

FIELD_MANAGER = "weighbridge"
_IMAGE_TROUBLE = {"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_CLOCKS_DIFFER = timedelta(seconds=10)
_CRASHES = 3
"""Crashes of one container that is not ready after which the rollout has failed. Fewer may be a dependency that came late."""


def pointer_patch(action: Repoint) -> dict[str, Any]:
    """Server-side apply that owns exactly the pointer's field, and only of the object that was looked at."""
    return {
        "apiVersion": action.target.api_version,
        "kind": action.target.kind,
        "metadata": {"name": action.target.name, "uid": action.uid, "resourceVersion": action.resource_version},
        "spec": {
            "template": {
                "spec": {
                    "containers": [{"name": action.pointer.container, "env": [{"name": action.pointer.env, "value": action.value}]}]
                }
            }
        },
    }


def target_state(
    deployment: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], pointer: Pointer, since: datetime | None = None
) -> TargetState:
    """The Deployment as the decision needs it; `pods` are those its selector finds. Only pods made since the pointer was given
    (`since`) can show that this rollout fails: what an older pod went through says nothing about it."""
    template = deployment["spec"]["template"]["spec"]
    container = _container(template, pointer)
    variable = _variable(container, pointer)
    value = variable.get("value", "") if variable is not None and "valueFrom" not in variable else None
    metadata = deployment["metadata"]
    where = f"Deployment/{metadata['name']}"
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    newest = [pod for pod in living if value is not None and pod_pointer(pod, pointer) == value and _made_since(pod, since)]
    return TargetState(
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        pointer=value,
        misfit=_misfit(where, container, variable, pointer),
        undeclared=_undeclared(where, variable, pointer),
        other_applier=_other_applier(metadata.get("managedFields", []), pointer),
        rollout=_rollout(deployment, newest, pointer),
        serving=dict(Counter(pod_pointer(pod, pointer) or "" for pod in living if _ready(pod))),
    )


def _misfit(where: str, container: Mapping[str, Any] | None, variable: Mapping[str, Any] | None, pointer: Pointer) -> Misfit | None:
    if container is None:
        return Misfit("ContainerNotFound", f"{where} has no container {pointer.container}; correct serving.pointer.container")
    if variable is not None and "valueFrom" in variable:
        text = f"{pointer.env} of {where} takes its value from elsewhere (valueFrom); give it a value"
        return Misfit("PointerHasOtherSource", text)
    return None


def _undeclared(where: str, variable: Mapping[str, Any] | None, pointer: Pointer) -> Misfit | None:
    if variable is not None:
        return None
    text = f"container {pointer.container} of {where} declares no {pointer.env}"
    return Misfit("PointerNotFound", f"{text}; correct serving.pointer.env, or declare it there (without a value)")


def pod_pointer(pod: Mapping[str, Any], pointer: Pointer) -> str | None:
    """What a pod was told to serve; None where it has no such variable."""
    variable = _variable(_container(pod["spec"], pointer), pointer)
    return None if variable is None else variable.get("value", "")


def newest_addresses(pods: Iterable[Mapping[str, Any]], pointer: Pointer, value: str) -> tuple[str, ...]:
    """Addresses of the ready pods that were told to serve `value`."""
    return tuple(
        sorted(
            pod["status"]["podIP"]
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and pod_pointer(pod, pointer) == value
            and _ready(pod)
            and pod["status"].get("podIP")
        )
    )


def _container(pod_spec: Mapping[str, Any], pointer: Pointer) -> Mapping[str, Any] | None:
    return next((each for each in pod_spec.get("containers", []) if each["name"] == pointer.container), None)


def _variable(container: Mapping[str, Any] | None, pointer: Pointer) -> Mapping[str, Any] | None:
    # The kubelet lets the last of several equal names win.
    found = [each for each in (container or {}).get("env", []) if each["name"] == pointer.env]
    return found[-1] if found else None


def _made_since(pod: Mapping[str, Any], since: datetime | None) -> bool:
    return since is None or datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) >= since - _CLOCKS_DIFFER


def _ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _other_applier(managed_fields: Iterable[Mapping[str, Any]], pointer: Pointer) -> str | None:
    path = (
        "f:spec",
        "f:template",
        "f:spec",
        "f:containers",
        f'k:{{"name":"{pointer.container}"}}',
        "f:env",
        f'k:{{"name":"{pointer.env}"}}',
        "f:value",
    )
    for entry in managed_fields:
        if entry.get("operation") != "Apply" or entry.get("manager") == FIELD_MANAGER or entry.get("subresource"):
            continue
        node: Any = entry.get("fieldsV1", {})
        for step in path:
            node = node.get(step) if isinstance(node, Mapping) else None
        if node is not None:
            return str(entry.get("manager", "unknown"))
    return None


def _rollout(deployment: Mapping[str, Any], newest: Sequence[Mapping[str, Any]], pointer: Pointer) -> RolloutState:
    status = deployment.get("status", {})
    wanted = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return RolloutState("Progressing", "Observing", "the Deployment's controller has not seen the change yet")
    updated, available, total = (status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas"))
    if wanted and updated == available == total == wanted:
        return RolloutState("Complete")
    if deployment["spec"].get("paused"):
        return RolloutState("Progressing", "Paused", "the Deployment is paused: nothing rolls out before it is resumed")
    troubles = [trouble for pod in newest if (trouble := _pod_trouble(pod, pointer))]
    for trouble in troubles:
        if trouble.state == "Failed":
            return trouble
    for condition in status.get("conditions", []):
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return RolloutState("Failed", "DeadlineExceeded", "the Deployment's own progress deadline passed")
    if not wanted:
        return RolloutState("Progressing", "ScaledToZero", "the Deployment has no replicas: nothing can prove that it serves")
    if troubles:
        return troubles[0]
    return RolloutState(
        "Progressing", "RollingOut", f"{updated} of {wanted} pods are new, {max(0, total - updated)} old ones are left"
    )


def _pod_trouble(pod: Mapping[str, Any], pointer: Pointer) -> RolloutState | None:
    """What keeps a pod of the newest template from serving. Crashes are counted, not judged by the state the kubelet happens to
    show: it may be terminated, waiting or running again."""
    name = pod["metadata"]["name"]
    for status in pod.get("status", {}).get("containerStatuses", []):
        if status["name"] != pointer.container or status.get("ready"):
            continue
        state = status.get("state", {})
        waiting = state.get("waiting", {}).get("reason", "")
        if waiting in _IMAGE_TROUBLE:
            return RolloutState("Failed", "ImageUnavailable", f"pod {name} cannot get its image ({waiting})")
        down = "terminated" in state or waiting == "CrashLoopBackOff"
        crashes = status.get("restartCount", 0) + (1 if down else 0)
        if not crashes:
            continue
        ended = state.get("terminated") or status.get("lastState", {}).get("terminated", {})
        how, code = ended.get("reason", "Error"), ended.get("exitCode", "unknown")
        reason = "OutOfMemory" if how == "OOMKilled" else "CrashLoop"
        times = "once" if crashes == 1 else f"{crashes} times"
        outcome = "Failed" if crashes >= _CRASHES else "Progressing"
        return RolloutState(outcome, reason, f"pod {name} crashed {times} ({how}, exit code {code})")
    return None
