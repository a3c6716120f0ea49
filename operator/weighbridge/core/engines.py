"""Engines: what measures a model. What each needs of spec, model and datasets before a pod is made, and what its pod runs.

A third party's engine is an `Engine` behind an entry point of the group `weighbridge.engines` (evaluation/engines.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..api.evaluationjob import EvaluationJobSpec, Evaluator
from ..api.references import DatasetPin
from .facts import ModelSnapshot

Loads = Callable[[EvaluationJobSpec], bool]
Needs = Callable[[EvaluationJobSpec, ModelSnapshot, Sequence[DatasetPin]], str | None]
"""What an engine lacks to measure this, in one sentence that says what to do; None where it lacks nothing."""

IN_PROCESS = ("onnxruntime", "onnxruntime-genai", "hf", "vllm")
"""Backends of lm-eval that load the pinned weights themselves."""
ENDPOINTS = ("local-completions", "local-chat-completions")
"""Backends of lm-eval that ask a server which speaks OpenAI's interface."""
GENERATION = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "do_sample", "num_beams", "length_penalty", "seed"),
        *("max_gen_toks", "max_tokens", "max_new_tokens", "min_tokens", "min_new_tokens", "until", "stop"),
        *("repetition_penalty", "presence_penalty", "frequency_penalty", "no_repeat_ngram_size"),
    }
)
"""What lm-eval may say about generation: how a model answers, never which model or what it is asked."""
_SUFFICES = {
    "onnxruntime": {"onnx"},
    "onnxruntime-genai": {"onnx"},
    "hf": {"safetensors", "pickle"},
    "vllm": {"safetensors", "pickle"},
}
"""Formats of weights a backend loads, one of which must be there."""


def names_a_version(called: str) -> bool:
    """Whether what a server calls a model says which version it is, once filled in."""
    return "{version}" in called or "{digest}" in called


def _never(_spec: EvaluationJobSpec) -> bool:
    return False


def _always(_spec: EvaluationJobSpec) -> bool:
    return True


def _nothing(_spec: EvaluationJobSpec, _model: ModelSnapshot, _datasets: Sequence[DatasetPin]) -> None:
    return None


@dataclass(frozen=True)
class Engine:
    """One engine."""

    name: str
    """As `spec.evaluator.engine` names it: lower-case letters, digits and `-`."""
    command: tuple[str, ...] = ()
    """What its container runs; empty: what the image runs by itself."""
    image: str = ""
    """Its image where the spec names none; empty: the evaluator image the operator was installed with."""
    parameters: frozenset[str] | None = None
    """Names of the parameters it knows, those that end in `.` with any ending; None: any."""
    loads: Loads = _never
    """Whether it brings the model to the pod's disk itself, so that model and datasets must fit into `spec.scratch`."""
    exit_codes: bool = False
    """Whether its program ends with the exit codes of evaluation/task.py; else they only say that it failed."""
    lacks: Needs = _nothing
    """What it lacks to measure a model on datasets."""

    def image_for(self, evaluator: Evaluator, installed: str) -> str:
        """Reference of the image it runs; `installed`: the evaluator image the operator was installed with."""
        return evaluator.image or self.image or installed


def _mlflow(_spec: EvaluationJobSpec, model: ModelSnapshot, datasets: Sequence[DatasetPin]) -> str | None:
    if "mlflow" not in model.formats:
        return (
            f"engine mlflow loads MLflow models, and {model.pin.name} has no MLmodel file; use engine container with an image that "
            "loads it, or log the model with MLflow"
        )
    for pin in datasets:
        if pin.tables not in (1, None):
            hint = "name one of them with file" if pin.tables else "give it one"
            return (
                f"engine mlflow measures on one table, and dataset {pin.path} holds {pin.tables} (.csv, .parquet, .jsonl); {hint}"
            )
    return None


def _lm_eval(spec: EvaluationJobSpec, model: ModelSnapshot, _datasets: Sequence[DatasetPin]) -> str | None:
    parameters = spec.evaluator.parameters
    backend = parameters.get("backend", IN_PROCESS[0])
    if backend not in (*IN_PROCESS, *ENDPOINTS):
        known = ", ".join((*IN_PROCESS, *ENDPOINTS))
        return f"evaluator.parameters.backend {backend[:64]} is none that engine lm-eval offers; it offers {known}"
    if (backend in ENDPOINTS) != ("endpoint" in parameters):
        served = " and ".join(ENDPOINTS)
        return f"backend {backend} and evaluator.parameters.endpoint do not fit: {served} need an endpoint, others take none"
    if backend in ENDPOINTS and not names_a_version(parameters.get("servedModel", "")):
        return (
            "evaluator.parameters.servedModel must hold {version} or {digest}, such as {name}@{version}: serve the model under a "
            "name that says which version it is (--served-model-name of vLLM), else any version would pass for this one"
        )
    given = {name.removeprefix("generation.") for name in parameters if name.startswith("generation.")}
    if strange := sorted(given - GENERATION):
        known = ", ".join(sorted(GENERATION))
        return f"evaluator.parameters.generation.{strange[0][:64]} is none that engine lm-eval offers; it offers {known}"
    suffices = _SUFFICES.get(backend)
    if suffices is not None and not suffices & model.formats:
        found = ", ".join(sorted(model.formats)) or "none that is known"
        return (
            f"backend {backend} of engine lm-eval loads {' or '.join(sorted(suffices))}, and the weights of {model.pin.name} are "
            f"{found}; set evaluator.parameters.backend, or an endpoint that serves the model"
        )
    return None


BUILT_IN: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            "mlflow",
            command=("python", "-m", "weighbridge.evaluation.mlflow_engine"),
            parameters=frozenset({"targets", "modelType", "invariants"}),
            loads=_always,
            exit_codes=True,
            lacks=_mlflow,
        ),
        Engine(
            "lm-eval",
            command=("python", "-m", "weighbridge.evaluation.lm_eval_engine"),
            parameters=frozenset(
                {
                    *("tasks", "backend", "endpoint", "servedModel", "fewShots", "limit", "batchSize", "seed", "chatTemplate"),
                    *("model.", "generation."),
                }
            ),
            loads=lambda spec: "endpoint" not in spec.evaluator.parameters,
            exit_codes=True,
            lacks=_lm_eval,
        ),
        Engine("container"),
    )
}
"""The engines this operator brings along, by name."""


def unfit(spec: EvaluationJobSpec, engines: Mapping[str, Engine]) -> tuple[str, str] | None:
    """Reason and message where no engine can carry out the spec as it is written, whatever the registries say."""
    wanted = spec.evaluator
    engine = engines.get(wanted.engine)
    if engine is None:
        known = ", ".join(sorted(engines))
        return (
            "EngineUnknown",
            f"there is no engine {wanted.engine}; this operator has {known}: set evaluator.engine to one of them",
        )
    if engine.parameters is None or wanted.engine == "container":
        return None
    strange = [name for name in wanted.parameters if not _known(name, engine.parameters)]
    if strange:
        known = ", ".join(f"{name}*" if name.endswith(".") else name for name in sorted(engine.parameters))
        return "EngineUnsupported", f"engine {engine.name} has no parameter {strange[0][:64]}; it has {known}"
    return None


def _known(name: str, parameters: frozenset[str]) -> bool:
    prefix, dot, rest = name.partition(".")
    return name in parameters if not dot else bool(rest) and f"{prefix}." in parameters
