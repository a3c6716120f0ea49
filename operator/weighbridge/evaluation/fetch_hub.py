"""Loads pinned repositories from the Hugging Face Hub of the environment (HF_ENDPOINT, HF_TOKEN), at their commit.

Runs in evaluation pods only, in a process of its own: huggingface_hub has one client for the process, and it is set up here. Reads
only. The Hub says which kind of digest a file has; the digest itself is computed from the bytes that arrived.
"""

import contextlib
import glob
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .proof import Fetched, files_in, proved_by_digests
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED, TaskDataset, TaskModel

_ADDRESS = re.compile(r"^hf://(datasets/)?([^@]+)@([0-9a-f]{40})$")
_PATIENCE = 60.0
"""Seconds without a byte after which the Hub counts as silent; its client would wait for ever."""
_THREADS = 4


@dataclass(frozen=True)
class _Repository:
    """A repository at one commit."""

    kind: str
    name: str
    commit: str

    @property
    def what(self) -> str:
        return f"{self.name} at {self.commit[:12]}"


def fetch_model(wanted: TaskModel, to: Path) -> Fetched:
    """Downloads the whole repository into `to`. Raises Refusal."""
    return _fetch(_repository(wanted.uri), "", to)


def fetch_dataset(wanted: TaskDataset, to: Path) -> Fetched:
    """Downloads the repository, or the one file of it that is wanted, into `to`. Raises Refusal."""
    return _fetch(_repository(wanted.uri), wanted.file, to)


def _repository(uri: str) -> _Repository:
    found = _ADDRESS.match(uri)
    if not found:
        raise Refusal(EXIT_MISCONFIGURED, "the task names no commit of a repository of the Hub: hf://[datasets/]name@commit")
    return _Repository("dataset" if found[1] else "model", found[2], found[3])


def _fetch(repository: _Repository, file: str, to: Path) -> Fetched:
    with _asking(repository):
        large = _large_files(repository, file)
        _download(repository, file, to)
    return Fetched(to, proved_by_digests(to, files_in(to), large))


def _large_files(repository: _Repository, file: str) -> frozenset[str]:
    """Of the wanted files those the Hub keeps the SHA-256 of; of the others it keeps git's blob id."""
    from httpx2 import Client
    from huggingface_hub import HfApi, set_client_factory
    from huggingface_hub.hf_api import RepoFile

    set_client_factory(lambda: Client(follow_redirects=True, timeout=_PATIENCE))
    api = HfApi(endpoint=_endpoint(), token=_token())
    # The one question that the client does not ask again and again: a Hub that is down does not keep the pod waiting.
    api.repo_info(repository.name, revision=repository.commit, repo_type=repository.kind, timeout=_PATIENCE)
    listed = api.list_repo_tree(repository.name, recursive=True, revision=repository.commit, repo_type=repository.kind)
    wanted = [each for each in listed if isinstance(each, RepoFile) and file in ("", each.path)]
    if not wanted:
        raise Refusal(EXIT_SUBJECT_CHANGED, f"{repository.what} has no {f'file {file}' if file else 'files'}")
    return frozenset(each.path for each in wanted if each.lfs is not None)


def _download(repository: _Repository, file: str, to: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    snapshot_download(
        repository.name,
        repo_type=repository.kind,
        revision=repository.commit,
        local_dir=to,
        allow_patterns=[glob.escape(file)] if file else None,
        max_workers=_THREADS,
        endpoint=_endpoint(),
        token=_token(),
    )
    # The client's notes on what it downloaded; they are not part of the repository.
    shutil.rmtree(to / ".cache" / "huggingface", ignore_errors=True)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _token() -> str | Literal[False]:
    """The token of the environment; none that lies about on a disk."""
    return os.environ.get("HF_TOKEN") or False


@contextlib.contextmanager
def _asking(repository: _Repository) -> Iterator[None]:
    """Turns trouble with the Hub into a refusal: gone for good, or worth another attempt."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    gone = (DisabledRepoError, RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)
    try:
        yield
    except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:  # the latter: an answer that is none of a Hub
        said = tuple(_causes(error))
        if any(isinstance(each, GatedRepoError) for each in said):  # a RepositoryNotFoundError too, but it is there
            text = f"the Hub does not let these credentials download {repository.what}: it is gated"
            raise Refusal(EXIT_REGISTRY_FAILED, text) from error
        if any(isinstance(each, gone) for each in said):
            text = f"{repository.what} is no longer on the Hub, or not for these credentials"
            raise Refusal(EXIT_SUBJECT_CHANGED, text) from error
        raise Refusal(EXIT_REGISTRY_FAILED, f"the Hub did not hand over {repository.what} ({type(error).__name__})") from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised for: the client wraps what the Hub said."""
    while error is not None:
        yield error
        error = error.__cause__
