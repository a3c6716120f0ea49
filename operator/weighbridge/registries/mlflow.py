"""MLflow as a registry: model versions by number or alias, datasets by name and digest, own tags and aliases.

Asks like this because of what MLflow is: a version number is no identity (delete the model, create it anew, and 1 is another
version), READY says nothing about files, and nothing can be written conditionally. So a pin holds creation time, source and a
fingerprint of the files and of what is in the small ones (mlflow_files.py), and what was written is read back.

Must not import MLflow when this module is imported: only a process that has such a registry pays for it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ..api.references import DatasetPin, DatasetReference, ModelPin, ModelReference
from ..core.entry import PREFIX
from ..core.facts import ModelSnapshot, ServerInfo, WriteOrder
from ..core.pin import model_digest
from . import mlflow_datasets
from .addresses import Network
from .base import REQUESTS_PER_QUESTION, EntryFailed, RegistryAbsent, RegistryFailed
from .credentials import Credentials
from .mlflow_answer import Answer, Shape, one, several
from .mlflow_http import Inquiry, MlflowHttp
from .mlflow_lineage import lineage, read_run
from .mlflow_model import Artifact, artifact
from .records import Record, inner, integer, pairs, text

_LARGEST_VERSION = 2**31 - 1
_NOT_IN_NAMES = frozenset("/:")
"""MLflow answers 400 to names with these, as it does to questions it does not understand."""


class MlflowRegistry:
    """One MLflow server, asked with one set of credentials. Implements `base.Registry`."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        *,
        request_timeout: float,
        allow: tuple[Network, ...],
        may_write: Callable[[], bool],
    ) -> None:
        """`credentials` None asks without any. `may_write` is asked before every single write.

        Raises RegistryFailed(SecretIncomplete)."""
        self._http = MlflowHttp(url, credentials, request_timeout, allow)
        self._budget = request_timeout * REQUESTS_PER_QUESTION
        self._may_write = may_write

    def server(self) -> ServerInfo:
        """Asks something that needs valid credentials: `/health` and `/version` need none or are exempt from the host check."""
        inquiry = self._http.inquiry(self._budget)
        answer = inquiry.get("/api/2.0/mlflow/registered-models/search", several("registered_models"), max_results="1")
        if answer.status == 403:
            raise RegistryFailed(
                "Unauthorized",
                f"{inquiry.host} knows the credentials but lets them read nothing; grant them READ on the registered models",
            )
        if answer.status != 200:
            raise _not_understood(inquiry, answer)
        version = inquiry.bytes("/version", 64)
        said = version.body[:64].decode("ascii", "replace").strip() if version.status == 200 else ""
        return ServerInfo(version=said if said[:1].isdigit() and said.isprintable() else "")

    def model(self, ref: ModelReference) -> ModelSnapshot:
        if ref.revision is not None:
            raise RegistryAbsent(
                "ReferenceUnsupported",
                f"MLflow knows no revision {ref.revision[:64]} of {ref.name}: its models have versions and aliases; write "
                "version or alias instead of revision",
            )
        inquiry = self._http.inquiry(self._budget)
        entry = _entry(inquiry, ref.name, ref.version) if ref.version is not None else _aliased(inquiry, ref.name, ref.alias or "")
        what = f"{text(entry, 'name', 256)} {text(entry, 'version', 64)}"
        _check_ready(what, text(entry, "status", 64))
        created_at = _created(inquiry, entry)
        found = artifact(inquiry, entry, what)
        pin = _pin(entry, created_at, ref.registry_ref.name, found)
        return ModelSnapshot(
            pin=pin,
            lineage=lineage(read_run(inquiry, pin.run_id), found.declared, found.parameters),
            tags={key: value for key, value in pairs(entry, "tags").items() if key.startswith(PREFIX)},
            aliases=_aliases(entry),
            formats=found.formats,
            unsafe=found.unsafe,
        )

    def dataset(self, ref: DatasetReference) -> DatasetPin:
        return mlflow_datasets.find(self._http.inquiry(self._budget), ref)

    def write(self, order: WriteOrder) -> None:
        inquiry = self._http.inquiry(self._budget)
        name, version = order.pin.name, order.pin.version
        if foreign := [key for key in order.tags if not key.startswith(PREFIX)]:
            raise ValueError(f"not own tags: {foreign}")
        before = _still_pinned(inquiry, order.pin)
        tags = pairs(before, "tags")
        for key, value in order.tags.items():
            if tags.get(key) != value:
                body = {"name": name, "version": version, "key": key, "value": value}
                self._set(inquiry, "model-versions/set-tag", body, f"the tag {key}")
        if order.alias is not None and order.alias not in _aliases(before):
            body = {"name": name, "alias": order.alias, "version": version}
            self._set(inquiry, "registered-models/alias", body, f"the alias {order.alias}")
        after = _still_pinned(inquiry, order.pin)
        tags = pairs(after, "tags")
        lost = [key for key, value in order.tags.items() if tags.get(key) != value]
        if order.alias is not None and order.alias not in _aliases(after):
            lost.append(f"alias {order.alias}")
        if lost:
            raise RegistryFailed(
                "WriteNotKept",
                f"the registry took {', '.join(lost)} of {name} {version} but says something else when read back; does somebody "
                "else write it?",
            )

    def close(self) -> None:
        """Nothing to let go of: connections are MLflow's, shared by the process and bounded there."""

    def _set(self, inquiry: Inquiry, what: str, body: Record, said: str) -> None:
        if not self._may_write():
            raise RegistryFailed("NotLeading", "another replica of the operator has taken over; it writes")
        answer = inquiry.post(f"/api/2.0/mlflow/{what}", Shape(), body)
        if answer.status == 403:
            raise RegistryFailed(
                "WriteForbidden", f"the credentials may not write {said} of {body['name']}; grant them EDIT on the registered model"
            )
        if answer.status != 200:
            raise RegistryFailed(
                "WriteRefused",
                f"{inquiry.host} refuses {said} of {body['name']} {body['version']}; MLflow does not take this name or value",
            )


def _aliased(inquiry: Inquiry, name: str, alias: str) -> Record:
    """The entry of the version an alias points at. The server answers 400 for a missing alias and 404 for a missing model."""
    answer = inquiry.get("/api/2.0/mlflow/registered-models/alias", one("model_version"), name=name, alias=alias)
    if answer.status == 200:
        found = inner(answer.record, "model_version")
        if found.get("name") != name:
            raise _another(inquiry, f"{name} by its alias {alias}")
        return found
    _check_model(inquiry, name)
    if answer.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
        raise _not_understood(inquiry, answer)
    raise RegistryAbsent(
        "AliasNotFound", f"the registered model {name} has no alias {alias}; set the alias in the registry, or correct it here"
    )


def _entry(inquiry: Inquiry, name: str, version: str) -> Record:
    """The version's entry. Raises RegistryAbsent (ModelNotFound, VersionNotFound, AccessDenied)."""
    number = int(version) if version.isascii() and version.isdigit() and len(version) <= 10 else 0
    answer = None
    if 0 < number <= _LARGEST_VERSION:  # others make the server fail in itself
        answer = inquiry.get("/api/2.0/mlflow/model-versions/get", one("model_version"), name=name, version=version)
        if answer.status == 200:
            found = inner(answer.record, "model_version")
            if (found.get("name"), text(found, "version", 64)) != (name, str(number)):
                raise _another(inquiry, f"{name} {version}")
            return found
    _check_model(inquiry, name)
    if answer is not None and answer.error_code != "RESOURCE_DOES_NOT_EXIST":
        raise _not_understood(inquiry, answer)
    hint = "" if number else " (MLflow's versions are whole numbers from 1)"
    raise RegistryAbsent(
        "VersionNotFound", f"the registered model {name} has no version {version}{hint}; register it, or correct the version"
    )


def _check_model(inquiry: Inquiry, name: str) -> None:
    """Raises RegistryAbsent (ModelNotFound, AccessDenied) where the model itself is why something was not found."""
    answer = inquiry.get("/api/2.0/mlflow/registered-models/get", one("registered_model"), name=name)
    if answer.status == 404 or (answer.status == 400 and set(name) & _NOT_IN_NAMES):
        hint = " (MLflow's names have neither / nor :)" if set(name) & _NOT_IN_NAMES else ""
        text_of_it = f"{inquiry.host} has no registered model {name}{hint}; register it, or correct the name"
        raise RegistryAbsent("ModelNotFound", text_of_it)
    if answer.status == 403:
        raise RegistryAbsent(
            "AccessDenied",
            f"{inquiry.host} does not let these credentials see the registered model {name}: it does not exist, or they need READ "
            "on it",
        )
    if answer.status != 200:
        raise _not_understood(inquiry, answer)


def _check_ready(what: str, status: str) -> None:
    if status == "FAILED_REGISTRATION":
        raise RegistryAbsent("ArtifactMissing", f"the registration of {what} failed in the registry; register the model again")
    if status != "READY":
        raise RegistryFailed("ModelNotReady", f"{what} is still being registered; waiting for the registry to finish it")


def _pin(entry: Record, created_at: datetime, registry: str, found: Artifact) -> ModelPin:
    name, version = text(entry, "name", 256), text(entry, "version", 64)
    source, run_id, identity = text(entry, "source", 1024), text(entry, "run_id", 64), found.fingerprint
    return ModelPin(
        registry=registry,
        name=name,
        version=version,
        uri=f"models:/{name}/{version}",
        created_at=created_at,
        source=source,
        run_id=run_id,
        size=found.size,
        fingerprint=identity,
        digest=model_digest(name=name, version=version, created_at=created_at, source=source, run_id=run_id, fingerprint=identity),
    )


def _still_pinned(inquiry: Inquiry, pin: ModelPin) -> Record:
    try:
        entry = _entry(inquiry, pin.name, pin.version)
        if _created(inquiry, entry) == pin.created_at:
            return entry
    except RegistryAbsent as error:
        if error.reason == "AccessDenied":
            raise RegistryFailed("WriteForbidden", error.public) from error
    raise RegistryFailed(
        "VersionReplaced",
        f"{pin.name} {pin.version} was deleted in the registry, or is another version than the one pinned; nothing was written",
    )


def _created(inquiry: Inquiry, entry: Record) -> datetime:
    milliseconds = integer(entry, "creation_timestamp")
    try:
        if milliseconds is not None and text(entry, "name", 256) and text(entry, "version", 64):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        pass
    raise EntryFailed(
        "RegistryMisconfigured", f"{inquiry.host} describes a model version in a way MLflow does not; check spec.mlflow.url"
    )


def _aliases(entry: Record) -> frozenset[str]:
    found = entry.get("aliases")
    return frozenset(alias[:256] for alias in (found if isinstance(found, list) else []) if isinstance(alias, str))


def _another(inquiry: Inquiry, asked: str) -> EntryFailed:
    return EntryFailed(
        "RegistryMisconfigured", f"{inquiry.host} was asked for {asked} and answers with something else; see what is in front of it"
    )


def _not_understood(inquiry: Inquiry, answer: Answer) -> EntryFailed:
    return EntryFailed(
        "RegistryMisconfigured",
        f"{inquiry.host} does not answer a question of MLflow's registry (HTTP {answer.status}); is it MLflow 2.4 or later?",
    )
