"""Where a model comes from, read from the metadata of its card, and from its files as far as these say so. People write cards by
hand, so everything in them may be anything. Must not fail for what a card does not say."""

from collections.abc import Iterable

from ..api.references import DatasetUse, Lineage
from .mlflow_declared import Declared
from .records import Record, each, inner, measure, text

_MOST_DATASETS, _MOST_BASES, _MOST_METRICS, _MOST_RESULTS = 16, 8, 64, 256


def lineage(info: Record, declared: Declared) -> Lineage:
    """What card, tags and files say, cut to the bounds of a status."""
    card = inner(info, "cardData")
    datasets = _unique([*_strings(card, "datasets"), *_tagged(info, "dataset")], 256)[:_MOST_DATASETS]
    bases = _unique([*_strings(card, "base_model"), *_tagged(info, "base_model"), *declared.base_models], 256)[:_MOST_BASES]
    licences = _unique([*_strings(card, "license_name"), *_strings(card, "license"), *_tagged(info, "license")], 128)
    return Lineage(
        datasets=tuple(DatasetUse(name=name) for name in datasets),
        base_models=tuple(bases),
        licence=licences[0] if licences else "",
        dependencies=declared.dependencies,
        signature=declared.signature,
        metrics=_metrics(card),
    )


def _metrics(card: Record) -> dict[str, float]:
    """Measured values of the model index as `dataset/metric`, the first 64 by name."""
    found: dict[str, float] = {}
    entries = (result for entry in each(card, "model-index") for result in each(entry, "results"))
    for _, result in zip(range(_MOST_RESULTS), entries, strict=False):
        dataset = text(inner(result, "dataset"), "name", 120) or text(inner(result, "dataset"), "type", 120)
        for metric in each(result, "metrics"):
            name, value = text(metric, "type", 120) or text(metric, "name", 120), measure(metric.get("value"))
            if name and value is not None:
                found.setdefault(f"{dataset}/{name}" if dataset else name, value)
    return dict(sorted(found.items())[:_MOST_METRICS])


def _strings(card: Record, key: str) -> list[str]:
    value = card.get(key)
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, str)][:_MOST_RESULTS]


def _tagged(info: Record, key: str) -> list[str]:
    """Values of the tags `key:value` that the Hub computes; those with a relation (`base_model:finetune:…`) repeat others."""
    return [tag.removeprefix(f"{key}:") for tag in _strings(info, "tags") if tag.startswith(f"{key}:") and tag.count(":") == 1]


def _unique(values: Iterable[str], longest: int) -> list[str]:
    clean = (text({"": value}, "", longest) for value in values)
    return [value for value in dict.fromkeys(clean) if value]
