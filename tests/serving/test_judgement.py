"""How far a rollout is and what serves, kind by kind, with bodies as their controllers write them."""

from copy import deepcopy
from typing import Any

import pytest

from tests.serving.things import (
    AFTER,
    BEFORE,
    CRASHED,
    LOOP,
    NEW,
    OLD,
    Body,
    addresses,
    entry,
    pod,
    seen,
    target,
    workload,
)
from weighbridge.api.serving import Pointer
from weighbridge.core.facts import RolloutState
from weighbridge.serving import paths
from weighbridge.serving.targets import adapter

BACK = pod("back", OLD, made=BEFORE)
BROKEN = pod("broken", NEW, ready=False, **LOOP)
STUCK = pod("stuck", OLD, ready=False, made=BEFORE, **LOOP)


def said(rollout: RolloutState) -> tuple[str, str]:
    return rollout.state, rollout.reason


def stateful(updated: int, available: int, total: int = 2, observed: int = 2) -> Body:
    counts = {"replicas": total, "readyReplicas": available, "availableReplicas": available, "updatedReplicas": updated}
    return {"observedGeneration": observed, **counts, "currentRevision": "server-1", "updateRevision": "server-2"}


PARTITION = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}


@pytest.mark.parametrize(
    ("status", "spec", "pods", "expected", "words"),
    [
        (stateful(2, 2), {}, [], ("Complete", ""), ""),
        (stateful(2, 2, observed=1), {}, [], ("Progressing", "Observing"), "not seen"),
        (stateful(1, 1), {}, [], ("Progressing", "RollingOut"), "1 of 2 pods"),
        (stateful(2, 1), {}, [], ("Progressing", "RollingOut"), "1 are available"),
        # Taken back halfway: both revisions are the old one, a pod of the other one is left.
        (
            {**stateful(1, 2), "currentRevision": "server-1", "updateRevision": "server-1"},
            {},
            [],
            ("Progressing", "RollingOut"),
            "",
        ),
        (stateful(1, 1), {}, [BROKEN], ("Failed", "CrashLoop"), "pod broken crashed 3 times"),
        (stateful(0, 0), {"replicas": 0}, [], ("Progressing", "ScaledToZero"), "no replicas"),
        (stateful(0, 2), {"updateStrategy": {"type": "OnDelete"}}, [BACK], ("Progressing", "Paused"), "2 pods are old"),
        (stateful(2, 2), {"updateStrategy": {"type": "OnDelete"}}, [], ("Complete", ""), ""),
        (stateful(1, 2), PARTITION, [], ("Progressing", "Paused"), "partition 1 keeps 1 pods old"),
        (stateful(0, 2), PARTITION, [], ("Progressing", "RollingOut"), ""),
        # It waits for a pod of the version before, which never becomes ready: only a person can take that pod away.
        (stateful(0, 1), {}, [STUCK], ("Progressing", "Paused"), "pod stuck crashed 3 times"),
        (stateful(0, 1), {"podManagementPolicy": "Parallel"}, [STUCK], ("Progressing", "RollingOut"), ""),
    ],
)
def test_a_stateful_set(status: Body, spec: Body, pods: list[Body], expected: tuple[str, str], words: str) -> None:
    rollout = seen(workload("StatefulSet", status, **spec), pods).rollout
    assert said(rollout) == expected
    assert words in rollout.message


CANARY: Body = {"strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}}}
ROUTED: Body = {"strategy": {"canary": {"trafficRouting": {"nginx": {}}}}}
BLUE_GREEN: Body = {"strategy": {"blueGreen": {"activeService": "server"}}}


def argo(phase: str, *, stable: str = "old", observed: str = "2", reason: str = "", **more: Any) -> Body:
    conditions = [{"type": "Progressing", "status": "False", "reason": reason, "message": "with a secret"}] if reason else []
    whole = {"observedGeneration": observed, "phase": phase, "stableRS": stable, "currentPodHash": "new", "updatedReplicas": 1}
    return {**whole, "conditions": conditions, **more}


@pytest.mark.parametrize(
    ("status", "spec", "pods", "expected", "words"),
    [
        (argo("Healthy", stable="new"), {}, [], ("Complete", ""), ""),
        (argo("Healthy", stable="new", observed="1"), {}, [], ("Progressing", "Observing"), "not seen"),
        ({}, {}, [], ("Progressing", "Observing"), ""),
        (argo("Healthy"), {}, [], ("Progressing", "RollingOut"), "1 of 2"),
        (argo("Progressing"), {}, [], ("Progressing", "RollingOut"), ""),
        (argo("Progressing"), {}, [BROKEN], ("Failed", "CrashLoop"), "crashed 3 times"),
        (
            argo("Paused", pauseConditions=[{"reason": "CanaryPauseStep"}]),
            {},
            [],
            ("Progressing", "Paused"),
            "a step of its canary",
        ),
        (argo("Paused", pauseConditions=[{"reason": "CanaryPauseStep"}]), {}, [BROKEN], ("Failed", "CrashLoop"), ""),
        (argo("Paused"), {"paused": True}, [], ("Progressing", "Paused"), "by a person"),
        (argo("Degraded", reason="RolloutAborted", abort=True), {}, [], ("Failed", "Aborted"), "aborted"),
        (argo("Degraded", reason="ProgressDeadlineExceeded"), {}, [], ("Failed", "DeadlineExceeded"), "deadline passed"),
        (argo("Degraded", conditions=[{"type": "InvalidSpec", "status": "True"}]), {}, [], ("Failed", "InvalidSpec"), "invalid"),
        (argo("Healthy", stable="new"), {"replicas": 0}, [], ("Progressing", "ScaledToZero"), ""),
    ],
)
def test_an_argo_rollout(status: Body, spec: Body, pods: list[Body], expected: tuple[str, str], words: str) -> None:
    rollout = seen(workload("Rollout", status, **{**CANARY, **spec}), pods).rollout
    assert said(rollout) == expected
    assert words in rollout.message
    assert "secret" not in rollout.message


def hashed(name: str, value: str, its: str) -> Body:
    return pod(name, value, labels={"rollouts-pod-template-hash": its})


KEPT = [hashed("old", OLD, "old"), hashed("newer", NEW, "new")]


@pytest.mark.parametrize(
    ("status", "spec", "serving"),
    [
        (argo("Paused"), CANARY, {OLD: 1, NEW: 1}),
        (argo("Paused"), ROUTED, {OLD: 1, NEW: 1}),
        (argo("Healthy", stable="new"), ROUTED, {NEW: 1}),
        (argo("Paused", blueGreen={"activeSelector": "old"}), BLUE_GREEN, {OLD: 1}),
        (argo("Healthy", stable="new", blueGreen={"activeSelector": "new"}), BLUE_GREEN, {NEW: 1}),
    ],
)
def test_pods_that_a_rollout_keeps_ready_without_traffic_serve_nobody(status: Body, spec: Body, serving: dict[str, int]) -> None:
    body = workload("Rollout", status, **spec)
    assert seen(body, KEPT).serving == serving
    assert addresses(body, KEPT) == (("10.0.0.5",) if NEW in serving else ())


def test_a_rollout_that_takes_its_pods_from_elsewhere_is_told() -> None:
    body = workload("Rollout", {}, workloadRef={"kind": "Deployment", "name": "x", "apiVersion": "apps/v1"})
    del body["spec"]["template"]
    state = seen(body)
    assert state.misfit is not None
    assert (state.misfit.reason, state.pointer) == ("PointerHasOtherSource", None)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Rollout"])
def test_the_census_counts_ready_pods_of_the_selector_by_what_they_were_told(kind: str) -> None:
    strange = pod("strange", "x", labels={"app": "other"})
    going = pod("going", OLD)
    going["metadata"]["deletionTimestamp"] = AFTER
    ready = [pod("a", NEW), pod("b", NEW), pod("c", NEW, ready=False), BACK, strange, going]
    body = workload(kind, {})
    assert seen(body, ready).serving == {NEW: 2, OLD: 1}
    body["spec"]["selector"]["matchExpressions"] = [{"key": "track", "operator": "NotIn", "values": ["test"]}]
    assert seen(body, [*ready, pod("d", NEW, labels={"track": "test"})]).serving == {NEW: 2, OLD: 1}


def test_the_last_of_all_crashes_is_told() -> None:
    early = {"restartCount": 3, "lastState": {"terminated": {**CRASHED["terminated"], "finishedAt": "2026-01-01T12:00:10Z"}}}
    pods = [pod("one", NEW, ready=False, **early), BROKEN]
    found = seen(workload("Deployment", {"observedGeneration": 2}), pods).rollout
    assert found.crashed_at is not None
    assert found.crashed_at.isoformat() == "2026-01-01T12:00:30+00:00"


def test_a_container_that_prepares_the_others_can_hold_the_pointer_and_fail() -> None:
    def prepared(body: Body) -> Body:
        body["initContainers"] = [{"name": "fetch", "env": [{"name": "SOURCE", "value": NEW}]}]
        return body

    body = workload("Deployment", {"observedGeneration": 2})
    prepared(body["spec"]["template"]["spec"])
    one = pod("one", NEW, ready=False)
    prepared(one["spec"])
    one["status"]["initContainerStatuses"] = [{"name": "fetch", "ready": False, **LOOP}]
    assert said(seen(body, [one], Pointer(container="fetch", env="SOURCE")).rollout) == ("Failed", "CrashLoop")
    assert said(seen(body, [one]).rollout) == ("Progressing", "RollingOut"), "another container's trouble"


def test_an_image_that_is_the_model_and_is_not_there_speaks_against_it() -> None:
    body = workload("Deployment", {"observedGeneration": 2})
    missing = {"ready": False, "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "server:2"
    pods = [pod("new", NEW, image="server:2", **missing), pod("older", NEW, image="server:1")]
    state = seen(body, pods, Pointer(container="server", image=True, value="server:{version}"), "server:2")
    assert (state.pointer, state.serving, said(state.rollout)) == ("server:2", {"server:1": 1}, ("Failed", "ImageUnavailable"))


ARGUMENT = Pointer(container="server", argument="--model")


@pytest.mark.parametrize(
    ("args", "pointer", "reason", "words"),
    [
        (["--model=a"], "a", "", ""),
        (["--model", "a"], "a", "", ""),
        (["--model-name=b", "--model=a=b"], "a=b", "", ""),
        (["--model"], None, "PointerNotFound", "has no value; write --model=VALUE"),
        (["--model", "--port=80"], None, "PointerNotFound", "has no value"),
        (["-c", "serve --model a"], None, "PointerNotFound", "inside another argument"),
        (["--model-name=a"], None, "PointerNotFound", "has no argument --model;"),
        (["--model=a", "--model", "b"], "b", "PointerAmbiguous", "more than once"),
    ],
)
def test_an_argument_is_read_as_it_is_written(args: list[str], pointer: str | None, reason: str, words: str) -> None:
    body = workload("Deployment", {})
    body["spec"]["template"]["spec"]["containers"][0]["args"] = args
    state = seen(body, [], ARGUMENT)
    found = state.misfit or state.undeclared
    assert (state.pointer, found.reason if found else "") == (pointer, reason)
    assert words in (found.message if found else "")


SELECTOR = Pointer(selector="version", value="v{version}")
BLUE, GREEN = {"version": "v1"}, {"version": "v2"}


def service(**selector: str) -> Body:
    return target("Service", {"selector": {"app": "server", **selector}}, {})


@pytest.mark.parametrize(
    ("selected", "pods", "expected", "serving", "obstacle"),
    [
        ("v1", [pod("b", "", labels=BLUE), pod("g", "", labels=GREEN)], ("Complete", ""), {"v1": 1}, ""),
        ("v1", [pod("b", "", labels=BLUE)], ("Complete", ""), {"v1": 1}, "the label version=v2"),
        ("v1", [pod("b", "", labels=BLUE), pod("g", "", labels=GREEN, ready=False)], ("Complete", ""), {"v1": 1}, "no endpoints"),
        ("v2", [pod("b", "", labels=BLUE)], ("Progressing", "NoReadyPods"), {}, "no endpoints"),
        ("v2", [pod("g", "", labels=GREEN, ready=False, made=BEFORE, **LOOP)], ("Failed", "CrashLoop"), {}, "no endpoints"),
        ("v2", [pod("g", "", labels={**GREEN, "app": "other"})], ("Progressing", "NoReadyPods"), {}, "no endpoints"),
    ],
)
def test_a_service(selected: str, pods: list[Body], expected: tuple[str, str], serving: dict[str, int], obstacle: str) -> None:
    state = seen(service(version=selected), pods, SELECTOR, "v2")
    assert (said(state.rollout), state.serving, state.pointer) == (expected, serving, selected)
    assert obstacle in state.not_yet if obstacle else not state.not_yet


def test_what_happened_to_pods_before_they_got_the_service_says_nothing() -> None:
    earlier = {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": BEFORE}}
    worn = pod("g", "", labels=GREEN, ready=False, restartCount=9, lastState=earlier)
    assert said(seen(service(version="v2"), [worn], SELECTOR, "v2").rollout) == ("Progressing", "NoReadyPods")


def test_a_service_is_asked_where_it_points() -> None:
    pods = [pod("blue", "", labels=BLUE), pod("green", "", labels=GREEN)]
    assert addresses(service(version="v2"), pods, SELECTOR, "v2") == ("10.0.0.5",)
    assert addresses(service(version="v1"), pods, SELECTOR, "v2") == ()
    wants = adapter(entry("Service").target_ref).wants(service(version="v1"), entry("Service", SELECTOR))
    assert wants.pods == {"app": "server"}, "of every version"


@pytest.mark.parametrize("wished", ["models:/m/1", "-v1", "v" * 64, "sha256:abc"])
def test_a_value_that_is_no_label_is_told(wished: str) -> None:
    misfit = seen(service(version="v1"), [], SELECTOR, wished).misfit
    assert misfit is not None
    assert misfit.reason == "PointerValueInvalid"
    assert "serving.pointer.value" in misfit.message


def test_a_service_without_selector_is_not_given_one_that_picks_too_much() -> None:
    misfit = seen(target("Service", {"type": "ExternalName"}, {}), [], SELECTOR, "v1").misfit
    assert misfit is not None
    assert "has no selector" in misfit.message


STORAGE = Pointer(field_path="spec.predictor.model.storageUri")
READY = {"type": "Ready", "status": "True"}
POINTED = {"manager": "weighbridge", "operation": "Update", "time": "2026-01-01T12:00:00Z", "fieldsV1": {}}


def kserve(transition: str = "", *, ready: bool = True, written: str = AFTER, canary: int | None = None, **status: Any) -> Body:
    whole = {"observedGeneration": 1, "conditions": [{**READY, "status": "True" if ready else "False"}], **status}
    if transition:
        whole["modelStatus"] = {"transitionStatus": transition, **status.get("modelStatus", {})}
    predictor: Body = {"model": {"storageUri": NEW}} | ({} if canary is None else {"canaryTrafficPercent": canary})
    writer = {"manager": "manager", "operation": "Update", "subresource": "status", "time": written, "fieldsV1": {}}
    return target("InferenceService", {"predictor": predictor}, whole, generation=7, managed=[POINTED, writer])


FAILURE = {"modelStatus": {"lastFailureInfo": {"reason": "ModelLoadFailed", "message": "https://x?token=secret", "exitCode": 1}}}
ODD_FAILURE = {"modelStatus": {"lastFailureInfo": {"reason": "https://x?token=secret"}}}
TRAFFIC = {"components": {"predictor": {"traffic": [{"latestRevision": True, "percent": 10}, {"percent": 90}]}}}


@pytest.mark.parametrize(
    ("body", "expected", "words"),
    [
        (kserve("UpToDate"), ("Complete", ""), ""),
        (kserve(), ("Complete", ""), ""),
        (kserve("UpToDate", ready=False), ("Progressing", "RollingOut"), "UpToDate"),
        (kserve("InProgress"), ("Progressing", "RollingOut"), "InProgress"),
        (kserve("UpToDate", written=BEFORE), ("Progressing", "Observing"), "not seen"),
        (kserve("BlockedByFailedLoad", **FAILURE), ("Failed", "LoadFailed"), "(ModelLoadFailed, exit code 1)"),
        (kserve("BlockedByFailedLoad", **ODD_FAILURE), ("Failed", "LoadFailed"), "no reason given"),
        (kserve("InvalidSpec"), ("Failed", "LoadFailed"), "spec is invalid"),
        (kserve("InProgress", modelStatus={"states": {"targetModelState": "FailedToLoad"}}), ("Failed", "LoadFailed"), ""),
        # The failure of the version before, which this one takes the place of.
        (kserve("BlockedByFailedLoad", written=BEFORE), ("Progressing", "Observing"), ""),
        (kserve("BlockedByFailedLoad", written="2026-01-01T12:00:00Z"), ("Progressing", "Observing"), ""),
        (kserve("UpToDate", canary=10), ("Progressing", "Paused"), "10 % of the traffic"),
        (kserve("UpToDate", canary=10, deploymentMode="RawDeployment"), ("Complete", ""), ""),
        (kserve("UpToDate", **TRAFFIC), ("Progressing", "Paused"), "10 % of the traffic"),
        (kserve("UpToDate", conditions=[READY, {"type": "Stopped", "status": "True"}]), ("Progressing", "ScaledToZero"), ""),
    ],
)
def test_an_inference_service(body: Body, expected: tuple[str, str], words: str) -> None:
    state = seen(body, [], STORAGE)
    assert said(state.rollout) == expected
    assert words in state.rollout.message
    assert "secret" not in state.rollout.message
    assert state.serving == ({NEW: 1} if expected[0] == "Complete" else {})


def test_pods_of_kserve_tell_what_they_were_made_for() -> None:
    def made(name: str, source: str, component: str = "predictor", service: str = "server") -> Body:
        labels = {"serving.kserve.io/inferenceservice": service, "component": component}
        return pod(name, "", labels=labels, annotations={"internal.serving.kserve.io/storage-initializer-sourceuri": source})

    old, new = made("old", OLD), made("newer", NEW)
    others = [made("transformer", "x", "transformer"), made("strange", "x", service="other")]
    body = kserve("UpToDate")
    assert seen(body, [old, new, *others], STORAGE).serving == {OLD: 1, NEW: 1}
    assert addresses(body, [old, new, *others], STORAGE) == ("10.0.0.5",)
    # The status need not change where the pods have been the right ones all along.
    stale = seen(kserve("UpToDate", written=BEFORE), [new, *others], STORAGE)
    assert (said(stale.rollout), stale.serving) == (("Complete", ""), {NEW: 1})


FIELD = Pointer(field_path="spec.model.uri")


def other(condition: Body | None, generation: int = 3, **status: Any) -> Body:
    conditions = [{"type": "Unrelated", "status": "True"}, *([{"type": "Ready", **condition}] if condition else [])]
    return target("Endpoint", {"model": {"uri": NEW}}, {"conditions": conditions, **status}, generation=generation)


@pytest.mark.parametrize(
    ("body", "expected", "words"),
    [
        (other({"status": "True", "observedGeneration": 3}), ("Complete", ""), ""),
        (other({"status": "True", "observedGeneration": 2}), ("Progressing", "Observing"), "not seen"),
        (other({"status": "True", "observedGeneration": 2}, observedGeneration=3), ("Progressing", "Observing"), ""),
        (other({"status": "True"}, observedGeneration=3), ("Complete", ""), ""),
        (other({"status": "True"}, observedGeneration=2), ("Progressing", "Observing"), ""),
        (other({"status": "True"}), ("Complete", ""), "it is believed"),
        (other(None), ("Progressing", "Observing"), "has no condition Ready yet"),
        (other({"status": "False", "reason": "Loading"}), ("Progressing", "NotReady"), "is False (Loading)"),
        (other({"status": "Unknown", "reason": "https://x?token=secret"}), ("Progressing", "NotReady"), "is Unknown"),
    ],
)
def test_a_kind_that_is_not_known(body: Body, expected: tuple[str, str], words: str) -> None:
    state = seen(body, [], FIELD)
    assert said(state.rollout) == expected
    assert words in state.rollout.message
    assert "secret" not in state.rollout.message
    assert state.serving == ({NEW: 1} if expected[0] == "Complete" else {})


def test_no_kind_is_taken_for_another() -> None:
    body = workload("Deployment", {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})
    found = entry("Deployment").model_copy(update={"target_ref": entry("Endpoint").target_ref, "pointer": FIELD})
    wants = adapter(found.target_ref).wants(body, found)
    assert (wants.pods, wants.others) == (None, ())
    assert seen({**deepcopy(body), "kind": "Endpoint"}, [pod("a", NEW)], FIELD).rollout.state == "Progressing"


def _owned(manager: str, fields: Body, operation: str = "Apply") -> Body:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


@pytest.mark.parametrize(
    ("managed", "uri", "owner"),
    [
        ([_owned("argo", {"f:spec": {"f:model": {"f:uri": {}}}})], NEW, "argo"),
        ([_owned("argo", {"f:spec": {"f:model": {"f:format": {}}}})], NEW, None),
        ([_owned("argo", {"f:spec": {"f:model": {"f:uri": {}}}}, "Update")], NEW, None),
        ([_owned("weighbridge", {"f:spec": {"f:model": {"f:uri": {}}}})], NEW, None),
        # A map that is one piece: who applies any of it owns all of it.
        ([_owned("argo", {"f:spec": {"f:model": {}}})], NEW, "argo"),
        # A map that merges, declared empty: somebody else set the field in it.
        ([_owned("argo", {"f:spec": {"f:model": {}}}), _owned("x", {"f:spec": {"f:model": {"f:uri": {}}}}, "Update")], NEW, None),
        ([_owned("argo", {"f:spec": {"f:model": {}}})], None, None),
        ([_owned("argo", {})], NEW, None),
    ],
)
def test_whose_a_field_is(managed: list[Body], uri: str | None, owner: str | None) -> None:
    body = target("Endpoint", {"model": {} if uri is None else {"uri": uri}}, {}, managed=managed)
    assert paths.applier(body, ("spec", "model", "uri")) == owner


def test_evidence_is_younger_than_the_pointer() -> None:
    old = pod("old", NEW, ready=False, made=BEFORE, **LOOP)
    assert said(seen(workload("Rollout", argo("Progressing")), [old]).rollout) == ("Progressing", "RollingOut")
