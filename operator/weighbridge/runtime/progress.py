"""Keeps what running evaluations said of how far they are, and asks again in the background: `controllers.ports.ProgressOf`.

Nobody waits here, and a pod that cannot be reached is no error: then nothing is known. It goes to the address of the pod and
nowhere else.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..api.base import Key
from ..core.evaluationfacts import Heard
from ..core.progress import SELDOM
from ..evaluation.manifest import PORT
from ..evaluation.progress import MAX_BYTES, PATH, read_progress
from . import logs

_KEPT = 1000
"""Pods that are remembered; a pod that was forgotten is only asked anew."""


class Fetch(Protocol):
    """One GET: the start of the body, None where there is no answer with status 200."""

    async def __call__(self, address: str, port: int, path: str, most: int) -> bytes | None: ...


@dataclass
class _Pod:
    at: float
    """When it was asked last."""
    heard: Heard | None = None
    task: "asyncio.Task[None] | None" = None


class BackgroundProgress:
    """All questions of one process. All methods belong to the event loop's thread."""

    def __init__(self, fetch: Fetch, wake: Callable[[Key], None], clock: Callable[[], float], port: int = PORT) -> None:
        """`clock` gives seconds."""
        self._fetch, self._wake, self._clock, self._port = fetch, wake, clock, port
        self._pods: OrderedDict[str, _Pod] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, asker: Key, pod: str, address: str) -> Heard | None:
        """See `controllers.ports.ProgressOf`."""
        now = self._clock()
        known = self._pods.get(pod)
        if known is None:
            known = self._pods[pod] = _Pod(now - SELDOM)
            while len(self._pods) > _KEPT:
                self._pods.popitem(last=False)
        self._pods.move_to_end(pod)
        if known.task is None and now - known.at >= SELDOM:
            known.at = now
            known.task = asyncio.get_running_loop().create_task(self._put(asker, known, address))
            self._tasks.add(known.task)
            known.task.add_done_callback(self._tasks.discard)
        return known.heard

    async def close(self) -> None:
        """Gives up everything that is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _put(self, asker: Key, pod: _Pod, address: str) -> None:
        before = pod.heard
        try:
            body = await self._fetch(address, self._port, PATH, MAX_BYTES + 1)
            pod.heard = None if body is None else read_progress(body)
        except Exception:
            logs.LOG.exception("unexpected error", extra={"fields": {"key": str(asker)}})
            return
        finally:
            pod.task = None
        if pod.heard is not None and pod.heard != before:
            self._wake(asker)
