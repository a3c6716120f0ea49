"""The Job of an evaluation: what it asks for, and that the real admission of Pod Security `restricted` lets its pod in."""

import asyncio
import copy
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.core.things import dataset_pin, evaluation_job, pin, registry
from weighbridge.api import EvaluationJob, ModelRegistry
from weighbridge.api.base import API_VERSION
from weighbridge.api.evaluationjob import Resolved, ResolvedDataset, ResolvedModel
from weighbridge.evaluation.manifest import job_manifest
from weighbridge.evaluation.order import read_order
from weighbridge.evaluation.reporter import _UPLOAD_SECONDS
from weighbridge.evaluation.task import TASK, Task
from weighbridge.runtime.connection import Connection
from weighbridge.runtime.refusal import Invalid

PIN = ResolvedModel.model_validate(pin("1").to_json())
DATASET = ResolvedDataset.model_validate(dataset_pin().to_json())
HUB_PIN = PIN.model_copy(update={"registry": "hub", "uri": f"hf://organisation/name@{'0' * 40}"})
HUB_DATASET = DATASET.model_copy(update={"registry": "hub", "uri": f"hf://datasets/organisation/name@{'0' * 40}", "file": "t.csv"})


def manifest(
    job: EvaluationJob | None = None, resolved: Resolved | None = None, more: tuple[ModelRegistry, ...] = (), **registry_spec: Any
) -> dict[str, Any]:
    resolved = resolved or Resolved(model=PIN, datasets=(DATASET,))
    registries = {each.metadata.name: each for each in (registry(**registry_spec), *more)}
    images = {"evaluator_image": "registry.example/evaluator:1", "reporter_image": "registry.example/operator:1"}
    return job_manifest(job or evaluation_job(), resolved, registries, name="evaluation-1", **images)


def hub(name: str = "hub", **spec: Any) -> ModelRegistry:
    metadata = {"name": name, "namespace": "ns", "uid": name, "generation": 1}
    return ModelRegistry.model_validate({"metadata": metadata, "spec": {"huggingFace": {}, **spec}})


def pod_spec(job: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def engine(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_spec(job)["containers"]
    return dict(container)


def environment(job: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in engine(job)["env"]}


def test_the_engine_gets_pins_and_the_reporter_gets_the_subject() -> None:
    job = manifest(evaluation_job(evaluator={"parameters": {"targets": "label"}}))
    task = Task.model_validate_json(environment(job)[TASK])
    assert (task.subject.digest, task.subject.fingerprint) == (PIN.digest, PIN.fingerprint)
    assert (task.model.uri, task.model.version, task.model.created_at) == ("models:/model/1", "1", PIN.created_at)
    assert [dataset.uri for dataset in task.datasets] == ["runs:/1/holdout"]
    assert task.parameters == {"targets": "label"}
    (reporter,) = pod_spec(job)["initContainers"]
    assert {"name": "WEIGHBRIDGE_SUBJECT", "value": PIN.digest} in reporter["env"]
    assert reporter["restartPolicy"] == "Always"


def test_the_workloads_credentials_reach_the_engine_alone_key_by_key() -> None:
    job = manifest(credentialsSecretRef={"name": "writes"}, workloadCredentialsSecretRef={"name": "reads"})
    token = {"secretKeyRef": {"name": "reads", "key": "MLFLOW_TRACKING_TOKEN", "optional": True}}
    assert environment(job)["MLFLOW_TRACKING_TOKEN"] == token
    assert "writes" not in str(job)
    assert "reads" not in str(pod_spec(job)["initContainers"])
    assert "envFrom" not in str(job)


def test_without_workload_credentials_the_registrys_own_are_taken() -> None:
    assert "'name': 'writes'" in str(environment(manifest(credentialsSecretRef={"name": "writes"})))


def test_a_pod_gets_the_addresses_and_keys_of_the_registries_its_pins_lie_in_and_of_no_other() -> None:
    both = Resolved(model=HUB_PIN, datasets=(DATASET, HUB_DATASET))
    job = manifest(None, both, (hub(workloadCredentialsSecretRef={"name": "hub-reads"}),), credentialsSecretRef={"name": "writes"})
    said = environment(job)
    assert (said["HF_ENDPOINT"], said["MLFLOW_TRACKING_URI"]) == ("https://huggingface.co", "http://mlflow:5000")
    assert said["HF_TOKEN"] == {"secretKeyRef": {"name": "hub-reads", "key": "HF_TOKEN", "optional": True}}
    assert said["MLFLOW_TRACKING_TOKEN"]["secretKeyRef"]["name"] == "writes"
    assert (said["HF_HUB_DISABLE_XET"], said["HF_HUB_DISABLE_TELEMETRY"]) == ("1", "1")
    assert said["HF_HOME"].startswith("/tmp/")
    task = Task.model_validate_json(said[TASK])
    assert (task.model.registry, [(each.registry, each.file) for each in task.datasets]) == (
        "huggingFace",
        [("mlflow", ""), ("huggingFace", "t.csv")],
    )
    alone = environment(manifest(None, Resolved(model=PIN), (hub(credentialsSecretRef={"name": "hub-writes"}),)))
    assert not [name for name in alone if name.startswith("HF_")]
    assert not [name for name in environment(manifest(None, Resolved(model=HUB_PIN), (hub(),))) if name.startswith("MLFLOW_")]


def test_a_pod_cannot_have_two_registries_of_one_kind() -> None:
    other = HUB_DATASET.model_copy(update={"registry": "mirror"})
    with pytest.raises(ValueError, match="hub, mirror"):
        manifest(
            None, Resolved(model=HUB_PIN, datasets=(other,)), (hub(), hub("mirror", huggingFace={"url": "https://mirror.example"}))
        )


@pytest.mark.parametrize("engine_name", ["mlflow", "container"])
def test_one_pod_counts_and_a_disrupted_one_does_not(engine_name: str) -> None:
    job = manifest(evaluation_job(evaluator={"engine": engine_name, "image": "registry.example/own:1"}, backoffLimit=3))
    assert job["spec"]["backoffLimit"] == 0, "what follows a failure is the operator's decision"
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    assert ("command" in engine(job)) == (engine_name == "mlflow")
    assert engine(job)["image"] == "registry.example/own:1"


def test_a_container_may_be_told_what_to_run() -> None:
    evaluator = {"engine": "container", "image": "own:1", "command": ["python", "-c"], "args": ["pass"]}
    container = engine(manifest(evaluation_job(evaluator=evaluator)))
    assert (container["command"], container["args"]) == (["python", "-c"], ["pass"])


def test_a_queue_is_a_label_and_a_suspended_job() -> None:
    queued = manifest(evaluation_job(scheduling={"queueName": "gpu", "queuePriorityClassName": "low", "nodeSelector": {"a": "b"}}))
    labels = queued["metadata"]["labels"]
    assert (labels["kueue.x-k8s.io/queue-name"], labels["kueue.x-k8s.io/priority-class"]) == ("gpu", "low")
    assert queued["spec"]["suspend"] is True
    assert "queue" not in str(queued["spec"]["template"])
    assert pod_spec(queued)["nodeSelector"] == {"a": "b"}
    assert "suspend" not in manifest()["spec"]


def test_all_that_is_written_to_the_nodes_disk_is_within_a_limit() -> None:
    job = manifest(evaluation_job(scratch="2Gi", resources={"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}))
    assert engine(job)["resources"] == {
        "limits": {"memory": "1Gi", "ephemeral-storage": f"{2048 + 544 + 64}Mi"},
        "requests": {"cpu": "1", "ephemeral-storage": "64Mi"},
    }
    (reporter,) = pod_spec(job)["initContainers"]
    assert reporter["resources"]["limits"]["ephemeral-storage"] == "64Mi"
    reserved = manifest(evaluation_job(resources={"requests": {"ephemeral-storage": "10Gi"}}))
    assert engine(reserved)["resources"]["requests"] == {"ephemeral-storage": "10Gi"}


def test_shared_memory_is_there_when_asked_for() -> None:
    job = manifest(evaluation_job(sharedMemory="8Gi"))
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}} in pod_spec(job)["volumes"]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in engine(job)["volumeMounts"]
    assert "/dev/shm" not in str(manifest())


def test_labels_find_the_job_and_its_pods_and_nothing_of_the_users_is_copied() -> None:
    job = manifest(evaluation_job(metadata={"name": "n" * 70, "labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}))
    labels = job["metadata"]["labels"]
    assert labels == job["spec"]["template"]["metadata"]["labels"]
    assert len(labels["weighbridge.dev/evaluation-job"]) <= 63
    assert "theirs" not in str(job)


def test_the_job_waits_for_the_operator_and_belongs_to_its_evaluation() -> None:
    job = manifest(evaluation_job(activeDeadline="1h30m", backoffLimit=0))
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert "activeDeadlineSeconds" not in job["spec"], "a Job's deadline counts what it waits, a pod's does not"
    assert pod_spec(job)["activeDeadlineSeconds"] == 5400
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("EvaluationJob", "evaluation-uid", True)
    assert "finalizers" not in job["metadata"], "it goes with its evaluation, and its pod with it"


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


REPORT_TO = {"registryRef": {"name": "mlflow"}}


def test_what_writes_reports_reaches_the_reporter_alone_and_nothing_else_does() -> None:
    secrets = {"credentialsSecretRef": {"name": "operators"}, "reportCredentialsSecretRef": {"name": "writes-reports"}}
    resolved = Resolved(model=PIN.model_copy(update={"run_id": "r" * 32}))
    job = manifest(evaluation_job(report=REPORT_TO), resolved, workloadCredentialsSecretRef={"name": "reads"}, **secrets)
    (reporter,) = pod_spec(job)["initContainers"]
    assert "writes-reports" not in str(engine(job))
    assert {name for name in ("operators", "reads", "writes-reports") if name in str(reporter)} == {"writes-reports"}
    said = variables(reporter)
    assert said["MLFLOW_TRACKING_TOKEN"] == {
        "secretKeyRef": {"name": "writes-reports", "key": "MLFLOW_TRACKING_TOKEN", "optional": True}
    }
    assert said["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    order = read_order(said["WEIGHBRIDGE_UPLOAD"])
    assert order is not None
    assert (order.uid, order.attempt, order.parent_run) == ("evaluation-uid", "evaluation-1", "r" * 32)
    assert pod_spec(job)["terminationGracePeriodSeconds"] > _UPLOAD_SECONDS
    assert reporter["volumeMounts"][0]["readOnly"] is True


def test_without_credentials_for_reports_no_others_are_taken() -> None:
    job = manifest(evaluation_job(report=REPORT_TO), credentialsSecretRef={"name": "operators"})
    assert "operators" not in str(pod_spec(job)["initContainers"])


def test_a_model_of_another_registry_has_no_run_there() -> None:
    model = HUB_PIN.model_copy(update={"run_id": "r"})
    (reporter,) = pod_spec(manifest(evaluation_job(report=REPORT_TO), Resolved(model=model), (hub(),)))["initContainers"]
    order = read_order(variables(reporter)["WEIGHBRIDGE_UPLOAD"])
    assert order is not None
    assert order.parent_run == ""


def test_without_a_report_the_reporter_gets_no_registry_at_all() -> None:
    job = manifest(reportCredentialsSecretRef={"name": "writes-reports"})
    (reporter,) = pod_spec(job)["initContainers"]
    assert "writes-reports" not in str(job)
    assert not [name for name in variables(reporter) if name.startswith("MLFLOW") or name == "WEIGHBRIDGE_UPLOAD"]
    assert pod_spec(job)["terminationGracePeriodSeconds"] == 30


EXAMPLES = 2000
AT_ONCE = 20
"""Requests at a time: what takes time is the way."""
_WORDS = ("a", "gpu", "pool-1", "team", "x9")


def _some(chance: random.Random, **fields: Callable[[], Any]) -> dict[str, Any]:
    """Some of the fields, each with a value."""
    return {name: make() for name, make in fields.items() if chance.random() < 0.4}


def random_spec(chance: random.Random) -> dict[str, Any]:
    """What a user may write, by luck nonsense too."""

    def of(*good: Any, bad: tuple[Any, ...] = ()) -> Any:
        return chance.choice(bad) if bad and chance.random() < 0.06 else chance.choice(good)

    def word() -> str:
        return chance.choice(_WORDS)

    def text() -> str:
        return "".join(chance.choice("ab $(X)\n\"'{}é/:;|&.-") for _ in range(chance.randrange(30)))

    def amounts() -> dict[str, str]:
        names = {of("cpu", "memory", "nvidia.com/gpu", bad=("ephemeral-storage", "hugepages-2Mi")) for _ in range(3)}
        return {name: of("1", "2", bad=("500m", "4Gi", "0.5", "lots")) for name in names}

    def words() -> list[str]:
        return [text() for _ in range(chance.randrange(4))]

    def toleration() -> dict[str, Any]:
        effect = of("NoSchedule", "PreferNoSchedule", bad=("NoExecute", "Never"))
        return {"operator": "Exists"} if chance.random() < 0.3 else {"key": word(), "value": word(), "effect": effect}

    def scheduling() -> dict[str, Any]:
        return _some(
            chance,
            nodeSelector=lambda: {word(): word() for _ in range(3)},
            tolerations=lambda: [toleration() for _ in range(chance.randrange(3))],
            priorityClassName=lambda: of("system-node-critical", bad=("low",)),
        ) | of({}, {"queueName": "gpu"}, {"queueName": "gpu", "queuePriorityClassName": "low"}, bad=({"queueName": "A queue"},))

    evaluator: dict[str, Any] = {"parameters": {"targets": "label", **{word(): text() for _ in range(chance.randrange(3))}}}
    evaluator |= of({}, {"engine": "container", "image": of("registry.example/own:1", "own", bad=("", "UPPER CASE", "x" * 512))})
    if "engine" in evaluator or chance.random() < 0.05:
        evaluator |= _some(chance, command=words, args=words)
    return {"evaluator": evaluator, "resources": {"limits": amounts()}} | _some(
        chance,
        resources=lambda: {"requests": amounts()},
        scheduling=scheduling,
        scratch=lambda: of("1Mi", "20Gi", "999999Ti", bad=("0Gi", "1G")),
        sharedMemory=lambda: of("64Mi", "8Gi", bad=("8", "0Gi")),
        activeDeadline=lambda: of("1s", "30m", "2h", bad=("99999h", "0s")),
        queueDeadline=lambda: of("1s", "24h", bad=("soon",)),
        backoffLimit=lambda: of(0, 1, 10, bad=(11,)),
        ttlAfterFinished=lambda: "1h",
        ttlAfterFailed=lambda: "1h",
        report=lambda: {"registryRef": {"name": "mlflow"}},
    )


def _loosened(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The job with one part of its protection missing, for each part."""
    for part in ("runAsNonRoot", "seccompProfile"):
        loose = copy.deepcopy(job)
        del pod_spec(loose)["securityContext"][part]
        yield loose
    for containers in ("containers", "initContainers"):
        for part in ("allowPrivilegeEscalation", "capabilities"):
            loose = copy.deepcopy(job)
            for container in pod_spec(loose)[containers]:
                container["securityContext"] = {key: value for key, value in container["securityContext"].items() if key != part}
            yield loose


class Admission:
    """A namespace in which the API server enforces Pod Security `restricted`; asked without leaving anything there."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection, self._namespace = connection, namespace

    async def prepare(self) -> None:
        where, merge = f"/api/v1/namespaces/{self._namespace}", "application/merge-patch+json"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        await self._connection.request("PATCH", where, body={"metadata": {"labels": labels}}, content_type=merge)
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        await self._connection.request("POST", f"{where}/serviceaccounts", body=account)

    async def evaluation(self, spec: dict[str, Any]) -> EvaluationJob:
        """The evaluation as it would be stored."""
        whole = evaluation_job(datasets=True).to_json()["spec"]
        body = {
            "apiVersion": API_VERSION,
            "kind": "EvaluationJob",
            "metadata": {"name": "evaluation", "namespace": self._namespace},
            "spec": {key: whole[key] for key in ("model", "datasets", "gate")} | spec,
        }
        where = f"/apis/{API_VERSION}/namespaces/{self._namespace}/evaluationjobs"
        return EvaluationJob.model_validate(await self._dry_run(where, body))

    async def job(self, job: dict[str, Any]) -> dict[str, Any]:
        job = job | {"metadata": job["metadata"] | {"namespace": self._namespace}}
        return await self._dry_run(f"/apis/batch/v1/namespaces/{self._namespace}/jobs", job)

    async def pod(self, job: dict[str, Any]) -> dict[str, Any]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod_spec(job)}
        return await self._dry_run(f"/api/v1/namespaces/{self._namespace}/pods", pod)

    async def _dry_run(self, where: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._connection.request("POST", where, query=(("dryRun", "All"),), body=body)


@pytest.fixture
async def admission(connection: Connection, namespace: str) -> Admission:
    admission = Admission(connection, namespace)
    await admission.prepare()
    return admission


async def test_whatever_a_user_writes_is_refused_or_makes_a_pod_that_restricted_admits(admission: Admission) -> None:
    """Of so many evaluations none makes a pod that Pod Security `restricted` would not let in."""
    chance = random.Random(14)
    specs = [random_spec(chance) for _ in range(EXAMPLES)]
    ends: Counter[str] = Counter()
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(spec: dict[str, Any]) -> None:
        async with turn:
            ends[await _end_of(admission, spec)] += 1

    async with asyncio.TaskGroup() as group:
        for spec in specs:
            group.create_task(one(spec))
    assert ends["admitted"] > EXAMPLES * 0.4, ends
    assert ends["refused: the evaluation"] > EXAMPLES / 10, ends


async def _end_of(admission: Admission, spec: dict[str, Any]) -> str:
    try:
        stored = await admission.evaluation(spec)
    except Invalid:
        return "refused: the evaluation"
    job = manifest(stored, credentialsSecretRef={"name": "token"})
    _, said = await _answer(admission.job(job))
    if said:
        assert "violates PodSecurity" not in said, spec
        return "refused: the Job"
    pod, said = await _answer(admission.pod(job))
    if said:
        assert "no PriorityClass with name low" in said, (said, spec)
        return "refused: the pod"
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    everyone = [container, *pod["spec"]["initContainers"]]
    assert all("ephemeral-storage" in each["resources"]["limits"] for each in everyone)
    return "admitted"


async def _answer(asked: Awaitable[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """What the server made of it; or why it refused it."""
    try:
        return await asked, ""
    except Invalid as error:
        return {}, error.public


async def test_each_part_of_the_protection_is_needed(admission: Admission) -> None:
    for loose in _loosened(manifest()):
        with pytest.raises(Invalid):
            await admission.pod(loose)
