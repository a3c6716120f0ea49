"""Small builders of the things that core decides about, for tests."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from weighbridge.api import EvaluationJob, ModelRegistry, ModelVersion
from weighbridge.api.evaluationjob import Resolved, ResolvedModel
from weighbridge.api.references import DatasetPin, Lineage, ModelPin
from weighbridge.core.facts import ModelSnapshot, RolloutState, TargetState

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "server"}
GATE = [{"metric": "accuracy", "min": 0.9}]


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def pin(version: str, *, created: datetime | None = None, content: str = "") -> ModelPin:
    created = created or START + timedelta(minutes=int(version))
    return ModelPin(
        registry="mlflow",
        name="model",
        version=version,
        uri=f"models:/model/{version}",
        created_at=created,
        fingerprint=sha(f"{version}{content}"),
        digest=sha(f"{version}{content}{created}"),
    )


def resolved(version: str, *, fallback: bool = False, **kind: Any) -> Resolved:
    return Resolved(model=ResolvedModel(**dict(pin(version, **kind)), fallback=fallback))


def dataset_pin() -> DatasetPin:
    return DatasetPin(
        name="holdout",
        registry="mlflow",
        path="holdout",
        revision="abc",
        uri="runs:/1/holdout",
        fingerprint=sha("data"),
        digest=sha("dataset"),
    )


def snapshot(
    version: str, *, tags: dict[str, str] | None = None, aliases: frozenset[str] = frozenset(), unsafe: str = "", **kind: Any
) -> ModelSnapshot:
    lineage = Lineage(run_id="run", code_commit="c0ffee", metrics={"accuracy": 0.9})
    formats = frozenset({"mlflow"})
    return ModelSnapshot(pin(version, **kind), lineage, tags or {}, aliases, formats=formats, unsafe=unsafe)


def registry(**spec: Any) -> ModelRegistry:
    return ModelRegistry.model_validate(
        {
            "metadata": {"name": "mlflow", "namespace": "ns", "uid": "registry", "generation": 1},
            "spec": {"mlflow": {"url": "http://mlflow:5000"}, "writeBack": {"aliases": {"Production": "champion"}}, **spec},
        }
    )


def model_version(
    version: str, *, stage: str = "Production", evaluated: bool = True, metadata: Any = None, **spec: Any
) -> ModelVersion:
    evaluations = [{"name": "holdout", "template": {"gate": GATE}}] if evaluated else []
    serving = [{"stage": "Production", "targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}}]
    body = {
        "metadata": {"name": f"v{version}", "namespace": "ns", "uid": f"uid-{version}", "generation": 1, **(metadata or {})},
        "spec": {
            "source": {"registryRef": {"name": "mlflow"}, "name": "model", "version": version},
            "stage": stage,
            "evaluations": evaluations,
            "serving": serving,
            **spec,
        },
    }
    # Its promotion was wished a while ago, so that what the registry says at START counts.
    wished = [
        {
            "target": f"{entry['targetRef']['kind']}/{entry['targetRef']['name']}",
            "state": "Waiting",
            "askedAt": START - timedelta(seconds=9),
        }
        for entry in body["spec"]["serving"]
    ]
    return ModelVersion.model_validate({**body, "status": {"serving": wished}})


def evaluation_job(*, datasets: bool = False, metadata: Any = None, **spec: Any) -> EvaluationJob:
    reference = {"name": "holdout", "registryRef": {"name": "mlflow"}, "path": "holdout"}
    body = {
        "metadata": {"name": "evaluation", "namespace": "ns", "uid": "evaluation-uid", "generation": 1, **(metadata or {})},
        "spec": {
            "model": {"registryRef": {"name": "mlflow"}, "name": "model", "version": "1"},
            "datasets": [reference] if datasets else [],
            "gate": GATE,
            **spec,
        },
    }
    return EvaluationJob.model_validate(body)


def target(pointer: str | None, *, state: str = "Complete", serving: dict[str, int] | None = None, **change: Any) -> TargetState:
    fields: dict[str, Any] = {
        "uid": "deployment",
        "resource_version": "1",
        "pointer": pointer,
        "other_applier": None,
        "rollout": RolloutState(
            state, "CrashLoop" if state == "Failed" else "", "pod server-1 crashed" if state == "Failed" else ""
        ),
        "serving": {pointer: 1} if serving is None and pointer is not None else serving or {},
    }
    return TargetState(**(fields | change))
