"""The mlflow engine's own decisions: what it refuses, and how it words what MLflow measured.

What it does with real registries and real models is in test_evaluation.py and on the cluster (e2e).
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from weighbridge.evaluation import access, task
from weighbridge.evaluation.fetch import CREDENTIALS, tidy_credentials
from weighbridge.evaluation.mlflow_engine import measured_metrics
from weighbridge.evaluation.result import read_result

from .documents import DIGEST, document

SOURCES = str(Path(task.__file__).parents[2])
TASK: dict[str, Any] = {
    "schemaVersion": "v1",
    "subject": {"digest": DIGEST, "fingerprint": DIGEST},
    "model": {"name": "model", "version": "1", "uri": "models:/model/1", "createdAt": "2026-01-01T00:00:00Z", "source": "s"},
    "datasets": [{"name": "holdout", "path": "holdout", "revision": "1", "uri": "runs:/1/datasets/holdout", "fingerprint": DIGEST}],
    "parameters": {"targets": "label"},
}


def run(tmp_path: Path, content: dict[str, Any] | None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES, task.RESULT: str(tmp_path / "result.json")}
    environment |= {task.TASK: json.dumps(content)} if content is not None else {}
    command = [sys.executable, "-m", "weighbridge.evaluation.mlflow_engine"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "must be set as the operator sets them"),
        ({"schemaVersion": "v2"}, "must be set as the operator sets them"),
        (TASK | {"datasets": []}, "name one in spec.datasets"),
        (TASK | {"parameters": {}}, "set spec.evaluator.parameters.targets"),
        (TASK | {"parameters": {"targets": "label", "modelType": "poet"}}, "must be one of classifier, regressor"),
    ],
)
def test_a_task_that_cannot_be_carried_out_ends_with_one_line_and_no_result(tmp_path: Path, content: Any, says: str) -> None:
    ended = run(tmp_path, content)
    assert ended.returncode == task.EXIT_MISCONFIGURED
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr
    assert not (tmp_path / "result.json").exists()


def test_mlflows_metrics_keep_the_result_contract() -> None:
    theirs = {
        "accuracy_score": 0.9,
        "log_loss": 0.3,
        "roc_auc": math.nan,
        "example_count": 100,
        "score": 0.9,
        "max_error": math.inf,
    }
    metrics = measured_metrics(theirs, rows=100, part=None)
    assert [(each["name"], each["direction"], each["n"]) for each in metrics] == [
        ("accuracy", "maximize", 100),
        ("log_loss", "minimize", 100),
    ]
    assert metrics[0]["stderr"] == pytest.approx(0.03)
    assert hasattr(read_result(json.dumps(document(*metrics)).encode(), DIGEST), "metrics")


def test_with_more_than_one_dataset_the_slice_tells_which() -> None:
    (metric,) = measured_metrics({"r2_score": 0.5}, rows=7, part="new-customers")
    assert metric == {"name": "r2", "value": 0.5, "direction": "maximize", "n": 7, "slice": "new-customers"}


def test_credentials_lose_the_white_space_that_secrets_often_have() -> None:
    environment = {"HF_TOKEN": "hf_x\n", "MLFLOW_TRACKING_PASSWORD": " p ", "OTHER": " kept\n"}
    tidy_credentials(environment)
    assert environment == {"HF_TOKEN": "hf_x", "MLFLOW_TRACKING_PASSWORD": "p", "OTHER": " kept\n"}


def test_every_credential_of_a_pod_is_tidied() -> None:
    assert set(CREDENTIALS) == {key for keys in access.CREDENTIALS.values() for key in keys}
