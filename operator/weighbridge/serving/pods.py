"""Pods of a target: which are its, which are ready, and what keeps one from serving."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ..core.facts import RolloutState

Pod = Mapping[str, Any]
_IMAGE_TROUBLE = {"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_CLOCKS_DIFFER = timedelta(seconds=10)
_CRASHES = 3
"""Crashes of one container that is not ready after which the rollout has failed. Fewer may be a dependency that came late."""


def living(pods: Iterable[Pod]) -> list[Pod]:
    """Those that are not going away."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def is_ready(pod: Pod) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def made_since(pod: Pod, since: datetime | None) -> bool:
    return since is None or datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) >= since - _CLOCKS_DIFFER


def addresses(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Where those that are ready are to be asked."""
    return tuple(sorted(pod["status"]["podIP"] for pod in pods if is_ready(pod) and pod["status"].get("podIP")))


def labels(pod: Pod) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}


def selects(selector: Mapping[str, Any], pod: Pod) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) picks the pod."""
    found = labels(pod)
    if any(found.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(each, found) for each in selector.get("matchExpressions") or ())


def _expression(expression: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return found.get(key) in values
        case "NotIn":
            return found.get(key) not in values
        case "Exists":
            return key in found
        case _:
            return key not in found


def worst(troubles: Sequence[RolloutState]) -> RolloutState | None:
    """The one to tell: a failure before what may pass, with the last crash of all."""
    if not troubles:
        return None
    first = next((each for each in troubles if each.state == "Failed"), troubles[0])
    crashes = [each.crashed_at for each in troubles if each.crashed_at is not None]
    return replace(first, crashed_at=max(crashes)) if first.crashed_at and crashes else first


def trouble(pod: Pod, container: str | None) -> RolloutState | None:
    """What keeps a pod from serving, as far as this container (None: any) shows it. Crashes are counted, not judged by the state
    that the kubelet happens to show: it may be terminated, waiting or running again."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for found in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        if container not in (None, found["name"]) or found.get("ready"):
            continue
        state = found.get("state", {})
        waiting = state.get("waiting", {}).get("reason", "")
        if waiting in _IMAGE_TROUBLE:
            return RolloutState("Failed", "ImageUnavailable", f"pod {name} cannot get its image ({waiting})")
        down = "terminated" in state or waiting == "CrashLoopBackOff"
        crashes = found.get("restartCount", 0) + (1 if down else 0)
        if not crashes:
            continue
        ended = state.get("terminated") or found.get("lastState", {}).get("terminated", {})
        how, code = ended.get("reason", "Error"), ended.get("exitCode", "unknown")
        reason = "OutOfMemory" if how == "OOMKilled" else "CrashLoop"
        times = "once" if crashes == 1 else f"{crashes} times"
        outcome = "Failed" if crashes >= _CRASHES else "Progressing"
        at = datetime.fromisoformat(ended["finishedAt"]) if ended.get("finishedAt") else None
        return RolloutState(outcome, reason, f"pod {name} crashed {times} ({how}, exit code {code})", at)
    return None
