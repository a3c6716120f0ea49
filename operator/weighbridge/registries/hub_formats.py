"""What a model's files can be loaded as, and whether loading them runs code that came with them. Must not read any file.

HDF5 (`.h5`) counts as able to run code, as pickle does: Keras keeps Lambda layers in it as marshalled code, and its safe mode does
not cover it. Of the files a trainer leaves behind (optimizer, arguments, random state) none is a weight.
"""

import re
from collections.abc import Mapping

from .records import Record

_FORMATS = {
    "safetensors": (".safetensors",),
    "gguf": (".gguf",),
    "onnx": (".onnx",),
    "pickle": (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".nemo", ".cloudpickle"),
    "hdf5": (".h5", ".hdf5"),
    "keras": (".keras",),
    "flax": (".msgpack",),
    "tensorflow": (".pb",),
    "tflite": (".tflite",),
    "skops": (".skops",),
    "numpy": (".npz", ".npy"),
}
_BY_SUFFIX = {suffix: name for name, suffixes in _FORMATS.items() for suffix in suffixes}
_RUNS_CODE = {"pickle": "pickle", "hdf5": "HDF5"}
_NO_WEIGHTS = re.compile(
    r"(^|/)(training_args|optimizer|scheduler|scaler|rng_state(_[0-9]+)?|random_states_[0-9]+|trainer_state)\.[a-z]+$"
    r"|(^|/)(tokenizer|vocab|events\.out)[^/]*$|^(\.git|README)"
)
_OTHER_LARGE = (
    ".json",
    ".txt",
    ".md",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".mp4",
    ".wav",
    ".mp3",
    ".pdf",
    ".svg",
    ".csv",
    ".parquet",
)
_NAMES_CODE = ("auto_map", "custom_pipelines")
CONFIG = "config.json"
OTHER_CONFIGS = ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json", "model_index.json")
"""Descriptions that may name code too; worth a look where a repository has code at all."""


def weights(sizes: Mapping[str, int], large: set[str]) -> dict[str, str]:
    """Format of each file that is a weight, by path. A large file of no known kind is one as well, of the format ``. `large`: kept
    outside of git."""
    found: dict[str, str] = {}
    for path in sizes:
        if _NO_WEIGHTS.search(path):
            continue
        stem, dot, suffix = path.rpartition(".")
        known = _BY_SUFFIX.get(f".{suffix.lower()}") if dot else None
        if known == "pickle" and f"{stem}.xml" in sizes:
            known = "openvino"  # raw numbers beside their description
        if known is not None:
            found[path] = known
        elif path in large and not path.lower().endswith(_OTHER_LARGE):
            found[path] = ""
    return found


def formats(found: Mapping[str, str], paths: Mapping[str, object]) -> frozenset[str]:
    """Names of the formats; `mlflow` where the files are an MLflow model."""
    named = frozenset(each for each in found.values() if each)
    return named | {"mlflow"} if "MLmodel" in paths else named


def unsafe(found: Mapping[str, str], configs: Mapping[str, Record], tags: object) -> str:
    """Why loading runs code that came with the model, in a few words; empty where it does not."""
    for path, config in configs.items():
        for key in _NAMES_CODE:
            if config.get(key):
                return f"brings code of its own ({key} in {path})"
    if isinstance(tags, list) and "custom_code" in tags:
        return "brings code of its own (the Hub marks it custom_code)"
    known = {path: each for path, each in found.items() if each}
    if known and set(known.values()) <= set(_RUNS_CODE):
        path = min(known)
        return f"weights only as {_RUNS_CODE[known[path]]} ({path[:150]})"
    return ""
