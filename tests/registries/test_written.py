"""References as people write them."""

import pytest

from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetReference, ModelReference
from weighbridge.registries.written import kind_of, read

REF = LocalRef(name="r")


def model(name: str, **more: str) -> ModelReference:
    return ModelReference(registry_ref=REF, name=name, **more)


def dataset(path: str, **more: str) -> DatasetReference:
    return DatasetReference(name="dataset", registry_ref=REF, path=path, **more)


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("models:/fraud/7", "mlflow", model("fraud", version="7")),
        ("models:/fraud@champion", "mlflow", model("fraud", alias="champion")),
        ("models:/catalog.schema.fraud/7", "mlflow", model("catalog.schema.fraud", version="7")),
        ("models:/a@b/7", "mlflow", model("a@b", version="7")),
        ("mlflow-datasets:/holdout", "mlflow", dataset("holdout")),
        ("mlflow-datasets:/holdout@0a1b2c3d", "mlflow", dataset("holdout", revision="0a1b2c3d")),
        ("hf://org/m", "huggingFace", model("org/m", revision="main")),
        ("hf://org/m@v1.0", "huggingFace", model("org/m", revision="v1.0")),
        ("hf://org/m@refs/pr/3", "huggingFace", model("org/m", revision="refs/pr/3")),
        ("hf://gpt2", "huggingFace", model("gpt2", revision="main")),
        ("hf://datasets/org/d", "huggingFace", dataset("org/d", revision="main")),
        ("hf://datasets/org/d@dev", "huggingFace", dataset("org/d", revision="dev")),
        ("hf://datasets/org/d@feature%2Fx", "huggingFace", dataset("org/d", revision="feature/x")),
        ("hf://datasets/org/d/data/a.csv", "huggingFace", dataset("org/d", revision="main", file="data/a.csv")),
        ("hf://datasets/org/d@dev/data/a.csv", "huggingFace", dataset("org/d", revision="dev", file="data/a.csv")),
        ("hf://datasets/org/d@refs/pr/3/a.csv", "huggingFace", dataset("org/d", revision="refs/pr/3", file="a.csv")),
    ],
)
def test_each_form_is_understood(text: str, kind: str, meant: ModelReference | DatasetReference) -> None:
    assert (kind_of(text), read(text, "r")) == (kind, meant)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fraud",
        "fraud/7",
        "models:fraud/7",
        "models:/fraud",
        "models:/fraud/",
        "models:/@champion",
        "models:/fraud@",
        "models:/two\nlines/7",
        "mlflow-datasets:/",
        "hf:/org/m",
        "hf://",
        "hf://org/m@",
        "hf://org/m/file",
        "hf://datasets/",
        "hf://datasets/org/d@",
        "hf://datasets/org/d/",
        "https://huggingface.co/org/m",
        f"models:/{'x' * 300}/7",
    ],
)
def test_anything_else_is_refused_naming_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"models:/name/7.*hf://datasets/organisation/name"):
        read(text, "r")


def test_what_is_no_reference_belongs_to_no_registry() -> None:
    with pytest.raises(ValueError, match="models:/name/7"):
        kind_of("fraud/7")
