"""Metrics that lie between 0 and 1 by their names, as the built-in engines report them. No measurement can clear a `min` above 1 of
one of them. Must not guess at other engines' metrics."""

OF_LM_EVAL = frozenset({"acc", "acc_norm", "acc_mutual_info", "acc_bytes", "acc_all", "exact_match", "f1", "em", "pass@1"})
"""In the harness's own words. A task that reports one in percent would clear any bar set for a ratio."""
_OF_MLFLOW = frozenset({"accuracy", "f1", "precision", "recall", "roc_auc", "precision_recall_auc", "exact_match"})


def is_ratio(metric: str, engine: str) -> bool:
    """Whether the metric is a ratio by its name; `lm-eval` puts the task before it, and a filter behind it."""
    if engine == "lm-eval":
        return not OF_LM_EVAL.isdisjoint(metric.split("/")[1:])
    return metric in _OF_MLFLOW
