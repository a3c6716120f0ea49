"""Pre-flight on the cluster: models and datasets of a Hub, fallbacks, an outage that ends, bytes that change behind a version."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.demo.stage import MANIFESTS, NAMESPACE, Stage
from e2e.hub.hub import MANIFESTS as HUB
from e2e.hub.hub import stand_up
from e2e.kube import condition

EVALUATION = 240.0
OVERWRITE = """
import glob, sys, mlflow
version = mlflow.MlflowClient().get_model_version("doomed", sys.argv[1])
(path,) = [each for kind in ("skops", "pkl") for each in
           glob.glob("/tmp/artifacts/*/models/" + version.source.split("/")[-1] + "/artifacts/model." + kind)]
content = bytearray(open(path, "rb").read())
content[len(content) // 2] ^= 1
open(path, "wb").write(content)
print(len(content))
"""
"""One bit of the weights, in place: same name, same size."""
LOG = """
import mlflow, sys
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
data = load_breast_cancer(as_frame=True)
mlflow.set_experiment(experiment_id="1")
with mlflow.start_run():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, 1 - data.target)
    needs = ["mlflow", "scikit-learn"]
    info = mlflow.sklearn.log_model(model, name="model", registered_model_name="doomed", pip_requirements=needs)
print("version", info.registered_model_version)
"""


@pytest.fixture(scope="module")
def hub(stage: Stage) -> Stage:
    stand_up(stage.kube)
    return stage


@pytest.fixture
def doomed(stage: Stage) -> Iterator[str]:
    """A fresh MLflow version whose bytes nobody else needs."""
    said = _python(stage, LOG)
    yield said.rsplit("version ", 1)[1].strip()
    stage.kube.run("delete", "modelversions,evaluationjobs", "--selector=test=doomed", "--timeout=60s")


def test_a_model_and_a_dataset_of_the_hub_are_measured(hub: Stage) -> None:
    job = _evaluate(hub, "hub-model", ("Passed",))
    resolved = job["status"]["resolved"]
    assert len(resolved["model"]["version"]) == 40
    assert resolved["model"]["uri"] == f"hf://{resolved['model']['name']}@{resolved['model']['version']}"
    assert not resolved["model"]["fallback"]
    assert len(resolved["datasets"][0]["revision"]) == 40
    assert {check["result"] for check in job["status"]["preflight"]} == {"Passed"}
    assert job["status"]["results"]["model"] == resolved["model"]["uri"]


def test_a_gated_model_gets_no_pod(hub: Stage) -> None:
    job = _evaluate(hub, "gated", ("Refused",), seconds=30)
    assert condition(job, "Ready")["reason"] == "Gated"
    assert [(each["name"], each["reason"]) for each in job["status"]["preflight"] if each["result"] == "Failed"] == [
        ("Model/Access", "Gated")
    ]
    assert _jobs_of(hub, job) == []


def test_a_missing_model_falls_back_and_says_so_everywhere(hub: Stage) -> None:
    job = _evaluate(hub, "fallback", ("Passed",))
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    assert condition(job, "FallbackUsed")["status"] == "True"
    assert condition(job, "FallbackUsed")["reason"] == "ModelFallback"
    assert job["status"]["resolved"]["model"]["fallback"]
    assert job["status"]["resolved"]["model"]["name"] != job["spec"]["model"]["name"]
    assert job["status"]["results"]["model"] == job["status"]["resolved"]["model"]["uri"]
    assert "fallback" in condition(job, "Ready")["message"]
    events = [each for each in hub.kube.list("events.events.k8s.io") if each["regarding"].get("uid") == job["metadata"]["uid"]]
    assert [each["type"] for each in events if each["reason"] == "ModelFallback"] == ["Warning"]
    log = hub.operator.run("logs", "--selector=app.kubernetes.io/name=weighbridge", "--tail=-1")
    warned = [json.loads(line) for line in log.splitlines() if '"ModelFallback"' in line]
    assert any(line["level"] == "warning" and line["key"] == f"EvaluationJob {namespace}/{name}" for line in warned)
    where = "/api/v1/namespaces/weighbridge-system/services/weighbridge-metrics:metrics/proxy/metrics"
    metrics = hub.operator.run("get", "--raw", where)
    assert f'weighbridge_evaluationjob_fallback{{namespace="{namespace}",reason="ModelFallback"}}' in metrics
    row = hub.kube.run("get", "evaluationjob", name, "--output", "wide")
    assert job["status"]["resolved"]["model"]["uri"] in row


def test_a_registry_that_is_off_is_waited_for(hub: Stage) -> None:
    nobody, back = '{"spec": {"selector": {"app": "nobody"}}}', '{"spec": {"selector": {"app": "hub"}}}'
    hub.kube.run("patch", "service", "hub", "--patch", nobody)
    try:
        # A connection of its own: what another one was told a moment ago would do for half a minute.
        for document in yaml.safe_load_all((HUB / "registry.yaml").read_text(encoding="utf-8")):
            document["metadata"]["name"] = "patient" if document["kind"] == "ModelRegistry" else document["metadata"]["name"]
            hub.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(document))
        _applied(hub, "hub-model", name="patient", registry="patient")
        unavailable = "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=RegistryUnavailable"
        hub.kube.run("wait", "evaluationjob/patient", unavailable, "--timeout=60s")
        waiting = hub.kube.get("evaluationjob", "patient")
        assert waiting is not None
        assert waiting["status"]["phase"] == "Waiting"
        assert condition(waiting, "Stalled")["status"] == "False"
        assert _jobs_of(hub, waiting) == []
    finally:
        hub.kube.run("patch", "service", "hub", "--patch", back)
    _ended(hub, "patient", ("Passed",))
    hub.kube.run("delete", "modelregistry", "patient")


def test_bytes_that_change_before_the_engine_loads_them_never_score(stage: Stage, doomed: str) -> None:
    nodes = [each["metadata"]["name"] for each in stage.kube.list("nodes")]
    for node in nodes:
        stage.kube.run("cordon", node)
    try:
        stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(_evaluation(doomed)))
        stage.kube.until("the Job is there", 60, lambda: _phase(stage, "doomed-evaluation") == "Scheduled")
        _python(stage, OVERWRITE, doomed)
    finally:
        for node in nodes:
            stage.kube.run("uncordon", node)
    job = _ended(stage, "doomed-evaluation", ("Error",))
    assert condition(job, "Ready")["reason"] == "SubjectChanged"
    assert not job["status"].get("score")
    assert "results" not in job["status"]


def test_bytes_that_change_after_the_verdict_stop_the_promotion(stage: Stage, doomed: str) -> None:
    pointer = stage.pointer()
    stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(_version(doomed, stage="Candidate")))
    stage.follow("doomed", ("Weighed",), EVALUATION)
    _python(stage, OVERWRITE, doomed)
    stage.kube.run("patch", "modelversion", "doomed", "--type=merge", "--patch", '{"spec": {"stage": "Production"}}')
    version = stage.follow("doomed", ("Refused",), 60)
    assert condition(version, "Ready")["reason"] == "ArtifactChanged"
    assert stage.pointer() == pointer


def _applied(stage: Stage, file: str, *, name: str | None = None, registry: str = "hub") -> dict[str, Any]:
    text = (
        (HUB / f"{file}.yaml").read_text(encoding="utf-8").replace("registryRef: {name: hub}", f"registryRef: {{name: {registry}}}")
    )
    body: dict[str, Any] = yaml.safe_load(text)
    body["metadata"]["name"] = name or body["metadata"]["name"]
    stage.kube.run("delete", "evaluationjob", body["metadata"]["name"], "--ignore-not-found", "--timeout=60s")
    stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(body))
    return body


def _evaluate(stage: Stage, file: str, ends: tuple[str, ...], seconds: float = EVALUATION) -> dict[str, Any]:
    return _ended(stage, _applied(stage, file)["metadata"]["name"], ends, seconds)


def _ended(stage: Stage, name: str, ends: tuple[str, ...], seconds: float = EVALUATION) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for found in stage.kube.changes("evaluationjob", name, seconds):
        phase = found.get("status", {}).get("phase", "")
        if phase in ("Passed", "Failed", "Inconclusive", "Error", "Refused"):
            break
    assert found["status"]["phase"] in ends, condition(found, "Ready")
    return found


def _phase(stage: Stage, name: str) -> str:
    return str((stage.kube.get("evaluationjob", name) or {}).get("status", {}).get("phase", ""))


def _jobs_of(stage: Stage, job: dict[str, Any]) -> list[str]:
    uid = job["metadata"]["uid"]
    return [
        each["metadata"]["name"]
        for each in stage.kube.list("jobs")
        if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
    ]


def _python(stage: Stage, program: str, *arguments: str) -> str:
    """What a program says that runs beside the MLflow server."""
    command = ("env", "MLFLOW_TRACKING_URI=http://localhost:5000", "python", "-W", "ignore", "-")
    return stage.kube.run("exec", "--stdin", "deployment/mlflow", "--", *command, *arguments, stdin=program)


def _version(number: str, *, stage: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((MANIFESTS / "version-1.yaml").read_text(encoding="utf-8"))
    body["metadata"] = {"name": "doomed", "namespace": NAMESPACE, "labels": {"test": "doomed"}}
    body["spec"] |= {"source": {**body["spec"]["source"], "name": "doomed", "version": number}, "stage": stage, "precedence": 9}
    del body["spec"]["lineage"]
    return body


def _evaluation(number: str) -> dict[str, Any]:
    version = _version(number, stage="Candidate")
    return {
        "apiVersion": version["apiVersion"],
        "kind": "EvaluationJob",
        "metadata": version["metadata"] | {"name": "doomed-evaluation"},
        "spec": version["spec"]["evaluations"][0]["template"] | {"model": version["spec"]["source"]},
    }
