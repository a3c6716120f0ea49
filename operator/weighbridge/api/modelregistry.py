"""ModelRegistry: a connection to a registry. Who may create one decides where requests go: an admin's object."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, Column, Conditions, Duration, KindInfo, LocalRef, ObjectMeta, Resource, rules

Stage = Literal["Candidate", "Staging", "Production", "Archived"]


class MlflowConnection(ApiModel):
    """An MLflow tracking server with its model registry."""

    url: Annotated[
        str,
        Field(min_length=8, max_length=512),
        Cel(
            "self.matches('^https?://[^/?#@ ]+(/[^?#@ ]*)?$') && isURL(self)"
            " && (url(self).getPort() == '' || int(url(self).getPort()) < 65536)",
            "write the server's address as https://host[:port][/path], without user, query or fragment",
        ),
    ]
    """Address of the server: `https://host[:port][/path]`, without user, query or fragment."""


class WriteBack(ApiModel):
    """What the operator writes to the registry about what really serves."""

    enabled: bool = True
    """Whether anything is written: own tags (`weighbridge.dev/…`) and the aliases below, nothing else."""
    aliases: Annotated[
        dict[Stage, Annotated[str, Field(min_length=1, max_length=63)]],
        Field(max_length=4),
        Cel("self.all(key, key in ['Staging', 'Production'])", "aliases are kept for the stages Staging and Production"),
    ] = {}
    """Stage to alias: the alias that follows what serves in that stage, e.g. `Production: champion`."""


class ModelRegistrySpec(ApiModel):
    """How to reach the registry and what may be done there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("has(self.mlflow)", "name the registry: spec.mlflow.url"),
        )
    )

    mlflow: MlflowConnection | None = None
    """An MLflow tracking server."""
    credentials_secret_ref: LocalRef | None = None
    """Secret of this namespace that the operator asks and writes with: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD."""
    workload_credentials_secret_ref: LocalRef | None = None
    """Secret that evaluation pods get and that pre-flight asks with; read-only in a good setup. Default: credentialsSecretRef."""
    write_back: WriteBack = WriteBack()
    """What is written back."""
    poll_interval: Annotated[Duration, Cel("duration(self) >= duration('10s')", "poll every 10s at the most")] = "5m"
    """How often pinned versions are looked at again."""
    request_timeout: Duration = "10s"
    """Limit for one request."""


class ModelRegistryStatus(ApiModel):
    """What the operator found."""

    observed_generation: int = 0
    """The generation of the spec this status speaks of."""
    server_version: Annotated[str, Field(max_length=64)] = ""
    """Version the server tells of itself."""
    conditions: Conditions = ()
    """`Ready`, `Reconciling`, `Stalled`."""


class ModelRegistry(Resource):
    """A connection to a model registry."""

    info = KindInfo(
        kind="ModelRegistry",
        plural="modelregistries",
        short_name="mreg",
        columns=(
            Column("URL", ".spec.mlflow.url"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", priority=1),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )
    metadata: ObjectMeta
    spec: ModelRegistrySpec
    """How to reach the registry and what may be done there."""
    status: ModelRegistryStatus = ModelRegistryStatus()
    """What the operator found; written by the operator alone."""
