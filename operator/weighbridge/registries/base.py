"""The protocol of a registry adapter and its two kinds of trouble: a definite no, and not being able to tell.

Adapters are synchronous and simple; threads, deadlines, back-off, sharing and waking are the guard's business. Error text is
written here, by the producer, for people; the cause stays chained and private.
"""

from typing import Protocol

from ..api.references import DatasetPin, DatasetReference, ModelReference
from ..core.facts import ModelSnapshot, ServerInfo, WriteOrder

REQUESTS_PER_QUESTION = 6
"""A question or a write may take this many times the limit of one request."""


class RegistryAbsent(Exception):
    """A definite no. `reason` is one of those in `core/layers.py`, which knows what each says of a model or dataset."""

    def __init__(self, reason: str, public: str) -> None:
        super().__init__(public)
        self.reason, self.public = reason, public


class RegistryFailed(Exception):
    """It could not be told. `reason` is one of RegistryUnavailable, RateLimited, Unauthorized, RegistryMisconfigured, …;
    `retry_after` in seconds where the registry said so."""

    def __init__(self, reason: str, public: str, retry_after: float | None = None) -> None:
        super().__init__(public)
        self.reason, self.public, self.retry_after = reason, public, retry_after


class EntryFailed(RegistryFailed):
    """It could not be told of one entry, because of what the registry says of that very one: others are not held back for it."""


class Registry(Protocol):
    """One connection to one registry, with one set of credentials."""

    def server(self) -> ServerInfo:
        """Proves that the server answers and takes the credentials."""
        ...

    def model(self, ref: ModelReference) -> ModelSnapshot:
        """Resolves and pins, down to the artifact's files."""
        ...

    def dataset(self, ref: DatasetReference) -> DatasetPin:
        """Resolves and pins, down to the dataset's files."""
        ...

    def write(self, order: WriteOrder) -> None:
        """Writes what differs from the order, nothing else, and reads it back. RegistryFailed(WriteNotKept) where the
        read-back shows something else."""
        ...

    def close(self) -> None: ...
