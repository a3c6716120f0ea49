"""The files of a full report, found and hashed with distrust: plain files in plain folders, bounded in number and size."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .files import NotPlain, opened

MAX_BYTES = 512 << 20
"""Of all files together."""
MAX_FILES = 2000
MAX_PATH = 200
"""Characters of one path."""
_DEPTH = 8
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=@ ")
_CHUNK = 1 << 18


class FolderRefused(Exception):
    """The report is not taken: `reason` is one stable word, the text one line for people. Nothing of its names is repeated."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Found:
    """One file of a report."""

    path: str
    """Below the report's folder, with `/`."""
    size: int
    sha256: str


def files_of(folder: Path, visit: Callable[[str, BinaryIO], None] = lambda _path, _file: None) -> tuple[Found, ...]:
    """All files below the folder, sorted by path; none where there is no such folder. Raises FolderRefused and OSError.

    `visit` sees each file while it is open.
    """
    found: list[Found] = []
    total = 0
    for path, file in _walk(folder):
        visit(path, file)
        file.seek(0)
        size, sha256 = _hashed(file, MAX_BYTES - total)
        total += size
        found.append(Found(path, size, sha256))
        if len(found) > MAX_FILES:
            raise FolderRefused("ReportTooLarge", f"the report has more than {MAX_FILES} files: leave some out or pack them")
    return tuple(sorted(found, key=lambda each: each.path))


def _walk(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise FolderRefused("ReportInvalid", "the report must be a folder")
    # fwalk holds each folder open and opens what is in it from there: none can be exchanged for a link on the way.
    for here, folders, names, handle in os.fwalk(folder, follow_symlinks=False, onerror=_raise):
        place = Path(here).relative_to(folder)
        if len(place.parts) > _DEPTH:
            raise FolderRefused("ReportInvalid", f"the report has folders in folders, more than {_DEPTH} deep")
        for name in folders:
            if (Path(here) / name).is_symlink():
                raise FolderRefused("ReportInvalid", "the report holds a link: only plain files are taken")
        for name in names:
            path = (place / name).as_posix()
            if len(path) > MAX_PATH or not _SAFE.issuperset(path.replace("/", "")):
                text = (
                    f"a file of the report has a name that is not taken: letters, digits and ._-+=@, at most {MAX_PATH} characters"
                )
                raise FolderRefused("ReportInvalid", text)
            try:
                with opened(name, within=handle) as file:
                    yield path, file
            except (NotPlain, OSError) as error:
                text = "a file of the report cannot be read: only plain files that others may read are taken"
                raise FolderRefused("ReportInvalid", text) from error


def _raise(error: OSError) -> None:
    raise FolderRefused("ReportInvalid", "a folder of the report cannot be read: others must be able to read it") from error


def _hashed(file: BinaryIO, most: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while part := file.read(_CHUNK):
        size += len(part)
        if size > most:
            raise FolderRefused("ReportTooLarge", f"the report is larger than {MAX_BYTES >> 20} MiB: leave something out")
        digest.update(part)
    return size, digest.hexdigest()
