"""What an adapter of a kind of serving target does: values in, values out, no I/O.

`controllers` reads what `wants` names, `runtime` sends what `patches` returns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from ..api.serving import Serving
from ..core.facts import TargetState
from ..core.plan import Repoint

FIELD_MANAGER = "weighbridge"
ObjectName = tuple[str, str, str]
"""API version, kind and name of an object of the target's namespace."""


@dataclass(frozen=True)
class Wants:
    """What has to be read besides the target itself."""

    pods: Mapping[str, str] | None = None
    """Labels of its pods; None: its pods are not known."""
    others: tuple[ObjectName, ...] = ()
    """Other objects that the pointer lives in, e.g. a ConfigMap."""


@dataclass(frozen=True)
class Seen:
    """A target and what belongs to it, as read at one moment."""

    body: Mapping[str, Any]
    pods: Sequence[Mapping[str, Any]] = ()
    others: Mapping[ObjectName, Mapping[str, Any] | None] = field(default_factory=dict)
    """None: there is no such object."""


@dataclass(frozen=True)
class Patch:
    """One request that changes exactly the pointer."""

    api_version: str
    kind: str
    name: str
    how: Literal["Apply", "Json"]
    """Apply: server-side apply of `body`, a manifest. Json: JSON patch, `body` is the list of its operations."""
    body: Any
    """With its preconditions: uid and resourceVersion in the manifest's metadata, or as `test` operations."""


class Adapter(Protocol):
    """One kind of target."""

    def wants(self, body: Mapping[str, Any], entry: Serving) -> Wants: ...

    def state(self, seen: Seen, entry: Serving, wished: str, since: datetime | None) -> TargetState:
        """The target as the decision needs it; `wished` is the value that names this version (empty while it is not pinned),
        `since` the time the pointer was given to it: what happened to pods before is no evidence against it."""
        ...

    def patches(self, action: Repoint) -> tuple[Patch, ...]:
        """The requests, in order; each leaves a state from which the same action can be taken again."""
        ...

    def addresses(self, seen: Seen, entry: Serving, value: str) -> tuple[str, ...]:
        """Addresses of the ready pods that were told to serve `value`."""
        ...
