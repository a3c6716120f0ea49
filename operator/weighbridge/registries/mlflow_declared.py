"""What a model says of itself for people: its signature and base models, out of its description, and what it needs to be loaded,
out of its list of requirements.

Nothing is deserialised and nothing judged: these are texts. What is not as MLflow writes it is not known. Addresses, which may
carry tokens, never get into them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .mlflow_flavors import Flavors
from .records import Record, inner, parsed, text

REQUIREMENTS = "requirements.txt"
_LARGEST_LIST = 64 * 1024
_MOST_NAMED, _LONGEST_NAMED, _MOST_BASES = 10, 36, 8
_REQUIREMENT = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[A-Za-z0-9._,\s-]*\])?\s*"
    r"((?:[<>=!~]{1,3}\s*[A-Za-z0-9.*+!_-]+\s*,?\s*)*)(?:$|[;#@\s])"
)
"""Name, without extras, and versions; what follows are markers, comments, hashes or an address."""
_ON_THE_HUB = re.compile(r"^(?!.*(--|\.\.|\.git$|/checkpoint-\d+$))\w[\w.-]*(/\w[\w.-]*)?$", re.ASCII)
"""A name as the Hub has them; a path on somebody's machine names no model that others could look at."""
_BASE_KEYS = {"transformers": "source_model_name", "sentence_transformers": "source_model_name", "diffusers": "base_model"}
"""Flavors that tell which model they were made from, and under which key."""


@dataclass(frozen=True)
class Declared:
    """As a `Lineage` has them."""

    dependencies: str = ""
    signature: str = ""
    base_models: tuple[str, ...] = ()


def listed_in(files: Mapping[str, int]) -> str:
    """The file that lists what the model needs, small enough to be read; empty where there is none."""
    return REQUIREMENTS if 0 < files.get(REQUIREMENTS, 0) <= _LARGEST_LIST else ""


def declared(content: Record, flavors: Flavors, requirements: bytes) -> Declared:
    """`content`: all that the description says; `requirements`: the list, empty where there is none."""
    bases = [text(flavors.get(flavor, {}), key, 256) for flavor, key in _BASE_KEYS.items()]
    found = tuple(dict.fromkeys(name for name in bases if base_model(name)))
    return Declared(dependencies(requirements), signature(inner(content, "signature")), found[:_MOST_BASES])


def base_model(name: str) -> bool:
    """Whether this names a model rather than a folder of somebody's machine."""
    return _ON_THE_HUB.match(name) is not None


def dependencies(requirements: bytes) -> str:
    """`requirements.txt: mlflow==3.17.2, scikit-learn==1.8.0 and 3 more`; empty where nothing is asked for. What is no name with
    versions (an address, a local file) is only counted."""
    lines = [" ".join(line.split()) for line in requirements.decode("utf-8", "replace").splitlines()]
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    named = [name for line in wanted if (name := _named(line))]
    shown = named[:_MOST_NAMED]
    if not wanted:
        return ""
    if not shown:
        return f"{REQUIREMENTS}: {_many(len(wanted), 'entry', 'entries')}"
    more = f" and {len(wanted) - len(shown)} more" if len(wanted) > len(shown) else ""
    return f"{REQUIREMENTS}: {', '.join(shown)}{more}"


def signature(given: Record) -> str:
    """`4 inputs, 1 output`; empty where neither inputs nor outputs are declared as MLflow declares them."""
    inputs, outputs, parameters = (_specs(given.get(key)) for key in ("inputs", "outputs", "params"))
    if not inputs and not outputs:
        return ""
    told = (_many(inputs, "input", "inputs"), _many(outputs, "output", "outputs"), _many(parameters, "parameter", "parameters"))
    return ", ".join(part for part, number in zip(told, (inputs, outputs, parameters), strict=True) if number)


def _specs(given: object) -> int:
    """How many columns, tensors or parameters a part of a signature declares; MLflow keeps each part as JSON in a string."""
    found: Any = parsed(given.encode("utf-8", "replace")) if isinstance(given, str) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) and ("type" in each or "dtype" in each) for each in found):
        return 0
    return len(found)


def _named(line: str) -> str:
    found = _REQUIREMENT.match(line[:1024])
    if found is None or found[1].casefold().endswith((".whl", ".zip", ".gz")):
        return ""
    versions = found[2].replace(" ", "").rstrip(",")
    return f"{found[1]}{versions}"[:_LONGEST_NAMED]


def _many(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
