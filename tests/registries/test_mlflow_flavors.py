"""What a model description says of safety: a table of descriptions and files as MLflow's flavors write them."""

import pytest
import yaml

from weighbridge.registries.base import RegistryAbsent
from weighbridge.registries.mlflow_flavors import check_complete, flavors_of, formats, unsafe

SKOPS = {"pickled_model": "model.skops", "serialization_format": "skops", "code": None}
PYFUNC = {"env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}}
COMMON = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt")


def judge(flavors: object, *files: str) -> tuple[str, set[str]]:
    sizes = dict.fromkeys((*COMMON, *files), 1)
    found = flavors_of("m 1", yaml.safe_dump({"flavors": flavors}).encode())
    return unsafe(sizes, found), set(formats(sizes, found))


def sk(**flavor: object) -> dict[str, object]:
    model = flavor["pickled_model"]
    return {"sklearn": flavor, "python_function": PYFUNC | {"loader_module": "mlflow.sklearn", "model_path": model}}


def loaded(module: str, **flavor: object) -> dict[str, object]:
    return {module: flavor, "python_function": PYFUNC | {"loader_module": f"mlflow.{module}", "data": flavor.get("data", "data")}}


@pytest.mark.parametrize(
    ("flavors", "files", "named"),
    [
        (sk(pickled_model="model.pkl", serialization_format="cloudpickle"), ("model.pkl",), "weights only as pickle (model.pkl)"),
        (sk(pickled_model="model.pkl", serialization_format="pickle"), ("model.pkl",), "weights only as pickle (model.pkl)"),
        (sk(pickled_model="model.pkl"), ("model.pkl",), "weights only as pickle (model.pkl)"),
        (sk(pickled_model="weights.dat"), ("weights.dat",), "weights only as pickle (weights.dat)"),
        (sk(pickled_model="m.skops", serialization_format="cloudpickle"), ("m.skops",), "weights only as pickle (m.skops)"),
        (sk(pickled_model="m.pkl", serialization_format="skops"), ("m.pkl",), "weights only as pickle (m.pkl)"),
        (
            {"python_function": {"loader_module": "mlflow.sklearn", "model_path": "m.skops"}},
            ("m.skops",),
            "weights only as pickle (m.skops)",  # without the flavor sklearn MLflow unpickles
        ),
        (
            {"python_function": PYFUNC | {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}},
            ("python_model.pkl",),
            "weights only as pickle (python_model.pkl)",
        ),
        (
            {"python_function": {"loader_module": "mlflow.pyfunc.model", "python_model": "model.safetensors"}},
            ("model.safetensors",),
            "weights only as pickle (model.safetensors)",  # whatever it is called, it is unpickled
        ),
        (loaded("pytorch", model_data="data", data="data"), ("data/model.pth", "data/x.txt"), "(data/model.pth)"),
        (loaded("pytorch", model_data="data", data="data"), ("data/model.pt2",), "(data/model.pt2)"),
        (loaded("pytorch", model_data="data", data="data"), ("data/weights",), "(data/weights)"),
        (loaded("statsmodels", data="model.statsmodels"), ("model.statsmodels",), "(model.statsmodels)"),
        (loaded("lightgbm", data="model.pkl", serialization_format="cloudpickle"), ("model.pkl",), "(model.pkl)"),
        (loaded("sentence_transformers", data="st"), ("st/pytorch_model.bin", "st/config.json"), "(st/pytorch_model.bin)"),
        (loaded("tensorflow", data="data"), ("data/model.keras", "data/custom_objects.cloudpickle"), "custom_objects"),
        (loaded("onnx", data="d"), ("d/m.onnx", "d/custom.cloudpickle"), "custom.cloudpickle"),
        (sk(**SKOPS | {"code": "code"}), ("model.skops", "code/a.py"), "brings code of its own (code)"),
        (sk(**SKOPS), ("model.skops", "extra/native.so"), "brings code of its own (extra/native.so)"),
        (
            {"python_function": PYFUNC | {"loader_module": "mlflow.pyfunc.model", "model_code_path": "/home/x/agent.py"}},
            ("agent.py",),
            "brings code of its own (agent.py)",
        ),
        (loaded("transformers", data="model"), ("model/model.safetensors", "model/modeling_x.py"), "(model/modeling_x.py)"),
    ],
)
def test_what_runs_code(flavors: object, files: tuple[str, ...], named: str) -> None:
    sentence, kinds = judge(flavors, *files)
    assert named in sentence
    assert ("pickle" in kinds) == ("pickle" in sentence)


def test_both_reasons_are_told() -> None:
    assert judge(sk(pickled_model="m.pkl", code="code"), "m.pkl", "code/a.py")[0] == (
        "weights only as pickle (m.pkl) and brings code of its own (code)"
    )


@pytest.mark.parametrize(
    ("flavors", "files", "kinds"),
    [
        (sk(**SKOPS), ("model.skops",), {"skops"}),
        (loaded("onnx", data="model.onnx"), ("model.onnx",), {"onnx"}),
        (loaded("xgboost", data="model.xgb", model_format="json"), ("model.xgb",), {"xgboost"}),
        (loaded("lightgbm", data="model.lgb"), ("model.lgb",), {"lightgbm"}),
        (loaded("sentence_transformers", data="st"), ("st/model.safetensors", "st/pytorch_model.bin"), {"safetensors", "pickle"}),
        (loaded("transformers", data="m"), ("m/a.safetensors", "m/config.json"), {"safetensors"}),
        (loaded("tensorflow", data="data"), ("data/model.keras",), {"keras"}),
        (loaded("tensorflow", data="tf"), ("tf/saved_model.pb", "tf/variables/x"), {"savedmodel"}),
        (sk(**SKOPS | {"code": "code"}), ("model.skops",), {"skops"}),  # a folder that is not there
    ],
)
def test_what_does_not(flavors: object, files: tuple[str, ...], kinds: set[str]) -> None:
    assert judge(flavors, *files) == ("", kinds | {"mlflow"})


@pytest.mark.parametrize(
    "description",
    [
        b"", b"[]", b"flavors:", b"flavors: []", b"flavors: {}", b"flavors: {sklearn: 7}", b"\x00",
        b"flavors: !!python/object:os.x {}", b"flavors: {7: {data: x}}", b"a: " + b"[" * 5000,
    ],
)  # fmt: skip
def test_no_description_of_anything(description: bytes) -> None:
    with pytest.raises(RegistryAbsent) as no:
        flavors_of("m 1", description)
    assert (no.value.reason, "MLmodel" in no.value.public) == ("ArtifactIncomplete", True)


def test_nonsense_in_a_flavor_is_no_trouble() -> None:
    """Also not a small text that would be enormous if it were written out."""
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    words = ("loader_module", "data", "code", "pickled_model", "serialization_format", "model_code_path", "env")
    flavor = ", ".join(f"{word}: *a39" for word in words)
    found = flavors_of("m 1", "\n".join([*lines, f"flavors: {{sklearn: {{{flavor}}}, x: {{data: ../../etc}}}}"]).encode())
    assert unsafe({"MLmodel": 1}, found) == ""
    assert formats({"MLmodel": 1}, found) == {"mlflow"}


@pytest.mark.parametrize(
    ("flavor", "files"),
    [
        ("tensorflow: {data: data, model_type: keras}", {"data/model.h5": 9}),
        ("paddle: {pickled_model: model}", {"model.pdparams": 9, "model/x.pdmodel": 3}),
        ("langchain: {model_data: m}", {"m/agent.pkl": 9, "m/model.safetensors": 1}),
        ("transformers: {model_binary: model}", {"model/pytorch_model.bin": 9, "model/sub/decoy.safetensors": 1}),
    ],
)
def test_a_decoy_makes_no_model_safe(flavor: str, files: dict[str, int]) -> None:
    assert "pickle" in unsafe(files, flavors_of("m 1", f"flavors: {{{flavor}}}".encode()))


@pytest.mark.parametrize("path", ["x/../model.pkl", "/model.pkl", ".."])
def test_a_description_that_names_files_elsewhere_is_not_complete(path: str) -> None:
    described = flavors_of("m 1", f"flavors: {{python_function: {{model_path: {path}}}}}".encode())
    with pytest.raises(RegistryAbsent) as no:
        check_complete("m 1", {"model.pkl": 9, "x/k": 1}, described)
    assert no.value.reason == "ArtifactIncomplete"
