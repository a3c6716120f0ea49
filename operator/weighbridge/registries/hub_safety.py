"""What a model of the Hub can be loaded as, and whether loading it runs code that came with it.

Reads descriptions only, few and small ones. What cannot be looked into counts as able to run code: the word "safe" is for what was
seen. An MLflow model is judged as MLflow's own are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from . import hub_code, mlflow_flavors
from .base import RegistryAbsent
from .hub_descriptions import Hidden, Reader
from .hub_formats import formats
from .hub_repo import File, Repo
from .mlflow_files import DESCRIPTION
from .pickles import unpickled


@dataclass(frozen=True)
class Judgement:
    """What is in the files, as a `ModelSnapshot` has it."""

    formats: frozenset[str]
    unsafe: str


def judge(repo: Repo, reader: Reader, weights: Mapping[str, str], parts: Mapping[str, frozenset[str]]) -> Judgement:
    """`weights`: their formats; `parts`: what the indexes that were read name. Raises RegistryAbsent (ArtifactIncomplete where the
    description of an MLflow model is damaged or names what is missing, …) and RegistryFailed."""
    files = reader.files
    found, sizes = formats(weights, files), {path: file.size for path, file in files.items()}
    unsafe, named = "", set[str]()
    try:
        if DESCRIPTION in files:
            flavors = mlflow_flavors.flavors_of(repo.what, reader.read(DESCRIPTION).body)
            mlflow_flavors.check_complete(repo.what, sizes, flavors)
            found, unsafe = mlflow_flavors.formats(sizes, flavors), mlflow_flavors.unsafe(sizes, flavors)
        if not unsafe:
            code = _code(reader, named) or _marked(repo)
            # What the descriptions name counts, so they are read first.
            unsafe = " and ".join(filter(None, (unpickled(sizes, weights, parts, named), code)))
    except Hidden as hidden:
        unsafe = " and ".join(filter(None, (unpickled(sizes, weights, parts, named), f"may bring code of its own ({hidden})")))
    return Judgement(found, "".join(filter(str.isprintable, unsafe)))


def _code(reader: Reader, named: set[str]) -> str:
    """Code of the repository's own, in a few words; empty where there is none. Puts into `named` the files that descriptions name.
    Raises Hidden."""
    for path in reader.descriptions():
        folder = path[: path.rfind("/") + 1]
        answer = reader.read(path)
        try:
            if path.endswith(DESCRIPTION):
                if said := _of_flavors(folder, answer.body, reader.files):
                    return f"{said} in {folder[:150]}"
            elif said := hub_code.named(path, answer.value, reader.files):
                return f"brings code of its own ({said} in {path[:150]})"
        except (TypeError, RegistryAbsent):
            raise Hidden(f"{path[:150]} cannot be looked into: it is not written as loaders write it") from None
        named |= {folder + each.removeprefix("./") for each in hub_code.strings(answer.value)} & reader.files.keys()
    found = hub_code.files(reader.files)
    return f"brings code of its own ({found[:150]})" if found else ""


def _of_flavors(folder: str, description: bytes, files: Mapping[str, File]) -> str:
    """The same for an MLflow model in a folder. Raises RegistryAbsent."""
    sizes = {path.removeprefix(folder): file.size for path, file in files.items() if path.startswith(folder)}
    return mlflow_flavors.unsafe(sizes, mlflow_flavors.flavors_of(folder, description))


def _marked(repo: Repo) -> str:
    tags = repo.info.get("tags")
    return "brings code of its own (the Hub marks it custom_code)" if isinstance(tags, list) and "custom_code" in tags else ""
