"""What an engine must have before a pod is made for it."""

from dataclasses import replace

import pytest

from weighbridge.api.evaluationjob import EvaluationJobSpec
from weighbridge.core.engines import BUILT_IN, unfit

from . import things

SERVED = {"backend": "local-completions", "endpoint": "http://server/v1"}


def spec(engine: str, **parameters: str) -> EvaluationJobSpec:
    reference = {"registryRef": {"name": "hub"}, "name": "demo/model", "revision": "main"}
    return EvaluationJobSpec.model_validate({"model": reference, "evaluator": {"engine": engine, "parameters": parameters}})


def lacks(formats: set[str], **parameters: str) -> str | None:
    model = replace(things.snapshot("1"), formats=frozenset(formats))
    return BUILT_IN["lm-eval"].lacks(spec("lm-eval", tasks="a", **parameters), model, ())


@pytest.mark.parametrize(
    ("engine", "parameters", "says"),
    [
        ("lm-evil", {}, "there is no engine lm-evil; this operator has container, lm-eval, mlflow"),
        ("mlflow", {"target": "label"}, "engine mlflow has no parameter target; it has invariants, modelType, targets"),
        ("lm-eval", {"task": "a"}, "engine lm-eval has no parameter task; it has "),
        ("lm-eval", {"tasks": "a", "models.dtype": "x"}, "has no parameter models.dtype"),
        ("lm-eval", {"tasks": "a", "model.": "x"}, "has no parameter model."),
        ("lm-eval", {"tasks": "a", "tasks.b": "x"}, "has no parameter tasks.b"),
    ],
)
def test_a_misspelt_engine_or_parameter_is_refused_by_name(engine: str, parameters: dict[str, str], says: str) -> None:
    found = unfit(spec(engine, **parameters), BUILT_IN)
    assert found is not None
    assert says in found[1]


@pytest.mark.parametrize(
    ("engine", "parameters"),
    [
        ("container", {"anything": "goes", "a.b": "c"}),
        ("lm-eval", {"tasks": "a", "model.dtype": "bfloat16", "generation.temperature": "0"}),
        ("mlflow", {"targets": "label", "modelType": "regressor"}),
    ],
)
def test_what_an_engine_knows_is_taken(engine: str, parameters: dict[str, str]) -> None:
    assert unfit(spec(engine, **parameters), BUILT_IN) is None


@pytest.mark.parametrize(
    ("formats", "parameters", "says"),
    [
        ({"onnx"}, {}, None),
        ({"safetensors"}, {}, "backend onnxruntime of engine lm-eval loads onnx"),
        ({"safetensors"}, {"backend": "hf"}, None),
        ({"gguf"}, {"backend": "vllm"}, "are gguf; set evaluator.parameters.backend"),
        (set(), {"backend": "hf"}, "are none that is known"),
        ({"gguf"}, SERVED | {"servedModel": "{name}@{version}"}, None),
        ({"gguf"}, SERVED | {"servedModel": "{digest}"}, None),
        ({"gguf"}, SERVED | {"servedModel": "{name}"}, "servedModel must hold {version} or {digest}, such as {name}@{version}"),
        ({"gguf"}, SERVED, "servedModel must hold {version} or {digest}"),
        ({"onnx"}, {"generation.temperature": "0", "generation.max_gen_toks": "8"}, None),
        ({"onnx"}, {"generation.model": "other"}, "evaluator.parameters.generation.model is none that engine lm-eval offers"),
        ({"gguf"}, {"backend": "local-completions"}, "need an endpoint"),
        ({"onnx"}, {"endpoint": "http://server/v1"}, "need an endpoint"),
        ({"onnx"}, {"backend": "dummy"}, "backend dummy is none that engine lm-eval offers"),
    ],
)
def test_a_backend_gets_what_it_loads(formats: set[str], parameters: dict[str, str], says: str | None) -> None:
    found = lacks(formats, **parameters)
    assert (found is None) == (says is None)
    assert says is None or says in (found or "")
