"""What a registry's webhook proves and says: whether it was signed with the shared secret, which delivery it is, and which models
or datasets it names.

One function per registry kind; a new one joins here. What it says is a hint where to look, never evidence: nothing but names is
read from a body. Must not send, wait or know a clock.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..api.modelregistry import RegistryKind

WINDOW = timedelta(minutes=5)
"""How far the clock of a registry that signs the time may be from ours; a delivery is never taken twice within it."""
_SHORT = timedelta(minutes=1)
"""How long a delivery without time and number of its own is told from its repetition, by its content."""
_LONGEST_ID = 128


@dataclass(frozen=True)
class Delivery:
    """A webhook that was signed with the secret."""

    id: str
    """Tells it from others of the same registry."""
    remember: timedelta
    """How long the same id is a repetition."""
    names: frozenset[str] | None
    """Models and datasets it speaks of; None where it does not say."""


def delivery(kind: RegistryKind, secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Delivery | None:
    """The webhook, or None where it was not signed with this secret or is not of now. `headers` finds names in any case."""
    if not secret:
        return None
    return _KINDS[kind](secret.encode(), headers, body, now)


def _mlflow(secret: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> Delivery | None:
    """MLflow signs delivery id, time (Unix, in seconds) and body; repetitions of one delivery have the same id and time."""
    number, stamp = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    version, _, signature = headers.get("X-MLflow-Signature", "").partition(",")
    digest = hmac.digest(secret, f"{number}.{stamp}.".encode(errors="replace") + body, "sha256")
    if not _same(signature, base64.b64encode(digest).decode()) or version != "v1" or not 0 < len(number) <= _LONGEST_ID:
        return None
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 10):
        return None
    if abs(now - datetime.fromtimestamp(int(stamp), UTC)) > WINDOW:
        return None
    said = _object(_record(body).get("data")).get("name")
    # Twice the window: the stamp may lie that far in the future.
    return Delivery(number, 2 * WINDOW, frozenset({said}) if isinstance(said, str) and said else None)


def _hugging_face(secret: bytes, headers: Mapping[str, str], body: bytes, _: datetime) -> Delivery | None:
    """The Hub sends the secret itself, without time or number."""
    if not _same(headers.get("X-Webhook-Secret", ""), secret.decode()):
        return None
    record = _record(body)
    found = (_object(record.get("repo")).get("name"), _object(record.get("movedTo")).get("name"))
    names = frozenset(name for name in found if isinstance(name, str) and name)
    return Delivery(hashlib.sha256(body).hexdigest(), _SHORT, names or None)


_KINDS: Mapping[RegistryKind, Callable[[bytes, Mapping[str, str], bytes, datetime], Delivery | None]] = {
    "mlflow": _mlflow,
    "huggingFace": _hugging_face,
}


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _record(body: bytes) -> Mapping[str, object]:
    try:
        return _object(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
