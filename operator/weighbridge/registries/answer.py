"""One question to a registry, and what is known about it: the newest outcome, whether it is outdated, who waits for the next.

Must not know how questions are asked.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from ..api.base import Key
from ..api.references import DatasetReference, ModelReference
from ..core.facts import Absent, Fact, Known, ModelSnapshot, Pending
from .backoff import Backoff
from .base import Registry
from .line import Role
from .turns import Lane, Place

Question: TypeAlias = Literal["server"] | ModelReference | DatasetReference

_BETWEEN_HINTS = timedelta(seconds=5)
"""Hints make a question be asked again at most this often."""
_SOON = 60.0
"""Who wants an answer that is younger than these seconds is about to act on it."""


@dataclass
class Answer:
    """What is known about one question."""

    fact: Fact[Any] = field(default_factory=Pending)
    stale: bool = False
    """Known to be outdated, whatever its age."""
    refresh: asyncio.Task[None] | None = None
    place: Place = field(default_factory=lambda: Place(Lane.AGAIN))
    """Where the refresh stands in the queue."""
    askers: set[Key] = field(default_factory=set)
    """To be woken when the refresh is done."""
    backoff: Backoff = field(default_factory=Backoff)
    hinted: datetime | None = None
    """From when on it counts as outdated because the registry said so."""
    followed: datetime | None = None
    """When it was last asked because of a hint."""

    @property
    def idle(self) -> bool:
        """Nothing is on its way."""
        return self.refresh is None

    def is_old(self, now: datetime, max_age: float) -> bool:
        """Whether it has to be asked again. A failure always has."""
        if isinstance(self.fact, Known | Absent):
            return self.stale or self._due(now) or (now - self.fact.at).total_seconds() > max_age
        return True

    def hint(self, now: datetime) -> datetime:
        """The registry says that something has changed; gives the time from which on asking follows it. What is said until then is
        one hint."""
        if self.hinted is None:
            self.hinted = now if self.followed is None else max(now, self.followed + _BETWEEN_HINTS)
        return self.hinted

    def asked(self, now: datetime) -> None:
        """It is going to be asked again: everything said before has had its effect."""
        if self._due(now):
            self.followed = now
        self.stale, self.hinted = False, None

    def _due(self, now: datetime) -> bool:
        return self.hinted is not None and self.hinted <= now


def put(question: Question, registry: Registry) -> Any:
    """Asks the adapter."""
    if isinstance(question, ModelReference):
        return registry.model(question)
    return registry.dataset(question) if isinstance(question, DatasetReference) else registry.server()


def role(question: Question) -> Role:
    """Pre-flight asks with what the workload will have: only what that may read counts."""
    return "operator" if question == "server" else "workload"


def lane(question: Question, fact: Fact[Any], max_age: float) -> Lane:
    """How long it may wait."""
    if question == "server":
        return Lane.FIRST
    return Lane.AGAIN if isinstance(fact, Known | Absent) and max_age > _SOON else Lane.AWAITED


def operation(question: Question) -> str:
    """The word for it in metrics."""
    if isinstance(question, ModelReference):
        return "model"
    return "dataset" if isinstance(question, DatasetReference) else "server"


def names(question: Question, fact: Fact[Any]) -> set[str]:
    """What the registry may call the thing that is asked about, case-folded: as it was asked for, and as it is called now."""
    if isinstance(question, ModelReference):
        found = {question.name, fact.value.pin.name} if isinstance(fact, Known) else {question.name}
    elif isinstance(question, DatasetReference):
        found = {question.path, fact.value.path} if isinstance(fact, Known) else {question.path}
    else:
        found = set()
    return {name.casefold() for name in found}


def version(question: ModelReference, fact: Fact[ModelSnapshot]) -> str | None:
    """The version it is about, as far as that is known."""
    return fact.value.pin.version if isinstance(fact, Known) else question.version or question.revision
