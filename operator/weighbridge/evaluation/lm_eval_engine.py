"""The `lm-eval` engine: EleutherAI's harness on the pinned model, or on a server that says it serves it, over pinned tasks and
data.

In-process backends load the weights that were fetched and proved here. An endpoint cannot be proved by bytes: it must name the
model (`servedModel`) among those it lists, and what that name is worth is the server's. Nothing is fetched while the harness runs.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.engines import ENDPOINTS, GENERATION, IN_PROCESS, names_a_version
from . import lm_eval_result
from .fetch import fetch_dataset, fetch_model
from .lm_eval_progress import Counting
from .output import say, tell_progress
from .program import Measured, run
from .refusal import Refusal
from .served import prove_served
from .task import EXIT_MISCONFIGURED, Task

_NAME = "lm-eval-engine"
_OURS = frozenset(
    {
        "pretrained",
        "path",
        "model",
        "base_url",
        "tokenizer",
        "peft",
        "delta",
        "lora_local_path",
        "hf_config_path",
        "trust_remote_code",
    }
)
"""Arguments of backends that say what is loaded: the operator's word alone."""
_RESAMPLED = 1000
"""Bootstrap samples for standard errors that have no formula."""


def main() -> int:
    """Carries out the task of the environment. Returns the exit code."""
    # Before the harness is imported: what is not on disk by then is not pinned.
    os.environ |= {"HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return run(_NAME, measure)


def measure(task: Task, scratch: Path) -> Measured:
    """What the harness measures. Raises Refusal for what it cannot, or must not."""
    parameters = task.parameters
    backend = parameters.get("backend", IN_PROCESS[0])
    if backend not in (*IN_PROCESS, *ENDPOINTS):
        raise Refusal(EXIT_MISCONFIGURED, f"spec.evaluator.parameters.backend {backend[:64]} is not offered")
    arguments = _arguments(parameters, "model.")
    strange = [name for name, value in sorted(arguments.items()) if name in _OURS or _leads_out(value)]
    if strange:
        name = f"spec.evaluator.parameters.model.{strange[0]}"
        raise Refusal(EXIT_MISCONFIGURED, f"{name} cannot be set: what is loaded is what was pinned, and no code of its own runs")
    generation = _arguments(parameters, "generation.")
    if strange := sorted(generation.keys() - GENERATION):
        text = f"spec.evaluator.parameters.generation.{strange[0][:64]} is not offered; there are {', '.join(sorted(GENERATION))}"
        raise Refusal(EXIT_MISCONFIGURED, text)
    settings = {
        "num_fewshot": _whole(parameters, "fewShots"),
        "limit": _whole(parameters, "limit"),
        "batch_size": parameters.get("batchSize"),
        "apply_chat_template": parameters.get("chatTemplate") == "true",
        "gen_kwargs": generation or None,
        "bootstrap_iters": _RESAMPLED,
    }
    if (seed := _whole(parameters, "seed")) is not None:
        settings |= {"random_seed": seed, "numpy_random_seed": seed}
    arguments = _served(task) | arguments if backend in ENDPOINTS else arguments | {"pretrained": str(_weights(task, scratch))}
    folders = [(dataset, fetch_dataset(dataset, scratch)) for dataset in task.datasets]
    say(_NAME, "loading the harness")
    os.environ["HF_HUB_OFFLINE"] = "1"  # only now: what is fetched above comes from the Hub
    import lm_eval
    from lm_eval.api.registry import get_model

    from .lm_eval_tasks import chosen_tasks, held

    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    with held(folders):
        manager, names = chosen_tasks(folders, parameters.get("tasks", ""))
    say(_NAME, f"evaluating {', '.join(names)} with {backend}")
    model = get_model(backend).create_from_arg_obj(arguments, {"batch_size": settings["batch_size"]})
    Counting(tell_progress).watch(model)
    with held(folders):
        results = lm_eval.simple_evaluate(model=model, tasks=names, task_manager=manager, log_samples=True, **settings)
    if strange := lm_eval_result.out_of_range(results):
        say(_NAME, f"left out, for they are ratios by their names and not within 0 and 1: {', '.join(strange)}")
    return Measured(lm_eval_result.metrics(results), list(lm_eval_result.samples(results)))


def _weights(task: Task, scratch: Path) -> Path:
    say(_NAME, f"loading model {task.model.name} {task.model.version}")
    return fetch_model(task, scratch)


def _served(task: Task) -> dict[str, Any]:
    """Arguments for a server that lists the model. Raises Refusal for one that does not.

    Without a tokenizer: enough for tasks that generate; for those that compare answers set `model.tokenizer_backend: remote`."""
    endpoint, called = task.parameters.get("endpoint", ""), task.parameters.get("servedModel", "")
    if not names_a_version(called):
        text = "spec.evaluator.parameters.servedModel must hold {version} or {digest}, such as {name}@{version}"
        raise Refusal(EXIT_MISCONFIGURED, text)
    name = prove_served(task, endpoint, called)
    path = "chat/completions" if task.parameters["backend"] == "local-chat-completions" else "completions"
    return {"base_url": f"{endpoint.rstrip('/')}/{path}", "model": name, "tokenizer_backend": "none"}


def _leads_out(value: Any) -> bool:
    """Whether it reads like a path that leads out of the model's folder."""
    return isinstance(value, str) and (value.startswith(("/", "~")) or ".." in Path(value).parts)


def _arguments(parameters: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Those of a prefix, without it; whole numbers, numbers and truth values as such."""
    return {key.removeprefix(prefix): _value(text) for key, text in parameters.items() if key.startswith(prefix)}


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _whole(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise Refusal(EXIT_MISCONFIGURED, f"spec.evaluator.parameters.{name} must be a whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
