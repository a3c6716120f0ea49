"""Which replica may write: an election by a Lease, and a deadline of our own that ends the right before anybody else can get it.

Times of other machines are never compared with ours: a lease is over when it was not seen to change for its duration, measured by
our monotonic clock. A lease is not a fence, so every write has its own precondition besides. Losing it stops writing and nothing
else: the process lives, its memory stays warm, and it stands again.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..controllers.ports import ClusterError
from . import logs
from .clock import micro_time
from .cluster import Cluster
from .refusal import AlreadyExists, Conflict

_API = ("coordination.k8s.io/v1", "Lease")
_WRITING_PART = 2 / 3
"""Part of the duration in which the holder may write; the rest is for requests on their way and for clocks of unlike speed."""
_TRIES = 7
"""Looks at the Lease per duration."""


class Leader:
    """One candidate. `may_write` is the only question others ask."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        identity: str,
        duration: float,
        now: Callable[[], datetime],
        gained: Callable[[], None],
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cluster` writes without asking for leadership; `duration` in seconds; `gained` is called on each time of winning."""
        self._cluster, self._namespace, self._name, self._identity = cluster, namespace, name, identity
        self._duration, self._now, self._gained, self._clock = duration, now, gained, clock
        self._deadline = float("-inf")
        self._seen: tuple[str, float] = ("", clock())
        """Version of the Lease, and when it was first seen."""
        self._told = False

    def may_write(self) -> bool:
        """Whether this process may write at this very moment."""
        return self._clock() < self._deadline

    def seconds_left(self) -> float:
        """For how long it may write if nothing else happens."""
        return max(0.0, self._deadline - self._clock())

    async def run(self) -> None:
        """Stands for election for ever."""
        while True:
            await self.stand()
            await asyncio.sleep(self._duration / _TRIES)

    async def stand(self) -> None:
        """One look at the Lease: takes it, keeps it, or waits for its end. Trouble is logged, never raised."""
        try:
            async with asyncio.timeout(self._duration / 3):
                await self._stand()
        except (ClusterError, TimeoutError) as error:
            text = error.public if isinstance(error, ClusterError) else "the API server does not answer"
            logs.event(logging.WARNING, "lease not renewed", message=text)
        if self._told and not self.may_write():
            self._told = False
            logs.event(logging.WARNING, "leadership lost", identity=self._identity)

    async def release(self) -> None:
        """Steps down and lets the next one begin at once. Call it after the last write."""
        held, self._deadline = self.may_write(), float("-inf")
        if not held:
            return
        try:
            async with asyncio.timeout(self._duration / 3):
                lease = await self._cluster.get(*_API, self._namespace, self._name)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    await self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except (ClusterError, TimeoutError):
            logs.event(logging.WARNING, "lease not released", message="the next replica waits for its end")

    async def _stand(self) -> None:
        lease = await self._cluster.get(*_API, self._namespace, self._name)
        asked = self._clock()
        if lease is None:
            await self._take(asked, None)
            return
        version, spec = lease["metadata"]["resourceVersion"], lease.get("spec", {})
        if version != self._seen[0]:
            self._seen = (version, asked)
        holder = spec.get("holderIdentity") or ""
        over = asked - self._seen[1] >= spec.get("leaseDurationSeconds", 0)
        if holder != self._identity:
            self._deadline = float("-inf")
        if holder in {"", self._identity} or over:
            await self._take(asked, lease)

    async def _take(self, asked: float, lease: dict[str, Any] | None) -> None:
        now = micro_time(self._now())
        spec = {"holderIdentity": self._identity, "leaseDurationSeconds": round(self._duration), "renewTime": now}
        old = lease.get("spec", {}) if lease is not None else {}
        if old.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": old.get("leaseTransitions", 0) + (1 if lease is not None else 0)}
        try:
            written = await self._write(lease, spec)
        except (AlreadyExists, Conflict):
            # Somebody else was faster; if it was us under another name, the next look tells.
            return
        self._seen = (written["metadata"]["resourceVersion"], asked)
        won = not self.may_write()
        self._deadline = asked + self._duration * _WRITING_PART
        if won:
            self._told = True
            logs.event(logging.INFO, "leadership won", identity=self._identity)
            self._gained()

    async def _write(self, lease: dict[str, Any] | None, spec: dict[str, Any]) -> dict[str, Any]:
        if lease is not None:
            body = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
            return await self._cluster.merge(*_API, self._namespace, self._name, body)
        metadata = {"name": self._name, "namespace": self._namespace}
        return await self._cluster.create({"apiVersion": _API[0], "kind": _API[1], "metadata": metadata, "spec": spec})
