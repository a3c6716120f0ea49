"""KServe's InferenceService as serving target: a field such as `spec.predictor.model.storageUri`.

Its `status.observedGeneration` is not asked: KServe copies it from the Deployment or Knative Service that it makes, which counts
something else. What tells the newest spec is what its pods were given, and when the status was last written.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..api.serving import Serving
from ..core.facts import RolloutState, TargetState
from . import generic
from .base import FIELD_MANAGER, Seen, Wants
from .pods import Pod, addresses, is_ready, labels, living

_SERVICE, _COMPONENT = "serving.kserve.io/inferenceservice", "component"
_SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""Annotation of its pods: the storageUri that they were made for."""
_WITHOUT_CANARY = {"Standard", "RawDeployment"}
"""Deployment modes that ignore canaryTrafficPercent."""
_FAILURES = frozenset(
    """
    ModelLoadFailed RuntimeUnhealthy RuntimeDisabled NoSupportingRuntime RuntimeNotRecognized InvalidPredictorSpec
    InvalidWorkerSpecNotSet InvalidGPUAllocation
    """.split()
)


class InferenceServiceTarget(generic.FieldTarget):
    """KServe's own judgement, and the word of its pods where they give it."""

    def wants(self, body: Mapping[str, Any], entry: Serving) -> Wants:  # noqa: ARG002
        return Wants({_SERVICE: entry.target_ref.name})

    def state(self, seen: Seen, entry: Serving, wished: str, since: datetime | None) -> TargetState:  # noqa: ARG002
        body, value = seen.body, generic.field(seen.body, entry)
        ready = [pod for pod in _pods(seen, entry) if is_ready(pod)]
        told = Counter(source for pod in ready if (source := _source(pod)) is not None)
        rollout = _judged(body, entry, proved=bool(told) and set(told) == {value})
        serving: Mapping[str, int] = dict(told)
        if not told and value and rollout.state == "Complete":
            serving = {value: max(1, len(ready))}
        return generic.target_state(body, entry, rollout, serving)

    def addresses(self, seen: Seen, entry: Serving, value: str) -> tuple[str, ...]:
        return addresses(pod for pod in _pods(seen, entry) if _source(pod) in (None, value))


def _pods(seen: Seen, entry: Serving) -> list[Pod]:
    """Pods of the component that the field belongs to."""
    component = str(generic.field_path(entry)[1])
    return [
        pod
        for pod in living(seen.pods)
        if labels(pod).get(_SERVICE) == entry.target_ref.name and labels(pod).get(_COMPONENT, component) == component
    ]


def _source(pod: Pod) -> str | None:
    found = (pod["metadata"].get("annotations") or {}).get(_SOURCE)
    return found if isinstance(found, str) else None


def _judged(body: Mapping[str, Any], entry: Serving, *, proved: bool) -> RolloutState:
    """`proved`: all ready pods were made for the field's value, so that the status cannot be an older one's."""
    status = body.get("status") or {}
    model = status.get("modelStatus") or {}
    written, pointed = _written(body)
    # Both times are the API server's, in whole seconds: in the same second, only good news is taken for new.
    fresh = proved or written is None or pointed is None or written >= pointed
    if not fresh:
        return RolloutState("Progressing", "Observing", "KServe has not seen the change yet")
    transition, failed = model.get("transitionStatus", ""), (model.get("states") or {}).get("targetModelState") == "FailedToLoad"
    if transition in ("BlockedByFailedLoad", "InvalidSpec") or failed:
        if written is not None and pointed is not None and written <= pointed:
            return RolloutState("Progressing", "Observing", "KServe has not seen the change yet")
        return _failed(transition, model.get("lastFailureInfo") or {})
    if (generic.condition_of(body, "Stopped") or {}).get("status") == "True":
        return RolloutState("Progressing", "ScaledToZero", "the InferenceService is stopped: nothing can prove that it serves")
    ready = (generic.condition_of(body, "Ready") or {}).get("status") == "True"
    if transition == "InProgress" or not ready:
        said = f"KServe says {transition}" if transition else "it is not Ready"
        return RolloutState("Progressing", "RollingOut", f"the InferenceService is on its way: {said}")
    percent = _share(body, str(generic.field_path(entry)[1]))
    if percent < 100:
        text = (
            f"the newest revision of the InferenceService gets {percent} % of the traffic; raise canaryTrafficPercent, or remove it"
        )
        return RolloutState("Progressing", "Paused", text)
    return RolloutState("Complete")


def _failed(transition: str, info: Mapping[str, Any]) -> RolloutState:
    reason = info.get("reason") if info.get("reason") in _FAILURES else "no reason given"
    what = "the spec is invalid" if transition == "InvalidSpec" else "the model could not be loaded"
    code = f", exit code {info['exitCode']}" if isinstance(info.get("exitCode"), int) and info["exitCode"] else ""
    return RolloutState("Failed", "LoadFailed", f"KServe says that {what} ({reason}{code})")


def _share(body: Mapping[str, Any], component: str) -> int:
    """Percent of the traffic that the newest revision gets."""
    status = body.get("status") or {}
    if status.get("deploymentMode") in _WITHOUT_CANARY:
        return 100
    traffic: Sequence[Mapping[str, Any]] = ((status.get("components") or {}).get(component) or {}).get("traffic") or ()
    newest = [each.get("percent") or 0 for each in traffic if each.get("latestRevision")]
    if newest:
        return sum(newest)
    wished = (body["spec"].get(component) or {}).get("canaryTrafficPercent")
    return wished if isinstance(wished, int) else 100


def _written(body: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """When the status was last written, and when the operator last wrote to the object."""
    times: dict[bool, datetime] = {}
    for entry in body["metadata"].get("managedFields", ()):
        if "time" not in entry:
            continue
        is_status = entry.get("subresource") == "status"
        if is_status or entry.get("manager") == FIELD_MANAGER:
            at = datetime.fromisoformat(entry["time"])
            times[is_status] = max(at, times.get(is_status, at))
    return times.get(True), times.get(False)
