"""One door for everything that tells the operator about an object: events, lists, answers to own writes.

What is news goes to the store, and every object that depends on it is queued. Nothing else may write to the store.
"""

from collections.abc import Mapping
from typing import Any

from ..api.base import API_VERSION, Key, Resource
from ..controllers.ports import Controller
from . import logs
from .queue import Priority, Queue
from .store import STORED, ObjectStore, key_of

_DECISION = "ModelApproval"
Controllers = Mapping[str, Controller[Any, Any]]
"""Controllers by the kind they are for."""


class News:
    """Takes in bodies of objects and wakes whom they concern."""

    def __init__(self, store: ObjectStore, queue: Queue[Key], controllers: Controllers) -> None:
        self._store, self._queue, self._controllers = store, queue, controllers

    def seen(self, body: Mapping[str, Any], priority: Priority) -> None:
        """An object is like this: by an event, a list, or the answer to an own write (which makes who wrote look once more, since
        it decided from the state before). One of a kind that is not stored is always taken for news."""
        if body["kind"] not in STORED:
            self._wake(body, priority)
        elif self._store.put(body):
            self._wake(body, priority)
            self._queue.add(key_of(body), priority)

    def gone(self, body: Mapping[str, Any], priority: Priority) -> None:
        """An object was deleted; its last body."""
        if body["kind"] not in STORED:
            self._wake(body, priority)
        elif self._store.remove(body):
            self._wake(body, priority)
            self._queue.add(key_of(body), priority)

    def missed(self, last: Resource | Key) -> None:
        """An object was found to be gone without an event: its last state, or its key where that could not be read."""
        if isinstance(last, Key):
            self._queue.add(last, Priority.RESYNC)
            return
        body = {"apiVersion": API_VERSION, "kind": last.info.kind, **last.to_json()}
        self._wake(body, Priority.FRESH)
        self._queue.add(last.key, Priority.FRESH)

    def _wake(self, body: Mapping[str, Any], priority: Priority) -> None:
        for controller in self._controllers.values():
            try:
                keys = tuple(controller.affected(body["kind"], body, self._store))
            except Exception:
                # A strange body of a foreign object must not stop what all objects depend on; the next sweep looks at them anyway.
                logs.LOG.exception("unexpected error", extra={"fields": {"kind": body["kind"]}})
                continue
            for key in keys:
                self._queue.add(key, self._raised(controller, body["kind"], key, priority))

    def _raised(self, controller: Controller[Any, Any], kind: str, key: Key, priority: Priority) -> Priority:
        """Many versions may claim what has changed; the one that it serves must not wait for the others. A person's decision waits
        for nobody."""
        if priority is Priority.FRESH and kind == _DECISION:
            return Priority.URGENT
        content = self._store.get(key) if priority is Priority.FRESH else None
        return Priority.URGENT if isinstance(content, Resource) and controller.urgent(content) else priority


def group_of(store: ObjectStore, controllers: Controllers, key: Key) -> str:
    """The serialisation group of a key: its controller's word, or the key itself where the object cannot be read."""
    content = store.get(key)
    return controllers[key.kind].group(content, store) if isinstance(content, Resource) and key.kind in controllers else str(key)
