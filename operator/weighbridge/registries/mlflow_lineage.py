"""Where a model version comes from, read from the run that produced it and from what its files say. Must not fail for what these do
not know."""

from collections.abc import Mapping

from ..api.references import DatasetUse, Lineage
from .mlflow_answer import one
from .mlflow_declared import Declared
from .mlflow_http import Inquiry
from .records import Record, each, inner, measure, pairs, text, without_secrets

_MOST_DATASETS, _MOST_VALUES, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 250, 256


def read_run(inquiry: Inquiry, run_id: str) -> Record:
    """The run; empty where it is deleted, unknown, or not for these credentials (then nothing of it counts as known)."""
    if not run_id:
        return {}
    run = inner(inquiry.get("/api/2.0/mlflow/runs/get", one("run"), run_id=run_id).record, "run")
    return run if inner(run, "info").get("lifecycle_stage") == "active" else {}


def lineage(run: Record, declared: Declared, logged: Mapping[str, str]) -> Lineage:
    """What the run says, cut to the bounds of a status (the first 64 parameters and metrics by name, the first 16 datasets), and
    what the files say. `logged`: parameters of the logged model, which has those of its run and may have some of its own."""
    info, data = inner(run, "info"), inner(run, "data")
    tags = pairs(data, "tags")
    measured = {text(metric, "key", _LONGEST_KEY): measure(metric.get("value")) for metric in each(data, "metrics")}
    given = {**logged, **pairs(data, "params")}
    parameters = {text({"": name}, "", _LONGEST_KEY): text(given, name, _LONGEST_VALUE) for name in given}
    uses = (_use(entry) for entry in each(inner(run, "inputs"), "dataset_inputs"))
    source = text(tags, "mlflow.source.git.repoURL", 512) or text(tags, "mlflow.source.name", 512)
    return Lineage(
        run_id=text(info, "run_id", 64),
        trained_by=text(tags, "mlflow.user", 256) or text(info, "user_id", 256),
        code_commit=text(tags, "mlflow.source.git.commit", 64),
        code_source=without_secrets(source),
        datasets=tuple(use for use in uses if use.name)[:_MOST_DATASETS],
        base_models=declared.base_models,
        dependencies=declared.dependencies,
        signature=declared.signature,
        parameters={name: value for name, value in sorted(parameters.items())[:_MOST_VALUES] if name},
        metrics=dict(sorted((name, value) for name, value in measured.items() if name and value is not None)[:_MOST_VALUES]),
    )


def _use(entry: Record) -> DatasetUse:
    dataset = inner(entry, "dataset")
    return DatasetUse(
        name=text(dataset, "name", 256),
        digest=text(dataset, "digest", 128),
        context=text(pairs(entry, "tags"), "mlflow.data.context", 64),
    )
