"""One life of a watcher that ends badly: a thread with an event loop that nobody else uses, closed with everything in it.

kopf cancels every task of its loop when it ends, takes seconds over it, and its watchers can swallow a cancellation; here none of
that reaches the rest of the process. This module knows threads and loops, and nothing of what is watched.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

import uvloop

from . import logs

_BURIALS, _BURIAL_SECONDS = 20, 0.5

Tell: TypeAlias = Callable[[Any], object]
Operate: TypeAlias = Callable[[Tell, Callable[[], None]], Coroutine[Any, Any, None]]
"""Runs until it gives up; is given where to tell what it hears, and what to call as soon as it knows that it gives up."""


class Life(threading.Thread):
    """One life of kopf, with an event loop that nobody else uses. A daemon: the process may end before it."""

    def __init__(self, operate: Operate, tell: Tell, end: Callable[[], None]) -> None:
        super().__init__(name="kopf", daemon=True)
        self._operate, self._tell, self._end = operate, tell, end
        self._stop: Callable[[], None] = lambda: None
        self._stopped = False

    def run(self) -> None:
        """The thread's work."""
        loop = uvloop.new_event_loop()
        # kopf leaves callbacks behind that fail when their task is gone.
        loop.set_exception_handler(lambda _loop, context: logs.LOG.debug("kopf left behind: %s", context.get("message")))
        try:
            loop.run_until_complete(self._main())
        finally:
            loop.close()
            self._end()

    async def _main(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        self._stop = across(loop, over.set)
        if self._stopped:  # told so before it could listen
            return
        waiting = loop.create_task(over.wait())
        kopf_task = loop.create_task(self._operate(self._tell, over.set))
        await asyncio.wait({waiting, kopf_task}, return_when=asyncio.FIRST_COMPLETED)
        # kopf takes seconds to put itself away; the next life need not wait for that.
        self._end()
        # Its watchers can swallow a cancellation and would go on watching for ever, with nobody to listen.
        for _ in range(_BURIALS):
            alive = asyncio.all_tasks() - {asyncio.current_task()}
            if not alive:
                break
            for task in alive:
                task.cancel()
            await asyncio.wait(alive, timeout=_BURIAL_SECONDS)
        if kopf_task.done() and not kopf_task.cancelled():
            logs.LOG.debug("kopf ended", exc_info=kopf_task.exception())

    def stop(self) -> None:
        """Tells it to end."""
        self._stopped = True
        self._stop()


def across(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> Callable[[], None]:
    """The call, to be made in the loop from any thread; nothing where the loop is closed, for then nobody waits for it."""

    def made() -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

    return made
