"""Attempts and queues of an evaluation on a real API server: the operator killed at every write, Jobs suspended and resumed.

No controllers run there: a test plays the Job controller, the kubelet, Kueue and bad luck.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.core.things import registry, snapshot
from weighbridge.api import EvaluationJob
from weighbridge.api.base import API_VERSION, Key
from weighbridge.api.evaluationjob import EvaluationJobStatus
from weighbridge.controllers.evaluationjob import EvaluationJobController
from weighbridge.controllers.ports import Ports
from weighbridge.core.conditions import find
from weighbridge.core.facts import Known
from weighbridge.evaluation.message import summary
from weighbridge.evaluation.result import read_result
from weighbridge.runtime.actions import Actions
from weighbridge.runtime.clock import now
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.events import Recorder
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.news import News, group_of
from weighbridge.runtime.queue import Priority, Queue
from weighbridge.runtime.reconciler import Reconciler
from weighbridge.runtime.store import ObjectStore

SPEC = {
    "model": {"registryRef": {"name": "mlflow"}, "name": "model", "version": "1"},
    "evaluator": {"engine": "container", "image": "engine:1"},
    "gate": [{"metric": "accuracy", "min": 0.9}],
}
QUEUED = {**SPEC, "scheduling": {"queueName": "gpu"}, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
JOBS, PODS = ("batch/v1", "Job"), ("v1", "Pod")
END = "2026-01-01T00:01:00Z"
WORKLOADS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "workloads.kueue.x-k8s.io",
        "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue"},
    },
    "spec": {
        "group": "kueue.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "Workload", "listKind": "WorkloadList", "plural": "workloads", "singular": "workload"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


class Killed(BaseException):
    """The operator died: nothing of it runs on."""


class Mortal(Cluster):
    """The operator's client; it dies right before the write of a number."""

    def __init__(self, connection: Connection, dies_at: int | None) -> None:
        super().__init__(connection)
        self.writes, self._dies_at = 0, dies_at

    async def _write(self, *arguments: Any, **more: Any) -> dict[str, Any]:
        if "/events" not in arguments[1]:
            if self.writes == self._dies_at:
                raise Killed
            self.writes += 1
        return await super()._write(*arguments, **more)


class Answers:
    """Stands where the guarded registries stand: everything is there."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage

    def model(self, *_: Any, **__: Any) -> Known[Any]:
        return Known(snapshot("1"), self._stage.now())


class Stage:
    """One evaluation in a namespace, and all that happens to it."""

    def __init__(self, connection: Connection, namespace: str, *, kueue: bool = False) -> None:
        self.connection, self.namespace, self._kueue = connection, namespace, kueue
        self.cluster = Cluster(connection)
        self.offset = timedelta()
        self.seen_jobs: dict[str, str] = {}
        """uid to name, of each Job there ever was."""

    def now(self) -> datetime:
        return now() + self.offset

    async def create(self, spec: Mapping[str, Any]) -> None:
        where = {"namespace": self.namespace}
        body = registry().to_json()
        body["metadata"] = where | {"name": "mlflow"}
        await self.cluster.create({"apiVersion": API_VERSION, "kind": "ModelRegistry", **body})
        made = {"apiVersion": API_VERSION, "kind": "EvaluationJob", "metadata": where | {"name": "evaluation"}, "spec": spec}
        await self.cluster.create(made)

    async def job(self) -> EvaluationJob:
        body = await self.cluster.get(API_VERSION, "EvaluationJob", self.namespace, "evaluation")
        return EvaluationJob.model_validate(body)

    async def status(self) -> EvaluationJobStatus:
        return (await self.job()).status

    async def operate(self, cluster: Cluster) -> None:
        """A fresh operator does what is to be done now. Raises Killed."""
        store, controller = ObjectStore(), EvaluationJobController("evaluator:1", "reporter:1", kueue=self._kueue)
        controllers = {"EvaluationJob": controller}
        queue: Queue[Key] = Queue(lambda key: group_of(store, controllers, key))
        news, metrics = News(store, queue, controllers), Metrics(queue, store)
        answers: Any = Answers(self)
        actions = Actions(cluster=cluster, registries=answers, store=store, queue=queue, news=news, metrics=metrics)
        reconciler = Reconciler(
            controllers=controllers,
            store=store,
            queue=queue,
            news=news,
            cluster=cluster,
            actions=actions,
            recorder=Recorder(cluster, "test", now),
            metrics=metrics,
            ports=Ports(store, cluster, answers, answers, answers, self.now, lambda _: None),
            may_write=lambda: True,
        )
        for kind in ("ModelRegistry", "EvaluationJob"):
            for body in await self.cluster.list(API_VERSION, kind, self.namespace, {}):
                news.seen(dict(body), Priority.FRESH)
        for _ in range(20):
            if (key := queue.take()) is None:
                return
            if key.kind == "EvaluationJob":
                await reconciler.reconcile(key)
            queue.done(key)
        raise AssertionError("no rest")

    async def jobs(self) -> list[dict[str, Any]]:
        found = [dict(each) for each in await self.cluster.list(*JOBS, self.namespace, {})]
        self.seen_jobs |= {each["metadata"]["uid"]: each["metadata"]["name"] for each in found}
        return found

    async def only_job(self) -> dict[str, Any]:
        (job,) = await self.jobs()
        return job

    async def show(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Writes a status as its owner would."""
        metadata = {"name": body["metadata"]["name"], "namespace": self.namespace}
        manifest = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, "status": status}
        await self.cluster.apply(manifest, "status")

    async def pod(self, job: Mapping[str, Any], end: str) -> None:
        """The Job controller makes the Job's pod, and the kubelet brings it to that end, or to life."""
        digest = (await self.status()).resolved.model.digest  # type: ignore[union-attr]
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": True}
        metadata = {
            "name": name,
            "namespace": self.namespace,
            "labels": {"batch.kubernetes.io/job-name": name},
            "ownerReferences": [owner],
        }
        spec = {
            "restartPolicy": "Never",
            "containers": [{"name": "engine", "image": "engine:1"}],
            "initContainers": [{"name": "reporter", "image": "reporter:1", "restartPolicy": "Always"}],
        }
        pod = await self.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        document = {"schemaVersion": "v1", "subject": {"digest": digest}, "metrics": [METRIC]}
        told = summary(read_result(json.dumps(document).encode(), digest), digest).decode()
        shown = {"ready": False, "restartCount": 0, "image": "", "imageID": ""}
        started = {"startedAt": "2026-01-01T00:00:30Z"}
        code = 0 if end == "Result" else 1
        engine = {"running": {"startedAt": _text(self.now())}} if end == "Runs" else {"terminated": {"exitCode": code, **started}}
        reporter = {"terminated": {"exitCode": 0, "message": told}} if end == "Result" else {"running": {}}
        status = {
            "phase": {"Result": "Succeeded", "Runs": "Running"}.get(end, "Failed"),
            "containerStatuses": [{"name": "engine", **shown, "state": engine}],
            "initContainerStatuses": [{"name": "reporter", **shown, "state": reporter}],
        }
        await self.show(pod, status)

    async def end(self, job: Mapping[str, Any], how: str) -> None:
        """The Job ends like this: `Result`, `EngineFailed`, `ResultLost` or `JobDeleted`."""
        if how == "JobDeleted":
            await self.cluster.delete(*JOBS, self.namespace, job["metadata"]["name"], job["metadata"]["uid"])
            return
        if how in ("Result", "EngineFailed"):
            await self.pod(job, how)
        kind = "Failed" if how == "EngineFailed" else "Complete"
        first = "FailureTarget" if kind == "Failed" else "SuccessCriteriaMet"
        reason = "BackoffLimitExceeded" if kind == "Failed" else "CompletionsReached"
        done = [{"type": each, "status": "True", "reason": reason, "lastTransitionTime": END} for each in (first, kind)]
        counts = {"failed": 1} if kind == "Failed" else {"succeeded": 1, "completionTime": END}
        await self.show(job, {"startTime": "2026-01-01T00:00:00Z", "conditions": done, **counts})

    async def sweep(self) -> None:
        """The garbage collector: pods whose Job is gone go too."""
        there = {each["metadata"]["uid"] for each in await self.jobs()}
        for pod in await self.cluster.list(*PODS, self.namespace, {}):
            meta = pod["metadata"]
            if not there & {each["uid"] for each in meta.get("ownerReferences", ())}:
                where = f"/api/v1/namespaces/{self.namespace}/pods/{meta['name']}"
                await self.connection.request("DELETE", where, body={"gracePeriodSeconds": 0})


METRIC = {"name": "accuracy", "value": 0.95, "direction": "maximize", "n": 100}
LUCK = ("EngineFailed", "JobDeleted", "Result")


def _text(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")


async def live(stage: Stage, dies_at: int | None) -> int:
    """The whole life of an evaluation of bad luck; how many writes it took."""
    await stage.create({**SPEC, "backoffLimit": 2})
    mortal = Mortal(stage.connection, dies_at)
    for _ in range(40):
        try:
            await stage.operate(mortal)
        except Killed:
            mortal = Mortal(stage.connection, None)
        jobs = await stage.jobs()
        assert len(jobs) <= 1, "never two Jobs at once"
        status = await stage.status()
        if status.verdict is not None:
            return mortal.writes
        for job in jobs:
            conditions = job.get("status", {}).get("conditions", ())
            how = LUCK[len(stage.seen_jobs) - 1]
            seen = status.job is not None and status.job.uid == job["metadata"]["uid"]
            if not conditions and (seen or how != "JobDeleted"):
                await stage.end(job, how)
        await stage.sweep()
        stage.offset += timedelta(seconds=15)
    raise AssertionError("no verdict")


async def test_the_operator_killed_at_every_write_makes_one_job_per_attempt_and_loses_no_result(
    connection: Connection, api_server: RealServer
) -> None:
    namespaces = _namespaces(connection)
    undisturbed = await live(Stage(connection, await anext(namespaces)), None)
    assert undisturbed >= 10
    for number in range(undisturbed):
        stage = Stage(connection, await anext(namespaces))
        await live(stage, number)
        status = await stage.status()
        assert status.phase == "Passed", f"killed at write {number}: {status.conditions}"
        assert status.job is not None
        assert (status.job.attempt, status.job.last_failure) == (3, "JobDeleted")
        assert len(stage.seen_jobs) == len(set(stage.seen_jobs.values())) == 3, f"killed at write {number}"
        creates = [each for each in await api_server.writes(stage.namespace) if each.startswith("create jobs")]
        assert len(creates) == 3, f"killed at write {number}"


async def _namespaces(connection: Connection) -> Any:
    import uuid

    while True:
        name = f"test-{uuid.uuid4().hex[:10]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await connection.request("POST", "/api/v1/namespaces", body=body)
        yield name


async def test_a_verdict_stays_when_job_and_pods_vanish(connection: Connection, namespace: str) -> None:
    stage = Stage(connection, namespace)
    await stage.create(SPEC)
    await stage.operate(stage.cluster)
    job = await stage.only_job()
    await stage.end(job, "Result")
    await stage.operate(stage.cluster)
    before = await stage.job()
    assert before.status.phase == "Passed"
    await stage.end(job, "JobDeleted")
    await stage.sweep()
    await stage.operate(stage.cluster)
    assert await stage.job() == before


@pytest.fixture
async def workloads(connection: Connection) -> Any:
    """A stand-in for Kueue's CRD, for as long as the test."""
    where = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await connection.request("POST", where, body=WORKLOADS)
    async with asyncio.timeout(30):
        while not await Cluster(connection).serves("kueue.x-k8s.io/v1beta1", "Workload"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    yield
    await connection.request("DELETE", f"{where}/workloads.kueue.x-k8s.io")


async def test_a_queue_that_nobody_keeps_holds_the_job_and_says_so(connection: Connection, namespace: str) -> None:
    stage = Stage(connection, namespace, kueue=True)
    await stage.create(QUEUED)
    await stage.operate(stage.cluster)
    job = await stage.only_job()
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    await stage.operate(stage.cluster)
    status = await stage.status()
    scheduled = find(status.conditions, "Scheduled")
    assert scheduled is not None
    assert (status.phase, scheduled.status, scheduled.reason) == ("Queued", "False", "Queued")
    assert "until Kueue admits it" in scheduled.message


@pytest.mark.usefixtures("workloads")
async def test_an_evaluation_that_is_queued_evicted_and_queued_again_is_one_attempt(connection: Connection, namespace: str) -> None:
    stage = Stage(connection, namespace, kueue=True)
    await stage.create(QUEUED)
    await stage.operate(stage.cluster)
    job = await stage.only_job()
    name = job["metadata"]["name"]

    async def kueue(suspend: bool, *conditions: Mapping[str, Any]) -> EvaluationJobStatus:
        """Kueue suspends or admits the Job, and says why."""
        await stage.cluster.merge(*JOBS, namespace, name, {"spec": {"suspend": suspend}})
        for each in await stage.cluster.list("kueue.x-k8s.io/v1beta1", "Workload", namespace, {}):
            meta = each["metadata"]
            await stage.cluster.delete("kueue.x-k8s.io/v1beta1", "Workload", namespace, meta["name"], meta["uid"])
        labels = {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}
        metadata = {"name": "workload", "namespace": namespace, "labels": labels}
        workload = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "Workload", "metadata": metadata}
        await stage.cluster.create({**workload, "status": {"conditions": list(conditions)}})
        await stage.operate(stage.cluster)
        return await stage.status()

    pending = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "insufficient quota for nvidia.com/gpu"}
    evicted = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "to accommodate a workload"}
    status = await kueue(True, pending)
    assert _said(status, "Scheduled") == "waits in queue gpu (Pending: insufficient quota for nvidia.com/gpu)"
    status = await kueue(False)
    assert status.phase == "Scheduled"
    await stage.pod(job, "Runs")
    status = await kueue(False)
    assert status.phase == "Running"
    assert status.job is not None
    assert status.job.started_at is not None
    stage.offset += timedelta(minutes=90)
    await connection.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", body={"gracePeriodSeconds": 0})
    status = await kueue(True, evicted, pending)
    assert status.phase == "Queued"
    assert "Preempted: to accommodate a workload" in _said(status, "Scheduled")
    stage.offset += timedelta(minutes=90)
    await kueue(False)
    await stage.pod(job, "Runs")
    status = await kueue(False)
    assert (status.phase, status.verdict) == ("Running", None), "its deadline counts anew"
    assert status.job is not None
    assert (status.job.attempt, status.job.uid) == (1, job["metadata"]["uid"])


def _said(status: EvaluationJobStatus, kind: str) -> str:
    condition = find(status.conditions, kind)
    return condition.message if condition else ""


async def test_deleting_an_evaluation_between_attempts_leaves_nothing_to_do(connection: Connection, namespace: str) -> None:
    stage = Stage(connection, namespace)
    await stage.create(SPEC)
    await stage.operate(stage.cluster)
    job = await stage.only_job()
    (owner,) = job["metadata"]["ownerReferences"]
    evaluation = await stage.job()
    assert (owner["uid"], owner["controller"]) == (evaluation.metadata.uid, True), "the garbage collector removes it with its owner"
    await stage.end(job, "EngineFailed")
    await stage.operate(stage.cluster)
    assert (await stage.status()).phase == "Waiting"
    assert await stage.jobs() == [], "the Job of the attempt that broke is gone"
    await stage.cluster.delete(API_VERSION, "EvaluationJob", namespace, "evaluation", evaluation.metadata.uid)
    stage.offset += timedelta(hours=1)
    await stage.operate(stage.cluster)
    assert await stage.jobs() == []
