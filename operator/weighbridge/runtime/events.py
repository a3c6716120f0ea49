"""Kubernetes Events about conditions: told once, when a condition changes. Best effort: an Event that cannot be written is lost,
and nothing waits for it: passes of a namespace wait for each other, and a rollback may be next.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from ..api.base import API_VERSION, Condition, Resource
from ..controllers.ports import ClusterError
from . import logs
from .clock import micro_time
from .cluster import Cluster

_PATIENCE = 2.0
_MOST_WAITING = 2000
_SILENT = frozenset({"Reconciling"})
"""Says nothing that another condition does not say better."""
_BAD_WHEN_TRUE = frozenset({"Stalled", "FallbackUsed"})
_ON_THE_WAY = frozenset(
    {
        *(
            "Checking",
            "Creating",
            "EvaluationPending",
            "EvaluationRunning",
            "NoClaim",
            "NotEligible",
            "NotResolved",
            "NotValidated",
        ),
        *(
            "Outranked",
            "Progressing",
            "Repointing",
            "Running",
            "Scheduled",
            "Superseded",
            "Suspended",
            "Queued",
            "Deleting",
            "Electing",
            "NoStandby",
            "ApprovalRequired",
            "NotEvaluated",
            "NotObserved",
        ),
    }
)
"""Reasons of a condition that is false without anything being wrong."""


class Recorder:
    """Writes Events under this process' name."""

    def __init__(self, cluster: Cluster, instance: str, now: Callable[[], datetime]) -> None:
        self._cluster, self._instance, self._now = cluster, instance, now
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MOST_WAITING)

    def record(self, resource: Resource, before: Any, after: Any) -> None:
        """Tells of every condition that differs between the two statuses of the resource: what a person should be warned of in the
        log too, which is not lost with an Event."""
        for condition in transitions(before.conditions, after.conditions):
            if _is_bad(condition):
                fields = {
                    "key": str(resource.key),
                    "condition": condition.type,
                    "reason": condition.reason,
                    "message": condition.message,
                }
                logs.event(logging.WARNING, "condition", **fields)
            with suppress(asyncio.QueueFull):
                self._waiting.put_nowait(self._event(resource, condition))

    async def run(self) -> None:
        """Writes what is recorded, one after the other, for ever."""
        while True:
            await self._write(await self._waiting.get())

    async def write_all(self) -> None:
        """Writes what is recorded so far."""
        while not self._waiting.empty():
            await self._write(self._waiting.get_nowait())

    async def _write(self, event: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._cluster.create(event)
        except (ClusterError, TimeoutError):
            logs.event(logging.DEBUG, "event not recorded", about=event["regarding"]["name"])

    def _event(self, resource: Resource, condition: Condition) -> dict[str, Any]:
        at = micro_time(self._now())
        meta = resource.metadata
        unique = hashlib.sha256(f"{meta.uid} {condition.type} {condition.reason} {at}".encode()).hexdigest()[:16]
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{meta.name[:230]}.{unique}", "namespace": meta.namespace},
            "eventTime": at,
            "reportingController": "weighbridge.dev/operator",
            "reportingInstance": self._instance[:128],
            "action": condition.type,
            "reason": condition.reason,
            "note": condition.message or condition.reason,
            "type": "Warning" if _is_bad(condition) else "Normal",
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": resource.info.kind,
                "namespace": meta.namespace,
                "name": meta.name,
                "uid": meta.uid,
            },
        }


def transitions(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> Iterator[Condition]:
    """Conditions whose status or reason changed; of several that say the same, the first."""
    known = {condition.type: (condition.status, condition.reason) for condition in before}
    told = set()
    for condition in after:
        changed = known.get(condition.type) != (condition.status, condition.reason)
        words = (condition.reason, condition.message)
        if changed and condition.type not in _SILENT and words not in told:
            told.add(words)
            yield condition


def _is_bad(condition: Condition) -> bool:
    """Whether a person should be warned of it."""
    if condition.type in _BAD_WHEN_TRUE:
        return condition.status == "True"
    return condition.status == "False" and condition.reason not in _ON_THE_WAY
