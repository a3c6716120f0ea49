"""What is read from a Deployment and its pods, with bodies as a real cluster gives them."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from weighbridge.api.serving import Pointer, Serving, TargetRef
from weighbridge.core.facts import TargetState
from weighbridge.core.plan import Repoint
from weighbridge.serving.base import Seen
from weighbridge.serving.targets import adapter

POINTER = Pointer(container="server", env="MODEL_URI")
NEW, OLD = "models:/m/2", "models:/m/1"
TARGET = TargetRef(name="server")


def entry(pointer: Pointer = POINTER) -> Serving:
    return Serving(target_ref=TARGET, pointer=pointer)


def target_state(
    body: dict[str, Any], pods: list[dict[str, Any]], pointer: Pointer = POINTER, since: datetime | None = None
) -> TargetState:
    return adapter(TARGET).state(Seen(body, pods), entry(pointer), NEW, since)


def template(value: str | None) -> dict[str, Any]:
    env = [{"name": "OTHER", "value": "x"}] + ([{"name": "MODEL_URI", "value": value}] if value is not None else [])
    return {"containers": [{"name": "sidecar"}, {"name": "server", "env": env}]}


def deployment(value: str | None = NEW, **status: Any) -> dict[str, Any]:
    counts = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    return {
        "metadata": {"name": "server", "uid": "u", "resourceVersion": "7", "generation": 2},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "server"}}, "template": {"spec": template(value)}},
        "status": {**counts, **status},
    }


def pod(name: str, value: str, *, ready: bool, address: str = "10.0.0.1", **container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": "server"}},
        "spec": template(value),
        "status": {
            "podIP": address,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "server", "ready": ready, "restartCount": 0, "state": {"running": {}}, **container}],
        },
    }


TERMINATED = {"terminated": {"reason": "Error", "exitCode": 1}}
WAITING = {"waiting": {"reason": "CrashLoopBackOff"}}
ROLLING = {"replicas": 2, "availableReplicas": 1}


@pytest.mark.parametrize(
    ("status", "container", "state", "reason"),
    [
        ({}, {"ready": True}, "Complete", ""),
        ({"observedGeneration": 1}, {}, "Progressing", "Observing"),
        (ROLLING, {}, "Progressing", "RollingOut"),
        (ROLLING, {"state": TERMINATED}, "Progressing", "CrashLoop"),
        (ROLLING, {"restartCount": 1, "state": WAITING, "lastState": TERMINATED}, "Progressing", "CrashLoop"),
        (ROLLING, {"restartCount": 2, "state": TERMINATED}, "Failed", "CrashLoop"),
        (ROLLING, {"restartCount": 2, "state": WAITING, "lastState": TERMINATED}, "Failed", "CrashLoop"),
        (ROLLING, {"restartCount": 3, "lastState": TERMINATED}, "Failed", "CrashLoop"),
        (ROLLING, {"restartCount": 9, "ready": True}, "Progressing", "RollingOut"),
        (ROLLING, {"restartCount": 2, "state": {"terminated": {"reason": "OOMKilled", "exitCode": 0}}}, "Failed", "OutOfMemory"),
        (ROLLING, {"state": {"waiting": {"reason": "ImagePullBackOff"}}}, "Failed", "ImageUnavailable"),
        (
            ROLLING | {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
            {},
            "Failed",
            "DeadlineExceeded",
        ),
    ],
)
def test_the_rollout_is_judged_by_what_the_newest_pods_do(
    status: dict[str, Any], container: dict[str, Any], state: str, reason: str
) -> None:
    pods = [pod("old", OLD, ready=True, restartCount=9), pod("new", NEW, **{"ready": False, **container})]
    found = target_state(deployment(**status), pods).rollout
    assert (found.state, found.reason) == (state, reason)


def test_a_deployment_without_replicas_proves_nothing() -> None:
    body = deployment(replicas=0, updatedReplicas=0, availableReplicas=0)
    body["spec"]["replicas"] = 0
    assert target_state(body, []).rollout.reason == "ScaledToZero"


def test_what_an_older_pod_went_through_says_nothing_about_this_rollout() -> None:
    worn = pod("worn", NEW, ready=False, restartCount=9, state=TERMINATED)
    worn["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    for since, state in (
        (datetime(2026, 1, 2, tzinfo=UTC), "Progressing"),
        (datetime(2026, 1, 1, tzinfo=UTC), "Failed"),
        (None, "Failed"),
    ):
        assert target_state(deployment(**ROLLING), [worn], POINTER, since).rollout.state == state


def test_a_paused_deployment_says_so() -> None:
    body = deployment(updatedReplicas=0)
    body["spec"]["paused"] = True
    assert target_state(body, []).rollout.reason == "Paused"


def test_the_census_counts_ready_pods_that_are_not_going_away() -> None:
    going = pod("going", OLD, ready=True)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pods = [going, pod("a", NEW, ready=True, address="10.0.0.2"), pod("b", NEW, ready=False), pod("c", OLD, ready=True)]
    assert target_state(deployment(), pods).serving == {NEW: 1, OLD: 1}
    assert adapter(TARGET).addresses(Seen(deployment(), pods), entry(), NEW) == ("10.0.0.2",)


def test_the_pointer_is_read_as_the_kubelet_would() -> None:
    assert target_state(deployment(None), []).pointer is None
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][1]["env"].append({"name": "MODEL_URI", "value": "last"})
    assert target_state(body, []).pointer == "last"
    body["spec"]["template"]["spec"]["containers"][1]["env"].append({"name": "MODEL_URI", "valueFrom": {}})
    state = target_state(body, [])
    assert state.misfit is not None
    assert (state.pointer, state.misfit.reason) == (None, "PointerHasOtherSource")
    nowhere = target_state(deployment(), [], Pointer(container="nosuch", env="X"))
    assert nowhere.misfit is not None
    assert nowhere.misfit.reason == "ContainerNotFound"


def test_only_another_applier_of_this_very_field_counts_as_its_owner() -> None:
    path: dict[str, Any] = {"f:value": {}}
    steps = ["f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"server"}', "f:env", 'k:{"name":"MODEL_URI"}']
    for step in reversed(steps):
        path = {step: path}
    entry = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": path}
    for change, owner in (
        ({}, "argocd-controller"),
        ({"operation": "Update"}, None),
        ({"manager": "weighbridge"}, None),
        ({"subresource": "status"}, None),
        ({"fieldsV1": {"f:spec": {"f:replicas": {}}}}, None),
    ):
        body = deepcopy(deployment())
        body["metadata"]["managedFields"] = [{**entry, **change}]
        assert target_state(body, []).other_applier == owner


def test_the_patch_names_the_pointer_and_nothing_else() -> None:
    [patch] = adapter(TARGET).patches(Repoint(TARGET, POINTER, NEW, uid="u", resource_version="7", cause="Promotion"))
    assert (patch.api_version, patch.kind, patch.name, patch.how) == ("apps/v1", "Deployment", "server", "Apply")
    assert patch.body["metadata"] == {"name": "server", "uid": "u", "resourceVersion": "7"}
    assert patch.body["spec"] == {
        "template": {"spec": {"containers": [{"name": "server", "env": [{"name": "MODEL_URI", "value": NEW}]}]}}
    }
