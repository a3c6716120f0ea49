"""Which files an artifact has and what is in the small ones. MLflow answers READY for versions whose files are gone or half there,
so nobody believes in an artifact before its files were seen.

MLflow keeps no digests: a file can be overwritten under a version, and nothing says so. Of the files that `core.pin.read_for_proof`
names (the smallest first, at most 32, at most 8 MiB in all) the content is read and counts, so other bytes of the same size are
noticed; of larger files only the size counts. Nothing that was read is ever kept or deserialised, the model description apart.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ..core.pin import read_for_proof
from .base import EntryFailed, RegistryAbsent, RegistryFailed
from .mlflow_answer import Answer
from .mlflow_http import Inquiry
from .records import Record, each, integer

DESCRIPTION = "MLmodel"
_MOST_FILES, _MOST_FOLDERS, _DEEPEST = 10_000, 500, 16
_MOST_PAGES = 200
_LARGEST_DESCRIPTION = 2 * 1024 * 1024
_PATH = re.compile(r"^[^/\x00-\x1f]+(/[^/\x00-\x1f]+)*$")


@dataclass(frozen=True)
class Folder:
    """A folder of artifacts on the server, and how it is asked for."""

    inquiry: Inquiry
    what: str
    """What it belongs to, for messages: `fraud-detector 7`."""
    root: str
    """Path of the folder below the run or logged model; empty for the root."""
    listing: Callable[[str, str], Answer]
    """Lists one folder, by its path and page token."""
    content: Callable[[str, int], Answer]
    """Reads one file by its path; of one that is larger than the size only a little more than that."""
    logged: Record = field(default_factory=dict)
    """What the server says of the logged model whose folder it is; empty for a folder of a run."""

    def files(self) -> dict[str, int]:
        """All files with their sizes in bytes, by path relative to the folder; empty where there is none.

        Raises RegistryAbsent (AccessDenied, ArtifactTooLarge) and RegistryFailed.
        """
        found: dict[str, int] = {}
        waiting, listed = [self.root], 0
        while waiting:
            folder = waiting.pop()
            listed += 1
            for path, size in self._entries(folder):
                if size is None:
                    waiting.append(path)
                else:
                    found[path.removeprefix(f"{self.root}/") if self.root else path] = size
                if len(found) > _MOST_FILES or len(waiting) + listed > _MOST_FOLDERS or folder.count("/") > _DEEPEST:
                    raise RegistryAbsent(
                        "ArtifactTooLarge",
                        f"the artifact of {self.what} has more than {_MOST_FILES} files, {_MOST_FOLDERS} folders or {_DEEPEST} "
                        "levels; register it as fewer files",
                    )
        return found

    def size(self, path: str) -> int | None:
        """Bytes of one file, by path relative to the folder; None where it is not there. Raises as `files` does."""
        full = self._full(path)
        return dict(self._entries(full.rpartition("/")[0])).get(full)

    def description(self, files: Mapping[str, int]) -> bytes:
        """The bytes of `MLmodel`. Raises RegistryAbsent (ArtifactMissing, ArtifactIncomplete, AccessDenied)."""
        if not files.get(DESCRIPTION):
            raise RegistryAbsent(
                "ArtifactMissing",
                f"the registry knows {self.what}, but the artifact has no {DESCRIPTION} file any more; register the model again",
            )
        if files[DESCRIPTION] > _LARGEST_DESCRIPTION:
            raise RegistryAbsent(
                "ArtifactIncomplete", f"{DESCRIPTION} of {self.what} is larger than 2 MiB; it is no model description"
            )
        return self._read(DESCRIPTION, files[DESCRIPTION])

    def read(self, path: str, files: Mapping[str, int]) -> bytes:
        """The bytes of one of `files`. Raises as `contents` does."""
        return self._read(path, files[path])

    def contents(self, files: Mapping[str, int], known: Mapping[str, bytes]) -> dict[str, str]:
        """SHA-256 in hex of those of `files` whose content belongs to the identity, by path; `known` was read before.

        Raises RegistryAbsent (ArtifactMissing, ArtifactIncomplete, ArtifactUnsupported, AccessDenied) where a file is not what the
        list says, and RegistryFailed where the list itself changes meanwhile: one pin must not be made of two states.
        """
        return {
            path: hashlib.sha256(known[path] if path in known else self._read(path, files[path])).hexdigest()
            for path in read_for_proof(files)
        }

    def _read(self, path: str, size: int) -> bytes:
        answer = self.content(self._full(path), size)
        what = f"the file {path[:200]} of {self.what}"
        if answer.status == 404:
            reason = "ArtifactMissing" if path == DESCRIPTION else "ArtifactIncomplete"
            raise RegistryAbsent(
                reason, f"{what} is listed in the registry, but cannot be read any more; log and register it again"
            )
        if answer.status == 400 and answer.error_code == "INVALID_PARAMETER_VALUE":
            raise RegistryAbsent(
                "ArtifactUnsupported", f"{what} has a name that MLflow hands out to nobody; log it under another one"
            )
        self._readable(answer)
        if not answer.attachment:
            raise RegistryFailed(
                "RegistryMisconfigured",
                f"{self.inquiry.host} answers with something else than {what} (a login page?); check what is in front of it",
            )
        if len(answer.body) == size:
            return answer.body
        if self.size(path) != size:
            raise RegistryFailed(
                "RegistryUnavailable", f"the files of {self.what} change while they are read; waiting until they rest"
            )
        given = "more" if len(answer.body) > size else f"{len(answer.body)}"
        raise RegistryAbsent(
            "ArtifactIncomplete",
            f"{what} is listed with {size} bytes, but the registry hands out {given}; log and register it again",
        )

    def _entries(self, folder: str) -> Iterator[tuple[str, int | None]]:
        """What lies in one folder, by full path: files with their sizes, folders with None. Nothing where there is none."""
        token = ""
        for _ in range(_MOST_PAGES):
            answer = self.listing(folder, token)
            if answer.status == 404:
                return
            self._readable(answer)
            for entry in each(answer.record, "files"):
                path = self._below(folder, entry.get("path"))
                yield path, None if entry.get("is_dir") is True else max(integer(entry, "file_size") or 0, 0)
            following = answer.record.get("next_page_token")
            if not isinstance(following, str) or following in ("", token):
                return
            token = following
        raise self._strange()

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if self.root else path

    def _readable(self, answer: Answer) -> None:
        if answer.status == 403:
            raise RegistryAbsent("AccessDenied", f"the credentials may not read the artifact of {self.what}; grant them READ on it")
        if answer.status != 200:
            raise EntryFailed("RegistryMisconfigured", f"{self.inquiry.host} does not hand out the artifact of {self.what}")

    def _below(self, folder: str, path: object) -> str:
        """The path of an entry, which must lie in the folder that was listed: a server cannot lead elsewhere or in circles."""
        if isinstance(path, str) and len(path) <= 1024 and _PATH.match(path) and not {".", ".."} & set(path.split("/")):
            parent = path.rpartition("/")[0]
            if parent == folder:
                return path
        raise self._strange()

    def _strange(self) -> EntryFailed:
        return EntryFailed(
            "RegistryMisconfigured", f"{self.inquiry.host} lists the artifact of {self.what} in a way MLflow does not"
        )
