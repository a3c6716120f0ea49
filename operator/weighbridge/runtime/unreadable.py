"""What the status of an object says that this operator cannot read. Pure: in goes what was stored, out comes the new status.

Everything already in the status stays: a newer operator may have written it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .store import Unreadable

_LONGEST = 1024


def invalid_status(content: Unreadable, now: datetime) -> Mapping[str, Any]:
    """The stored status with Ready=False and Stalled=True, reason InvalidSpec."""
    wanted = {"Ready": "False", "Stalled": "True"}
    kept = [condition for condition in content.status.get("conditions", ()) if isinstance(condition, Mapping)]
    known = {condition.get("type"): condition for condition in kept}
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fresh = [
        {
            "type": name,
            "status": status,
            "reason": "InvalidSpec",
            "message": content.message[:_LONGEST],
            "lastTransitionTime": known[name]["lastTransitionTime"] if known.get(name, {}).get("status") == status else at,
            "observedGeneration": content.generation,
        }
        for name, status in wanted.items()
    ]
    others = [condition for condition in kept if condition.get("type") not in wanted]
    return {**content.status, "observedGeneration": content.generation, "conditions": [*others, *fresh]}
