"""Hears of changes through kopf, and of nothing else: kopf lists and watches, every event leaves here as a value.

The only module that knows kopf. kopf must not write: it gets low-level event handlers alone, a finalizer name that no object
carries (it removes its own where it finds it unneeded), and no Event posting.

kopf gives up on what it cannot understand (a broken line, an ERROR event, a server that is away for long), and when it ends it
cancels every task of its event loop. So it lives on a loop of its own in a thread of its own, and is started again with a growing
wait.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import kopf
import uvloop

from ..api import KINDS
from ..api.base import GROUP, VERSION
from . import logs
from .connection import Access

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 30.0
_STOP_SECONDS = 2.0
_PROVEN = 60.0
"""Seconds after which a start counts as a success and the wait begins small again."""


@dataclass(frozen=True)
class Watched:
    """One kind of object to hear of."""

    group: str
    version: str
    plural: str
    kind: str
    labels: str = ""
    """Label selector, applied by the server."""


WATCHED = (
    *(Watched(GROUP, VERSION, kind.info.plural, kind.info.kind) for kind in KINDS),
    Watched("batch", "v1", "jobs", "Job", "app.kubernetes.io/managed-by=weighbridge"),
    Watched("apps", "v1", "deployments", "Deployment"),
)
"""Everything that is watched. Another kind of serving target is one more line (and a rule in the operator's role)."""

_IDENTITY: Any = "weighbridge"
"""Without one kopf looks up the user's name, which a container's numeric user does not have."""

EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"] | None


@dataclass(frozen=True)
class Event:
    """Something was heard of an object. Type None: it was listed, which also says that deletions may have been missed."""

    type: EventType
    body: Mapping[str, Any]


class Watch:
    """Keeps a kopf running."""

    def __init__(
        self,
        access: Callable[[], Awaitable[Access]],
        namespaces: tuple[str, ...],
        sink: Callable[[Event], None],
        restarted: Callable[[], None],
        watched: tuple[Watched, ...] = WATCHED,
    ) -> None:
        """`sink` is called in the event loop of `run`, in order for each object; `restarted` after kopf gave up."""
        self._access, self._namespaces, self._sink, self._restarted = access, namespaces, sink, restarted
        self._watched = watched

    async def run(self) -> None:
        """Watches for ever; ends when cancelled."""
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT
        while True:
            started = loop.time()
            trouble = await self._once(loop)
            self._restarted()
            wait = _FIRST_WAIT if loop.time() - started > _PROVEN else min(_LONGEST_WAIT, wait * 2)
            logs.event(logging.WARNING, "watch restarts", trouble=trouble, wait=wait)
            await asyncio.sleep(wait)

    async def _once(self, loop: asyncio.AbstractEventLoop) -> str:
        """Runs one kopf to its end and returns the name of what ended it."""
        ended: asyncio.Future[str] = loop.create_future()
        own = _Thread(
            self._operate,
            sink=lambda event: loop.call_soon_threadsafe(self._sink, event),
            end=lambda trouble: loop.call_soon_threadsafe(_settle, ended, trouble),
        )
        own.start()
        try:
            return await asyncio.shield(ended)
        finally:
            own.stop()
            await asyncio.wait({ended}, timeout=_STOP_SECONDS)

    async def _operate(self, stop: asyncio.Event, sink: Callable[[Event], None]) -> None:
        await kopf.operator(
            registry=_handlers(self._watched, self._access, sink),
            settings=_settings(self._watched),
            standalone=True,
            identity=_IDENTITY,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop,
        )


class _Thread(threading.Thread):
    """One life of kopf, with an event loop that nobody else uses. A daemon: the process may end without it."""

    def __init__(
        self,
        operate: Callable[[asyncio.Event, Callable[[Event], None]], Awaitable[None]],
        sink: Callable[[Event], object],
        end: Callable[[str], object],
    ) -> None:
        super().__init__(name="kopf", daemon=True)
        self._operate, self._sink, self._end = operate, sink, end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_flag: asyncio.Event | None = None
        self._stopped = False

    def run(self) -> None:
        """The thread's work."""
        trouble = "it ended"
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except Exception as error:
            trouble = type(error).__name__
            logs.LOG.debug("watch ended", exc_info=error)
        with suppress(RuntimeError):  # nobody waits any more: the loop of the process is closed
            self._end(trouble)

    async def _main(self) -> None:
        self._loop, self._stop_flag = asyncio.get_running_loop(), asyncio.Event()
        if not self._stopped:
            await self._operate(self._stop_flag, self._hand_over)

    def _hand_over(self, event: Event) -> None:
        if not self._stopped:
            self._sink(event)

    def stop(self) -> None:
        """Tells it to end. Nothing is handed over any more."""
        self._stopped = True
        if self._loop is not None and self._stop_flag is not None:
            with suppress(RuntimeError):  # its loop is closed already
                self._loop.call_soon_threadsafe(self._stop_flag.set)


def _settle(future: "asyncio.Future[str]", result: str) -> None:
    if not future.done():
        future.set_result(result)


def _handlers(
    watched: tuple[Watched, ...], access: Callable[[], Awaitable[Access]], sink: Callable[[Event], None]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, errors=kopf.ErrorsMode.PERMANENT)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return _connection(await access())

    async def hear(*, event: kopf.RawEvent, param: Any = None, **_: Any) -> None:
        watched_kind: Watched = param
        kind = event["type"]
        if kind == "BOOKMARK":
            return
        body: Mapping[str, Any] = event["object"]
        metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
        # Lists of built-in kinds come without these two in their items.
        names = {"apiVersion": f"{watched_kind.group}/{watched_kind.version}", "kind": watched_kind.kind}
        sink(Event(kind, {**body, **names, "metadata": metadata}))

    for each in watched:
        kopf.on.event(each.group, each.version, each.plural, registry=registry, id=each.plural, param=each)(hear)
    return registry


def _connection(access: Access) -> kopf.ConnectionInfo:
    scheme, _, token = access.authorization.partition(" ")
    return kopf.ConnectionInfo(
        server=access.server,
        ca_path=access.ca_file,
        insecure=not access.verify,
        scheme=scheme or None,
        token=token or None,
        certificate_path=access.certificate_file,
        private_key_path=access.key_file,
        proxy_url=access.proxy,
    )


def _settings(watched: tuple[Watched, ...]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = (0.5, 1, 2)
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = 600
    settings.watching.chunk_size = 500
    # An object that carries this name loses it to kopf, so nobody may ever use it: it is not the operator's own finalizer.
    settings.persistence.finalizer = f"{GROUP}/never-set"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"never-set.{GROUP}")
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"never-set.{GROUP}")
    # kopf would kill the whole process this long after it gave up, although the supervisor has started it again.
    settings.process.ultimate_exiting_timeout = None
    for each in watched:
        if each.labels:
            settings.watching.label_selectors[each.group, each.version, each.plural] = each.labels
    return settings
