"""lm-eval's results in the words of the result contract. Pure; must not import the harness.

The harness reports `{task: {"acc,none": 0.7, "acc_stderr,none": 0.01, …}}`: metric and filter in one key. Here that is the metric
`<task>/<metric>`, or `<task>/<metric>/<filter>` for a filter of a name.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.ratios import OF_LM_EVAL

_NO_FILTER = "none"


def metrics(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every metric of every task and group, groups first: where space is short, single tasks are dropped before their groups.

    Left out: what is no finite number, what the harness says no direction of, and ratios out of range.
    """
    groups = set(results.get("groups") or {})
    measured = {**(results.get("results") or {}), **(results.get("groups") or {})}
    order = sorted(measured, key=lambda name: name not in groups)
    return [metric for name in order for metric in _of_task(name, measured[name], results)]


def out_of_range(results: Mapping[str, Any]) -> list[str]:
    """Metrics that are ratios by their names and lie outside 0..1, so that nobody knows their scale."""
    measured = {**(results.get("results") or {}), **(results.get("groups") or {})}
    split = [(task, *key.partition(","), value) for task, values in measured.items() for key, value in values.items()]
    return [
        _name(task, metric, kind)
        for task, metric, comma, kind, value in split
        if comma and _finite(value) and _strays(metric, value)
    ]


def samples(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each value of each sample, as lines of the report's samples.jsonl."""
    for task, found in (results.get("samples") or {}).items():
        for sample in found:
            filtered = str(sample.get("filter", _NO_FILTER))
            for metric in sample.get("metrics", ()):
                value = sample.get(metric)
                if isinstance(value, int | float) and math.isfinite(value):
                    identity = f"{sample['doc_id']}:{str(sample.get('doc_hash', ''))[:16]}"
                    yield {"metric": _name(task, metric, filtered), "id": identity, "value": float(value)}


def _of_task(task: str, values: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    better = _better(task, results)
    for key, value in values.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or metric not in better or not _finite(value) or _strays(metric, value):
            continue
        stderr = values.get(f"{metric}_stderr,{filtered}", math.nan)
        yield (
            {
                "name": _name(task, metric, filtered),
                "value": float(value),
                "direction": "maximize" if better[metric] else "minimize",
                "n": _count(task, results),
            }
            | ({"stderr": float(stderr)} if _finite(stderr) and float(stderr) >= 0 else {})
            | ({"unit": "ratio"} if metric in OF_LM_EVAL else {})
        )


def _name(task: str, metric: str, filtered: str) -> str:
    return f"{task}/{metric}" if filtered == _NO_FILTER else f"{task}/{metric}/{filtered}"


def _better(task: str, results: Mapping[str, Any]) -> Mapping[str, bool]:
    """Whether higher is better, by metric; only where the harness says so, for a group by all of its tasks alike."""
    said = (results.get("higher_is_better") or {}).get(task) or {}
    return {metric: value for metric, value in said.items() if isinstance(value, bool)}


def _count(task: str, results: Mapping[str, Any]) -> int:
    """Samples behind the values of a task, or of all tasks of a group."""
    counts = results.get("n-samples") or {}
    if task in counts:
        return int(counts[task]["effective"])
    members = (results.get("group_subtasks") or {}).get(task) or ()
    return sum(_count(each, results) for each in members)


def _strays(metric: str, value: float) -> bool:
    return metric in OF_LM_EVAL and not 0 <= value <= 1


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
