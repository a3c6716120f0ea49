"""What the mlflow engine tells beside its metrics: the value on each single row, and invariants, rows that must each be right.

Works on pandas tables that the engine has read; knows neither registries nor MLflow.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .refusal import Refusal
from .samples import MAX_LINES, SAMPLES_FILE
from .task import EXIT_MISCONFIGURED

RIGHT: Mapping[str, str] = {"classifier": "accuracy", "question-answering": "exact_match", "text-summarization": "exact_match"}
"""Kinds of models whose answer on a row is right or wrong, and the metric that says how often."""
_MOST_INVARIANTS, _LONGEST_NAME = 32, 128


def column(predictions: Any) -> list[Any] | None:
    """One prediction a row; None where the model gives something else, such as a probability for each class."""
    import numpy

    if hasattr(predictions, "columns"):
        if len(predictions.columns) != 1:
            return None
        predictions = predictions.iloc[:, 0]
    found = numpy.asarray(predictions, dtype=object)
    return list(found.tolist()) if found.ndim == 1 else None


def samples(kind: str, predictions: Sequence[Any], truth: Sequence[Any], part: str | None) -> Iterator[dict[str, Any]]:
    """One line for each metric and row; the id is the row's number, from 0."""
    place = {"slice": part} if part else {}
    for number, (said, true) in enumerate(zip(predictions, truth, strict=True)):
        if kind in RIGHT:
            yield {"metric": RIGHT[kind], "id": str(number), "value": int(bool(said == true))} | place
            continue
        off = float(said) - float(true)
        if math.isfinite(off) and math.isfinite(off * off):
            yield {"metric": "mean_absolute_error", "id": str(number), "value": abs(off)} | place
            yield {"metric": "mean_squared_error", "id": str(number), "value": off * off} | place


def groups(cells: Sequence[Any]) -> list[str]:
    """The group of each row, as the column of invariants names it; empty for rows that belong to none. Raises Refusal."""
    names = ["" if cell is None or cell != cell else str(cell).strip() for cell in cells]  # noqa: PLR0124 (only NaN differs from itself)
    if any(len(name) > _LONGEST_NAME or not name.isprintable() for name in names):
        text = (
            f"names in the column of evaluator.parameters.invariants must be printable and at most {_LONGEST_NAME} characters long"
        )
        raise Refusal(EXIT_MISCONFIGURED, text)
    return names


class Invariants:
    """Groups of rows that must each be right, over all datasets."""

    def __init__(self) -> None:
        self._cases: dict[str, int] = {}
        self._broken: dict[str, int] = {}

    def add(self, named: Sequence[str], predictions: Sequence[Any], truth: Sequence[Any]) -> None:
        """Looks at the rows of one dataset. Raises Refusal."""
        for name, said, true in zip(named, predictions, truth, strict=True):
            if name:
                self._cases[name] = self._cases.get(name, 0) + 1
                self._broken[name] = self._broken.get(name, 0) + (not bool(said == true))
        if len(self._cases) > _MOST_INVARIANTS:
            text = f"the column of evaluator.parameters.invariants names {len(self._cases)} groups: {_MOST_INVARIANTS} are the most"
            raise Refusal(EXIT_MISCONFIGURED, text)

    def told(self) -> list[dict[str, Any]]:
        """In the words of the result contract."""
        return [
            {"name": name, "holds": not self._broken[name], "n": cases, "broken": self._broken[name]}
            for name, cases in self._cases.items()
        ]


def write_samples(folder: Path, lines: Sequence[Mapping[str, Any]]) -> int:
    """Writes the samples into the report, as many as its contract takes; returns how many were left out. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / SAMPLES_FILE).open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(line, allow_nan=False)}\n" for line in lines[:MAX_LINES])
    return max(0, len(lines) - MAX_LINES)
