"""The tasks of an lm-eval evaluation: which there are, and that each reads pinned data and nothing else.

Tasks come with the harness, or as YAML files in a pinned dataset. Whatever a task reads is one of the evaluation's datasets, loaded
from the pod's disk: every load of the harness goes through `PinnedData`, and what is not pinned is refused, not fetched.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, TaskDataset

_FILE_FORMATS = ("json", "csv", "parquet", "text")
"""Builders of the `datasets` library that read plain files."""
_CODE = ("!function", "class:")
"""What makes a task file run Python of its own."""


class PinnedData:
    """Stands in for `datasets.load_dataset` while the harness runs."""

    def __init__(self, folders: Sequence[tuple[TaskDataset, Path]]) -> None:
        import datasets

        self._load, self._folders = datasets.load_dataset, folders

    def __call__(self, path: str, name: str | None = None, **options: Any) -> Any:
        """The dataset `path` from its pinned folder, or plain files of one. Raises Refusal for anything else."""
        for key in ("revision", "trust_remote_code", "token", "cache_dir", "download_mode"):
            options.pop(key, None)
        if path in _FILE_FORMATS:
            return self._load(path, name, **options | {"data_files": self._files(options.get("data_files"))})
        for dataset, folder in self._folders:
            if path == dataset.path:
                return self._load(str(folder), name, **options)
        pinned = ", ".join(dataset.path for dataset, _ in self._folders)
        text = (
            f"a task reads dataset {path[:200]}, which is not among spec.datasets ({pinned}): name it there, so that it is pinned"
        )
        raise Refusal(EXIT_MISCONFIGURED, text)

    def _files(self, named: Any) -> Any:
        if isinstance(named, Mapping):
            return {split: self._files(files) for split, files in named.items()}
        if isinstance(named, list | tuple):
            return [self._files(each) for each in named]
        found = [path for _, folder in self._folders if (path := _inside(folder, str(named))) is not None]
        if len(found) != 1:
            much = "in several of the pinned datasets: rename one" if found else "in none of the pinned datasets"
            raise Refusal(EXIT_MISCONFIGURED, f"a task reads the file {str(named)[:200]}, which is {much}")
        return str(found[0])


def _inside(folder: Path, name: str) -> Path | None:
    """The plain file `name` below the folder, if there is one; no way leads out of it."""
    root = folder.resolve()
    path = (root / name).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def chosen_tasks(folders: Sequence[tuple[TaskDataset, Path]], names: str) -> tuple[Any, list[str]]:
    """The harness's task manager, and the tasks that `names` says, separated by commas: those of the pinned datasets where they
    bring them all, else the harness's own too (which takes seconds to read).

    Raises Refusal for a task that does not exist, and for task files that bring code.
    """
    from lm_eval.tasks import TaskManager

    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise Refusal(EXIT_MISCONFIGURED, "spec.evaluator.parameters.tasks names no task")
    own = [folder for dataset, folder in folders if _brings_tasks(dataset, folder)]
    manager = TaskManager(include_path=own, include_defaults=False)
    if not all(manager.match_tasks([name]) for name in wanted):
        manager = TaskManager(include_path=own)
    for name in wanted:
        if not manager.match_tasks([name]):
            text = f"lm-eval knows no task {name[:100]}: neither it nor a pinned dataset brings one of this name"
            raise Refusal(EXIT_MISCONFIGURED, text)
    return manager, wanted


def _brings_tasks(dataset: TaskDataset, folder: Path) -> bool:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".yaml", ".yml") and path.is_file()]
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        if any(mark in text for mark in _CODE):
            where = f"{path.relative_to(folder)} of dataset {dataset.path}"
            raise Refusal(EXIT_MISCONFIGURED, f"{where} runs Python of its own; a task of a dataset is YAML and templates alone")
    return bool(files)
