"""What an HTTP answer means: MLflow's word, or which trouble with the server, its credentials or what stands in front of it.

A definite no is read only out of what MLflow itself says, in its own words: a 404 of a proxy, or a JSON object of something else,
must never look as if something were missing. Must not send anything, nor know what was asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .base import RegistryFailed
from .records import parsed
from .retry_after import seconds_to_wait

TOKEN, USERNAME, PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""Keys of a Secret, named as MLflow's own environment variables."""
LARGEST_ANSWER = 8 * 1024 * 1024
"""Bytes of the largest answer that is read, and of the largest file."""
_NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class Shape:
    """What a 200 must look like to be MLflow's."""

    keys: tuple[str, ...] = ()
    """A JSON object with one of these, unless it is empty; where there are none, any object will do."""
    may_be_empty: bool = True
    """Whether `{}` will do."""
    file: int | None = None
    """No JSON, but a file of this size in bytes; what is longer is read one byte or a little further, no more."""
    optional: bool = False
    """Whether older servers do not know this address at all, or their store does not have it: a 404 of whatever kind, and MLflow's
    501, are answers then."""


def one(key: str, *, optional: bool = False) -> Shape:
    """A single thing under a key."""
    return Shape((key,), may_be_empty=False, optional=optional)


def several(key: str, *, optional: bool = False) -> Shape:
    """A page of things; MLflow leaves empty lists out."""
    return Shape((key, "next_page_token"), optional=optional)


@dataclass(frozen=True)
class Answer:
    """A complete answer that came from MLflow: 200, 400, 403 or 404; 501 only where `Shape.optional` says so."""

    status: int
    body: bytes
    record: Mapping[str, Any]
    """The JSON object of the body; empty where it is none, and for files."""
    attachment: bool = False
    """Whether it says to be a file, as MLflow says of every artifact."""

    @property
    def error_code(self) -> str:
        """MLflow's own word for what is wrong; empty where there is none."""
        return str(self.record.get("error_code", ""))


def judged(host: str, status: int, headers: Mapping[str, str], body: bytes, shape: Shape) -> Answer:
    """The answer of MLflow. `host` is the name asked with; `headers` ignores case. Raises RegistryFailed for what is none."""
    if status == 401:
        raise RegistryFailed(
            "Unauthorized",
            f"{host} does not accept the credentials; correct {TOKEN}, or {USERNAME} and {PASSWORD}, in the ModelRegistry's Secret",
        )
    if status == 403 and b"Invalid Host header" in body:
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"the MLflow server does not answer to the host name {host}; add it to the server's --allowed-hosts",
        )
    if status == 403 and body.lstrip()[:1] == b"<":
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"something in front of {host} forbids the request with a page of its own; let the operator through to MLflow",
        )
    if status == 429:
        raise RegistryFailed("RateLimited", f"{host} asks for fewer requests; waiting as long as it says", seconds_to_wait(headers))
    if status == 501 and shape.optional and (_object(body) or {}).get("error_code") == "NOT_IMPLEMENTED":
        return Answer(status, body, {})
    if status >= 500:
        message = f"{host} answers with an error of its own (HTTP {status}); look into the server's log"
        raise RegistryFailed("RegistryUnavailable", message, seconds_to_wait(headers))
    if 300 <= status < 400:
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} redirects elsewhere, which is not followed; put the final address of MLflow into spec.mlflow.url",
        )
    if status not in (200, 400, 403, 404):
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} answers with HTTP {status}, as MLflow does not; check spec.mlflow.url and what stands in front of it",
        )
    if status == 200:
        if shape.file is not None:
            return Answer(status, body, {}, headers.get("Content-Disposition", "").startswith("attachment"))
        return Answer(status, body, _expected(host, body, shape))
    answer = Answer(status, body, _object(body) or {})
    if status == 404 and answer.error_code != _NOT_FOUND and not shape.optional:
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} has no MLflow at this address (HTTP 404 from something else); check host and path in spec.mlflow.url",
        )
    return answer


def _expected(host: str, body: bytes, shape: Shape) -> Mapping[str, Any]:
    record = _object(body)
    if record is None:
        if body.lstrip()[:1] == b"{":
            raise RegistryFailed("RegistryUnavailable", f"{host} sends broken JSON")
        raise _not_mlflow(host)
    if not record and not shape.may_be_empty:
        raise _not_mlflow(host)
    if record and shape.keys and not any(key in record for key in shape.keys):
        raise _not_mlflow(host)
    return record


def _not_mlflow(host: str) -> RegistryFailed:
    return RegistryFailed(
        "RegistryMisconfigured",
        f"{host} answers, but not as MLflow does (a login page, perhaps); check spec.mlflow.url and what is in front of it",
    )


def _object(body: bytes) -> Mapping[str, Any] | None:
    found = parsed(body)
    return found if isinstance(found, dict) else None
