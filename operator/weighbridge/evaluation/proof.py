"""What a downloaded folder really holds: its files, their sizes, and digests computed from their bytes.

Exists because an engine believes nothing that a registry says about content: the fingerprint is computed from what is on disk. Must
not ask a registry.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.pin import fingerprint, read_for_proof

_PART = 1024 * 1024


@dataclass(frozen=True)
class Fetched:
    """A subject on disk."""

    folder: Path
    """Where its files are; nothing else of another subject is there."""
    fingerprint: str
    """Identity of what was downloaded, to be held against the pinned one."""


def files_in(folder: Path) -> dict[str, int]:
    """The files below a folder with their sizes in bytes, by path relative to it."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def proved_by_reading(folder: Path, files: Mapping[str, int]) -> str:
    """Fingerprint where the registry keeps no digests: of the files that core/pin.py says are read, the content counts."""
    return fingerprint(files, {path: sha256(folder / path) for path in read_for_proof(files)})


def proved_by_digests(folder: Path, files: Mapping[str, int], large: Iterable[str]) -> str:
    """Fingerprint where the registry keeps digests of all files: SHA-256 of the `large` ones, git's blob id of the others."""
    by_sha256 = frozenset(large)
    contents = {path: sha256(folder / path) if path in by_sha256 else git_blob(folder / path, files[path]) for path in files}
    return fingerprint(files, contents)


def sha256(file: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    _feed(digest, file)
    return digest.hexdigest()


def git_blob(file: Path, size: int) -> str:
    """The id git gives a file of `size` bytes with this content: 40 hex digits."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    _feed(digest, file)
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", file: Path) -> None:
    with file.open("rb") as content:
        while part := content.read(_PART):
            digest.update(part)
