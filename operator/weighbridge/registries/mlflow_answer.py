"""What an HTTP answer means: MLflow's word, or which trouble with the server, its credentials or what stands in front of it.

Must not send anything, nor know what was asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .base import RegistryFailed

TOKEN, USERNAME, PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
"""Keys of a Secret, named as MLflow's own environment variables."""
_LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True)
class Answer:
    """A complete answer that came from MLflow: 200, 400, 403 or 404."""

    status: int
    body: bytes
    record: Mapping[str, Any]
    """The JSON object of the body; empty where it is none."""

    @property
    def error_code(self) -> str:
        """MLflow's own word for what is wrong; empty where there is none."""
        return str(self.record.get("error_code", ""))


def judged(host: str, status: int, retry_after: str, body: bytes) -> Answer:
    """The answer of MLflow. `host` is the name asked with, `retry_after` the header. Raises RegistryFailed for what is none."""
    record = _record(body)
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
    if status == 429:
        raise RegistryFailed("RateLimited", f"{host} asks for fewer requests; waiting as long as it says", _seconds(retry_after))
    if status >= 500:
        message = f"{host} answers with an error of its own (HTTP {status}); look into the server's log"
        raise RegistryFailed("RegistryUnavailable", message, _seconds(retry_after))
    if 300 <= status < 400:
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} redirects elsewhere, which is not followed; put the final address of MLflow into spec.mlflow.url",
        )
    if status == 404 and record is None:
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} has no MLflow at this address (HTTP 404 from something else); check host and path in spec.mlflow.url",
        )
    if status not in (200, 400, 403, 404):
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{host} answers with HTTP {status}, as MLflow does not; check spec.mlflow.url and what stands in front of it",
        )
    return Answer(status, body, record or {})


def not_mlflow(host: str, body: bytes) -> RegistryFailed:
    """The trouble with a 200 that should be a JSON object and is none."""
    if body.lstrip()[:1] == b"{":
        return RegistryFailed("RegistryUnavailable", f"{host} sends broken JSON")
    return RegistryFailed(
        "RegistryMisconfigured",
        f"{host} answers, but not as MLflow does (a login page, perhaps); check spec.mlflow.url and what is in front of it",
    )


def _record(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _seconds(retry_after: str) -> float | None:
    """Seconds, where the server said so in seconds; a date would need the server's clock to be right."""
    return min(float(retry_after), _LONGEST_RETRY_AFTER) if retry_after.isascii() and retry_after.isdigit() else None
