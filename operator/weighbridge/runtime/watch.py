"""Hears of changes through kopf, and of nothing else: kopf lists and watches, every event leaves here as a value.

The only module that knows kopf. kopf must not write: it gets low-level event handlers alone, a finalizer name that no object
carries (it removes its own where it finds it unneeded), and no Event posting.

kopf gives up on what it cannot understand (a broken line, an ERROR event, a server that is away for long), and when it ends it
cancels every task of its event loop. So it lives on a loop of its own in a thread of its own, and is started again with a growing
wait.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import kopf

from ..api.base import GROUP
from ..controllers.ports import ClusterError
from . import logs
from .connection import Access
from .kinds import Group, Watched
from .life import Life, across

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
_UNSERVED_WAIT, _OPTIONAL_WAIT = 2.0, 15.0
_PROVEN = 60.0
"""Seconds after which a start counts as a success and the wait begins small again."""


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
        *,
        access: Callable[[], Awaitable[Access]],
        namespaces: tuple[str, ...],
        sink: Callable[[Event], None],
        restarted: Callable[[], None],
        serves: Callable[[str, str], Awaitable[bool]],
        group: Group,
    ) -> None:
        """`sink` is called in the event loop of `run`, in order for each object; `restarted` after kopf gave up;
        `serves` is asked by API version and kind whether the server has it."""
        self._access, self._namespaces, self._sink, self._restarted = access, namespaces, sink, restarted
        self._serves, self._watched, self._optional = serves, group.kinds, group.optional

    async def run(self) -> None:
        """Watches for ever; ends when cancelled."""
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT
        complaints = _Complaints(logging.ERROR)
        logging.getLogger("kopf").addHandler(complaints)
        try:
            while True:
                await self._all_served()
                started = loop.time()
                await self._once(loop)
                self._restarted()
                wait = _FIRST_WAIT if loop.time() - started > _PROVEN else min(_LONGEST_WAIT, wait * 2)
                logs.event(logging.WARNING, "watch restarts", trouble=complaints.last, wait=wait)
                await asyncio.sleep(wait)
        finally:
            logging.getLogger("kopf").removeHandler(complaints)

    async def _all_served(self) -> None:
        """kopf looks once at its start which kinds there are, so it has to start after the last of them came."""
        missing = list(self._watched)
        while missing:
            each = missing[-1]
            level, wait = (logging.DEBUG, _OPTIONAL_WAIT) if self._optional else (logging.WARNING, _UNSERVED_WAIT)
            try:
                served = await self._serves(each.api_version, each.kind)
                text = f"there is no kind {each.kind}"
                text += "" if self._optional else ": install the CRDs (kubectl apply -f crds/)"
            except ClusterError as error:
                served, text = False, error.public
            if served:
                missing.pop()
            else:
                logs.event(level, "watch waits", message=text)
                await asyncio.sleep(wait)

    async def _once(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs one kopf until it gives up."""
        over = asyncio.Event()

        def tell(event: Event) -> None:
            if not over.is_set():
                self._sink(event)

        life = Life(self._operate, tell=lambda event: loop.call_soon_threadsafe(tell, event), end=across(loop, over.set))
        life.start()
        try:
            await over.wait()
        finally:
            over.set()
            life.stop()

    async def _operate(self, tell: Callable[[Event], object], giving_up: Callable[[], None]) -> None:
        await kopf.operator(
            registry=_handlers(self._watched, self._access, tell, giving_up),
            settings=_settings(self._watched),
            standalone=True,
            identity=_IDENTITY,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )


class _Complaints(logging.Handler):
    """Remembers the kind of the last error kopf complained of: its text may hold anything."""

    last = "unknown"

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        if record.exc_info and record.exc_info[0] is not None:
            self.last = record.exc_info[0].__name__


class _NoDifferences(kopf.DiffBaseStorage):
    """What kopf remembers of objects to tell changes: nothing. Otherwise it copies every object that it hears of, which takes half
    of the time of a long list; events do without."""

    def build(self, *, body: kopf.Body, extra_fields: Iterable[Any] | None = None) -> kopf.BodyEssence:  # noqa: ARG002
        """The same for all objects."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Nothing was stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is stored."""


def _handlers(
    watched: tuple[Watched, ...],
    access: Callable[[], Awaitable[Access]],
    tell: Callable[[Event], object],
    giving_up: Callable[[], None],
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.cleanup(registry=registry)
    async def cleanup(**_: Any) -> None:
        giving_up()

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
        names = {"apiVersion": watched_kind.api_version, "kind": watched_kind.kind}
        tell(Event(kind, {**body, **names, "metadata": metadata}))

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
    settings.queueing.exit_timeout = 0.2
    settings.watching.server_timeout = 600
    settings.watching.chunk_size = 200  # some milliseconds to read, in which a rollback waits
    # An object that carries this name loses it to kopf, so nobody may ever use it: it is not the operator's own finalizer.
    settings.persistence.finalizer = f"{GROUP}/never-set"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"never-set.{GROUP}")
    settings.persistence.diffbase_storage = _NoDifferences()
    # kopf would kill the whole process this long after it gave up, although the supervisor has started it again.
    settings.process.ultimate_exiting_timeout = None
    for each in watched:
        if each.labels:
            settings.watching.label_selectors[each.group, each.version, each.plural] = each.labels
    return settings
