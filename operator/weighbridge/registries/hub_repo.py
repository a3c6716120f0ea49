"""A repository of the Hub at one commit: whether it is there, which commit a revision means, and whether we may read it.

The Hub tells about a gated repository to everybody, so being told is no access; and it may name a commit that it does not serve any
more. Both are proved with files. Must not judge what the files are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from .base import EntryFailed, RegistryAbsent, RegistryFailed
from .hub_answer import DISABLED, Answer, not_understood
from .hub_http import Inquiry
from .records import Record, integer, text

Kind = Literal["model", "dataset"]
_NAME = re.compile(r"^(?=.{1,96}$)(?!.*(--|\.\.|\.git$))\w([\w.-]*\w)?(/\w([\w.-]*\w)?)?$", re.ASCII)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_PROPERTIES = {
    "model": ("sha", "gated", "private", "disabled", "cardData", "tags", "library_name"),
    "dataset": ("sha", "gated", "private", "disabled"),
}
_MOST_PROOFS = 8


@dataclass(frozen=True)
class File:
    """A file of a repository."""

    size: int
    """In bytes."""
    blob: str
    """Id of git's blob: of the content, or of the pointer to it where it is large."""
    sha256: str = ""
    """Of the content, where it is large: kept outside of git."""


@dataclass(frozen=True)
class Repo:
    """A repository at one commit."""

    inquiry: Inquiry
    kind: Kind
    id: str
    """The name the Hub calls it by now."""
    sha: str
    info: Record
    notice: str
    named: bool = False
    """Whether it was asked for by a name that may move, not by its commit."""

    @property
    def what(self) -> str:
        """For messages."""
        return f"{self.id} at {self.sha[:12]}"

    @property
    def api(self) -> str:
        """Path of the repository in the API."""
        return f"/api/{self.kind}s/{self.id}"

    def content(self, path: str) -> str:
        """Path of a file's content."""
        return f"/{'datasets/' if self.kind == 'dataset' else ''}{self.id}/resolve/{self.sha}/{quote(path)}"

    def refused(self, answer: Answer) -> RegistryAbsent | RegistryFailed:
        """What it means that the Hub answers so about this repository."""
        if self.named and answer.code == "RevisionNotFound":
            text_of_it = f"{self.id} was changed while it was looked at: its commit {self.sha[:12]} is gone again; asking once more"
            return EntryFailed("RegistryUnavailable", text_of_it)
        return refusal(self.inquiry, answer, self.kind, self.id, self.sha)

    def check_access(self) -> None:
        """Raises RegistryAbsent (Gated, Disabled, AccessDenied) where the token may not download."""
        answer = self.inquiry.bytes(f"{self.api}/auth-check")
        if answer.status != 200:
            raise self.refused(answer)

    def check_content(self, files: Mapping[str, File]) -> None:
        """Looks whether the content of the largest files is really there, at this very commit. Raises RegistryAbsent
        (ArtifactIncomplete, RevisionNotFound, Gated, …)."""
        large = sorted((path for path in files if files[path].sha256), key=lambda path: (-files[path].size, path))
        for path in large[:_MOST_PROOFS] or sorted(files)[:1]:
            self._check_file(path, files[path])

    def created_at(self) -> datetime:
        """When the commit was made. Raises RegistryFailed."""
        answer = self.inquiry.get(f"{self.api}/commits/{self.sha}")
        if answer.status != 200:
            raise self.refused(answer)
        first = answer.value[0] if isinstance(answer.value, list) and answer.value else None
        if isinstance(first, dict) and first.get("id") == self.sha:
            try:
                found = datetime.fromisoformat(text(first, "date", 64))
                return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
            except (ValueError, OverflowError):
                pass
        raise not_understood(self.inquiry.host, f"the commit {self.sha[:12]} of {self.id}")

    def _check_file(self, path: str, file: File) -> None:
        answer = self.inquiry.head(self.content(path))
        if answer.code == "EntryNotFound":
            raise RegistryAbsent(
                "ArtifactIncomplete",
                f"{path[:200]} of {self.what} is listed, but its content is gone from the Hub's storage; upload it again",
            )
        if answer.status != 200 and not 300 <= answer.status < 400:
            raise self.refused(answer)
        if answer.headers.get("x-repo-commit") != self.sha:
            raise not_understood(self.inquiry.host, f"the file {path[:200]} of {self.id}")
        size, digest = answer.headers.get("x-linked-size", ""), answer.headers.get("x-linked-etag", "").strip('"')
        if file.sha256 and ((digest and digest != file.sha256) or (size.isdigit() and size != str(file.size))):
            raise RegistryAbsent(
                "ArtifactIncomplete",
                f"the Hub's storage holds another content of {path[:200]} than {self.what} names; upload it again",
            )


def find(inquiry: Inquiry, kind: Kind, name: str, revision: str) -> Repo:
    """The repository at the commit that the revision means now. Raises RegistryAbsent (ModelNotFound, DatasetNotFound,
    RevisionNotFound, AccessDenied, Disabled, …) and RegistryFailed."""
    if not _NAME.match(name):
        raise RegistryAbsent(
            _missing(kind), f"no {kind} of the Hub can be called {name[:200]}; write organisation/name, as its page does"
        )
    if revision in (".", ".."):
        raise _no_revision(kind, name, revision)
    path = f"/api/{kind}s/{name}/revision/{quote(revision, safe='')}"
    answer = inquiry.get(path, expand=_PROPERTIES[kind])
    if answer.status != 200:
        raise refusal(inquiry, answer, kind, name, revision)
    info = answer.record
    id_, sha = text(info, "id", 256), text(info, "sha", 64)
    if not _NAME.match(id_) or not _COMMIT.match(sha) or (_COMMIT.match(revision) and sha != revision):
        raise not_understood(inquiry.host, f"the {kind} {name}")
    if info.get("disabled") is True:
        raise _disabled(kind, id_)
    notice = f"{name} is called {id_} now; name it so, before somebody else takes the old name" if id_ != name else ""
    return Repo(inquiry, kind, id_, sha, info, notice, named=revision != sha)


def refusal(inquiry: Inquiry, answer: Answer, kind: Kind, name: str, revision: str) -> RegistryAbsent | RegistryFailed:
    """What it means that the Hub answers so about a repository."""
    if answer.code == "GatedRepo":
        whose = "the token's user" if inquiry.with_token else "the user of a token in the ModelRegistry's Secret"
        return RegistryAbsent(
            "Gated",
            f"{name} is gated: its owners ask for terms to be accepted; let {whose} accept them at "
            f"{inquiry.url}/{'datasets/' if kind == 'dataset' else ''}{name}",
        )
    if answer.code == "RepoNotFound":
        seen = " that this token may see" if inquiry.with_token else ""
        return RegistryAbsent(
            _missing(kind), f"{inquiry.host} has no {kind} {name}{seen}; correct the name, or give the token the right to read it"
        )
    if answer.code == "RevisionNotFound":
        return _no_revision(kind, name, revision)
    if answer.said == DISABLED:
        return _disabled(kind, name)
    if answer.status == 401:
        return RegistryAbsent(
            "AccessDenied",
            f"{inquiry.host} does not show {name} to somebody without a token: it does not exist, or it is private; correct the "
            "name, or give the ModelRegistry a Secret with HF_TOKEN",
        )
    if answer.status == 403:
        return RegistryAbsent("AccessDenied", f"the token may not read the {kind} {name}; give it the right to read the repository")
    return not_understood(inquiry.host, f"the {kind} {name}")


def file_of(entry: Record) -> File | None:
    """A file as the Hub lists it; None where the entry is not one, or a broken one."""
    large = entry.get("lfs")
    size, blob = integer(entry, "size"), text(entry, "oid", 64)
    if not isinstance(large, dict):
        return File(size, blob) if size is not None and size >= 0 and _COMMIT.match(blob) else None
    size, sha256 = integer(large, "size"), text(large, "oid", 80).removeprefix("sha256:")
    whole = size is not None and size >= 0 and _COMMIT.match(blob) and re.fullmatch("[0-9a-f]{64}", sha256)
    return File(size, blob, sha256) if whole and size is not None else None


def _missing(kind: Kind) -> str:
    return "ModelNotFound" if kind == "model" else "DatasetNotFound"


def _no_revision(kind: Kind, name: str, revision: str) -> RegistryAbsent:
    return RegistryAbsent(
        "RevisionNotFound",
        f"the {kind} {name} has no branch, tag or commit {revision[:200]}; correct the revision (a commit is gone when no branch "
        "or tag leads to it any more)",
    )


def _disabled(kind: Kind, name: str) -> RegistryAbsent:
    return RegistryAbsent("Disabled", f"the Hub has disabled the {kind} {name}; its owners or the Hub's support know why")
