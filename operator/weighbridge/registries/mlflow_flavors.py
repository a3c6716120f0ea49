"""What a model description (`MLmodel`) says: which files a model cannot be loaded without, what it can be loaded as, and whether
loading it runs code that came with it.

All of that is read out of the description and the names of files; nothing is deserialised. A flavor is believed to be safe only for
what is known of it: a pickle under any name that its loader would unpickle is one.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import yaml

from .base import RegistryAbsent
from .mlflow_files import DESCRIPTION
from .pickles import covered
from .records import Record, text

Flavors: TypeAlias = Mapping[str, Mapping[str, Any]]

_DATA = ("model_path", "data", "pickled_model", "model_data", "model_binary", "python_model")
_NAMES_FILE = (*_DATA, "code")
_SUFFIXES = {
    "pickle": (
        ".pkl",
        ".pickle",
        ".cloudpickle",
        ".dill",
        ".joblib",
        ".pth",
        ".pt",
        ".pt2",
        ".ckpt",
        ".statsmodels",
        ".pmd",
        ".fastai",
        ".pdparams",
        ".pdopt",
    ),
    "safetensors": (".safetensors",),
    "skops": (".skops",),
    "onnx": (".onnx",),
    "gguf": (".gguf",),
    "hdf5": (".h5", ".hdf5"),
    "keras": (".keras",),
    "lightgbm": (".lgb",),
    "catboost": (".cbm",),
    "xgboost": (".xgb", ".ubj"),
    "savedmodel": ("saved_model.pb",),
}
_PICKLED_BIN = re.compile(r"(^|/)(pytorch_model|adapter_model|training_args)[^/]*\.bin$")
_UNPICKLE = {"pytorch", "statsmodels", "pmdarima", "fastai", "dspy"}
"""Flavors whose loader unpickles, whatever their files are called. MLflow loads `.pt2` with `weights_only=False`."""
_RUN_CODE = {"pickle", "hdf5"}
"""Formats whose loaders run what they find; Keras keeps marshalled code in HDF5."""
_CODE = (".py", ".pyc", ".so")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST, _MOST_PARTS = 100, 100_000


def flavors_of(what: str, description: bytes) -> Flavors:
    """The flavors by name. Raises RegistryAbsent(ArtifactIncomplete) for what is no description of anything."""
    return described(what, description)[0]


def described(what: str, description: bytes) -> tuple[Flavors, Record]:
    """The flavors by name, and all that the description says. Raises as `flavors_of`."""
    try:
        _check_harmless(description)
        content = yaml.load(description, Loader=_LOADER)  # noqa: S506 a safe one
        found = {name: flavor for name, flavor in content["flavors"].items() if isinstance(name, str) and isinstance(flavor, dict)}
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        message = f"{DESCRIPTION} of {what} is damaged: it cannot be read as a model description; register the model again"
        raise RegistryAbsent("ArtifactIncomplete", message) from error
    if not found:
        raise RegistryAbsent("ArtifactIncomplete", f"{DESCRIPTION} of {what} names no flavor, so nothing can load it")
    return found, content


def check_complete(what: str, files: Mapping[str, int], flavors: Flavors) -> None:
    """Every file that the description names is there and not empty. Raises RegistryAbsent(ArtifactIncomplete) naming the file."""
    for name in sorted(raw for flavor in flavors.values() for raw in _raw(flavor)):
        if name.startswith("/") or ".." in name.split("/"):
            raise RegistryAbsent(
                "ArtifactIncomplete",
                f"{DESCRIPTION} of {what} names {name[:200]}, which is no file of it; register it again",
            )
    for name in sorted({name for flavor in flavors.values() for name in _named(flavor)}):
        sizes = [files[path] for path in _below(name, files)]
        if not any(sizes):
            state = "is empty" if sizes else "is missing"
            raise RegistryAbsent(
                "ArtifactIncomplete",
                f"the file {name[:200]} of {what} {state}, though {DESCRIPTION} names it; register the model again",
            )


def formats(files: Mapping[str, int], flavors: Flavors) -> frozenset[str]:
    """What the files can be loaded as: `mlflow`, and what is known by a file's name or the flavor's word for it."""
    return frozenset({"mlflow", *filter(None, map(_format, files))} | ({"pickle"} if _pickles(files, flavors) else set()))


def unsafe(files: Mapping[str, int], flavors: Flavors) -> str:
    """Why loading runs code that came with the model, as one short sentence; empty where it does not."""
    found = []
    if pickles := _pickles(files, flavors):
        found.append(f"weights only as pickle ({_first(pickles)})")
    if code := _code(files, flavors):
        found.append(f"brings code of its own ({_first(code)})")
    return " and ".join(found)


def _check_harmless(description: bytes) -> None:
    """Raises YAMLError for what no description holds: very deep nesting, on which the parser overruns its stack and ends the whole
    process; merge keys, by which a few lines unfold without end; and so many values that reading them takes long."""
    depth = 0
    for number, event in enumerate(yaml.parse(description, Loader=_LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        merge = isinstance(event, yaml.ScalarEvent) and (event.value == "<<" or str(event.tag).endswith(":merge"))
        if merge or depth > _DEEPEST or number > _MOST_PARTS:
            raise yaml.YAMLError


def _pickles(files: Mapping[str, int], flavors: Flavors) -> set[str]:
    """Files that are unpickled when the model is loaded."""
    found = {path for path in files if _format(path) in _RUN_CODE and not covered(path, files)}
    skops = flavors.get("sklearn", {}).get("serialization_format") == "skops"
    for name, flavor in flavors.items():
        loaders = {name, text(flavor, "loader_module", 256).removeprefix("mlflow.").partition(".")[0]}
        for key in _DATA:
            data = _below(_clean(flavor.get(key)), files)
            if loaders & _UNPICKLE or key == "python_model" or ("sklearn" in loaders and not skops):
                found.update([path for path in data if _format(path) in _RUN_CODE] or data)
        if flavor.get("serialization_format") in ("pickle", "cloudpickle"):
            found.update(_below(_clean(flavor.get("pickled_model") or flavor.get("data")), files))
    return found


def _code(files: Mapping[str, int], flavors: Flavors) -> set[str]:
    named = {_clean(flavor.get("code")) for flavor in flavors.values()} | {_script(flavor) for flavor in flavors.values()}
    found = {name for name in named if name and _below(name, files)}
    return found or {path for path in files if path.endswith(_CODE)}


def _format(path: str) -> str | None:
    lower = path.lower()
    if _PICKLED_BIN.search(lower):
        return "pickle"
    return next((name for name, suffixes in _SUFFIXES.items() if lower.endswith(suffixes)), None)


def _named(flavor: Mapping[str, Any]) -> set[str]:
    """Files and folders, relative to the model's folder, that a flavor cannot be loaded without."""
    return {name for name in map(_clean, (*_raw(flavor), _script(flavor))) if name}


def _raw(flavor: Mapping[str, Any]) -> list[str]:
    """The same as they are written, the model as a script apart: that may be a path on the machine it comes from."""
    found = [flavor.get(key) for key in _NAMES_FILE]
    environment = flavor.get("env")
    found += list(environment.values()) if isinstance(environment, dict) else [environment]
    if environment:
        found.append("requirements.txt")
    artifacts = flavor.get("artifacts")
    if isinstance(artifacts, dict):
        found += [entry.get("path") for entry in artifacts.values() if isinstance(entry, dict)]
    return [name for name in found if isinstance(name, str)]


def _script(flavor: Mapping[str, Any]) -> str:
    """The model as a script, which MLflow loads by the last part of its path."""
    script = flavor.get("model_code_path")
    return script.rpartition("/")[2] if isinstance(script, str) else ""


def _clean(name: object) -> str:
    """A path below the model's folder; empty where it is none."""
    path = name.removeprefix("./").rstrip("/") if isinstance(name, str) else ""
    return "" if path.startswith("/") or ".." in path.split("/") else path


def _below(name: str, files: Iterable[str]) -> list[str]:
    return [path for path in files if name and (path == name or path.startswith(f"{name}/"))]


def _first(paths: Iterable[str]) -> str:
    return min(paths)[:200]
