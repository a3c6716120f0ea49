"""What people get wrong: each has its own reason in status, and nothing is created for it."""

from typing import Any

import pytest
import yaml

from e2e.demo.stage import MANIFESTS, NAMESPACE, Stage
from e2e.kube import condition

REGISTRIES = {
    "nowhere": {"mlflow": {"url": "http://127.0.0.1:5000"}},
    "silent": {"mlflow": {"url": "http://mlflow.nosuch.svc:5000"}, "requestTimeout": "2s"},
    "keyless": {"mlflow": {"url": "http://mlflow.weighbridge-demo.svc:5000"}, "credentialsSecretRef": {"name": "nosuch"}},
    "otherhost": {"mlflow": {"url": "http://mlflow.weighbridge-demo.svc.cluster.local:5000"}},
    "notmlflow": {"mlflow": {"url": "http://weighbridge-metrics.weighbridge-system.svc:8080"}},
}
REASONS = {
    "nowhere": "AddressRefused",
    "silent": "RegistryUnavailable",
    "keyless": "SecretNotFound",
    "otherhost": "RegistryMisconfigured",
    "notmlflow": "RegistryMisconfigured",
}
VERSIONS: list[tuple[str, dict[str, Any], str]] = [
    ("no-registry", {"source.registryRef.name": "nosuch"}, "RegistryNotFound"),
    ("no-model", {"source.name": "nosuch"}, "ModelNotFound"),
    ("no-alias", {"source.version": None, "source.alias": "nosuch"}, "AliasNotFound"),
    ("no-target", {"serving.0.targetRef.name": "nosuch", "precedence": 5}, "TargetNotFound"),
    ("no-container", {"serving.0.pointer.container": "nosuch", "precedence": 5}, "ContainerNotFound"),
    ("no-dataset", {"evaluations.0.template.datasets.0.path": "nosuch", "stage": "Candidate"}, "DatasetNotFound"),
    ("outage", {"source.registryRef.name": "silent", "stage": "Candidate"}, "RegistryUnavailable"),
]


def _changed(changes: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((MANIFESTS / "version-1.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *steps, last = path.split(".")
        node: Any = body["spec"]
        for step in steps:
            node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
        node[last] = value
        if value is None:
            del node[last]
    return body


def test_a_registry_that_cannot_be_used_says_why(stage: Stage) -> None:
    for name, spec in REGISTRIES.items():
        body = {
            "apiVersion": "weighbridge.dev/v1alpha1",
            "kind": "ModelRegistry",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": spec,
        }
        stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(body))
    for name, reason in REASONS.items():
        stage.kube.until(f"{name} says {reason}", 30, lambda n=name, r=reason: _reason(stage, "modelregistry", n) == r)


@pytest.mark.parametrize(("name", "changes", "reason"), VERSIONS, ids=[name for name, *_ in VERSIONS])
def test_a_version_that_cannot_serve_says_why(name: str, changes: dict[str, Any], reason: str, stage: Stage) -> None:
    before = stage.pointer()
    body = _changed(changes)
    body["metadata"]["name"] = name
    if reason in ("TargetNotFound", "ContainerNotFound"):
        body["spec"].pop("evaluations")
    stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(body))
    try:
        stage.kube.until(f"{name} says {reason}", 20, lambda: _reason(stage, "modelversion", name) == reason)
        uid = (stage.kube.get("modelversion", name) or {})["metadata"]["uid"]
        evaluations = [
            each["metadata"]["uid"]
            for each in stage.kube.list("evaluationjobs")
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
        ]
        jobs = [
            each["metadata"]["name"]
            for each in stage.kube.list("jobs")
            if any(owner["uid"] in evaluations for owner in each["metadata"].get("ownerReferences", ()))
        ]
        assert not jobs
        assert stage.pointer() == before
    finally:
        stage.kube.run("delete", "modelversion", name, "--timeout=60s")


def _reason(stage: Stage, kind: str, name: str) -> str:
    body = stage.kube.get(kind, name) or {}
    return str(condition(body, "Ready").get("reason", ""))
