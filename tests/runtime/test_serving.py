"""The operator as a process with versions that serve, on an API server of its own: what it sees, how soon, and what it writes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.apiserver import ApiServer, Identity
from tests.conftest import _install
from tests.registries.hubserver import MODELS, Hub, serving
from tests.runtime.stage import Process, Stage, operating, pointer_of, uri, version_spec, workload

from weighbridge.api.base import API_VERSION
from weighbridge.controllers.ports import ClusterError
from weighbridge.evaluation.message import summary
from weighbridge.evaluation.result import read_result
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings

OPERATOR = "operator"
COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
WRITES = {"create", "update", "patch", "delete"}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """One where the operator has a name of its own, and kinds can come and go."""
    with ApiServer([Identity(OPERATOR, ("system:masters",))]) as server:
        asyncio.run(_install(server.kubeconfig()))
        yield server


@pytest.fixture
async def connection(server: ApiServer) -> AsyncIterator[Connection]:
    connection = Connection(Surroundings(str(server.kubeconfig())))
    yield connection
    await connection.close()


@pytest.fixture
def stage(connection: Connection, namespace: str, server: ApiServer) -> Stage:
    return Stage(Cluster(connection), namespace, server)


def writes(server: ApiServer, namespace: str) -> list[str]:
    """What the operator has written there so far, Events left out."""
    found = [each for each in server.requests(OPERATOR) if each.namespace == namespace and each.verb in WRITES]
    return [
        f"{each.verb} {each.resource}{'/' + each.subresource if each.subresource else ''} {each.name}".strip()
        for each in found
        if each.resource != "events"
    ]


@asynccontextmanager
async def operator(stage: Stage, **settings: str) -> AsyncIterator[Process]:
    async with operating(stage.server.kubeconfig(OPERATOR), stage.namespace, NAMESPACES=stage.namespace, **settings) as process:
        yield process


async def at_rest(process: Process) -> None:
    """Waits until the operator has looked at everything: nothing waits, and no pass ends for a moment."""
    before = -1.0
    async with asyncio.timeout(60):
        while True:
            samples = await process.samples()
            passes = sum(value for name, value in samples.items() if name.startswith("weighbridge_reconcile_total"))
            if passes == before and samples["weighbridge_queue_depth"] == 0:
                return
            before = passes
            await asyncio.sleep(0.3)


async def served(stage: Stage, kind: str = "Deployment", api_version: str = "apps/v1") -> dict[str, Any]:
    """A workload whose one pod serves version 2, which holds it."""
    body = await stage.create(api_version, kind, "serving", spec=workload("serving", uri(2), kind)["spec"])
    conditions = [{"type": "Available", "status": "True"}] if kind == "Rollout" else []
    status = {"observedGeneration": 1, **dict.fromkeys(COUNTS, 1), **({"conditions": conditions} if conditions else {})}
    if kind == "Rollout":
        status |= {"phase": "Healthy", "observedGeneration": "1"}
    if kind == "StatefulSet":
        status |= {"currentReplicas": 1, "currentRevision": "a", "updateRevision": "a"}
    await stage.status(body, status)
    await stage.pod("serving", 2, ready=True)
    await stage.version("serving", 2, "Serving", kind)
    return body


async def edited(stage: Stage, plural: str, body: Mapping[str, Any], edit: Mapping[str, Any], put_back: Any) -> float:
    """Somebody edits an object: seconds until the operator has put it back."""
    kind, name = body["kind"], body["metadata"]["name"]
    async with stage.changes(plural, body) as changes:
        await stage.cluster.merge(body["apiVersion"], kind, stage.namespace, name, edit)
        started = time.perf_counter()
        foreign = False
        async with asyncio.timeout(30):
            async for change in changes:
                foreign = foreign or not put_back(change)
                if foreign and put_back(change):
                    return time.perf_counter() - started
    raise AssertionError("the watch ended")


def env(value: str) -> dict[str, Any]:
    container = workload("serving", value)["spec"]["template"]["spec"]["containers"][0]
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.mark.parametrize(("kind", "plural"), [("Deployment", "deployments"), ("StatefulSet", "statefulsets")])
async def test_somebody_elses_edit_of_the_pointer_is_seen_within_a_second(stage: Stage, kind: str, plural: str) -> None:
    body = await served(stage, kind)
    async with operator(stage) as process:
        await stage.settled("serving-v2", "Serving")
        await at_rest(process)
        now = await stage.get(kind, "serving")
        assert await edited(stage, plural, now, env("models:/fraud/99"), lambda each: pointer_of(each) == uri(2)) < 1.0
    assert body["metadata"]["uid"] == now["metadata"]["uid"]


async def test_somebody_elses_edit_of_a_selector_is_seen_within_a_second(stage: Stage) -> None:
    name = "front"
    ports = [{"port": 80}]
    await stage.create("v1", "Service", name, spec={"selector": {"app": "serving", "version": "2"}, "ports": ports})
    for number in (1, 2):
        await stage.pod("serving", number, ready=True, labels={"version": str(number)})
    entry = {
        "targetRef": {"apiVersion": "v1", "kind": "Service", "name": name},
        "pointer": {"selector": "version", "value": "{version}"},
    }
    await stage.version("serving", 2, "Serving", entry=entry)
    async with operator(stage) as process:
        await stage.settled("serving-v2", "Serving")
        await at_rest(process)
        now = await stage.get("Service", name, "v1")
        edit = {"spec": {"selector": {"version": "1"}}}
        assert await edited(stage, "services", now, edit, lambda each: each["spec"]["selector"]["version"] == "2") < 1.0


async def install_rollouts(connection: Connection) -> None:
    """The kind alone; no controller."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = [
        {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}
    ]
    names = {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"}
    body = {
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": versions},
    }
    await connection.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body=body)


async def test_a_kind_that_is_installed_later_is_watched_without_a_restart(stage: Stage, connection: Connection) -> None:
    await stage.version("serving", 2, "Serving", "Rollout", api_version="argoproj.io/v1alpha1")
    async with operator(stage, TARGETS="Deployment,Rollout") as process:
        body = await stage.settled("serving-v2", "Blocked")
        [said] = [each for each in body["status"]["conditions"] if each["type"] == "Serving"]
        assert said["reason"] == "TargetKindUnknown"
        await install_rollouts(connection)
        async with asyncio.timeout(20):
            while True:
                try:
                    await served_rollout(stage)
                except ClusterError:
                    await asyncio.sleep(0.1)
                else:
                    break
        await stage.settled("serving-v2", "Serving", 30)
        await at_rest(process)
        now = await stage.get("Rollout", "serving", "argoproj.io/v1alpha1")
        assert await edited(stage, "rollouts", now, env("models:/fraud/99"), lambda each: pointer_of(each) == uri(2)) < 1.0


async def served_rollout(stage: Stage) -> None:
    body = await stage.create("argoproj.io/v1alpha1", "Rollout", "serving", spec=workload("serving", uri(2), "Rollout")["spec"])
    conditions = [
        {"type": "Available", "status": "True"},
        {"type": "Healthy", "status": "True"},
        {"type": "Completed", "status": "True"},
    ]
    hashes = {"currentPodHash": "a", "stableRS": "a"}
    status = {"phase": "Healthy", "observedGeneration": "1", "conditions": conditions, **hashes, **dict.fromkeys(COUNTS, 1)}
    await stage.status(body, status)
    await stage.pod("serving", 2, ready=True, labels={"rollouts-pod-template-hash": "a"})


async def test_on_hold_it_looks_and_tells_and_changes_nothing(stage: Stage, server: ApiServer) -> None:
    body = await stage.rolling("serving")
    pod = await stage.pod("serving", 2, ready=False)
    await stage.pod_status(pod, ready=False, crashes=5)
    async with operator(stage, HOLD="true") as process:
        found = await stage.settled("serving-v2", "Suspended")
        await at_rest(process)
        [ready] = [each for each in found["status"]["conditions"] if each["type"] == "Ready"]
        assert "WEIGHBRIDGE_HOLD" in ready["message"]
        assert {write.split()[1] for write in writes(server, stage.namespace)} == {"modelversions/status"}
    assert await stage.pointer("serving") == uri(2)
    async with operator(stage):
        await until_pointer(stage, uri(1))
    assert body["metadata"]["name"] == "serving"


async def until_pointer(stage: Stage, value: str) -> None:
    async with asyncio.timeout(30):
        while await stage.pointer("serving") != value:  # noqa: ASYNC110 - polled on purpose: no watch is what is tested here
            await asyncio.sleep(0.05)


async def test_a_rollback_is_counted_with_its_reason_and_each_version_says_how_fresh_it_is(stage: Stage) -> None:
    await stage.rolling("serving")
    pod = await stage.pod("serving", 2, ready=False)
    await stage.pod_status(pod, ready=False, crashes=5)
    began = time.time()  # noqa: TID251 - compared with a timestamp of the operator
    async with operator(stage) as process:
        await until_pointer(stage, uri(1))
        await at_rest(process)
        samples = await process.samples()
        assert samples['weighbridge_rollbacks_total{reason="RolloutFailed"}'] == 1
        assert samples["weighbridge_rollback_seconds_count"] == 1
        where = f'name="serving-v2",namespace="{stage.namespace}"'
        assert began - 1 < samples[f"weighbridge_modelversion_last_check_timestamp_seconds{{{where}}}"] < began + 60
        assert samples[f'weighbridge_modelversion_phase{{{where},phase="RolledBack"}}'] == 1
        await stage.strike("serving")
        async with asyncio.timeout(20):
            while any("weighbridge_modelversion_" in name for name in await process.samples()):  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.05)


async def test_in_a_steady_state_nothing_is_written_whatever_happens_around_it(stage: Stage, server: ApiServer) -> None:
    body = await served(stage)
    async with operator(stage) as process:
        await stage.settled("serving-v2", "Serving")
        await at_rest(process)
        before = writes(server, stage.namespace)
        passes = await passes_of(process)
        for number in range(1, 6):
            note = {"metadata": {"labels": {"example.com/round": str(number)}}}
            await stage.cluster.merge("apps/v1", "Deployment", stage.namespace, "serving", note)
            await until_more(process, passes + number)
        await at_rest(process)
        assert writes(server, stage.namespace) == before
    assert (await stage.get("Deployment", "serving"))["metadata"]["uid"] == body["metadata"]["uid"]


async def passes_of(process: Process) -> float:
    samples = await process.samples()
    return sum(value for name, value in samples.items() if name.startswith('weighbridge_reconcile_total{kind="ModelVersion"'))


async def until_more(process: Process, passes: float) -> None:
    async with asyncio.timeout(20):
        while await passes_of(process) < passes:  # noqa: ASYNC110 - metrics tell nobody when they grow
            await asyncio.sleep(0.02)


async def test_from_its_pin_to_serving_a_version_costs_few_writes(stage: Stage, server: ApiServer, tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.create_repo(MODELS, "org/fraud")
    commit = hub.commit(MODELS, "org/fraud", {"config.json": b"{}", "model.safetensors": b"weights"})
    with serving(hub) as registry:
        url = f"http://127.0.0.1:{registry.server_port}"
        await stage.create(API_VERSION, "ModelRegistry", "hub", spec={"huggingFace": {"url": url}})
        target = await stage.create("apps/v1", "Deployment", "serving", spec=workload("serving", "")["spec"])
        async with operator(stage) as process:
            await at_rest(process)
            source = {"registryRef": {"name": "hub"}, "name": "org/fraud", "revision": commit}
            gate = [{"metric": "accuracy", "min": 0.9}]
            template = {"evaluator": {"engine": "container", "image": "engine:1"}, "gate": gate}
            spec = version_spec("serving", 1, evaluations=[{"name": "holdout", "template": template}]) | {"source": source}
            await stage.create(API_VERSION, "ModelVersion", "v1", spec=spec)
            await evaluated(stage)
            uri_ = f"hf://org/fraud@{commit}"
            await until_pointer(stage, uri_)
            await rolled_out(stage, target, uri_)
            await stage.settled("v1", "Serving")
            await at_rest(process)
        mine = [write for write in writes(server, stage.namespace) if write.endswith((" v1", " serving", "create evaluationjobs"))]
        assert mine[:1] == ["patch modelversions/status v1"], "says that it asks the registry"
        assert len([write for write in mine[1:] if write.endswith(" v1")]) <= 6, mine
        # One effect each: what a status names is done once.
        effects = sorted(write for write in mine[1:] if not write.endswith(" v1"))
        assert effects == ["create evaluationjobs", "patch deployments serving"]


async def evaluated(stage: Stage) -> None:
    """What the Job's controller, the kubelet, the engine and the reporter do."""
    job = await _only(stage, "batch/v1", "Job")
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    evaluation = await _only(stage, API_VERSION, "EvaluationJob")
    digest = evaluation["status"]["resolved"]["model"]["digest"]
    metric = {"name": "accuracy", "value": 0.95, "direction": "maximize", "n": 100}
    document = json.dumps({"schemaVersion": "v1", "subject": {"digest": digest}, "metrics": [metric]}).encode()
    told = summary(read_result(document, digest), digest).decode()
    container = {"name": "engine", "image": "engine:1"}
    labels = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    reporter = {"name": "reporter", "image": "reporter:1", "restartPolicy": "Always"}
    metadata = {"labels": labels, "ownerReferences": [owner]}
    spec = {"containers": [container], "initContainers": [reporter]}
    pod = await stage.create("v1", "Pod", "evaluation", metadata=metadata, spec=spec)
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": told}}
    shown = {"ready": False, "restartCount": 0, "image": "", "imageID": "", "state": ended}
    await stage.status(pod, {"phase": "Succeeded", "initContainerStatuses": [{"name": "reporter", **shown}]})
    start, end = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
    done = [{"type": kind, "status": "True", "lastTransitionTime": end} for kind in ("SuccessCriteriaMet", "Complete")]
    await stage.status(job, {"startTime": start, "completionTime": end, "succeeded": 1, "conditions": done})


async def _only(stage: Stage, api_version: str, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while not (found := await stage.cluster.list(api_version, kind, stage.namespace, {})):  # noqa: ASYNC110 - no watch here
            await asyncio.sleep(0.05)
    [body] = found
    return dict(body)


async def rolled_out(stage: Stage, target: Mapping[str, Any], value: str) -> None:
    """What the Deployment's controller and the kubelet do."""
    now = await stage.get("Deployment", "serving")
    generation = now["metadata"]["generation"]
    await stage.status(target, {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1})
    await stage.pod("serving", 1, ready=True, value=value)
    await stage.status(target, {"observedGeneration": generation, **dict.fromkeys(COUNTS, 1)})
