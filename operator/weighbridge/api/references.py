"""How specs name things in a registry, and how status keeps what the names meant: the pins."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, LocalRef, rules

EntryName = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^[:cntrl:]]+$")]
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
Revision = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^[:cntrl:]]+$")]
Digest = Annotated[str, Field(max_length=71, pattern=r"^sha256:[0-9a-f]{64}$")]


class ModelReference(ApiModel):
    """A model version in a registry, named by version, alias or revision. Names move, so it is pinned before it is used."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(
                "[has(self.version), has(self.alias), has(self.revision)].exists_one(given, given)",
                "name exactly one of version, alias (MLflow) and revision (Hugging Face Hub)",
            ),
        )
    )

    registry_ref: LocalRef
    """The ModelRegistry to ask, in this namespace."""
    name: EntryName
    """Name of the registered model, as the registry knows it."""
    version: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^[:cntrl:]]+$")] | None = None
    """Version of the model, in quotes: "7"."""
    alias: Revision | None = None
    """Alias of the model; what it points at now is pinned, later moves of the alias change nothing."""
    revision: Revision | None = None
    """Hugging Face Hub: branch, tag, commit or pull request (`refs/pr/1`); what it points at now is pinned."""

    @property
    def wanted(self) -> str:
        """The version, alias or revision that was asked for."""
        return self.version or self.alias or self.revision or ""

    def shown(self, pin: "ModelPin | None") -> str:
        """The version for a table: the pinned one, a commit in short, or else what was asked for."""
        version = pin.version if pin else self.wanted
        return version[:12] if _COMMIT.match(version) else version[:64]


class DatasetSource(ApiModel):
    """A dataset as a registry knows it."""

    registry_ref: LocalRef
    """The ModelRegistry to ask, in this namespace."""
    path: EntryName
    """Name of the dataset as the registry knows it. MLflow: the name it was logged with (`mlflow.log_input`), or name or id of an
    evaluation dataset. Hugging Face Hub: `organisation/name`."""
    revision: Revision | None = None
    """Which state of the dataset. MLflow: its digest; without one, the latest logged state is pinned. Hugging Face Hub: branch, tag
    or commit; without one, `main`."""
    file: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^/[:cntrl:]][^[:cntrl:]]*$")] | None = None
    """One file of the dataset, e.g. `data/test.csv`; without one, all of them."""


class DatasetReference(DatasetSource):
    """A dataset in a registry, and what it is called here."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """What the engine and the results call this dataset."""
    fallback: Annotated[tuple[DatasetSource, ...], Field(max_length=4)] = ()
    """Datasets to evaluate on instead, in this order, where the wanted one definitely does not exist; never in an outage. Said
    loudly, and no version is promoted on such a score."""


class PinnedFile(ApiModel):
    """A large file of an artifact, with the digest its registry keeps of it."""

    path: Annotated[str, Field(max_length=512)]
    """Path below the artifact's root."""
    size: Annotated[int, Field(ge=0)]
    """Size in bytes."""
    sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of its content."""


class ModelPin(ApiModel):
    """What a model reference meant when it was checked. Two pins with one digest are the same content."""

    registry: str
    """Name of the ModelRegistry it was found in."""
    name: EntryName
    """Canonical name in the registry."""
    version: Annotated[str, Field(max_length=64)]
    """Version, resolved from an alias where one was asked for. Hugging Face Hub: the commit."""
    uri: Annotated[str, Field(max_length=1024)]
    """Immutable address of the version, e.g. `models:/fraud-detector/7` or `hf://organisation/name@<commit>`."""
    created_at: datetime
    """When the registry created the version: a version number alone is no identity."""
    source: Annotated[str, Field(max_length=1024)] = ""
    """Where the registry keeps the artifact."""
    run_id: Annotated[str, Field(max_length=64)] = ""
    """The run that produced it."""
    size: Annotated[int, Field(ge=0)] | None = None
    """Bytes of all files together, where that is known."""
    files: Annotated[tuple[PinnedFile, ...], Field(max_length=32)] = ()
    """Large files with the digest the registry keeps of them, the largest 32; the fingerprint covers all."""
    fingerprint: Digest
    """SHA-256 over the list of files with their sizes and what is known of their content (core/pin.py)."""
    digest: Digest
    """SHA-256 over name, version, creation time, source, run and fingerprint: the subject of evaluations."""


def pinned_source(source: ModelReference, pin: ModelPin) -> ModelReference:
    """What to ask for once pinned: that very version, wherever the alias or branch has moved since."""
    revision, version = (pin.version, None) if source.revision is not None else (None, pin.version)
    return ModelReference(registry_ref=source.registry_ref, name=pin.name, version=version, revision=revision)


class DatasetPin(ApiModel):
    """What a dataset reference meant when it was checked."""

    name: Annotated[str, Field(max_length=63)]
    """Name within the evaluation."""
    registry: str
    """Name of the ModelRegistry it was found in."""
    path: EntryName
    """Name in the registry."""
    revision: Annotated[str, Field(max_length=128)]
    """The registry's own digest of it. Hugging Face Hub: the commit."""
    uri: Annotated[str, Field(max_length=1024)]
    """Where its files are read from, e.g. `runs:/<run>/holdout` or `hf://datasets/organisation/name@<commit>`."""
    file: Annotated[str, Field(max_length=512)] = ""
    """The one file that was asked for, below `uri`; empty for all."""
    size: Annotated[int, Field(ge=0)] | None = None
    """Bytes of its files together, where that is known."""
    tables: Annotated[int, Field(ge=0)] | None = None
    """How many of its files are tables (.csv, .parquet, .jsonl), where that is known."""
    fingerprint: Digest
    """SHA-256 over the list of its files with their sizes and what is known of their content (core/pin.py)."""
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
    base_models: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=8)] = ()
    """Models this one was made from."""
    licence: Annotated[str, Field(max_length=128)] = ""
    """Licence, as the registry names it."""
    dependencies: Annotated[str, Field(max_length=512)] = ""
    """What the artifact says it needs to be loaded, for people: `requirements.txt: mlflow==3.17.2, scikit-learn==1.8.0 …`."""
    signature: Annotated[str, Field(max_length=512)] = ""
    """Inputs and outputs the artifact declares, for people: `30 inputs, 1 output`."""
    parameters: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=64)] = {}
    """Parameters of the run."""
    metrics: Annotated[dict[str, float], Field(max_length=64)] = {}
    """Metrics of the run, as reported by training."""


LineagePart = Literal["Code", "Data", "Run", "Parameters", "Metrics", "Dependencies", "Signature", "BaseModel"]
