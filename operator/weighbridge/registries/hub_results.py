"""Evaluation results as pull requests: the way to offer something to a model's owners without the right to write.

A pull request is found again by its title, which names the content and the results. Must not open a second one for the same,
whatever became of the first.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml

from ..api.references import ModelPin
from ..core.facts import WriteOrder
from ..core.offers import RESULTS_TAG
from .base import RegistryFailed
from .hub_answer import Answer, not_understood
from .hub_repo import Repo
from .records import Record, text

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_MOST_PAGES = 5
_MARK = re.compile(rf"\({re.escape(RESULTS_TAG)} ([0-9a-f]{{12}}):([\w.-]{{1,64}})\)$")


def offered(repo: Repo, pin: ModelPin, author: str = "") -> dict[str, int]:
    """Values of the tag `weighbridge.dev/results` that pull requests for this content name, with the newest one's number. `author`:
    only that user's. Only the newest are looked through; empty where the owners take none."""
    found: dict[str, int] = {}
    for discussion in _discussions(repo, author):
        mark = _MARK.search(text(discussion, "title", 300))
        number = discussion.get("num")
        if mark and mark[1] == _short(pin) and discussion.get("isPullRequest") is True and isinstance(number, int):
            found[mark[2]] = max(found.get(mark[2], 0), number)
    return found


def offer(repo: Repo, order: WriteOrder) -> Answer:
    """Opens the pull request. Raises RegistryFailed."""
    from huggingface_hub import CommitOperationAdd, EvalResultEntry, eval_result_entries_to_yaml

    commit, value = order.pin.version, order.tags[RESULTS_TAG]
    entries = [
        EvalResultEntry(
            dataset_id=each.dataset, task_id=each.metric, value=each.value, dataset_revision=each.revision or None,
            notes=f"weighed by Weighbridge at commit {commit[:12]}",
        )
        for each in order.results
    ]  # fmt: skip
    content: list[dict[str, Any]] = eval_result_entries_to_yaml(entries)
    file = CommitOperationAdd(
        f".eval_results/weighbridge-{_short(order.pin)}.yaml", yaml.safe_dump(content, sort_keys=False).encode()
    )

    def propose(api: "HfApi") -> object:
        return api.create_commit(
            repo.id,
            [file],
            commit_message=f"Add evaluation results of {commit[:12]} ({RESULTS_TAG} {_short(order.pin)}:{value})",
            commit_description="Measured by Weighbridge on exactly this commit. Merging changes no weights.",
            create_pr=True,
        )

    return repo.inquiry.do(propose)


def is_value(value: str) -> bool:
    """Whether a pull request's title can carry this value."""
    return _MARK.search(f"({RESULTS_TAG} 000000000000:{value})") is not None


def _discussions(repo: Repo, author: str) -> Iterator[Record]:
    more = {"author": author} if author else {}
    for page in range(_MOST_PAGES):
        answer = repo.inquiry.get(f"{repo.api}/discussions", type="pull_request", status="all", p=str(page), **more)
        if answer.status in (401, 403, 404):
            return
        discussions, count = answer.record.get("discussions"), answer.record.get("count")
        if answer.status != 200 or not isinstance(discussions, list) or not isinstance(count, int):
            raise _broken(repo)
        yield from (each for each in discussions if isinstance(each, dict))
        start = answer.record.get("start")
        if not discussions or not isinstance(start, int) or start + len(discussions) >= count:
            return


def _short(pin: ModelPin) -> str:
    return pin.digest.removeprefix("sha256:")[:12]


def _broken(repo: Repo) -> RegistryFailed:
    return not_understood(repo.inquiry.host, f"the pull requests of {repo.id}")
