"""Reads a Kubernetes Job and its pods: how far it is, why it failed, what the reporter handed over. No I/O here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ..api.evaluationjob import EvaluationJob, Results
from ..core.evaluationfacts import JobFacts, ResultProblem
from .message import read_summary
from .task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED

REPORTER = "reporter"
ENGINE = "engine"
_EXITS = {
    EXIT_MISCONFIGURED: ("EvaluatorMisconfigured", "the engine cannot do what spec.evaluator asks"),
    EXIT_SUBJECT_CHANGED: ("SubjectChanged", "what the engine loaded is not what was pinned"),
    EXIT_REGISTRY_FAILED: ("EngineFailed", "the registry did not hand over what was pinned, in each attempt"),
}
"""What our own engine's exit codes mean; another image's say only that it failed."""
_ENDED = ("Succeeded", "Failed")
_NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_REASONS = {
    "DeadlineExceeded": ("DeadlineExceeded", "the evaluation ran longer than spec.activeDeadline"),
    "BackoffLimitExceeded": ("EngineFailed", "the engine's pod failed; see its log"),
    "PodFailurePolicy": ("EngineFailed", "the engine refused to go on; see its log"),
}


def job_facts(job: Mapping[str, Any], owner: EvaluationJob, pods: Sequence[Mapping[str, Any]] = ()) -> JobFacts:
    """The Job as the decision needs it; `pods` give the reason of a failure its detail."""
    status = job.get("status", {})
    metadata = job["metadata"]
    ended = {each["type"]: each for each in status.get("conditions", []) if each["status"] == "True"}
    reason = message = ""
    state: Literal["Waiting", "Running", "Complete", "Failed"]
    if "Complete" in ended:
        state = "Complete"
    elif "Failed" in ended:
        state = "Failed"
        reason, message = _REASONS.get(ended["Failed"].get("reason", ""), ("EngineFailed", "the evaluation's Job failed"))
        if reason == "EngineFailed" and (detail := _engine_end(pods, owner.spec.evaluator.engine)):
            reason, message = detail
    else:
        state = "Running" if status.get("ready", 0) else "Waiting"
        reason, message = (state == "Waiting" and _obstacle(pods)) or ("", "")
    return JobFacts(
        uid=metadata["uid"],
        ours=any(each.get("uid") == owner.metadata.uid for each in metadata.get("ownerReferences", ())),
        state=state,
        started_at=_time(status.get("startTime")) if state != "Waiting" else None,
        finished_at=_time(status.get("completionTime") or ended.get("Failed", {}).get("lastTransitionTime")),
        reason=reason,
        message=message,
    )


def is_of(pod: Mapping[str, Any], uid: str) -> bool:
    """Whether the Job of this uid is the pod's controller. The label alone says nothing: anybody puts it on a pod by hand."""
    return any(each.get("uid") == uid and each.get("controller") for each in pod["metadata"].get("ownerReferences", ()))


def running(pods: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Uid and address of the newest pod that runs; None where none does."""
    there = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running" and pod["status"].get("podIP")]
    newest = max(there, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)
    return (str(newest["metadata"]["uid"]), str(newest["status"]["podIP"])) if newest else None


def report(pods: Sequence[Mapping[str, Any]], digest: str) -> Results | ResultProblem | None:
    """What the reporter of the newest pod that ended handed over; None where no pod has ended.

    Where that one handed over nothing, there is no result: that of an earlier pod belongs to an attempt that was given up.
    """
    ended = [pod for pod in pods if pod.get("status", {}).get("phase") in _ENDED or _last_words(pod) is not None]
    if not ended:
        return None
    newest = max(ended, key=lambda pod: (str(pod["metadata"].get("creationTimestamp", "")), pod["metadata"].get("name", "")))
    return read_summary(_last_words(newest) or "", digest)


def _last_words(pod: Mapping[str, Any]) -> str | None:
    """The termination message of the pod's reporter; None where it has not ended."""
    for container in pod.get("status", {}).get("initContainerStatuses", []):
        # A reporter that broke has its words in lastState while the kubelet waits to start it again; one that runs has none yet.
        state = container.get("state", {})
        ended = state.get("terminated") or (None if "running" in state else container.get("lastState", {}).get("terminated"))
        if container["name"] == REPORTER and ended:
            return str(ended.get("message", ""))
    return None


def _obstacle(pods: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """What keeps a pod from starting."""
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            waiting = container.get("state", {}).get("waiting", {}).get("reason", "")
            if waiting in _NO_IMAGE:
                return "ImageUnavailable", f"pod {name} cannot get the image of container {container['name']} ({waiting})"
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return "Unschedulable", f"no node takes pod {name}: {condition.get('message', '')[:300]}"
    return None


def _engine_end(pods: Sequence[Mapping[str, Any]], engine: str) -> tuple[str, str] | None:
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True):
        for container in pod.get("status", {}).get("containerStatuses", []):
            ended = container.get("state", {}).get("terminated")
            if container["name"] != ENGINE or not ended:
                continue
            code, how = ended.get("exitCode", 0), ended.get("reason", "Error")
            if how == "OOMKilled":
                return "OutOfMemory", "the engine needed more memory than resources.limits.memory allows"
            if code:
                reason, what = _EXITS.get(code, ("", "")) if engine == "mlflow" else ("", "")
                what = what or f"the engine ended with exit code {code}"
                return reason or "EngineFailed", f"{what}; see the log of pod {pod['metadata']['name']}"
    return None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
