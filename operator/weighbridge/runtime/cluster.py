"""Reads and writes of Kubernetes objects: paths, content types, field manager, and the check that writing is still allowed.

Every write asks `may_write` first, so that a process which lost the lease cannot write by any way. It remembers nothing but what
kinds are called in paths, and repeats nothing: what to do about an error is the caller's decision.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..api import KINDS
from ..api.base import API_VERSION
from ..controllers.ports import ClusterError
from .connection import Connection
from .refusal import NotFound

FIELD_MANAGER = "weighbridge"
_PAGE = 200
_PLURALS = {
    ("v1", "ConfigMap"): "configmaps",
    ("v1", "Pod"): "pods",
    ("v1", "Secret"): "secrets",
    ("v1", "Service"): "services",
    ("apps/v1", "Deployment"): "deployments",
    ("apps/v1", "StatefulSet"): "statefulsets",
    ("batch/v1", "Job"): "jobs",
    ("coordination.k8s.io/v1", "Lease"): "leases",
    ("events.k8s.io/v1", "Event"): "events",
} | {(API_VERSION, kind.info.kind): kind.info.plural for kind in KINDS}
"""Kinds that are always there. Others are serving targets, looked up in the API server's discovery."""


class NotLeader(ClusterError):
    """This process may not write now: another one leads, or may lead soon."""


@dataclass(frozen=True)
class Page:
    """One page of a list."""

    items: tuple[dict[str, Any], ...]
    resource_version: str
    """State of the whole list, not of this page."""


def always() -> bool:
    """Permission without an election."""
    return True


class Cluster:
    """The Kubernetes API as far as the operator needs it. All methods raise `ClusterError` (see `refusal`)."""

    def __init__(self, connection: Connection, may_write: Callable[[], bool] = always) -> None:
        self._connection = connection
        self._may_write = may_write
        self._discovered: dict[tuple[str, str], str] = {}

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """The object, or None where there is none. Raises ClusterError with reason `UnknownKind` where the server has no such
        kind."""
        try:
            return await self._connection.request("GET", await self._path(api_version, kind, namespace, name))
        except NotFound:
            # Perhaps the kind is gone, or was installed anew under another plural.
            self._discovered.pop((api_version, kind), None)
            return None

    async def list(self, api_version: str, kind: str, namespace: str, labels: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
        """All objects of the namespace that carry the labels, as the API server's own cache has them (as every informer does).

        A consistent list waits up to 100 ms for etcd to say how far that cache is (KEP-2340), and a rollback would pay for it. What
        a workload's controller has seen is in there: it read it from the same cache before it wrote its status."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        query = [("resourceVersion", "0"), *([("labelSelector", selector)] if selector else [])]
        answer = await self._connection.request("GET", await self._path(api_version, kind, namespace), query=query)
        return _items(answer, api_version, kind)

    async def pages(self, api_version: str, kind: str, namespace: str | None) -> AsyncIterator[Page]:
        """The list in pages; `namespace` None lists all namespaces. All pages show one state of the world."""
        query = [("limit", str(_PAGE))]
        where = await self._path(api_version, kind, namespace)
        more = ""
        while True:
            answer = await self._connection.request("GET", where, query=[*query, ("continue", more)] if more else query)
            metadata = answer.get("metadata", {})
            yield Page(_items(answer, api_version, kind), metadata.get("resourceVersion", ""))
            if not (more := metadata.get("continue", "")):
                return

    async def serves(self, api_version: str, kind: str) -> bool:
        """Whether the server has this kind at all, by its own discovery."""
        return await self._plural(api_version, kind) is not None

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The object as created. Raises AlreadyExists where the name is taken."""
        where = await self._path(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["namespace"])
        return await self._write("POST", where, manifest)

    async def apply(self, manifest: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
        """Server-side apply under our field manager, taking fields over. A `resourceVersion` or `uid` in the manifest's metadata
        is a precondition: Conflict where the object is not that one any more."""
        metadata = manifest["metadata"]
        return await self._write(
            "PATCH",
            await self._path(manifest["apiVersion"], manifest["kind"], metadata["namespace"], metadata["name"], subresource),
            manifest,
            "application/apply-patch+yaml",
            (("fieldManager", FIELD_MANAGER), ("force", "true")),
        )

    async def merge(self, api_version: str, kind: str, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """JSON merge patch. `metadata.resourceVersion` in the body is a precondition."""
        where = await self._path(api_version, kind, namespace, name)
        return await self._write("PATCH", where, body, "application/merge-patch+json", (("fieldManager", FIELD_MANAGER),))

    async def json_patch(
        self, api_version: str, kind: str, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """JSON patch: all operations or none. A `test` that does not hold, or a path that is not there, is a Conflict; a field that
        the kind does not have is refused."""
        where = await self._path(api_version, kind, namespace, name)
        query = (("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict"))
        return await self._write("PATCH", where, operations, "application/json-patch+json", query)

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, uid: str) -> None:
        """Deletes exactly the object with this uid; its dependents go in the background. One that is gone already is success."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            await self._write("DELETE", await self._path(api_version, kind, namespace, name), options)
        except NotFound:
            return

    async def _write(
        self,
        method: str,
        where: str,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        content_type: str = "application/json",
        query: tuple[tuple[str, str], ...] = (),
    ) -> dict[str, Any]:
        if not self._may_write():
            raise NotLeader("NotLeader", "this replica of the operator may not write now: another one leads")
        return await self._connection.request(method, where, query=query, body=body, content_type=content_type)

    async def _path(self, api_version: str, kind: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
        """The URL path of an object or, without a name, of a collection."""
        key = (api_version, kind)
        plural = _PLURALS.get(key) or self._discovered.get(key)
        if plural is None:
            plural = await self._plural(api_version, kind)
            if plural is None:
                raise ClusterError("UnknownKind", f"the cluster has no kind {kind} of {api_version} with objects in namespaces")
            self._discovered[key] = plural
        parts = [_root(api_version)]
        parts += ["namespaces", quote(namespace, safe="")] if namespace is not None else []
        parts += [plural]
        parts += [quote(name, safe="")] if name else []
        parts += [subresource] if subresource else []
        return "/" + "/".join(parts)

    async def _plural(self, api_version: str, kind: str) -> str | None:
        """What the kind is called in paths, by the server's own discovery; None where it has no such kind."""
        try:
            found = await self._connection.request("GET", f"/{_root(api_version)}")
        except NotFound:
            return None
        for resource in found.get("resources", ()):
            if resource["kind"] == kind and resource["namespaced"] and "/" not in resource["name"]:
                return str(resource["name"])
        return None


def _items(answer: Mapping[str, Any], api_version: str, kind: str) -> tuple[dict[str, Any], ...]:
    """The objects of a list, each with what the API server says only of the whole list."""
    return tuple({**item, "apiVersion": api_version, "kind": kind} for item in answer.get("items") or ())


def _root(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
