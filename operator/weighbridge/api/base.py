"""What every kind shares: the base model, references, durations, conditions and the facts a CRD needs.

The pydantic models of this package are the only source of the CRDs. Unknown fields are ignored when reading (the API server has
already pruned them; an older operator must survive a newer CRD). Cross-field rules are CEL and live in the schema alone, so that
`kubectl apply` refuses with a sentence that helps.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "weighbridge.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_DURATION = re.compile(r"^(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?$", re.ASCII)


class ApiModel(BaseModel):
    """Frozen, camelCase outside, snake_case inside; attribute docstrings become the text of `kubectl explain`."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def to_json(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, no absent values."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


@dataclass(frozen=True)
class Cel:
    """One CEL rule of a field, for `Annotated`; `message` says what to write instead."""

    rule: str
    message: str

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        result: dict[str, Any] = handler(schema)
        result.setdefault("x-kubernetes-validations", []).append({"rule": self.rule, "message": self.message})
        return result


def rules(*cel: Cel) -> dict[str, Any]:
    """CEL rules of a whole object, for `json_schema_extra`."""
    return {"x-kubernetes-validations": [{"rule": each.rule, "message": each.message} for each in cel]}


Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object."""

Text = Annotated[str, Field(max_length=1024)]
Duration = Annotated[
    str,
    Field(max_length=32),
    Cel(
        "self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?$') && self != '' && duration(self) > duration('0s')",
        "write a duration such as 30s, 10m or 2h",
    ),
]
"""A duration in hours, minutes and seconds, such as `30s`, `10m`, `1h30m`."""


def seconds(duration: str) -> float:
    """The length of a `Duration` in seconds. Raises ValueError where the text is none."""
    match = _DURATION.match(duration)
    if not match or not any(match.groups()):
        raise ValueError("a duration is written as 30s, 10m or 2h")
    hours, minutes, secs = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=secs).total_seconds()


class LocalRef(ApiModel):
    """A reference to an object of the same namespace; there are no references across namespaces."""

    name: Name
    """Name of the object, in the same namespace."""


class Condition(ApiModel):
    """One observation of the object's state, in the form all Kubernetes tools read."""

    type: Annotated[str, Field(max_length=64)]
    """What the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")]
    """One stable word for machines; the catalogue is in docs/reasons.md."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """One sentence for people: what is wrong, where, what to do."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int | None = None
    """The generation of the spec this was computed from."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class OwnerReference(ApiModel):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(ApiModel):
    """The part of an object's metadata that decisions need."""

    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()


@dataclass(frozen=True)
class Column:
    """A printer column of `kubectl get`; `priority` 1 shows it with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True)
class KindInfo:
    """How a kind is called in the API."""

    kind: str
    plural: str
    short_name: str
    columns: tuple[Column, ...]


class Resource(ApiModel):
    """Base of the kinds: metadata, spec, status."""

    info: ClassVar[KindInfo]
    metadata: ObjectMeta

    @property
    def key(self) -> "Key":
        """The identity of the object on queues and in stores."""
        return Key(self.info.kind, self.metadata.namespace, self.metadata.name)


@dataclass(frozen=True, order=True)
class Key:
    """Kind, namespace and name: what is queued and what facts are found by."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
