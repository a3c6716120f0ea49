"""The Job of an evaluation: what it asks for, and that the real admission of Pod Security `restricted` lets its pod in."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.things import dataset_pin, evaluation_job, pin, registry
from weighbridge.api import EvaluationJob, ModelRegistry
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


@pytest.mark.parametrize(("engine_name", "rules"), [("mlflow", 2), ("container", 1)])
def test_only_our_own_engines_exit_codes_end_the_job(engine_name: str, rules: int) -> None:
    job = manifest(evaluation_job(evaluator={"engine": engine_name, "image": "registry.example/own:1"}))
    assert len(job["spec"]["podFailurePolicy"]["rules"]) == rules
    assert ("command" in engine(job)) == (engine_name == "mlflow")
    assert engine(job)["image"] == "registry.example/own:1"


def test_labels_find_the_job_and_its_pods_and_nothing_of_the_users_is_copied() -> None:
    job = manifest(evaluation_job(metadata={"name": "n" * 70, "labels": {"theirs": "1"}, "annotations": {"theirs": "1"}}))
    labels = job["metadata"]["labels"]
    assert labels == job["spec"]["template"]["metadata"]["labels"]
    assert len(labels["weighbridge.dev/evaluation-job"]) <= 63
    assert "theirs" not in str(job)


def test_the_job_waits_for_the_operator_and_belongs_to_its_evaluation() -> None:
    job = manifest(evaluation_job(activeDeadline="1h30m", backoffLimit=0))
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["backoffLimit"]) == (5400, 0)
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("EvaluationJob", "evaluation-uid", True)


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


_LABEL = st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True)
_TOLERATIONS = st.one_of(
    st.fixed_dictionaries({"operator": st.just("Exists")}, optional={"key": _LABEL, "effect": st.just("NoSchedule")}),
    st.fixed_dictionaries(
        {"key": _LABEL, "value": _LABEL}, optional={"effect": st.sampled_from(["NoSchedule", "PreferNoSchedule"])}
    ),
)
_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "resources": st.fixed_dictionaries(
            {"limits": st.dictionaries(st.sampled_from(["nvidia.com/gpu", "cpu", "memory"]), st.sampled_from(["1", "2"]))}
        ),
        "scheduling": st.fixed_dictionaries(
            {},
            optional={
                "nodeSelector": st.dictionaries(_LABEL, _LABEL, max_size=3),
                "tolerations": st.lists(_TOLERATIONS, max_size=3),
            },
        ),
        "evaluator": st.one_of(
            st.fixed_dictionaries({"parameters": st.dictionaries(_LABEL, st.text(max_size=30), max_size=4)}),
            st.fixed_dictionaries({"engine": st.just("container"), "image": st.just("registry.example/own:1")}),
        ),
        "activeDeadline": st.sampled_from(["1s", "30m", "2h"]),
        "backoffLimit": st.integers(0, 10),
        "report": st.just({"registryRef": {"name": "mlflow"}}),
    },
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


# The namespace is the same for all examples: nothing is left in it.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=_SPECS)
async def test_every_job_is_valid_and_its_pod_is_admitted_as_restricted(admission: Admission, spec: dict[str, Any]) -> None:
    job = manifest(evaluation_job(**spec), credentialsSecretRef={"name": "token"})
    created = await admission.job(job)
    assert created["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    pod = await admission.pod(job)
    (engine_container,) = pod["spec"]["containers"]
    assert engine_container["securityContext"]["readOnlyRootFilesystem"] is True


async def test_each_part_of_the_protection_is_needed(admission: Admission) -> None:
    for loose in _loosened(manifest()):
        with pytest.raises(Invalid):
            await admission.pod(loose)
