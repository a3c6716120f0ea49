"""Where commands that people type find what they need: in the environment of whoever types them, as MLflow's and the Hub's own
tools do, or in the cluster, with the rights of whoever types them.

Must not ask a registry anything, and must not print what it reads.
"""

import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import ValidationError

from ..api.base import API_VERSION, LocalRef, ObjectMeta
from ..api.evaluationjob import EvaluationJob
from ..api.modelregistry import HuggingFaceConnection, MlflowConnection, ModelRegistry, ModelRegistrySpec, RegistryKind
from ..api.modelversion import ModelVersion
from ..controllers.ports import ClusterError
from ..registries.addresses import Network
from ..registries.base import RegistryFailed
from ..registries.credentials import Credentials
from ..settings import SettingsError
from ..settings import read as read_settings

if TYPE_CHECKING:
    from ..runtime.cluster import Cluster
    from ..runtime.connection import Connection

_ANYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_URL = re.compile(r"^https?://[^/?#@ ]+(/[^?#@ ]*)?$")
_Kind = TypeVar("_Kind", EvaluationJob, ModelRegistry)
_MLFLOW_KEYS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


class Misused(Exception):
    """What was asked for makes no sense as it was asked. The text says what to write instead."""


class CannotTell(Exception):
    """The cluster did not let us look. `reason` is one stable word, the text a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Place:
    """The registries that may be asked, and with what."""

    registries: Mapping[str, ModelRegistry]
    """Those that exist, by name."""
    credentials: Mapping[str, Credentials | RegistryFailed | None]
    """The workload's, by registry; None asks without, a failure is why they cannot be had."""
    allow: tuple[Network, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    """What messages of the operator call a thing, and what it is called here."""


def of_environment(kind: RegistryKind, environment: Mapping[str, str]) -> Place:
    """One registry, named as its kind. Raises Misused."""
    if kind == "mlflow":
        url, variable = environment.get("MLFLOW_TRACKING_URI", ""), "MLFLOW_TRACKING_URI"
        spec = ModelRegistrySpec(mlflow=MlflowConnection(url=_checked(url, variable)))
        found = {key: environment[key] for key in _MLFLOW_KEYS if environment.get(key)}
        if found and _MLFLOW_KEYS[0] not in found and len(found) < 2:
            raise Misused(f"set {_MLFLOW_KEYS[0]}, or both {_MLFLOW_KEYS[1]} and {_MLFLOW_KEYS[2]}")
    else:
        url, variable = environment.get("HF_ENDPOINT") or "https://huggingface.co", "HF_ENDPOINT"
        spec = ModelRegistrySpec(hugging_face=HuggingFaceConnection(url=_checked(url, variable)))
        found = {key: environment[key] for key in ("HF_TOKEN",) if environment.get(key)}
    name = kind.lower()
    return Place(
        {name: ModelRegistry(metadata=ObjectMeta(name=name, namespace="environment"), spec=spec)},
        {name: Credentials(found) if found else None},
        _ANYWHERE,  # whoever types it sends the requests himself
        {
            "spec.mlflow.url": variable,
            "spec.huggingFace.url": variable,
            "give the ModelRegistry a Secret with ": "set ",
            "in the ModelRegistry's Secret": "in the environment",
            "the Secret of the ModelRegistry has": "the environment has",
            "in the Secret": "in the environment",
        },
    )


def written(text: str) -> EvaluationJob | ModelVersion:
    """What YAML or JSON text holds, an EvaluationJob or a ModelVersion; its namespace is empty where the text names none. Raises
    Misused."""
    try:
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except (yaml.YAMLError, RecursionError) as error:
        raise Misused("this is no YAML") from error
    kinds = {kind.info.kind: kind for kind in (EvaluationJob, ModelVersion)}
    if len(documents) != 1 or not isinstance(documents[0], dict) or documents[0].get("kind") not in kinds:
        raise Misused("write exactly one EvaluationJob or ModelVersion into the file")
    body = documents[0]
    if body.get("apiVersion") != API_VERSION:
        raise Misused(f"apiVersion must be {API_VERSION}")
    metadata = body.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    try:
        whole = {"spec": body.get("spec"), "metadata": {"name": "preflight", "namespace": "", **given}}
        return (
            EvaluationJob.model_validate(whole) if body["kind"] == EvaluationJob.info.kind else ModelVersion.model_validate(whole)
        )
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in each["loc"]) for each in error.errors(include_input=False)})
        raise Misused(f"this {body['kind']} cannot be read: look at {', '.join(places[:5])}") from error


class InCluster:
    """What the kubeconfig's user may see of one namespace."""

    def __init__(self, cluster: "Cluster", namespace: str, environment: Mapping[str, str]) -> None:
        self._cluster, self.namespace, self._environment = cluster, namespace, environment

    async def evaluation(self, name: str) -> EvaluationJob:
        """An EvaluationJob of the namespace. Raises Misused, CannotTell."""
        body = await self._get(API_VERSION, EvaluationJob.info.kind, name)
        if body is None:
            raise Misused(f"there is no EvaluationJob {name} in namespace {self.namespace}")
        return _made(EvaluationJob, body, name)

    async def place(self, names: Iterable[str]) -> Place:
        """The ModelRegistries of these names and what evaluation pods would get of them. Raises Misused, CannotTell."""
        try:
            allow = read_settings(self._environment, {}).allow_addresses
        except SettingsError as error:
            raise Misused(str(error)) from error
        registries, credentials = dict[str, ModelRegistry](), dict[str, Credentials | RegistryFailed | None]()
        for name in sorted(set(names)):
            body = await self._get(API_VERSION, ModelRegistry.info.kind, name)
            if body is not None:
                found = registries[name] = _made(ModelRegistry, body, name)
                secret = found.spec.workload_credentials_secret_ref or found.spec.credentials_secret_ref
                credentials[name] = await self._credentials(secret)
        return Place(registries, credentials, allow, {"in this namespace": f"in namespace {self.namespace}"})

    async def _credentials(self, ref: LocalRef | None) -> Credentials | RegistryFailed | None:
        from ..runtime.secrets import Secrets

        if ref is None:
            return None
        try:
            values = await Secrets(self._cluster)(self.namespace, ref.name)
        except ClusterError as error:
            return RegistryFailed("SecretUnavailable", str(told(error, f"the Secret {ref.name}")))
        if values is None:
            return RegistryFailed(
                "SecretNotFound", f"there is no Secret {ref.name} in this namespace; create it with the credentials"
            )
        return Credentials(values)

    async def _get(self, api_version: str, kind: str, name: str) -> Mapping[str, object] | None:
        try:
            return await self._cluster.get(api_version, kind, self.namespace, name)
        except ClusterError as error:
            raise told(error, f"{kind} {name}") from error


@asynccontextmanager
async def open_cluster(namespace: str, environment: Mapping[str, str]) -> AsyncIterator[InCluster]:
    """The cluster of the kubeconfig; an empty namespace is the kubeconfig's own. Raises Misused where there is none."""
    from ..runtime.cluster import Cluster

    async with connected(namespace, environment) as (connection, place):
        yield InCluster(Cluster(connection), place, environment)


@asynccontextmanager
async def connected(namespace: str, environment: Mapping[str, str]) -> AsyncIterator[tuple["Connection", str]]:
    """A connection to the cluster of the kubeconfig, and the namespace: the one given, or else the kubeconfig's own. Raises Misused
    where there is none."""
    from ..runtime.connection import Connection, Surroundings

    # What the client library has to say of a kubeconfig is said below, in a sentence.
    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    surroundings = Surroundings(environment.get("KUBECONFIG"))
    connection = Connection(surroundings)
    try:
        place = namespace or await surroundings.namespace()
        await surroundings.access()
    except ClusterError as error:
        raise told(error, "the cluster") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise Misused("the kubeconfig cannot be read: it is no YAML, or not for you") from error
    try:
        yield connection, place
    finally:
        await connection.close()


def told(error: ClusterError, what: str) -> CannotTell | Misused:
    """A refusal of the API server as the person at the terminal has to hear it; its own text speaks of the operator."""
    if error.reason == "Forbidden":
        return CannotTell(
            "Forbidden", f"you may not read {what}; ask for the right to get it, or ask the registry without a cluster"
        )
    if error.reason == "Unauthorized":
        return CannotTell("Unauthorized", "the API server does not take the credentials of your kubeconfig; log in again")
    return Misused(error.public) if error.reason == "NoCredentials" else CannotTell(error.reason, error.public)


def _made(kind: type[_Kind], body: Mapping[str, object], name: str) -> _Kind:
    """An object as the cluster has it. Raises CannotTell."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        text = f"this program cannot read the {kind.info.kind} {name}, it is older than the CRDs"
        raise CannotTell("InvalidSpec", text) from error


def _checked(url: str, variable: str) -> str:
    """The address. One that cannot be used is not printed: it may hold a password."""
    if not url:
        raise Misused(f"set {variable}, or name a ModelRegistry of the cluster with --registry")
    if not _URL.match(url):
        raise Misused(f"{variable} must be http(s)://host[:port][/path], without user, query or fragment")
    return url
