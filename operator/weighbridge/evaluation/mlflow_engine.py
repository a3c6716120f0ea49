"""The `mlflow` engine: loads exactly what was pinned, runs `mlflow.models.evaluate` on it, writes the result document.

Runs in the evaluator image only (full MLflow and scikit-learn). It reads from the registry and never writes there: what MLflow
wants to track goes to a throwaway database in the pod. Exit code 0 means measured, whatever the score; the others are in task.py.
"""

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.tables import SUFFIXES
from .fetch import fetch_dataset, fetch_model
from .mlflow_samples import Invariants, column, groups, rouge, samples
from .output import keep_files, say, tell_progress
from .program import Measured, run
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, Task, TaskDataset

_NAME = "mlflow-engine"
_ARTIFACTS = "artifacts"
"""Folder of the throwaway experiment's artifacts, one folder of each run in it."""
_DESCRIPTION = "MLmodel"
_TEXT = ("question-answering", "text-summarization")
_KINDS = ("classifier", "regressor", *_TEXT)
_SAID = "weighbridge_prediction"
"""Column of what the model said."""
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
    "exact_match/v1": ("exact_match", "maximize", "ratio"),
    "false_negatives": ("false_negatives", "minimize", "count"),
}


def main() -> int:
    """Carries out the task of the environment. Returns the exit code."""
    return run(_NAME, _measure)


def _measure(task: Task, scratch: Path) -> Measured:
    if not task.datasets:
        raise Refusal(EXIT_MISCONFIGURED, "the mlflow engine evaluates on a dataset: name one in spec.datasets")
    if not task.parameters.get("targets"):
        raise Refusal(EXIT_MISCONFIGURED, "set spec.evaluator.parameters.targets to the dataset's column that holds the truth")
    if task.parameters.get("modelType", _KINDS[0]) not in _KINDS:
        raise Refusal(EXIT_MISCONFIGURED, f"spec.evaluator.parameters.modelType must be one of {', '.join(_KINDS)}")
    if "invariants" in task.parameters and task.parameters.get("modelType") == "regressor":
        text = "a regressor is never just right: evaluator.parameters.invariants is for models whose answers are"
        raise Refusal(EXIT_MISCONFIGURED, text)
    found = _evaluate(task, scratch)
    return Measured(found.metrics, found.samples, found.invariants.told())


@dataclass
class _Found:
    """What was found out so far."""

    artifacts: Path
    """Where MLflow keeps what it makes, a folder for each run."""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    invariants: Invariants = field(default_factory=Invariants)


def _evaluate(task: Task, scratch: Path) -> _Found:
    """Every metric on every dataset. With more than one dataset, the dataset's name is the metric's slice."""
    _say("loading MLflow")
    # Before the import: MLflow would start a thread that reports usage to its vendor.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow

    model = _model(task, scratch)
    tables = [(dataset, _table(_dataset(dataset, scratch), dataset, task.parameters)) for dataset in task.datasets]
    mlflow.set_tracking_uri(f"sqlite:///{scratch / 'tracking.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("evaluation", artifact_location=(scratch / _ARTIFACTS).as_uri()))
    _forget_id(model)
    loaded = mlflow.pyfunc.load_model(str(model))
    measured = _Found(scratch / _ARTIFACTS)
    for done, (dataset, table) in enumerate(tables):
        tell_progress(done, len(tables))
        _say(f"evaluating on {dataset.name}, {len(table)} rows")
        _evaluate_one(task, loaded, dataset, table, measured)
    tell_progress(len(tables), len(tables))
    return measured


def _evaluate_one(task: Task, model: Any, dataset: TaskDataset, table: Any, measured: _Found) -> None:
    import mlflow

    kind, targets = task.parameters.get("modelType", _KINDS[0]), task.parameters["targets"]
    part = dataset.name if len(task.datasets) > 1 else None
    named = groups(table.pop(task.parameters["invariants"]).tolist()) if "invariants" in task.parameters else []
    truth = table[targets].tolist()
    features = table.drop(columns=[targets])
    predictions = column(model.predict(features))
    if predictions is None and kind == "classifier":
        predictions = _classes(model, features)
    if kind in _TEXT:
        if predictions is None:
            raise Refusal(EXIT_MISCONFIGURED, f"the model gives no single text a row, which modelType {kind} needs")
        predictions, truth = [str(each) for each in predictions], [str(each) for each in truth]
        # The one metric of MLflow's for texts that needs no download. Predictions are made once: models of texts are slow.
        from mlflow.metrics import exact_match

        told = table.assign(**{targets: truth, _SAID: predictions})
        asked: dict[str, Any] = {"data": told, "predictions": _SAID, "extra_metrics": [exact_match()]}
    else:
        asked = {"model": model, "data": table, "model_type": kind, "evaluator_config": {"log_model_explainability": False}}
    try:
        result = mlflow.models.evaluate(targets=targets, **asked)  # type: ignore[no-untyped-call]
    except (mlflow.MlflowException, ValueError, TypeError) as error:
        text = f"MLflow cannot evaluate a {kind} like this on dataset {dataset.path} ({type(error).__name__}); does its column"
        raise Refusal(EXIT_MISCONFIGURED, f"{text} {targets!r} hold what the model answers, and each of its classes?") from error
    measured.metrics += measured_metrics(result.metrics, len(table), part)
    keep_files(measured.artifacts / str(result.run_id) / "artifacts", f"mlflow/{dataset.name}")
    if predictions is None:
        if named:
            raise Refusal(EXIT_MISCONFIGURED, "the model gives no single prediction a row, which invariants need")
        _say("the model gives no single prediction a row: no samples")
        return
    measured.samples += samples(kind, predictions, truth, part)
    if kind in _TEXT:
        metric, lines = rouge(predictions, truth, part)
        measured.metrics += metric
        measured.samples += lines
    if named:
        measured.invariants.add(named, predictions, truth)


def _classes(model: Any, features: Any) -> list[Any] | None:
    """What a classifier that answers with probabilities takes each row for, asked of the model itself, as MLflow does it."""
    with contextlib.suppress(NotImplementedError):
        raw = model.get_raw_model()
        return column(raw.predict(features)) if hasattr(raw, "predict") else None
    return None


def _model(task: Task, scratch: Path) -> Path:
    """The folder of the pinned model."""
    name = f"{task.model.name} {task.model.version}"
    _say(f"loading model {name}")
    folder = fetch_model(task, scratch)
    if not (folder / _DESCRIPTION).is_file():
        text = f"{name} is no MLflow model: it has no file {_DESCRIPTION} at its root; save it with mlflow.<flavor>.save_model"
        raise Refusal(EXIT_MISCONFIGURED, text)
    return folder


def _forget_id(folder: Path) -> None:
    """Takes the id that the registry gave the model out of its description: MLflow would look for it in the throwaway database."""
    import mlflow

    description = mlflow.models.Model.load(str(folder))
    description.model_id = None
    description.save(str(folder / _DESCRIPTION))


def _dataset(dataset: TaskDataset, scratch: Path) -> Path:
    _say(f"loading dataset {dataset.name}")
    return fetch_dataset(dataset, scratch)


def _table(folder: Path, dataset: TaskDataset, parameters: Mapping[str, str]) -> Any:
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
    for name in ("targets", "invariants"):
        if name in parameters and parameters[name] not in table.columns:
            text = f"dataset {dataset.path} has no column {parameters[name]!r}: set evaluator.parameters.{name}"
            raise Refusal(EXIT_MISCONFIGURED, text)
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
        if ours in ("accuracy", "exact_match") and rows:
            metric["stderr"] = math.sqrt(value * (1 - value) / rows)
        yield metric | ({"unit": unit} if unit else {}) | ({"slice": part} if part else {})


def _say(line: str) -> None:
    say(_NAME, line)


if __name__ == "__main__":
    sys.exit(main())
