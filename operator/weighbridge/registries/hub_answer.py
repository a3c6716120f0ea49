"""What an HTTP answer means: the Hub's word, or which trouble with the server, its credentials or what stands in front of it.

Everything the Hub says of a refusal is in the status and two headers. Must not send anything, nor know what was asked.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .base import EntryFailed, RegistryFailed
from .records import Record
from .retry_after import seconds_to_wait

TOKEN = "HF_TOKEN"  # noqa: S105 the name of a key, no secret
"""Key of a Secret, named as the Hub's own environment variable."""
DISABLED = "Access to this resource is disabled."
_BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105
_LONGEST_WAIT = 3600.0
_MOST_VALUES = 600_000
"""Of a JSON answer; each can take a hundred times its own size in memory."""
_RATE_LIMIT = re.compile(r'"[^"]*"\s*;\s*r=0\s*;\s*t=([0-9]{1,9})(?![0-9])')
_OF_THE_HUB = (200, 201, 400, 401, 403, 404, 409, 412)


@dataclass(frozen=True)
class Answer:
    """A complete answer that came from a Hub: 200, 201, 3xx, 400, 401, 403, 404, 409 or 412."""

    status: int
    headers: Mapping[str, str]
    """Upper and lower case of names are the same."""
    body: bytes = b""
    value: Any = None
    """The JSON of the body; None where it is none."""

    @property
    def code(self) -> str:
        """The Hub's own word for what is wrong; empty where there is none."""
        return self.headers.get("x-error-code", "")

    @property
    def said(self) -> str:
        """The Hub's sentence about what is wrong. Not for people: it is not ours."""
        return self.headers.get("x-error-message", "")

    @property
    def record(self) -> Record:
        """The JSON object of the body; empty where it is none."""
        return self.value if isinstance(self.value, dict) else {}


def judged(host: str, status: int, headers: Mapping[str, str], body: bytes, *, with_token: bool) -> Answer:
    """The answer of a Hub. `host` is the name asked with. Raises RegistryFailed for what is none, and where the Hub does not answer
    now or does not take the token."""
    if sum(body.count(each) for each in b",[{") > _MOST_VALUES:
        raise not_understood(host, "something enormous")
    answer = Answer(status, headers, body, _json(body))
    if status == 429:
        raise RegistryFailed("RateLimited", f"{host} asks for fewer requests; waiting as long as it says", _seconds(headers))
    if status >= 500:
        message = f"{host} answers with an error of its own (HTTP {status}); look at its status page or the server's log"
        raise RegistryFailed("RegistryUnavailable", message, _seconds(headers))
    if status == 401 and (answer.said == _BAD_TOKEN or (with_token and answer.code != "GatedRepo")):
        raise RegistryFailed(
            "Unauthorized", f"{host} does not accept the token; correct {TOKEN} in the ModelRegistry's Secret, or make a new token"
        )
    if status == 404 and not answer.code:
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} has no Hub at this address (HTTP 404 from something else); check host and path in spec.huggingFace.url",
        )
    foreign = status in (401, 403) and not (answer.code or answer.said or isinstance(answer.record.get("error"), str))
    if foreign or not (status in _OF_THE_HUB or 300 <= status < 400):
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} answers with HTTP {status}, as the Hub does not; check spec.huggingFace.url and what stands in front of it",
        )
    return answer


def elsewhere(host: str) -> RegistryFailed:
    """The trouble with a redirect to another origin."""
    return RegistryFailed(
        "RegistryMisconfigured",
        f"{host} redirects elsewhere, which is not followed; put the final address of the Hub into spec.huggingFace.url",
    )


def not_hub(host: str, body: bytes) -> RegistryFailed:
    """The trouble with a 200 that should be JSON and is none."""
    if body.lstrip()[:1] in (b"{", b"["):
        return RegistryFailed("RegistryUnavailable", f"{host} sends broken JSON")
    return RegistryFailed(
        "RegistryMisconfigured",
        f"{host} answers, but not as the Hub does (a login page, perhaps); check spec.huggingFace.url and what is in front of it",
    )


def not_understood(host: str, what: str) -> RegistryFailed:
    """The trouble with JSON that says something else than the Hub would. `what` for people: `a commit`."""
    return EntryFailed(
        "RegistryMisconfigured",
        f"{host} describes {what} in a way the Hub does not; check spec.huggingFace.url and what is in front of it",
    )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds until the quota is new, or what `Retry-After` says."""
    if found := _RATE_LIMIT.search(headers.get("ratelimit", "")):
        return min(float(found[1]), _LONGEST_WAIT)
    return seconds_to_wait(headers)
