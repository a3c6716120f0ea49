"""One ModelVersion in the cluster, with the rights of whoever types: its annotations, its evaluations, and what the others'
status says.

Refusals of the API server are told as the person at the terminal has to hear them. Must not write anything but annotations.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import yaml
from pydantic import ValidationError

from ..api.base import API_VERSION, GROUP
from ..api.evaluationjob import EvaluationJob
from ..api.modelversion import ModelVersion
from ..controllers.ports import ClusterError
from .places import CannotTell, Misused, told
from .terminal import printable

if TYPE_CHECKING:
    from ..runtime.connection import Connection

KIND, PLURAL = ModelVersion.info.kind, ModelVersion.info.plural
_FIELD_MANAGER = "weighbridge-cli"
_LONGEST_USER = 500
_NAMED = 20
_LOOKS = frozenset({"get", "list"})
"""Verbs that wish nothing, so that a no to them is no answer to a wish."""


class Refused(Exception):
    """The cluster does not let the annotation be written as it is. The text says why."""


class Desk:
    """One ModelVersion, with the rights of whoever types."""

    def __init__(self, connection: "Connection", namespace: str, name: str, environment: Mapping[str, str]) -> None:
        from ..runtime.cluster import Cluster

        self.namespace, self.name, self.cluster = namespace, name, Cluster(connection)
        self._connection, self._environment = connection, environment

    async def annotate(self, annotations: Mapping[str, str | None]) -> ModelVersion:
        """The version as it is then; None takes an annotation away. Raises Misused, Refused, CannotTell."""
        where = f"/apis/{API_VERSION}/namespaces/{quote(self.namespace, safe='')}/{PLURAL}/{quote(self.name, safe='')}"
        body = {"metadata": {"annotations": annotations}}
        try:
            answer = await self._connection.request(
                "PATCH",
                where,
                query=(("fieldManager", _FIELD_MANAGER),),
                body=body,
                content_type="application/merge-patch+json",
            )
        except ClusterError as error:
            if error.reason == "NotFound":
                raise Misused(await self._missing()) from error
            raise self._told(error, "patch") from error
        try:
            return ModelVersion.model_validate(answer)
        except ValidationError as error:
            text = f"the annotation is written; this program cannot read the ModelVersion {self.name}, it is older than the CRDs"
            raise CannotTell("InvalidSpec", text) from error

    async def version(self) -> ModelVersion:
        """The version. Raises Misused, CannotTell."""
        body = await self._get(KIND, self.name)
        if body is None:
            raise Misused(await self._missing())
        if (found := _read(body)) is None:
            raise CannotTell("InvalidSpec", f"this program cannot read the ModelVersion {self.name}, it is older than the CRDs")
        return found

    async def evaluations(self, names: Iterable[str]) -> tuple[Mapping[str, EvaluationJob], str]:
        """The EvaluationJobs of these names that can be read, and why others cannot; empty where that is not so."""
        found = dict[str, EvaluationJob]()
        for name in names:
            try:
                body = await self._get(EvaluationJob.info.kind, name)
            except (CannotTell, Misused) as error:
                return found, f"{error}; what the evaluations measured is not shown"
            if body is not None:
                with suppress(ValidationError):
                    found[name] = EvaluationJob.model_validate(body)
        return found, ""

    async def _get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        try:
            return await self.cluster.get(API_VERSION, kind, self.namespace, name)
        except ClusterError as error:
            raise self._told(error, "get", kind) from error

    async def versions(self) -> tuple[ModelVersion, ...]:
        """All readable versions of the namespace. Raises Misused, CannotTell."""
        try:
            bodies = await self.cluster.list(API_VERSION, KIND, self.namespace, {})
        except ClusterError as error:
            raise self._told(error, "list") from error
        return tuple(each for each in map(_read, bodies) if each is not None)

    async def everywhere(self) -> tuple[ModelVersion, ...]:
        """All readable versions of the cluster. Raises Misused, CannotTell."""
        try:
            pages = [page async for page in self.cluster.pages(API_VERSION, KIND, None)]
        except ClusterError as error:
            if error.reason == "Forbidden":
                text = "you may not list ModelVersions in all namespaces: name one with -n, or ask for a ClusterRole"
                raise CannotTell("Forbidden", text) from error
            raise self._told(error, "list") from error
        return tuple(found for page in pages for each in page.items if (found := _read(each)) is not None)

    async def user(self) -> str:
        """Who types, as the API server knows them, or else as the kubeconfig calls them."""
        who = await self.known_user() or _kubeconfig_user(self._environment)
        return printable(who)[:_LONGEST_USER] or "unknown"

    async def known_user(self) -> str:
        """Who types, as the API server knows them; empty where it does not say."""
        where = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        try:
            answer = await self._connection.request("POST", where, body={"metadata": {}})
            return str(answer["status"]["userInfo"]["username"])
        except (ClusterError, KeyError, TypeError):
            return ""

    async def _missing(self) -> str:
        try:
            names = sorted(each.metadata.name for each in await self.versions())
        except Misused:
            return "this cluster has no ModelVersions at all: is it the right one, and are the CRDs installed?"
        except CannotTell:
            return f"there is no ModelVersion {self.name} in namespace {self.namespace}"
        few = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        there = f"there are {few}" if names else "there is none in this namespace: name another one with -n"
        return f"there is no ModelVersion {self.name} in namespace {self.namespace}; {there}"

    def _told(self, error: ClusterError, verb: str, kind: str = KIND) -> Exception:
        match error.reason:
            case "Forbidden":
                text = f"you may not {verb} {kind}s in namespace {self.namespace}"
                text += f": ask for the right to {verb} {kind.lower()}s.{GROUP}"
                return CannotTell("Forbidden", text)
            case "AdmissionDenied" | "Invalid" if verb in _LOOKS:
                return CannotTell(error.reason, printable(error.public))
            case "AdmissionDenied" | "Invalid":
                return Refused(printable(error.public))
            case "NotFound":
                return Misused(error.public)
        return told(error, f"{kind} {self.name}")


def _read(body: Mapping[str, Any]) -> ModelVersion | None:
    try:
        return ModelVersion.model_validate(body)
    except ValidationError:
        return None


def _kubeconfig_user(environment: Mapping[str, str]) -> str:
    """The user of the kubeconfig's current context; empty where there is none."""
    path = environment.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        contexts = {each["name"]: each["context"] for each in config["contexts"]}
        return str(contexts[config["current-context"]]["user"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return ""
