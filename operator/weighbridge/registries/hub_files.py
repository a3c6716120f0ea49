"""Which files a repository has at a commit, and whether a model's files are all there.

Nobody downloads weights to find that out: the Hub lists sizes and digests, and an index names the parts. Must not download anything
but small descriptions.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote

from .base import EntryFailed, RegistryAbsent, RegistryFailed
from .hub_answer import Answer, not_understood
from .hub_formats import weights
from .hub_repo import File, Repo, file_of
from .mlflow_files import DESCRIPTION
from .records import Record, integer

_MOST_FILES, _MOST_PAGES, _MOST_INDEXES = 10_000, 100, 8
_LARGEST_READ = 8 * 1024 * 1024 - 1
_PATH = re.compile(r"^[^/\x00-\x1f\x7f]+(/[^/\x00-\x1f\x7f]+)*$")
_INDEX = re.compile(r"^((?:.*/)?[^/]+)\.(safetensors|bin)\.index(?:\.[\w-]+)?\.json$")
_PART = re.compile(r"^(.*)-([0-9]{5})-of-([0-9]{5})(\.[A-Za-z0-9]+)$")


def listed(repo: Repo) -> dict[str, File]:
    """All files by path. Raises RegistryAbsent (ArtifactTooLarge, …) and RegistryFailed."""
    found: dict[str, File] = {}
    for answer in _pages(repo, "", recursive=True):
        if answer.status != 200:
            raise repo.refused(answer)
        found |= _files(repo, answer)
        if len(found) > _MOST_FILES:
            raise RegistryAbsent("ArtifactTooLarge", f"{repo.what} has more than {_MOST_FILES} files; publish it as fewer files")
    return found


def in_folder(repo: Repo, folder: str) -> dict[str, File]:
    """The files directly in a folder, by their whole path; empty where there is no such folder. Raises as `listed`."""
    found: dict[str, File] = {}
    for answer in _pages(repo, folder, recursive=False):
        if answer.code == "EntryNotFound":
            return {}
        if answer.status != 200:
            raise repo.refused(answer)
        found |= _files(repo, answer)
        if len(found) > _MOST_FILES:
            raise RegistryAbsent(
                "ArtifactTooLarge", f"the folder {folder or '/'} of {repo.what} has more than {_MOST_FILES} files; spread them"
            )
    return found


def some_paths(repo: Repo) -> list[str]:
    """Paths for suggestions: those of the first page."""
    return [path for answer in islice(_pages(repo, "", recursive=True), 1) if answer.status == 200 for path in _files(repo, answer)]


def content(repo: Repo, path: str, file: File) -> Answer:
    """A small file that is kept in git, proved by git's own id of its content. Raises RegistryAbsent and RegistryFailed where it
    cannot be read, or where something else came: a login page is no description."""
    answer = repo.inquiry.bytes(repo.content(path))
    if answer.status != 200:
        raise repo.refused(answer)
    if hashlib.sha1(b"blob %d\0" % len(answer.body) + answer.body, usedforsecurity=False).hexdigest() != file.blob:
        raise EntryFailed(
            "RegistryMisconfigured",
            f"{repo.inquiry.host} answers with something else than {path[:200]} of {repo.what}; check what is in front of it",
        )
    return answer


def check_complete(repo: Repo, files: Mapping[str, File]) -> dict[str, frozenset[str]]:
    """Weights are there, none of them empty, and every part of what was split. Gives the parts of each index that was read. Raises
    RegistryAbsent (ArtifactMissing, ArtifactIncomplete).

    An MLflow model says itself what belongs to it, and has weights under any name."""
    if not set(files) - {".gitattributes"}:
        raise RegistryAbsent("ArtifactMissing", f"{repo.what} has no files; upload the model, or correct the revision")
    found = weights({path: file.size for path, file in files.items()}, {path for path in files if files[path].sha256})
    if not found and DESCRIPTION not in files:
        raise RegistryAbsent(
            "ArtifactMissing", f"{repo.what} has no weights (safetensors, gguf, onnx, bin, …); upload them, or correct the revision"
        )
    for path in sorted(found):
        if files[path].size == 0:
            raise _incomplete(repo, f"{path[:200]} is empty")
    _check_numbering(repo, files, found)
    indexes = [path for path in files if (index := _INDEX.match(path)) and _decides(files, path, index)]
    nearest = sorted(indexes, key=lambda each: (each.count("/"), each))[:_MOST_INDEXES]
    return {path: parts for path in nearest if (parts := _parts(repo, files, path))}


def _decides(files: Mapping[str, File], path: str, index: re.Match[str]) -> bool:
    """Whether loaders go by this index: they prefer the whole file of the same name, and safetensors to pickle."""
    return f"{index[1]}.{index[2]}" not in files and not (index[2] == "bin" and _has_safetensors(files, path))


def _has_safetensors(files: Mapping[str, File], path: str) -> bool:
    folder = path.rpartition("/")[0]
    return any(each.endswith(".safetensors") and each.rpartition("/")[0] == folder for each in files)


def _check_numbering(repo: Repo, files: Mapping[str, File], found: Mapping[str, str]) -> None:
    """Parts say themselves how many there are, in their names."""
    parts: dict[tuple[str, ...], set[str]] = {}
    for path in found:
        if part := _PART.match(path):
            parts.setdefault((part[1], part[3], part[4]), set()).add(part[2])
    for (stem, total, suffix), numbers in sorted(parts.items()):
        if len(numbers) < int(total) and not (suffix == ".bin" and _has_safetensors(files, stem)):
            raise _incomplete(repo, f"only {len(numbers)} of the {int(total)} parts {stem[:150]}-…-of-{total}{suffix} are there")


def _parts(repo: Repo, files: Mapping[str, File], path: str) -> frozenset[str]:
    """What an index names, all of it there; empty where it is too large to be read here: the numbering of the parts has to do."""
    if files[path].sha256 or files[path].size > _LARGEST_READ:
        return frozenset()
    index: Record = content(repo, path, files[path]).record if files[path].size else {}
    parts = index.get("weight_map")
    if not isinstance(parts, dict) or not parts or not all(isinstance(each, str) for each in parts.values()):
        raise _incomplete(repo, f"{path[:200]} is damaged: it names no parts")
    folder = f"{path.rpartition('/')[0]}/".lstrip("/")
    named = sorted({folder + each for each in parts.values()})
    for each in named:
        if each not in files or files[each].size == 0:
            state = "is empty" if each in files else "is missing"
            raise _incomplete(repo, f"{each[:200]} {state}, though {path[:200]} names it")
    metadata: Any = index.get("metadata")
    promised = integer(metadata, "total_size") if isinstance(metadata, dict) else None
    there = sum(files[each].size for each in named)
    # Quantised copies often keep the old number: only what no conversion explains is held against them.
    if promised is not None and there < promised // 32:
        raise _incomplete(repo, f"the parts have {there} bytes together, though {path[:200]} promises {promised}")
    return frozenset(named)


def _incomplete(repo: Repo, what: str) -> RegistryAbsent:
    return RegistryAbsent("ArtifactIncomplete", f"{what}: {repo.what} cannot be loaded; upload what is missing")


def _pages(repo: Repo, folder: str, *, recursive: bool) -> Iterator[Answer]:
    below = "".join(f"/{quote(each, safe='')}" for each in folder.split("/") if each)
    parameters = {"recursive": "true"} if recursive else {}
    answer = repo.inquiry.get(f"{repo.api}/tree/{repo.sha}{below}", **parameters)
    yield answer
    for _ in range(_MOST_PAGES):
        following = _following(answer.headers.get("link", ""))
        if answer.status != 200 or not following:
            return
        answer = repo.inquiry.page(following)
        yield answer
    raise not_understood(repo.inquiry.host, f"the files of {repo.id}")


def _following(link: str) -> str:
    """The address of the next page."""
    found = re.search(r'<([^<>]+)>\s*;\s*rel="?next"?', link[:4096])
    return found[1] if found else ""


def _files(repo: Repo, answer: Answer) -> dict[str, File]:
    found: dict[str, File] = {}
    if not isinstance(answer.value, list):
        raise not_understood(repo.inquiry.host, f"the files of {repo.id}")
    for entry in answer.value:
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or len(path) > 1024 or not _PATH.match(path) or {".", ".."} & set(path.split("/")):
            raise _broken(repo)
        if entry.get("type") == "file":
            file = file_of(entry)
            if file is None:
                raise _broken(repo)
            found[path] = file
    return found


def _broken(repo: Repo) -> RegistryFailed:
    return not_understood(repo.inquiry.host, f"a file of {repo.id}")
