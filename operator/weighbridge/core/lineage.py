"""Lineage: what must be known of a version's origin before it may serve, and where each part would come from.

All of it is what the registry says by itself: nothing is typed in by hand, so what is missing is mended where the model is trained.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..api.modelversion import ModelVersion
from ..api.references import Lineage, LineagePart
from .conditions import Draft, find


@dataclass(frozen=True)
class _Part:
    known: Callable[[Lineage], object]
    mlflow: str
    """Where MLflow gets it from, in few words."""
    hub: str
    """Where the Hugging Face Hub does."""


_PARTS: Mapping[LineagePart, _Part] = {
    "Code": _Part(
        lambda found: found.code_commit,
        "train from a git checkout, so that the run has the tag mlflow.source.git.commit",
        "the Hub keeps none",
    ),
    "Data": _Part(lambda found: found.datasets, "log it with mlflow.log_input", "name it under datasets in the card"),
    "Run": _Part(
        lambda found: found.run_id,
        "log the model inside of mlflow.start_run(); a deleted run does not count",
        "the Hub keeps none",
    ),
    "Parameters": _Part(lambda found: found.parameters, "mlflow.log_params", "the Hub keeps none"),
    "Metrics": _Part(lambda found: found.metrics, "mlflow.log_metrics", "report them under model-index in the card"),
    "Dependencies": _Part(
        lambda found: found.dependencies,
        "log the model with mlflow.<flavor>.log_model, which adds requirements.txt",
        "name library_name in the card, or add requirements.txt",
    ),
    "Signature": _Part(
        lambda found: found.signature,
        "log the model with signature= or input_example=",
        "only a model with an MLmodel file has one there",
    ),
    "BaseModel": _Part(
        lambda found: found.base_models,
        "the flavors transformers, sentence_transformers and diffusers name the model of the Hub they were given",
        "name base_model in the card",
    ),
}


def complete(version: ModelVersion, lineage: Lineage | None, *, just_said: bool = True) -> Draft:
    """`LineageComplete`: every required part is known to the registry.

    `just_said`: the registry answers now. Without that, a part that was not read so far is open rather than missing: an operator
    that read less may have pinned the version. What was missing once stays so until the registry says otherwise."""
    required = version.spec.lineage.require
    if not required:
        return Draft("LineageComplete", True, "NothingRequired", "no lineage is required")
    if lineage is None:
        return Draft("LineageComplete", None, "NotResolved", "lineage is read with the version")
    missing = [part for part in required if not _PARTS[part].known(lineage)]
    if not missing:
        return Draft("LineageComplete", True, "Known", f"{', '.join(required)} known to the registry")
    if not just_said and not _was_missing(version):
        return Draft("LineageComplete", None, "Checking", f"asking the registry for {', '.join(missing)}")
    of_hub = version.spec.source.revision is not None
    named = ", ".join(f"{part} ({_PARTS[part].hub if of_hub else _PARTS[part].mlflow})" for part in missing)
    mend = "publish a commit that has it" if of_hub else "train and register it anew"
    return Draft("LineageComplete", False, "LineageMissing", f"the registry does not know of this version: {named}; {mend}")


def _was_missing(version: ModelVersion) -> bool:
    last = find(version.status.conditions, "LineageComplete")
    return last is not None and last.status == "False" and last.observed_generation == version.metadata.generation
