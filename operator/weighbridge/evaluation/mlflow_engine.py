"""The `mlflow` engine: loads exactly what was pinned, runs `mlflow.models.evaluate` on it, writes the result document.

Runs in the evaluator image only (full MLflow and scikit-learn). It reads from the registry and never writes there: what MLflow
wants to track goes to a throwaway database in the pod. Exit code 0 means measured, whatever the score; 2 and 3 are in task.py.
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.pin import fingerprint
from .task import EXIT_MISCONFIGURED, EXIT_SUBJECT_CHANGED, RESULT, TASK, Task, TaskDataset

_KINDS = ("classifier", "regressor")
# MLflow's name of a metric: ours, direction, unit. What is not listed is left out: nobody could say which way is better.
_METRICS = {
    "accuracy_score": ("accuracy", "maximize", "ratio"),
    "f1_score": ("f1", "maximize", "ratio"),
    "precision_score": ("precision", "maximize", "ratio"),
    "recall_score": ("recall", "maximize", "ratio"),
    "roc_auc": ("roc_auc", "maximize", "ratio"),
    "precision_recall_auc": ("precision_recall_auc", "maximize", "ratio"),
    "log_loss": ("log_loss", "minimize", "nats"),
    "r2_score": ("r2", "maximize", "ratio"),
    "mean_absolute_percentage_error": ("mean_absolute_percentage_error", "minimize", "ratio"),
    "mean_absolute_error": ("mean_absolute_error", "minimize", None),
    "mean_squared_error": ("mean_squared_error", "minimize", None),
    "root_mean_squared_error": ("root_mean_squared_error", "minimize", None),
    "max_error": ("max_error", "minimize", None),
    "true_positives": ("true_positives", "maximize", "count"),
    "true_negatives": ("true_negatives", "maximize", "count"),
    "false_positives": ("false_positives", "minimize", "count"),
    "false_negatives": ("false_negatives", "minimize", "count"),
}


class Refusal(Exception):
    """The evaluation cannot be made; the text is one line for people, `code` the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def main() -> int:
    """Carries out the task of the environment. Returns the exit code."""
    try:
        task, result = _task(os.environ)
        with tempfile.TemporaryDirectory() as scratch:
            metrics = _evaluate(task, Path(scratch))
    except Refusal as refusal:
        sys.stderr.write(f"mlflow-engine: {refusal}\n")
        return refusal.code
    _write(result, {"schemaVersion": "v1", "subject": {"digest": task.subject.digest}, "metrics": metrics})
    _say(f"{len(metrics)} metrics written")
    return 0


def _task(environment: Mapping[str, str]) -> tuple[Task, Path]:
    try:
        task, result = Task.model_validate_json(environment[TASK]), Path(environment[RESULT])
    except (KeyError, ValidationError) as error:
        raise Refusal(EXIT_MISCONFIGURED, f"{TASK} and {RESULT} must be set as the operator sets them") from error
    if not task.datasets:
        raise Refusal(EXIT_MISCONFIGURED, "the mlflow engine evaluates on a dataset: name one in spec.datasets")
    if not task.parameters.get("targets"):
        raise Refusal(EXIT_MISCONFIGURED, "set spec.evaluator.parameters.targets to the dataset's column that holds the truth")
    if task.parameters.get("modelType", _KINDS[0]) not in _KINDS:
        raise Refusal(EXIT_MISCONFIGURED, "spec.evaluator.parameters.modelType must be classifier or regressor")
    return task, result


def _evaluate(task: Task, scratch: Path) -> list[dict[str, Any]]:
    """Every metric on every dataset. With more than one dataset, the dataset's name is the metric's slice."""
    _say("loading MLflow")
    import mlflow

    model = _model(task, scratch)
    folders = [(dataset, _dataset(dataset, scratch)) for dataset in task.datasets]
    mlflow.set_tracking_uri(f"sqlite:///{scratch / 'tracking.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("evaluation", artifact_location=(scratch / "artifacts").as_uri()))
    metrics: list[dict[str, Any]] = []
    for dataset, folder in folders:
        table = _table(folder, dataset, task.parameters["targets"])
        _say(f"evaluating on {dataset.name}, {len(table)} rows")
        measured = mlflow.models.evaluate(  # type: ignore[no-untyped-call]
            model=str(model),
            data=table,
            targets=task.parameters["targets"],
            model_type=task.parameters.get("modelType", _KINDS[0]),
            evaluator_config={"log_model_explainability": False},
        ).metrics
        metrics += measured_metrics(measured, len(table), dataset.name if len(task.datasets) > 1 else None)
    return metrics


def _model(task: Task, scratch: Path) -> Path:
    """The model's files, proved to be the pinned ones: same registry entry, same files."""
    import mlflow

    wanted, name = task.model, f"{task.model.name} version {task.model.version}"
    _say(f"loading model {name}")
    found = mlflow.MlflowClient().get_model_version(wanted.name, wanted.version)
    created_at = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    if abs(created_at - wanted.created_at) >= timedelta(milliseconds=1) or found.source != wanted.source:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"{name} is another one than was pinned: it was deleted and registered again")
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=wanted.uri, dst_path=_fresh(scratch / "model")))
    files = _files(folder)
    # MLflow adds this file to what it downloads; it is not in the registry.
    files.pop("registered_model_meta", None)
    if fingerprint(files, (folder / "MLmodel").read_bytes()) != task.subject.fingerprint:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"the files of {name} are no longer those that were pinned")
    return folder


def _dataset(dataset: TaskDataset, scratch: Path) -> Path:
    import mlflow

    _say(f"loading dataset {dataset.name}")
    target = _fresh(scratch / f"dataset-{dataset.name}")
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=dataset.uri, dst_path=target))
    if fingerprint(_files(folder)) != dataset.fingerprint:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"the files of dataset {dataset.path} are no longer those that were pinned")
    return folder


def _table(folder: Path, dataset: TaskDataset, targets: str) -> Any:
    """The dataset's one CSV or Parquet table."""
    import pandas

    tables = [path for path in sorted(folder.rglob("*")) if path.suffix in {".csv", ".parquet"}]
    if len(tables) != 1:
        raise Refusal(EXIT_MISCONFIGURED, f"dataset {dataset.path} must hold one .csv or .parquet file, it holds {len(tables)}")
    table = pandas.read_parquet(tables[0]) if tables[0].suffix == ".parquet" else pandas.read_csv(tables[0])
    if targets not in table.columns:
        raise Refusal(EXIT_MISCONFIGURED, f"dataset {dataset.path} has no column {targets!r}: set evaluator.parameters.targets")
    return table


def measured_metrics(measured: Mapping[str, float], rows: int, part: str | None) -> list[dict[str, Any]]:
    """MLflow's metrics in the words of the result contract; what is unknown or no finite number is left out."""
    return list(_measured(measured, rows, part))


def _measured(measured: Mapping[str, float], rows: int, part: str | None) -> Iterator[dict[str, Any]]:
    for theirs, (ours, direction, unit) in _METRICS.items():
        value = float(measured.get(theirs, math.nan))
        if not math.isfinite(value):
            continue
        metric: dict[str, Any] = {"name": ours, "value": value, "direction": direction, "n": rows}
        if ours == "accuracy" and rows:
            metric["stderr"] = math.sqrt(value * (1 - value) / rows)
        yield metric | ({"unit": unit} if unit else {}) | ({"slice": part} if part else {})


def _files(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _fresh(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def _write(path: Path, document: dict[str, Any]) -> None:
    """Written under another name first: the reporter never sees half a result."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, allow_nan=False))
    partial.rename(path)


def _say(line: str) -> None:
    sys.stdout.write(f"mlflow-engine: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
