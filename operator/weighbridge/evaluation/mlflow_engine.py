"""The `mlflow` engine: loads exactly what was pinned, runs `mlflow.models.evaluate` on it, writes the result document.

Runs in the evaluator image only (full MLflow and scikit-learn). It reads from the registry and never writes there: what MLflow
wants to track goes to a throwaway database in the pod. Exit code 0 means measured, whatever the score; the others are in task.py.
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.tables import SUFFIXES
from .fetch import fetch_dataset, fetch_model, tidy_credentials
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, RESULT, TASK, Task, TaskDataset

_DESCRIPTION = "MLmodel"
_KINDS = ("classifier", "regressor")
# MLflow's name of a metric: ours, direction, unit (ratio: 0 to 1, which r2 and percentage errors are not held to). What is not
# listed is left out: nobody could say which way is better.
_METRICS = {
    "accuracy_score": ("accuracy", "maximize", "ratio"),
    "f1_score": ("f1", "maximize", "ratio"),
    "precision_score": ("precision", "maximize", "ratio"),
    "recall_score": ("recall", "maximize", "ratio"),
    "roc_auc": ("roc_auc", "maximize", "ratio"),
    "precision_recall_auc": ("precision_recall_auc", "maximize", "ratio"),
    "log_loss": ("log_loss", "minimize", "nats"),
    "r2_score": ("r2", "maximize", None),
    "mean_absolute_percentage_error": ("mean_absolute_percentage_error", "minimize", None),
    "mean_absolute_error": ("mean_absolute_error", "minimize", None),
    "mean_squared_error": ("mean_squared_error", "minimize", None),
    "root_mean_squared_error": ("root_mean_squared_error", "minimize", None),
    "max_error": ("max_error", "minimize", None),
    "true_positives": ("true_positives", "maximize", "count"),
    "true_negatives": ("true_negatives", "maximize", "count"),
    "false_positives": ("false_positives", "minimize", "count"),
    "false_negatives": ("false_negatives", "minimize", "count"),
}


def main() -> int:
    """Carries out the task of the environment. Returns the exit code."""
    try:
        tidy_credentials(os.environ)
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
    # Before the import: MLflow would start a thread that reports usage to its vendor.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    model = _model(task, scratch)
    tables = [(dataset, _table(_dataset(dataset, scratch), dataset, task.parameters["targets"])) for dataset in task.datasets]
    mlflow.set_tracking_uri(f"sqlite:///{scratch / 'tracking.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("evaluation", artifact_location=(scratch / "artifacts").as_uri()))
    metrics: list[dict[str, Any]] = []
    for dataset, table in tables:
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
    """The folder of the pinned model."""
    name = f"{task.model.name} {task.model.version}"
    _say(f"loading model {name}")
    folder = fetch_model(task, scratch)
    if not (folder / _DESCRIPTION).is_file():
        text = f"{name} is no MLflow model: it has no file {_DESCRIPTION} at its root; save it with mlflow.<flavor>.save_model"
        raise Refusal(EXIT_MISCONFIGURED, text)
    return folder


def _dataset(dataset: TaskDataset, scratch: Path) -> Path:
    _say(f"loading dataset {dataset.name}")
    return fetch_dataset(dataset, scratch)


def _table(folder: Path, dataset: TaskDataset, targets: str) -> Any:
    """The dataset's one table."""
    import pandas

    tables = [path for path in sorted(folder.rglob("*")) if path.name.endswith(SUFFIXES)]
    if len(tables) != 1:
        text = f"dataset {dataset.path} must hold one .csv, .parquet or .jsonl file, it holds {len(tables)}: name one with file"
        raise Refusal(EXIT_MISCONFIGURED, text)
    (path,) = tables
    try:
        if path.suffix == ".jsonl":
            # Not pandas' own reader: it guesses types and dates.
            with path.open(encoding="utf-8") as lines:
                table = pandas.DataFrame([json.loads(line) for line in lines if line.strip()])
        else:
            table = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path)
    except (ValueError, OSError) as error:
        raise Refusal(EXIT_MISCONFIGURED, f"{path.name} of dataset {dataset.path} cannot be read as a table") from error
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
