"""What a task may read: the files of pinned datasets, from the pod's disk. What is not pinned is refused, not fetched."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, TaskDataset

Folders = Sequence[tuple[TaskDataset, Path]]

_FILE_FORMATS = ("json", "csv", "parquet", "text")
"""Builders of the `datasets` library that read plain files."""
_OPTIONS = {"split", "data_files", "data_dir"}
_IDLE = {"revision", "trust_remote_code", "token", "cache_dir", "download_mode"}
"""Options that mean nothing where all is pinned and on disk: dropped."""


class PinnedData:
    """Stands in for `datasets.load_dataset` while the harness runs."""

    def __init__(self, folders: Folders) -> None:
        import datasets

        self._load, self._folders = datasets.load_dataset, folders

    def __call__(self, path: str, name: str | None = None, **options: Any) -> Any:
        """The dataset `path` from its pinned folder, or plain files of one. Raises Refusal for anything else."""
        options = {key: value for key, value in options.items() if key not in _IDLE and value is not None}
        if strange := sorted(options.keys() - _OPTIONS):
            raise Refusal(EXIT_MISCONFIGURED, f"a task loads its dataset with {strange[0][:64]}, which is not offered")
        if path in _FILE_FORMATS:
            if "data_dir" in options:
                raise Refusal(EXIT_MISCONFIGURED, f"a task reads a whole folder as {path}; name its files in data_files")
            return self._load(path, name, **options | {"data_files": _files(self._folders, options.get("data_files"))})
        for dataset, folder in self._folders:
            if path == dataset.path:
                return self._load(str(folder), name, **_within(dataset, folder, options))
        pinned = ", ".join(dataset.path for dataset, _ in self._folders)
        text = (
            f"a task reads dataset {path[:200]}, which is not among spec.datasets ({pinned}): name it there, so that it is pinned"
        )
        raise Refusal(EXIT_MISCONFIGURED, text)


def pinned_files(resolve: Callable[..., list[str]], folders: Folders) -> Callable[..., list[str]]:
    """Stands in for `datasets.data_files.resolve_pattern`: a dataset's own description may name files too."""
    roots = [folder.resolve() for _, folder in folders]

    def resolved(pattern: str, *arguments: Any, **options: Any) -> list[str]:
        if "::" not in pattern and "://" not in pattern:
            found = resolve(pattern, *arguments, **options)
            if all(any(Path(file).resolve().is_relative_to(root) for root in roots) for file in found):
                return found
        raise Refusal(EXIT_MISCONFIGURED, f"a dataset reads {pattern[:200]}, which leads out of the pinned datasets")

    return resolved


def _within(dataset: TaskDataset, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a dataset's loading, with files and folder in its pinned folder."""
    place, root = str(options.get("data_dir", ".")), folder.resolve()
    below = (root / place).resolve()
    if not below.is_relative_to(root) or not below.is_dir():
        raise Refusal(EXIT_MISCONFIGURED, f"a task reads the folder {place[:200]}, which is not in dataset {dataset.path}")
    within = dict(options)
    if "data_files" in options:
        within["data_files"] = _files([(dataset, below)], options["data_files"])
    return within


def _files(folders: Folders, named: Any) -> Any:
    if isinstance(named, Mapping):
        return {split: _files(folders, files) for split, files in named.items()}
    if isinstance(named, list | tuple):
        return [file for each in named for file in _several(_files(folders, each))]
    found = [paths for _, folder in folders if (paths := _inside(folder, str(named)))]
    if len(found) != 1:
        much = "in several of the pinned datasets: rename one" if found else "in none of the pinned datasets"
        raise Refusal(EXIT_MISCONFIGURED, f"a task reads the file {str(named)[:200]}, which is {much}")
    return found[0][0] if len(found[0]) == 1 else found[0]


def _several(found: str | list[str]) -> list[str]:
    return [found] if isinstance(found, str) else found


def _inside(folder: Path, name: str) -> list[str]:
    """The plain files `name` below the folder, `*` for any; no way leads out of it."""
    if not name or name.startswith("/") or ".." in Path(name).parts or ":" in name:
        return []
    root = folder.resolve()
    found = [root / name] if (root / name).is_file() else sorted(root.glob(name))
    return [str(path.resolve()) for path in found if path.is_file() and path.resolve().is_relative_to(root)]
