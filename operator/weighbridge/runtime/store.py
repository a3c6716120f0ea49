"""The operator's own memory of the kinds: parsed, each with the version it was read at.

Filled by lists, watch events and the answers to own writes, in any order; the newer version wins, and a deletion wins over every
version of the same object. It must not talk to anything and decides nothing.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from ..api import KINDS, EvaluationJob, ModelApproval, ModelRegistry, ModelVersion
from ..api.base import GROUP, Key, Resource
from ..core.stages import named_targets

STORED: Mapping[str, type[Resource]] = {kind.info.kind: kind for kind in KINDS}
"""The kinds that are remembered, by name."""
_REMEMBERED_DELETIONS = 10_000
"""A late answer to an own write comes within seconds; this many deletions do not happen meanwhile."""
_NAMED_FIELDS = 5
_VERSION = f"{GROUP}/ModelVersion"
"""What stands where the kind of a target does, for the version that a ModelApproval names; no kind is called that."""
T = TypeVar("T", bound=Resource)
_Target = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True)
class Unreadable:
    """An object that the models do not take: written by a newer operator, or under an older CRD."""

    generation: int
    resource_version: str
    message: str
    """Which fields are wrong, without their values."""
    status: Mapping[str, Any]
    """As stored."""


@dataclass(frozen=True)
class _Entry:
    uid: str
    version: int
    content: Resource | Unreadable


class ObjectStore:
    """Implements `controllers.ports.Store`."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, dict[str, _Entry]]] = {kind: {} for kind in STORED}
        self._sorted: dict[tuple[str, str], tuple[Resource, ...]] = {}
        """Readable objects by kind and namespace, as far as they were asked for since the last change there."""
        self._claimants: dict[tuple[str, str, str], set[str]] = {}
        """Names of ModelVersions by the namespace, kind and name of what their serving entries name, and of ModelApprovals by the
        version they name."""
        self._ties: dict[str, dict[_Target, _Target]] = {}
        """By namespace and target: which target stands for it and all that are tied to it, as far as it was asked for."""
        self._deleted: OrderedDict[str, None] = OrderedDict()

    def registry(self, namespace: str, name: str) -> ModelRegistry | None:
        """The readable ModelRegistry of that name."""
        return _only(ModelRegistry, self._content(Key("ModelRegistry", namespace, name)))

    def evaluation(self, namespace: str, name: str) -> EvaluationJob | None:
        """The readable EvaluationJob of that name."""
        return _only(EvaluationJob, self._content(Key("EvaluationJob", namespace, name)))

    def version(self, namespace: str, name: str) -> ModelVersion | None:
        """The readable ModelVersion of that name."""
        return _only(ModelVersion, self._content(Key("ModelVersion", namespace, name)))

    def approvals(self, namespace: str, version: str) -> tuple[ModelApproval, ...]:
        """The readable ModelApprovals that name this ModelVersion."""
        names = sorted(self._claimants.get((namespace, _VERSION, version), ()))
        found = (_only(ModelApproval, self._content(Key("ModelApproval", namespace, each))) for each in names)
        return tuple(each for each in found if each is not None)

    def versions(self, namespace: str) -> tuple[ModelVersion, ...]:
        """The readable ModelVersions of a namespace."""
        return self._all(ModelVersion, namespace)

    def claimants(self, namespace: str, kind: str, name: str) -> tuple[ModelVersion, ...]:
        """The readable ModelVersions whose serving entries name this object."""
        names = sorted(self._claimants.get((namespace, kind, name), ()))
        found = (_only(ModelVersion, self._content(Key("ModelVersion", namespace, each))) for each in names)
        return tuple(each for each in found if each is not None)

    def tied(self, namespace: str, kind: str, name: str) -> _Target:
        """The least of the targets that this one is tied to: by a version that names both, or over others."""
        ties = self._ties.setdefault(namespace, {})
        if (kind, name) not in ties:
            found = {(kind, name)}
            todo = list(found)
            while todo:
                target = todo.pop()
                named = (named_targets(version) for version in self.claimants(namespace, *target))
                # Found as well are versions whose pointer lives in a ConfigMap of this name: it is no target of theirs.
                more = {other for targets in named if target in targets for other in targets} - found
                found |= more
                todo += more
            ties |= dict.fromkeys(found, min(found))
        return ties[kind, name]

    def evaluations(self, namespace: str) -> tuple[EvaluationJob, ...]:
        """The readable EvaluationJobs of a namespace."""
        return self._all(EvaluationJob, namespace)

    def get(self, key: Key) -> Resource | Unreadable | None:
        """What is known under the key."""
        return self._content(key)

    def known(self) -> Iterator[Key]:
        """Everything that is known, readable or not."""
        for kind, namespaces in self._kinds.items():
            for namespace, names in namespaces.items():
                for name in names:
                    yield Key(kind, namespace, name)

    def resources(self) -> Iterator[Resource]:
        """Every readable object. May be read in any thread: what changes meanwhile is seen or not."""
        for namespaces in self._kinds.values():
            for names in tuple(namespaces.values()):
                for entry in tuple(names.values()):
                    if isinstance(entry.content, Resource):
                        yield entry.content

    def put(self, body: Mapping[str, Any]) -> bool:
        """Takes an object in; True where that was news. Bodies of other kinds are a KeyError."""
        metadata = body["metadata"]
        key, uid, version = key_of(body), metadata["uid"], int(metadata["resourceVersion"])
        if uid in self._deleted:
            return False
        names = self._kinds[key.kind].setdefault(key.namespace, {})
        known = names.get(key.name)
        if known is not None and known.version >= version:
            return False
        names[key.name] = entry = _Entry(uid, version, _parse(STORED[key.kind], body))
        self._changed(key, known, entry)
        return True

    def remove(self, body: Mapping[str, Any]) -> bool:
        """Forgets a deleted object (its last body is given) for good; True where it was known."""
        metadata = body["metadata"]
        return self._forget(key_of(body), metadata["uid"], int(metadata["resourceVersion"]))

    def sweep(self, kind: str, listed: Iterable[str], list_version: int, namespace: str | None) -> tuple[Resource | Key, ...]:
        """Forgets what a complete list (of this namespace; None: of all) no longer holds, and returns it: the last state where it
        could be read. What is newer than the list was created after it and stays."""
        uids = set(listed)
        gone = [
            (Key(kind, place, name), entry)
            for place, names in self._kinds[kind].items()
            if namespace in {None, place}
            for name, entry in names.items()
            if entry.uid not in uids and entry.version <= list_version
        ]
        for key, entry in gone:
            self._forget(key, entry.uid, entry.version)
        return tuple(entry.content if isinstance(entry.content, Resource) else key for key, entry in gone)

    def _forget(self, key: Key, uid: str, version: int) -> bool:
        self._deleted[uid] = None
        while len(self._deleted) > _REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        names = self._kinds[key.kind].get(key.namespace, {})
        known = names.get(key.name)
        if known is None or (known.uid != uid and known.version > version):
            return False
        del names[key.name]
        if not names:
            self._kinds[key.kind].pop(key.namespace, None)
        self._changed(key, known, None)
        return True

    def _changed(self, key: Key, before: _Entry | None, after: _Entry | None) -> None:
        self._sorted.pop((key.kind, key.namespace), None)
        self._retie(key.namespace, _targets(before), _targets(after))
        old, new = _named(before), _named(after)
        for each in old - new:
            names = self._claimants[(key.namespace, *each)]
            names.discard(key.name)
            if not names:
                del self._claimants[(key.namespace, *each)]
                self._ties.pop(key.namespace, None)
        for each in new - old:
            self._claimants.setdefault((key.namespace, *each), set()).add(key.name)

    def _retie(self, namespace: str, old: frozenset[_Target], new: frozenset[_Target]) -> None:
        """Forgets the ties of a namespace where they may change. One more version of the same targets must not: each of many that
        arrive asks for its group at once, and would walk over all before it."""
        ties = self._ties.get(namespace, {})
        loosened = len(old) > 1 and old - new
        tightened = len({ties.get(target) for target in new}) > 1
        if loosened or tightened:
            self._ties.pop(namespace, None)

    def _content(self, key: Key) -> Resource | Unreadable | None:
        entry = self._kinds[key.kind].get(key.namespace, {}).get(key.name)
        return None if entry is None else entry.content

    def _all(self, kind: type[T], namespace: str) -> tuple[T, ...]:
        where = (kind.info.kind, namespace)
        if where not in self._sorted:
            entries = sorted(self._kinds[kind.info.kind].get(namespace, {}).items())
            self._sorted[where] = tuple(entry.content for _, entry in entries if isinstance(entry.content, kind))
        return self._sorted[where]  # type: ignore[return-value]


def key_of(body: Mapping[str, Any]) -> Key:
    """The key of an object's body."""
    return Key(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])


def _targets(entry: _Entry | None) -> frozenset[_Target]:
    return named_targets(entry.content) if entry is not None and isinstance(entry.content, ModelVersion) else frozenset()


def _named(entry: _Entry | None) -> frozenset[_Target]:
    """Kind and name of what the serving entries of a ModelVersion name, or of the version that a ModelApproval does."""
    if entry is not None and isinstance(entry.content, ModelApproval):
        return frozenset({(_VERSION, entry.content.spec.model_version_ref.name)})
    if entry is None or not isinstance(entry.content, ModelVersion):
        return frozenset()
    pointers = (each.pointer.config_map for each in entry.content.spec.serving)
    return _targets(entry) | {("ConfigMap", pointer.name) for pointer in pointers if pointer is not None}


def _only(kind: type[T], content: Resource | Unreadable | None) -> T | None:
    return content if isinstance(content, kind) else None


def _parse(kind: type[Resource], body: Mapping[str, Any]) -> Resource | Unreadable:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        places = sorted(
            {".".join(str(part) for part in each["loc"]) for each in error.errors(include_url=False, include_input=False)}
        )
        more = f" and {len(places) - _NAMED_FIELDS} more" if len(places) > _NAMED_FIELDS else ""
        metadata = body["metadata"]
        return Unreadable(
            generation=metadata.get("generation", 0),
            resource_version=metadata["resourceVersion"],
            message=f"this operator cannot read {', '.join(places[:_NAMED_FIELDS])}{more}: do operator and CRDs have one version?",
            status=body.get("status") or {},
        )
