"""Keeps what pods answered to probes, and asks again in the background. Implements `controllers.ports.Probes`.

A pod that hangs takes seconds to give up on, and passes of one namespace wait for each other: nobody waits here, so that a rollback
beside it is not held up. It must not judge an answer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..api.base import Key
from ..api.serving import Probe, TargetRef
from ..core.facts import ProbeOutcome
from . import logs

_AGAIN = 1.5
"""Seconds after which an answer that is not all right is asked for again; a rollout under way is looked at every two."""
_UNUSED = 3600.0


class Prober(Protocol):
    """Asks pods the probe's question, all at once, bounded in time and size."""

    async def __call__(self, addresses: tuple[str, ...], probe: Probe) -> ProbeOutcome: ...


@dataclass
class _Asked:
    addresses: tuple[str, ...]
    probe: Probe
    since: datetime | None
    outcome: ProbeOutcome | None = None
    at: float | None = None
    """When it was asked last: right answers of slow pods are as old as the question."""
    used: float = 0.0
    task: "asyncio.Task[None] | None" = None

    def about(self, probe: Probe, since: datetime | None) -> bool:
        """Whether it is the same question, perhaps to other pods."""
        return self.probe == probe and self.since == since


class BackgroundProbes:
    """All probes of one process. All methods belong to the event loop's thread."""

    def __init__(self, prober: Prober, wake: Callable[[Key], None], clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._prober, self._wake, self._clock = prober, wake, clock
        self._asked: OrderedDict[tuple[Key, TargetRef], _Asked] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(
        self,
        asker: Key,
        target: TargetRef,
        addresses: tuple[str, ...],
        probe: Probe,
        *,
        since: datetime | None,
        period: float,
        keep: bool,
    ) -> ProbeOutcome | None:
        """See `controllers.ports.Probes`."""
        now = self._clock()
        self._drop_unused(now)
        known = self._asked.get((asker, target))
        if known is None or not known.about(probe, since) or known.addresses != addresses:
            asked = _Asked(addresses, probe, since)
            if known is not None:
                if keep and known.about(probe, since):
                    asked.outcome = known.outcome
                if known.task is not None:
                    known.task.cancel()
            known = self._asked[asker, target] = asked
        known.used = now
        self._asked.move_to_end((asker, target))
        if known.task is None and _is_due(known, period, now):
            known.at = now
            known.task = asyncio.get_running_loop().create_task(self._put(asker, known))
            self._tasks.add(known.task)
            known.task.add_done_callback(self._tasks.discard)
        return known.outcome

    async def close(self) -> None:
        """Gives up everything that is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _put(self, asker: Key, asked: _Asked) -> None:
        before = asked.outcome
        try:
            asked.outcome = await self._prober(asked.addresses, asked.probe)
        except Exception:
            # The last outcome stays what is known; the next pass asks again.
            logs.LOG.exception("unexpected error", extra={"fields": {"key": str(asker)}})
            return
        finally:
            asked.task = None
        if asked.outcome != before:
            self._wake(asker)

    def _drop_unused(self, now: float) -> None:
        while self._asked:
            oldest = next(iter(self._asked.values()))
            if oldest.task is not None or now - oldest.used <= _UNUSED:
                return
            self._asked.popitem(last=False)


def _is_due(asked: _Asked, period: float, now: float) -> bool:
    if asked.outcome is None or asked.at is None:
        return True
    well = asked.outcome.asked > 0 and asked.outcome.passed == asked.outcome.asked
    return now - asked.at >= (period if well else min(period, _AGAIN))
