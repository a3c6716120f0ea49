"""Reads a Kubernetes Job and its pods: how far it is, why it failed, what the reporter handed over. No I/O here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from ..api.evaluationjob import EvaluationJob
from ..api.results import Results
from ..core.engines import BUILT_IN, Engine
from ..core.evaluationfacts import JobFacts, ResultProblem
from . import kueue
from .message import read_summary
from .task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED

REPORTER = "reporter"
ENGINE = "engine"
Exits: TypeAlias = Mapping[int, tuple[str, str]]
_EXITS: Exits = {
    EXIT_MISCONFIGURED: ("EvaluatorMisconfigured", "the engine cannot do what spec.evaluator asks"),
    EXIT_SUBJECT_CHANGED: ("SubjectChanged", "what the engine loaded is not what was pinned"),
    EXIT_REGISTRY_FAILED: ("EngineFailed", "it did not get what it needed, from the registry or from the endpoint"),
}
"""What the exit codes of task.py mean; those of engines that do not keep them say only that it failed."""
_NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"}
_ENDED = {"Succeeded", "Failed"}
_REASONS = {
    "DeadlineExceeded": ("DeadlineExceeded", "the evaluation ran longer than spec.activeDeadline"),
    "BackoffLimitExceeded": ("EngineFailed", "the engine's pod failed; see its log"),
    "PodFailurePolicy": ("EngineFailed", "the engine refused to go on; see its log"),
}


def job_facts(
    job: Mapping[str, Any],
    owner: EvaluationJob,
    pods: Sequence[Mapping[str, Any]] = (),
    workload: Mapping[str, Any] | None = None,
    engines: Mapping[str, Engine] = BUILT_IN,
) -> JobFacts:
    """The Job as the decision needs it; `pods` are its own, `workload` is what stands for it in Kueue, where that could be read."""
    status = job.get("status", {})
    metadata = job["metadata"]
    ended = {each["type"]: each for each in status.get("conditions", []) if each["status"] == "True"}
    newest = max(pods, key=_age, default=None)
    state: Literal["Queued", "Waiting", "Running", "Complete", "Failed"]
    reason = message = ""
    if "Complete" in ended and not pods:
        state, reason = "Complete", "ResultLost"
        message = "the pod ended well and was gone, with its result, before that was read"
    elif "Complete" in ended:
        # A list may be older than the Job: what the pod left is in it once it shows the pod's end.
        state = "Complete" if any(_has_ended(pod) for pod in pods) else "Running"
    elif "Failed" in ended:
        state = "Failed"
        reason, message = _failure(ended["Failed"].get("reason", ""), pods, _exits(owner, engines))
    elif job.get("spec", {}).get("suspend"):
        state = "Queued"
        reason, message = _queued(metadata, workload)
    elif status.get("ready", 0) or (newest is not None and _engine(newest).keys() & {"running", "terminated"}):
        state = "Running"
    else:
        state = "Waiting"
        reason, message = _obstacle(pods) or ("", "")
    return JobFacts(
        uid=metadata["uid"],
        ours=any(each.get("uid") == owner.metadata.uid for each in metadata.get("ownerReferences", ())),
        state=state,
        created_at=_time(metadata.get("creationTimestamp")),
        started_at=_started(newest, status) if state not in ("Queued", "Waiting") else None,
        finished_at=_time(status.get("completionTime") or ended.get("Failed", {}).get("lastTransitionTime")),
        reason=reason,
        message=message,
        image=_image(newest),
    )


def _exits(owner: EvaluationJob, engines: Mapping[str, Engine]) -> Exits:
    engine = engines.get(owner.spec.evaluator.engine)
    return _EXITS if engine is not None and engine.exit_codes else {}


def _image(pod: Mapping[str, Any] | None) -> str:
    """The image that the pod's engine really runs, with its digest; empty where the kubelet has not said."""
    return str(_engine_status(pod).get("imageID", "")) if pod is not None else ""


def still_there(pods: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of the pods that have not ended: they may hold a device."""
    return tuple(sorted(pod["metadata"]["name"] for pod in pods if not _has_ended(pod)))


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in _ENDED


def _age(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _engine_status(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the kubelet says of the pod's engine."""
    statuses: Sequence[Mapping[str, Any]] = pod.get("status", {}).get("containerStatuses", ())
    return next((each for each in statuses if each["name"] == ENGINE), {})


def _engine(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of the pod's engine."""
    state: Mapping[str, Any] = _engine_status(pod).get("state", {})
    return state


def _started(pod: Mapping[str, Any] | None, status: Mapping[str, Any]) -> datetime | None:
    state = _engine(pod) if pod is not None else {}
    engine = state.get("running") or state.get("terminated") or {}
    return _time(engine.get("startedAt") or status.get("startTime"))


def _queued(metadata: Mapping[str, Any], workload: Mapping[str, Any] | None) -> tuple[str, str]:
    """Why the Job is suspended."""
    queue = metadata.get("labels", {}).get(kueue.QUEUE)
    if queue is None:
        return "Suspended", f"somebody suspended Job {metadata['name']}; it runs once its spec.suspend is false"
    said = kueue.words(workload) if workload is not None else ""
    return "Queued", f"waits in queue {queue}" + (f" ({said})" if said else " until Kueue admits it")


def _failure(reason: str, pods: Sequence[Mapping[str, Any]], exits: Exits) -> tuple[str, str]:
    """Why the Job failed."""
    word, text = _REASONS.get(reason, ("EngineFailed", "the evaluation's Job failed"))
    if word != "EngineFailed":
        return word, text
    if reason == "BackoffLimitExceeded" and not pods:
        return "PodLost", "the pod is gone, deleted by somebody or lost with its node, and so is its log"
    return _engine_end(pods, exits) or (word, text)


def is_of(pod: Mapping[str, Any], uid: str) -> bool:
    """Whether the Job of this uid is the pod's controller. The label alone says nothing: anybody puts it on a pod by hand."""
    return any(each.get("uid") == uid and each.get("controller") for each in pod["metadata"].get("ownerReferences", ()))


def running(pods: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """Uid and address of the newest pod that runs; None where none does."""
    there = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running" and pod["status"].get("podIP")]
    newest = max(there, key=_age, default=None)
    return (str(newest["metadata"]["uid"]), str(newest["status"]["podIP"])) if newest else None


def report(pods: Sequence[Mapping[str, Any]], digest: str) -> Results | ResultProblem | None:
    """What the reporter of the newest pod that ended handed over; None where no pod has ended.

    Where that one handed over nothing, there is no result: that of an earlier pod belongs to an attempt that was given up.
    """
    ended = [pod for pod in pods if _has_ended(pod) or _last_words(pod) is not None]
    if not ended:
        return None
    newest = max(ended, key=lambda pod: (_age(pod), pod["metadata"].get("name", "")))
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
    for pod in (each for each in pods if not _has_ended(each)):
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            waiting = container.get("state", {}).get("waiting", {}).get("reason", "")
            if waiting == "InvalidImageName":
                return waiting, f"the image of container {container['name']} has a name that no image can have; correct it"
            if waiting in _NO_IMAGE:
                return "ImageUnavailable", f"pod {name} cannot get the image of container {container['name']} ({waiting})"
        for condition in status.get("conditions", ()):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return "Unschedulable", f"no node takes pod {name}: {condition.get('message', '')[:300]}"
    return None


def _engine_end(pods: Sequence[Mapping[str, Any]], exits: Exits) -> tuple[str, str] | None:
    for pod in sorted(pods, key=_age, reverse=True):
        match pod.get("status", {}).get("reason"):
            case "DeadlineExceeded":
                return _REASONS["DeadlineExceeded"]
            case "Evicted" if not _was_disrupted(pod):
                return (
                    "OutOfStorage",
                    "the pod wrote more than spec.scratch, the result's space or its log allow; raise spec.scratch",
                )
        ended = _engine(pod).get("terminated") or {}
        if ended.get("reason") == "OOMKilled":
            return "OutOfMemory", "the engine needed more memory than resources.limits.memory allows"
        if code := ended.get("exitCode", 0):
            reason, what = exits.get(code, ("EngineFailed", f"the engine ended with exit code {code}"))
            return reason, f"{what}; see the log of pod {pod['metadata']['name']}"
    return None


def _was_disrupted(pod: Mapping[str, Any]) -> bool:
    """Whether something else than itself ended the pod: a drain, a preemption, a node without room."""
    return any(each["type"] == "DisruptionTarget" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
