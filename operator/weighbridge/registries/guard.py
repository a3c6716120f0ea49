"""All registries behind one front that never waits, never lets one registry's trouble reach another, and never asks more often than
needed. Implements `controllers.ports.Registries`.

Answers are remembered per ModelRegistry object and generation; who asks gets the newest outcome at once and is woken by a newer
one. Failures are outcomes too. Must not decide anything about them, and must not print credentials or what an exception says. All
methods belong to the event loop's thread.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from ..api.base import Key, seconds
from ..api.modelregistry import ModelRegistry
from ..api.references import DatasetPin, DatasetReference, ModelReference
from ..core.facts import Fact, Failed, ModelSnapshot, ServerInfo, WriteOrder
from .addresses import Network
from .base import REQUESTS_PER_QUESTION, Registry, RegistryFailed
from .bulkhead import Bulkhead
from .connections import connect as connect_by_spec
from .credentials import Credentials
from .line import Line, Role
from .rate import NORMAL, Limit

Secrets: TypeAlias = Callable[[str, str], Awaitable[Mapping[str, str] | None]]
"""Reads a Secret by namespace and name; None where there is none."""
Connect: TypeAlias = Callable[[ModelRegistry, Credentials | None, tuple[Network, ...], Callable[[], bool]], Registry]

Observer: TypeAlias = Callable[[str, str, str, float], None]
"""Told of every call: kind of registry, operation, outcome (`Known` or the reason), seconds."""

_SECRET_AGE = timedelta(seconds=30)
_UNUSED = timedelta(hours=1)
_GRACE = 5.0
"""Seconds a call gets on top of what its requests may take, so that the adapter's own, more telling time-out comes first."""

logger = logging.getLogger(__name__)


@dataclass
class _Kept:
    uid: str
    generation: int
    bulkhead: Bulkhead
    used: datetime


class GuardedRegistries:
    """Questions and writes to all registries."""

    def __init__(
        self,
        secrets: Secrets,
        wake: Callable[[Key], None],
        now: Callable[[], datetime],
        *,
        allow: tuple[Network, ...] = (),
        observe: Callable[[str, str, str, float], None] = lambda *_: None,
        may_write: Callable[[], bool] = lambda: True,
        connect: Connect = connect_by_spec,
        limit: Limit = NORMAL,
    ) -> None:
        """`allow`: networks whose addresses would else be refused. `observe` is told of every call (kind of the registry,
        operation, outcome, seconds). `may_write` is asked right before every write. `connect` makes an adapter; it runs in a
        thread. `limit` is each registry's."""
        self._read_secret, self._wake, self._now = secrets, wake, now
        self._allow, self._observe, self._may_write, self._connect = allow, observe, may_write, connect
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._secrets: dict[tuple[str, str], tuple[datetime, Credentials]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def server(self, registry: ModelRegistry, asker: Key, max_age: float) -> Fact[ServerInfo]:
        """Whether the server answers and takes the operator's credentials."""
        return self._bulkhead(registry).ask("server", asker, max_age)

    def model(self, registry: ModelRegistry, ref: ModelReference, asker: Key, max_age: float) -> Fact[ModelSnapshot]:
        """A model version down to its files, as the workload's credentials see it."""
        return self._bulkhead(registry).ask(ref, asker, max_age)

    def dataset(self, registry: ModelRegistry, ref: DatasetReference, asker: Key, max_age: float) -> Fact[DatasetPin]:
        """A dataset down to its files, as the workload's credentials see it."""
        return self._bulkhead(registry).ask(ref, asker, max_age)

    def write(self, registry: ModelRegistry, order: WriteOrder, asker: Key) -> None:
        """Brings a version's entry to the order, with the operator's credentials, in the background; the end wakes `asker`, who
        finds it in `model` and `last_write`. Repeating an order is cheap and, after a failure, does nothing before its
        `retry_after`."""
        self._bulkhead(registry).write(order, asker)

    def last_write(self, registry: ModelRegistry, asker: Key) -> Failed | None:
        """The failure of the asker's latest write order."""
        return self._bulkhead(registry).last_write(asker)

    def hint(self, registry: ModelRegistry, names: frozenset[str] | None) -> float:
        """The registry says that something has changed about models and datasets of these names; None: it does not say about what.
        Sends nothing: who asks after the returned seconds gets a newer answer than those of now. Hints for one question make it
        be asked at most once in five seconds, however many come."""
        kept = self._kept.get((registry.metadata.namespace, registry.metadata.name))
        return kept.bulkhead.hint(names) if kept is not None and kept.uid == registry.metadata.uid else 0.0

    async def close(self) -> None:
        """Gives up everything that is on its way."""
        for name in list(self._kept):
            self._drop(name)
        await asyncio.gather(*self._closing)

    def _bulkhead(self, registry: ModelRegistry) -> Bulkhead:
        meta, now = registry.metadata, self._now()
        name = (meta.namespace, meta.name)
        kept = self._kept.get(name)
        if kept is not None and (kept.uid != meta.uid or kept.generation < meta.generation):
            self._drop(name)
            kept = None
        if kept is None:
            kept = self._kept[name] = _Kept(meta.uid, meta.generation, self._open(registry), now)
        kept.used = now
        self._kept.move_to_end(name)
        oldest = next(iter(self._kept))
        if now - self._kept[oldest].used > _UNUSED and self._kept[oldest].bulkhead.idle:
            self._drop(oldest)
        return kept.bulkhead

    def _open(self, registry: ModelRegistry) -> Bulkhead:
        async def credentials(role: Role) -> Credentials | None:
            spec = registry.spec
            ref = (role == "workload" and spec.workload_credentials_secret_ref) or spec.credentials_secret_ref
            return await self._credentials(registry.metadata.namespace, ref.name) if ref else None

        line = Line(
            credentials,
            lambda found: self._connect(registry, found, self._allow, self._may_write),
            self._now,
            partial(self._observe, registry.spec.kind),
            deadline=seconds(registry.spec.request_timeout) * REQUESTS_PER_QUESTION + _GRACE,
            limit=self._limit,
        )
        return Bulkhead(line, self._wake, self._now)

    def _drop(self, name: tuple[str, str]) -> None:
        task = asyncio.get_running_loop().create_task(self._kept.pop(name).bulkhead.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _credentials(self, namespace: str, name: str) -> Credentials:
        now = self._now()
        self._secrets = {key: entry for key, entry in self._secrets.items() if now - entry[0] <= _SECRET_AGE}
        if (namespace, name) not in self._secrets:
            self._secrets[namespace, name] = (now, await self._secret(namespace, name))
        return self._secrets[namespace, name][1]

    async def _secret(self, namespace: str, name: str) -> Credentials:
        try:
            values = await self._read_secret(namespace, name)
        except Exception as error:
            logger.debug("Secret %s/%s cannot be read", namespace, name, exc_info=error)
            raise RegistryFailed(
                "SecretUnavailable",
                f"the Secret {name} cannot be read at the moment; the operator needs the right to get it, and an API server that "
                "answers",
            ) from error
        if values is None:
            raise RegistryFailed(
                "SecretNotFound", f"there is no Secret {name} in this namespace; create it with the credentials for the registry"
            )
        return Credentials(values)
