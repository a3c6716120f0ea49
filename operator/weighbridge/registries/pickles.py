"""Which files a loader would unpickle though there are safe ones. Must not read any file.

A safe file counts only where the loader that knows the unsafe one looks for it first: in the same folder, under the name it goes
by. What nobody is known to take instead is unpickled.
"""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from .hub_formats import code_in_data

_INSTEAD = {
    "pytorch_model": "model",
    "tf_model": "model",
    "open_clip_pytorch_model": "open_clip_model",
    "adapter_model": "adapter_model",
    "diffusion_pytorch_model": "diffusion_pytorch_model",
}
"""Names that loaders look for by themselves, each with the safetensors they prefer to it."""
_STANDARD = re.compile(rf"^({'|'.join(_INSTEAD)})(?:\.([\w-]+))?$", re.ASCII)
"""With a variant: `pytorch_model.fp16`. Loaders take the variant they are told to, so each needs its own safe file."""
_PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}(?=\.|$)")
_SAME_STEM = {
    **dict.fromkeys(("bin", "pt", "pth", "ckpt"), ("safetensors",)),
    **dict.fromkeys(("pkl", "pickle", "joblib", "dill", "cloudpickle"), ("skops",)),
    **dict.fromkeys(("h5", "hdf5"), ("keras", "safetensors")),
}
"""What else a file of the same name may be that is taken instead."""
_SAYS = {"pickle": "pickle", "hdf5": "HDF5"}


def unpickled(sizes: Mapping[str, int], weights: Mapping[str, str], parts: Mapping[str, Iterable[str]], named: set[str]) -> str:
    """What of the files runs code when it is loaded, in a few words; empty where nothing does.

    `weights`: their formats; `parts`: of indexes that were read, what they name; `named`: files that descriptions name."""
    safe = {index for index, each in parts.items() if all(part.endswith(".safetensors") for part in each)}
    asked = named.union(*(each for index, each in parts.items() if ".safetensors.index." in index))
    risky = code_in_data(sizes)
    found = {path: each for path, each in risky.items() if path in asked or not covered(path, sizes, safe)}
    if not found:
        return ""
    path = min(found, key=lambda each: (each not in weights, each))
    what = "weights" if path in weights else "a file"
    only = " only" if path in weights and all(each in _SAYS for each in weights.values() if each) else ""
    return f"{what}{only} as {_SAYS[found[path]]} ({path[:150]})"


def covered(path: str, sizes: Mapping[str, int], safe: AbstractSet[str] = frozenset()) -> bool:
    """Whether a loader takes a safe file in place of this one. `safe`: indexes that name safetensors alone."""
    folder, slash, name = path.rpartition("/")
    stem, _, suffix = name.rpartition(".")
    if standard := _STANDARD.match(_PART.sub("", stem)):
        instead, variant = folder + slash + _INSTEAD[standard[1]], f".{standard[2]}" if standard[2] else ""
        return f"{instead}{variant}.safetensors" in sizes or f"{instead}.safetensors.index{variant}.json" in safe
    return any(f"{folder}{slash}{stem}.{each}" in sizes for each in _SAME_STEM.get(suffix.lower(), ()))
