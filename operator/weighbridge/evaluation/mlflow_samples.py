"""What the mlflow engine tells beside its metrics: the value on each single row, and invariants, rows that must each be right.

Works on pandas tables that the engine has read; knows neither registries nor MLflow.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .refusal import Refusal
from .task import EXIT_MISCONFIGURED

RIGHT: Mapping[str, str] = {"classifier": "accuracy", "question-answering": "exact_match", "text-summarization": "exact_match"}
"""Kinds of models whose answer on a row is right or wrong, and the metric that says how often."""
_ROUGE = "rougeL"
"""How much of two texts is the same words in the same order: F1 of their longest common subsequence, after Lin 2004."""
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


def rouge(predictions: Sequence[str], truth: Sequence[str], part: str | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """ROUGE-L of texts: the metric, and one sample a row."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer, place = RougeScorer([_ROUGE], use_stemmer=False), {"slice": part} if part else {}
    values = [float(scorer.score(true, said)[_ROUGE].fmeasure) for said, true in zip(predictions, truth, strict=True)]
    if not values:
        return [], []
    mean = math.fsum(values) / len(values)
    metric: dict[str, Any] = {"name": _ROUGE, "value": min(1.0, mean), "direction": "maximize", "n": len(values), "unit": "ratio"}
    if len(values) > 1:
        metric["stderr"] = math.sqrt(math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1) / len(values))
    return [metric | place], [{"metric": _ROUGE, "id": str(number), "value": value} | place for number, value in enumerate(values)]


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
