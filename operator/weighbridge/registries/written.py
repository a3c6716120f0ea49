"""Models and datasets as people write them on a command line, each in the way its own tools do.

`models:/name/7`, `models:/name@alias`, `mlflow-datasets:/name[@digest]`, `hf://organisation/name[@revision]`,
`hf://datasets/organisation/name[@revision][/file]`. Must not ask anybody whether they exist.
"""

import re
from urllib.parse import unquote

from pydantic import ValidationError

from ..api.base import LocalRef
from ..api.modelregistry import RegistryKind
from ..api.references import DatasetReference, ModelReference

FORMS = (
    "models:/name/7, models:/name@alias, mlflow-datasets:/name[@digest], hf://organisation/name[@revision] or "
    "hf://datasets/organisation/name[@revision][/file]"
)
_MAIN = "main"
_DATASET = re.compile(
    r"^(?P<path>[^/@]+/[^/@]+|[^/@]+(?=@|$))(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<file>.+))?$"
)
"""As huggingface_hub reads it: a slash in a revision is written %2F, except in `refs/pr/1` and `refs/convert/parquet`."""


def kind_of(text: str) -> RegistryKind:
    """The kind of registry that such a reference is asked of. Raises ValueError for what is no reference."""
    if text.startswith(("models:/", "mlflow-datasets:/")):
        return "mlflow"
    if text.startswith("hf://"):
        return "huggingFace"
    raise _refused(text)


def read(text: str, registry: str) -> ModelReference | DatasetReference:
    """The reference; `registry` names the ModelRegistry to ask. Raises ValueError."""
    ref = LocalRef(name=registry)
    scheme, _, rest = text.partition(":")
    try:
        match scheme:
            case "models" if rest.startswith("/"):
                return _mlflow_model(rest[1:], ref)
            case "mlflow-datasets" if rest.startswith("/"):
                path, _, digest = rest[1:].partition("@")
                return DatasetReference(name="dataset", registry_ref=ref, path=path, revision=digest or None)
            case "hf" if rest.startswith("//datasets/"):
                return _hub_dataset(rest.removeprefix("//datasets/"), ref)
            case "hf" if rest.startswith("//"):
                name, at, revision = rest[2:].partition("@")
                if name.count("/") > 1 or (at and not revision):
                    raise _refused(text)
                return ModelReference(registry_ref=ref, name=name, revision=unquote(revision) or _MAIN)
    except ValidationError as error:
        raise _refused(text) from error
    raise _refused(text)


def _mlflow_model(rest: str, ref: LocalRef) -> ModelReference:
    name, slash, version = rest.rpartition("/")
    if slash:
        return ModelReference(registry_ref=ref, name=name, version=version)
    name, at, alias = rest.rpartition("@")
    if not at:
        raise _refused(f"models:/{rest}")
    return ModelReference(registry_ref=ref, name=name, alias=alias)


def _hub_dataset(rest: str, ref: LocalRef) -> DatasetReference:
    found = _DATASET.match(rest)
    if found is None:
        raise _refused(f"hf://datasets/{rest}")
    revision = unquote(found["revision"] or _MAIN)
    return DatasetReference(name="dataset", registry_ref=ref, path=found["path"], revision=revision, file=found["file"])


def _refused(text: str) -> ValueError:
    return ValueError(f'"{text}" names no model or dataset: write {FORMS}')
