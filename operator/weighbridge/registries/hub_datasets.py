"""Datasets of the Hub: repositories as models are, pinned to a commit. Must not look into their files."""

from difflib import get_close_matches

from ..api.references import DatasetPin, DatasetReference
from ..core import tables
from ..core.pin import dataset_digest, fingerprint
from .base import RegistryAbsent
from .hub_files import in_folder, listed, some_paths
from .hub_http import Inquiry
from .hub_repo import File, Repo, find

_NO_DATA = {".gitattributes", "README.md"}


def pinned(inquiry: Inquiry, ref: DatasetReference) -> DatasetPin:
    """The dataset at the commit of its revision, `main` without one. Raises RegistryAbsent and RegistryFailed."""
    repo = find(inquiry, "dataset", ref.path, ref.revision or "main")
    repo.check_access()
    files = listed(repo) if ref.file is None else _one(repo, ref.file)
    if not set(files) - _NO_DATA and ref.file is None:
        raise RegistryAbsent("ArtifactMissing", f"the dataset {repo.what} has no files; upload them, or correct the revision")
    repo.check_content({path: file for path, file in files.items() if path not in _NO_DATA} or files)
    uri = f"hf://datasets/{repo.id}@{repo.sha}"
    identity = fingerprint(
        {path: file.size for path, file in files.items()}, {path: file.sha256 or file.blob for path, file in files.items()}
    )
    return DatasetPin(
        name=ref.name,
        registry=ref.registry_ref.name,
        path=repo.id,
        revision=repo.sha,
        uri=uri,
        file=ref.file or "",
        size=sum(each.size for each in files.values()),
        tables=tables.count(files),
        fingerprint=identity,
        digest=dataset_digest(path=repo.id, revision=repo.sha, uri=uri, fingerprint=identity),
    )


def _one(repo: Repo, path: str) -> dict[str, File]:
    """The one file. Only its folder is listed, so that one file can be had of a dataset with very many."""
    folder = path.rpartition("/")[0]
    there = in_folder(repo, folder) if not {"", ".", ".."} & set(path.split("/")) else {}
    if path in there:
        return {path: there[path]}
    near = get_close_matches(path, there or some_paths(repo), n=3, cutoff=0.3)
    hint = f"; did you mean {' or '.join(each[:150] for each in near)}?" if near else "; correct the path, or upload it"
    raise RegistryAbsent("ArtifactMissing", f"the dataset {repo.what} has no file {path[:200]}{hint}")
