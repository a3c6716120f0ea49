"""The Hugging Face Hub as a registry: models and datasets by revision, git tags as aliases, results as pull requests.

A commit is an identity, the strongest of all registries; what moves is who may read it, whether it is still served, and what the
repository is called. So each question ends with proof: access, the files, their content. Nothing here ever moves a branch: an own
commit would look like drift.

Must not import huggingface_hub when this module is imported: only a process that has such a registry pays for it.
"""

import re
from collections.abc import Callable

from ..api.references import DatasetPin, DatasetReference, ModelPin, ModelReference, PinnedFile
from ..core.facts import ModelSnapshot, ServerInfo, WriteOrder
from ..core.offers import RESULTS_TAG
from ..core.pin import fingerprint, model_digest
from . import hub_datasets, hub_formats, hub_results, hub_safety
from .addresses import Network
from .base import REQUESTS_PER_QUESTION, RegistryAbsent, RegistryFailed
from .credentials import Credentials
from .hub_answer import Answer, not_hub, not_understood
from .hub_card import lineage
from .hub_declared import of_files
from .hub_descriptions import Reader
from .hub_files import check_complete, listed
from .hub_http import HubHttp, Inquiry
from .hub_repo import File, Repo, find
from .records import each, text

_MOST_PINNED = 32
_MOST_OFFERS = 16
_TAG = re.compile(r"^(?!.*(\.\.|//|\.lock$|/$))[A-Za-z0-9_][A-Za-z0-9_./-]*$")


class HubRegistry:
    """One Hub, asked with one token or none. Implements `base.Registry`."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        *,
        request_timeout: float,
        allow: tuple[Network, ...],
        may_write: Callable[[], bool],
        results: bool,
    ) -> None:
        """`credentials` None asks without a token. `may_write` is asked before every single write. `results`: whether evaluation
        results are offered as pull requests, and those looked for.

        Raises RegistryFailed(SecretIncomplete)."""
        self._http = HubHttp(url, credentials, request_timeout, allow)
        self._budget = request_timeout * REQUESTS_PER_QUESTION
        self._may_write, self._results = may_write, results

    def server(self) -> ServerInfo:
        """The Hub tells no version."""
        with self._http.inquiry(self._budget) as inquiry:
            if inquiry.with_token:
                _whoami(inquiry)
            else:
                answer = inquiry.get("/api/models", limit="1")
                if answer.status != 200 or not isinstance(answer.value, list):
                    raise not_hub(inquiry.host, b"")
        return ServerInfo(version="")

    def model(self, ref: ModelReference) -> ModelSnapshot:
        if ref.revision is None:
            given = "version" if ref.version is not None else "alias"
            raise RegistryAbsent(
                "ReferenceUnsupported",
                f"the Hub knows revisions, no {given}; write revision: {ref.wanted} for a branch, tag or commit",
            )
        with self._http.inquiry(self._budget) as inquiry:
            repo = find(inquiry, "model", ref.name, ref.revision)
            repo.check_access()
            files = listed(repo)
            parts = check_complete(repo, files)
            large = {path for path in files if files[path].sha256}
            found = hub_formats.weights({path: file.size for path, file in files.items()}, large)
            repo.check_content({path: files[path] for path in found or files})
            pin = _pin(repo, files, ref.registry_ref.name)
            aliases = frozenset(tag for tag, sha in _tags(repo).items() if sha == repo.sha)
            tags = _offers(hub_results.offered(repo, pin)) if self._results else {}
            reader = Reader(repo, files)
            judged = hub_safety.judge(repo, reader, found, parts)
            origin = lineage(repo.info, of_files(reader, repo.info))
            return ModelSnapshot(pin, origin, tags, aliases, judged.formats, judged.unsafe, repo.notice)

    def dataset(self, ref: DatasetReference) -> DatasetPin:
        with self._http.inquiry(self._budget) as inquiry:
            return hub_datasets.pinned(inquiry, ref)

    def write(self, order: WriteOrder) -> None:
        """The alias as a git tag, the results as a pull request; other own tags have no place on the Hub."""
        with self._http.inquiry(self._budget) as inquiry:
            repo = _still_served(inquiry, order.pin)
            if order.alias is not None:
                self._tag(repo, order.alias)
            if order.results and self._results:
                self._offer(repo, order)

    def close(self) -> None:
        """Nothing to let go of: connections end with the question."""

    def _tag(self, repo: Repo, alias: str) -> None:
        """A tag cannot be moved, so it is deleted and made again; between the two it is not there."""
        if not _TAG.match(alias):
            raise RegistryFailed(
                "WriteRefused", f"{alias} can be no git tag; choose letters, digits, dots and dashes in writeBack.aliases"
            )
        tags = _tags(repo)
        if tags.get(alias) == repo.sha:
            return
        if alias in _references(repo, "branches"):
            raise RegistryFailed(
                "WriteRefused", f"{repo.id} has a branch {alias}, and a tag of that name would hide it; choose another alias"
            )
        said = f"the tag {alias}"
        if alias in tags:
            self._done(repo, said, lambda: repo.inquiry.do(lambda api: api.delete_tag(repo.id, tag=alias)))
        self._done(repo, said, lambda: repo.inquiry.do(lambda api: api.create_tag(repo.id, tag=alias, revision=repo.sha)))
        if _tags(repo).get(alias) != repo.sha:
            raise _not_kept(repo, said)

    def _offer(self, repo: Repo, order: WriteOrder) -> None:
        value = order.tags.get(RESULTS_TAG, "")
        if not hub_results.is_value(value):
            raise ValueError("results without a value to find them by")
        if not repo.inquiry.with_token:
            raise RegistryFailed(
                "WriteBackUnsupported", f"results can be offered to {repo.id} only by a user of the Hub; add a Secret with HF_TOKEN"
            )
        author = _whoami(repo.inquiry)
        if value in hub_results.offered(repo, order.pin, author):
            return
        self._done(repo, "a pull request", lambda: hub_results.offer(repo, order))
        if value not in hub_results.offered(repo, order.pin, author):
            raise _not_kept(repo, "a pull request")

    def _done(self, repo: Repo, said: str, write: Callable[[], Answer]) -> None:
        """One write. That a tag is there already, or gone already, is found out by reading back."""
        if not self._may_write():
            raise RegistryFailed("NotLeading", "another replica of the operator has taken over; it writes")
        answer = write()
        if answer.status in (401, 403):
            raise RegistryFailed(
                "WriteBackUnsupported",
                f"the Hub does not take {said} of {repo.id} from these credentials; grant the token the right to write there, or "
                "switch this write-back off",
            )
        if answer.status not in (200, 201, 404, 409):
            raise RegistryFailed("WriteRefused", f"{repo.inquiry.host} refuses {said} of {repo.id} (HTTP {answer.status})")


def _pin(repo: Repo, files: dict[str, File], registry: str) -> ModelPin:
    created_at = repo.created_at()
    identity = fingerprint(
        {path: file.size for path, file in files.items()}, {path: file.sha256 or file.blob for path, file in files.items()}
    )
    large = [path for path in files if files[path].sha256 and len(path) <= 512]
    largest = sorted(large, key=lambda path: (-files[path].size, path))[:_MOST_PINNED]
    return ModelPin(
        registry=registry,
        name=repo.id,
        version=repo.sha,
        uri=f"hf://{repo.id}@{repo.sha}",
        created_at=created_at,
        size=sum(file.size for file in files.values()),
        files=tuple(PinnedFile(path=path, size=files[path].size, sha256=files[path].sha256) for path in largest),
        fingerprint=identity,
        digest=model_digest(name=repo.id, version=repo.sha, created_at=created_at, source="", run_id="", fingerprint=identity),
    )


def _tags(repo: Repo) -> dict[str, str]:
    return _references(repo, "tags")


def _references(repo: Repo, kind: str) -> dict[str, str]:
    """Commit of each tag or branch."""
    answer = repo.inquiry.get(f"{repo.api}/refs")
    if answer.status != 200:
        raise repo.refused(answer)
    if not isinstance(answer.record.get(kind), list):
        raise not_understood(repo.inquiry.host, f"the branches and tags of {repo.id}")
    return {text(entry, "name", 256): text(entry, "targetCommit", 64) for entry in each(answer.record, kind)}


def _offers(numbers: dict[str, int]) -> dict[str, str]:
    """The own tag that stands for the pull requests, newest first."""
    newest = sorted(numbers, key=lambda value: -numbers[value])[:_MOST_OFFERS]
    return {RESULTS_TAG: " ".join(newest)} if newest else {}


def _whoami(inquiry: Inquiry) -> str:
    """The token's user."""
    answer = inquiry.get("/api/whoami-v2")
    if answer.status in (401, 403):
        raise RegistryFailed("Unauthorized", f"{inquiry.host} knows the token but lets it read nothing; give it the right to read")
    if name := text(answer.record, "name", 128):
        return name
    raise not_understood(inquiry.host, "the token's user")


def _still_served(inquiry: Inquiry, pin: ModelPin) -> Repo:
    try:
        return find(inquiry, "model", pin.name, pin.version)
    except RegistryAbsent as error:
        if error.reason in ("AccessDenied", "Gated", "Disabled"):
            raise RegistryFailed("WriteForbidden", error.public) from error
    raise RegistryFailed(
        "VersionReplaced", f"{pin.name} has no commit {pin.version[:12]} any more, or is gone itself; nothing was written"
    )


def _not_kept(repo: Repo, said: str) -> RegistryFailed:
    return RegistryFailed(
        "WriteNotKept",
        f"the Hub took {said} of {repo.id} but says something else when read back; does somebody else write it?",
    )
