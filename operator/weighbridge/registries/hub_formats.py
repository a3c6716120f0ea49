"""What a model's files can be loaded as, told by their names. Must not read any file, nor judge what loading them does.

Of the files a trainer leaves behind (optimizer, arguments, random state) none is a weight.
"""

import re
from collections.abc import Mapping

_FORMATS = {
    "safetensors": (".safetensors",),
    "gguf": (".gguf",),
    "onnx": (".onnx",),
    "pickle": (
        ".bin",
        ".pt",
        ".pt2",
        ".pth",
        ".ckpt",
        ".pkl",
        ".pickle",
        ".joblib",
        ".dill",
        ".nemo",
        ".cloudpickle",
        ".statsmodels",
        ".pmd",
    ),
    "hdf5": (".h5", ".hdf5"),
    "keras": (".keras",),
    "flax": (".msgpack",),
    "tensorflow": (".pb",),
    "tflite": (".tflite",),
    "skops": (".skops",),
    "numpy": (".npz", ".npy"),
}
_BY_SUFFIX = {suffix: name for name, suffixes in _FORMATS.items() for suffix in suffixes}
_PACKED = re.compile(r"\.(gz|bz2|xz|lzma|z|zst|tar)$")
"""Pickles are kept packed too (`model.pkl.gz`, `best.pth.tar`), and unpacked while they are loaded."""
_BY_TRAINER = re.compile(
    r"(^|/)(training_args\.bin|(optimizer|scheduler|scaler)\.(pt|bin)|rng_state(_[0-9]+)?\.pth|random_states_[0-9]+\.pkl)$"
)
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
_UNPICKLED_BY_NAME = re.compile(r"(^|/)(pytorch_model|adapter_model|diffusion_pytorch_model)[^/]*$")
_COREML = re.compile(r"\.mlpackage/Data/com\.apple\.CoreML/(weights/)?[^/]+$|\.mlmodelc/weights/[^/]+$")
_DESCRIPTION = "MLmodel"


def weights(sizes: Mapping[str, int], large: set[str]) -> dict[str, str]:
    """Format of each file that is a weight, by path. A large file of no known kind is one as well, of the format ``. `large`: kept
    outside of git."""
    found: dict[str, str] = {}
    for path in sizes:
        if _NO_WEIGHTS.search(path):
            continue
        known = format_of(path, sizes)
        if known:
            found[path] = known
        elif path in large and not path.lower().endswith(_OTHER_LARGE):
            found[path] = ""
    return found


def code_in_data(sizes: Mapping[str, int]) -> dict[str, str]:
    """Of all files those in a format that can run code when it is loaded, with that format: weights or not (a `vocab.pkl` is
    unpickled too), but for what a trainer needs to go on and no loader looks at.

    HDF5 counts, as Keras keeps Lambda layers in it as marshalled code, and its safe mode does not cover it."""
    known = {path: format_of(path, sizes) for path in sizes if not _BY_TRAINER.search(path)}
    return {path: each for path, each in known.items() if each in ("pickle", "hdf5")}


def format_of(path: str, sizes: Mapping[str, int]) -> str:
    """Empty where the name tells none. `sizes`: in bytes, of all files."""
    lower = path.lower()
    packed = _PACKED.sub("", lower)
    stem, dot, suffix = packed.rpartition("/")[2].rpartition(".")
    known = _BY_SUFFIX.get(f".{suffix}", "") if dot and stem else ""
    if packed != lower:
        return "pickle" if known == "pickle" else ""
    if suffix == "bin":
        if _COREML.search(path):
            return "coreml"
        if sizes.get(f"{path[: -len('bin')]}xml") and not _UNPICKLED_BY_NAME.search(path):
            return "openvino"  # raw numbers beside their description
    return known


def formats(found: Mapping[str, str], paths: Mapping[str, object]) -> frozenset[str]:
    """Names of the formats; `mlflow` where the files are an MLflow model."""
    named = frozenset(each for each in found.values() if each)
    return named | {"mlflow"} if _DESCRIPTION in paths else named
