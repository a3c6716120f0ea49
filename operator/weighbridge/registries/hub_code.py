"""Which code a repository of the Hub brings along, as the loaders find it: named in a description, or by the name of a file.

Loaders ask before they run such code (`trust_remote_code`), and serving them with the answer yes is common. Must not read any file:
descriptions come in as values. Chat templates are no code.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

DESCRIPTIONS = frozenset(
    {
        "config.json",
        "tokenizer_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "adapter_config.json",
        "model_index.json",
        "modular_model_index.json",
        "modular_config.json",
        "modules.json",
        "router_config.json",
    }
)
"""Names of the files, in any folder, that can make a loader import code: of transformers, diffusers, PEFT and
sentence-transformers."""
_NAMES_CODE = ("auto_map", "custom_pipelines", "custom_pipeline", "custom_generate", "trust_remote_code")
_REFERENCE = re.compile(r"^[\w.-]+(/[\w.-]+)?--\w+(\.[A-Za-z_]\w*)+$", re.ASCII)
"""Code of another repository: `organisation/name--module.Class`."""
_FETCHED = ("transformers_modules", "diffusers_modules")
"""Packages that code from the Hub is put into when it is loaded."""
_OF_SENTENCES = re.compile(r"^sentence_transformers(\.\w+)+$", re.ASCII)
_LIBRARY = re.compile(r"^(transformers|diffusers|peft|torch|timm|sentence_transformers)(\.\w+)*$", re.ASCII)
_FILES = re.compile(
    r"(^|/)((modeling|configuration|tokenization|processing|image_processing|video_processing|feature_extraction|modular)_\w*"
    r"|handler|pipeline|code/inference|custom_generate/generate)\.py$"
)
"""Names by which libraries and inference servers find code, whatever the descriptions say."""


def named(path: str, value: Any, paths: Collection[str]) -> str:
    """What code a description names, in a few words; empty where it names none. `value`: its JSON; `paths`: all files. Raises
    TypeError where the value is none of such a description."""
    folder, _, name = path.rpartition("/")
    if not isinstance(value, list if name == "modules.json" else dict):
        raise TypeError("no such description")
    return next(_found(folder, name, value, paths), "")


def files(paths: Collection[str]) -> str:
    """The first of the files that loaders take for code by their name alone; empty where there is none."""
    return min((path for path in paths if _FILES.search(path)), default="")


def strings(value: Any) -> Iterator[str]:
    """All strings in a JSON value, keys apart."""
    return (each for _, each in _walked(value) if isinstance(each, str))


def _found(folder: str, name: str, value: Any, paths: Collection[str]) -> Iterator[str]:
    for key, each in _walked(value):
        if key in _NAMES_CODE and each:
            yield key
        if isinstance(each, str) and len(each) <= 512 and (_REFERENCE.match(each) or each.partition(".")[0] in _FETCHED):
            yield each[:100]
    if name == "modules.json":
        yield from _classes([each.get("type") if isinstance(each, dict) else None for each in value])
    elif name in ("router_config.json", "config.json") and isinstance(value.get("types"), dict):
        yield from _classes(list(value["types"].values()))
    elif name == "adapter_config.json" and (mapping := value.get("auto_mapping")):
        library = mapping.get("parent_library") if isinstance(mapping, dict) else None
        if library is not None and not (isinstance(library, str) and _LIBRARY.match(library)):
            yield "auto_mapping"
    elif name in ("model_index.json", "modular_model_index.json"):
        yield from _components(folder, value, paths)


def _classes(given: list[Any]) -> Iterator[str]:
    """Modules of sentence-transformers that are not its own."""
    if not all(isinstance(each, str) and _OF_SENTENCES.match(each) for each in given):
        yield "a class that is not of sentence_transformers"


def _components(folder: str, value: dict[str, Any], paths: Collection[str]) -> Iterator[str]:
    """Parts of a pipeline that diffusers would load with a file that lies beside them."""
    if isinstance(value.get("_class_name"), list):
        yield "_class_name"
    for component, given in value.items():
        library = given[0] if isinstance(given, list) and given else None
        beside = "/".join(filter(None, (folder, component, f"{library}.py")))
        if isinstance(library, str) and beside in paths:
            yield component[:100]


def _walked(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth; what lies in a list has the list's key."""
    waiting = [("", value)]
    while waiting:
        key, each = waiting.pop()
        yield key, each
        if isinstance(each, dict):
            waiting += reversed(each.items())
        elif isinstance(each, list):
            waiting += [(key, inner) for inner in reversed(each)]
