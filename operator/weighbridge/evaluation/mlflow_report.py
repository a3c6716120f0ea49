"""Where the mlflow engine puts what is not its result: samples and MLflow's own artifacts into the full report, and its progress.

None of it is needed for the verdict: where the disk is full or the operator is an older one, the evaluation goes on without.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .mlflow_samples import write_samples
from .task import PROGRESS, REPORT

ARTIFACTS = "artifacts"
"""Folder of the throwaway experiment's artifacts, one folder of each run in it."""
_LARGEST = 64 << 20
"""Bytes of an artifact that is kept."""


def keep_samples(lines: Sequence[Mapping[str, Any]]) -> None:
    """Writes the samples into the report, if there is one."""
    if not (place := os.environ.get(REPORT)) or not lines:
        return
    try:
        if left_out := write_samples(Path(place), lines):
            _say(f"{left_out} samples left out of the report")
    except OSError:
        _say("the samples could not be written into the report")


def keep_artifacts(folder: Path, name: str) -> None:
    """Copies what MLflow made of the evaluation on the dataset of that name (confusion matrix, curves, tables) into the report."""
    if not (place := os.environ.get(REPORT)) or not folder.is_dir():
        return
    try:
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size <= _LARGEST:
                to = Path(place) / "mlflow" / name / path.relative_to(folder)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
    except OSError:
        _say("MLflow's artifacts could not be copied into the report")


def tell_progress(done: int, total: int) -> None:
    """Writes how many datasets are done."""
    if not (place := os.environ.get(PROGRESS)):
        return
    try:
        partial = Path(place).with_suffix(".partial")
        partial.write_text(json.dumps({"done": done, "total": total}), encoding="utf-8")
        partial.rename(place)
    except OSError:
        _say("progress could not be written")


def _say(line: str) -> None:
    sys.stdout.write(f"mlflow-engine: {line}\n")
    sys.stdout.flush()
