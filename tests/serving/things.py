"""Targets and pods as a real cluster gives them, and how they are judged."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.serving.benches import API
from weighbridge.api.serving import Pointer, Serving, TargetRef
from weighbridge.core.facts import TargetState
from weighbridge.serving.base import Seen
from weighbridge.serving.targets import adapter

Body = dict[str, Any]
NEW, OLD = "models:/m/2", "models:/m/1"
ENV = Pointer(container="server", env="MODEL_URI")
SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEFORE, AFTER = "2026-01-01T11:00:00Z", "2026-01-01T12:00:30Z"
CRASHED = {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": AFTER}}
BACKOFF = {"waiting": {"reason": "CrashLoopBackOff"}}
LOOP = {"restartCount": 2, "state": BACKOFF, "lastState": CRASHED}


def pod(
    name: str,
    value: str,
    *,
    ready: bool = True,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    made: str = AFTER,
    image: str = "server:1",
    **container: Any,
) -> Body:
    metadata = {
        "name": name,
        "labels": {"app": "server", **(labels or {})},
        "annotations": dict(annotations or {}),
        "creationTimestamp": made,
    }
    status = {"name": "server", "ready": ready, "restartCount": 0, "state": {"running": {}}, **container}
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "server", "image": image, "env": [{"name": "MODEL_URI", "value": value}]}]},
        "status": {
            "podIP": f"10.0.0.{len(name)}",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [status],
        },
    }


def target(kind: str, spec: Body, status: Body, *, generation: int = 2, managed: Sequence[Body] = ()) -> Body:
    metadata = {
        "name": "server",
        "uid": "u",
        "resourceVersion": "7",
        "generation": generation,
        "managedFields": list(managed),
    }
    return {"apiVersion": API[kind], "kind": kind, "metadata": metadata, "spec": spec, "status": status}


def workload(kind: str, status: Body, *, replicas: int = 2, value: str = NEW, **spec: Any) -> Body:
    """With a pod template, in its second generation."""
    template = {"spec": pod("template", value)["spec"]}
    whole = {"replicas": replicas, "selector": {"matchLabels": {"app": "server"}}, "template": template, **spec}
    return target(kind, whole, status)


def entry(kind: str, pointer: Pointer = ENV) -> Serving:
    return Serving(target_ref=TargetRef(api_version=API[kind], kind=kind, name="server"), pointer=pointer)


def seen(body: Body, pods: Sequence[Body] = (), pointer: Pointer = ENV, wished: str = NEW) -> TargetState:
    """The state of a target that was given the pointer at SINCE."""
    found = entry(body["kind"], pointer)
    return adapter(found.target_ref).state(Seen(body, pods), found, wished, SINCE)


def addresses(body: Body, pods: Sequence[Body], pointer: Pointer = ENV, value: str = NEW) -> tuple[str, ...]:
    found = entry(body["kind"], pointer)
    return adapter(found.target_ref).addresses(Seen(body, pods), found, value)
