"""How specs name things in a registry, and how status keeps what the names meant: the pins."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, LocalRef, rules

EntryName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^[:cntrl:]]+$")]
Digest = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


class ModelReference(ApiModel):
    """A model version in a registry, named by version or by alias. Names move, so it is pinned before it is used."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("has(self.version) != has(self.alias)", "name exactly one of version and alias"),
        )
    )

    registry_ref: LocalRef
    """The ModelRegistry to ask, in this namespace."""
    name: EntryName
    """Name of the registered model, as the registry knows it."""
    version: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Version of the model, in quotes: "7"."""
    alias: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Alias of the model; what it points at now is pinned, later moves of the alias change nothing."""


class DatasetReference(ApiModel):
    """A dataset in a registry."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """What the engine and the results call this dataset."""
    registry_ref: LocalRef
    """The ModelRegistry to ask, in this namespace."""
    path: EntryName
    """Name of the dataset as the registry knows it. MLflow: the name it was logged with (`mlflow.log_input`)."""
    revision: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Which state of the dataset. MLflow: its digest; without one, the latest logged state is pinned."""


class ModelPin(ApiModel):
    """What a model reference meant when it was checked. Two pins with one digest are the same content."""

    registry: str
    """Name of the ModelRegistry it was found in."""
    name: EntryName
    """Canonical name in the registry."""
    version: Annotated[str, Field(max_length=64)]
    """Version, resolved from an alias where one was asked for."""
    uri: Annotated[str, Field(max_length=1024)]
    """Immutable address of the version, e.g. `models:/fraud-detector/7`."""
    created_at: datetime
    """When the registry created the version: a version number alone is no identity."""
    source: Annotated[str, Field(max_length=1024)] = ""
    """Where the registry keeps the artifact."""
    run_id: Annotated[str, Field(max_length=64)] = ""
    """The run that produced it."""
    fingerprint: Digest
    """SHA-256 over the list of files with their sizes and over the model description file."""
    digest: Digest
    """SHA-256 over all of the above except `registry` and `uri`: the subject of evaluations."""


class DatasetPin(ApiModel):
    """What a dataset reference meant when it was checked."""

    name: Annotated[str, Field(max_length=63)]
    """Name within the evaluation."""
    registry: str
    """Name of the ModelRegistry it was found in."""
    path: EntryName
    """Name in the registry."""
    revision: Annotated[str, Field(max_length=128)]
    """The registry's own digest of it."""
    uri: Annotated[str, Field(max_length=1024)]
    """Where its files are read from, e.g. `runs:/<run>/holdout`."""
    fingerprint: Digest
    """SHA-256 over the list of its files with their sizes."""
    digest: Digest
    """SHA-256 over path, revision, uri and fingerprint."""


class DatasetUse(ApiModel):
    """A dataset that the training run says it used."""

    name: Annotated[str, Field(max_length=256)]
    digest: Annotated[str, Field(max_length=128)] = ""
    context: Annotated[str, Field(max_length=64)] = ""
    """What it was used for: training, validation, …"""


class Lineage(ApiModel):
    """Where a version comes from, as the registry tells it; never typed in by hand."""

    run_id: Annotated[str, Field(max_length=64)] = ""
    """The run that produced the version; empty when the registry knows none or it was deleted."""
    trained_by: Annotated[str, Field(max_length=256)] = ""
    """User of the run."""
    code_commit: Annotated[str, Field(max_length=64)] = ""
    """Git commit of the training code."""
    code_source: Annotated[str, Field(max_length=512)] = ""
    """Repository or script of the training code."""
    datasets: Annotated[tuple[DatasetUse, ...], Field(max_length=16)] = ()
    """Datasets logged as inputs of the run."""
    parameters: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=64)] = {}
    """Parameters of the run."""
    metrics: Annotated[dict[str, float], Field(max_length=64)] = {}
    """Metrics of the run, as reported by training."""


LineagePart = Literal["Code", "Data", "Run", "Parameters", "Metrics"]
