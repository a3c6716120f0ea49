"""ModelRegistry: a connection to a registry. Who may create one decides where requests go: an admin's object."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, Column, Conditions, Duration, KindInfo, LocalRef, ObjectMeta, Resource, rules

RegistryKind = Literal["mlflow", "huggingFace"]
"""The registries there are, as spec calls them."""
Stage = Literal["Candidate", "Staging", "Production", "Archived"]


Url = Annotated[
    str,
    Field(min_length=8, max_length=512),
    Cel(
        "self.matches('^https?://[^/?#@ ]+(/[^?#@ ]*)?$') && isURL(self)"
        " && (url(self).getPort() == '' || int(url(self).getPort()) < 65536)",
        "write the server's address as https://host[:port][/path], without user, query or fragment",
    ),
]
"""Address of a server."""


class MlflowConnection(ApiModel):
    """An MLflow tracking server with its model registry."""

    url: Url
    """Address of the server: `https://host[:port][/path]`, without user, query or fragment."""


class HuggingFaceConnection(ApiModel):
    """The Hugging Face Hub, or a server that speaks as it does."""

    url: Url = "https://huggingface.co"
    """Address of the Hub: `https://host[:port][/path]`, without user, query or fragment."""


class WriteBack(ApiModel):
    """What the operator writes to the registry about what really serves."""

    enabled: bool = True
    """Whether anything is written: own tags (`weighbridge.dev/…`) and the aliases below, nothing else."""
    aliases: Annotated[
        dict[Stage, Annotated[str, Field(min_length=1, max_length=63)]],
        Field(max_length=4),
        Cel("self.all(key, key in ['Staging', 'Production'])", "aliases are kept for the stages Staging and Production"),
    ] = {}
    """Stage to alias: the alias that follows what serves in that stage, e.g. `Production: champion`. Hugging Face Hub: a git tag of
    the repository, where the credentials may set one."""
    on_conflict: Literal["Report", "Enforce"] = "Report"
    """What happens where somebody moved an alias or changed an own tag that was set here. Report: it is told as drift and left.
    Enforce: it is set again, twice in a row at the most."""
    evaluation_results: Literal["None", "PullRequest"] = "None"
    """Hugging Face Hub: whether passed evaluations on datasets of the Hub are offered to the model's owners as a pull request."""


class ModelRegistrySpec(ApiModel):
    """How to reach the registry and what may be done there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("has(self.mlflow) != has(self.huggingFace)", "name exactly one registry: spec.mlflow or spec.huggingFace"),
        )
    )

    mlflow: MlflowConnection | None = None
    """An MLflow tracking server."""
    hugging_face: HuggingFaceConnection | None = None
    """The Hugging Face Hub; `{}` for huggingface.co."""
    credentials_secret_ref: LocalRef | None = None
    """Secret of this namespace that the operator asks and writes with. MLflow: MLFLOW_TRACKING_TOKEN, or
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. Hugging Face Hub: HF_TOKEN."""
    workload_credentials_secret_ref: LocalRef | None = None
    """Secret that evaluation pods get and that pre-flight asks with; read-only in a good setup. Default: credentialsSecretRef."""
    report_credentials_secret_ref: LocalRef | None = None
    """Secret of this namespace that full reports of evaluations are written with, with the same keys. Only the reporter beside the
    engine gets it. MLflow only; without it, reports are written without credentials."""
    write_back: WriteBack = WriteBack()
    """What is written back."""
    poll_interval: Annotated[Duration, Cel("duration(self) >= duration('10s')", "poll every 10s at the most")] = "5m"
    """How often pinned versions are looked at again."""
    request_timeout: Duration = "10s"
    """Limit for one request."""
    unsafe_formats: Literal["Allow", "Refuse"] = "Allow"
    """What to do with models that run code when they are loaded: weights only as pickle, code of their own. Refuse: they are
    neither evaluated nor promoted (UnsafeFormat)."""
    webhook_secret_ref: LocalRef | None = None
    """Secret of this namespace whose key WEBHOOK_SECRET the registry signs its webhooks with. They are taken as hints to look again
    at `/webhooks/<namespace>/<name>` of the operator's webhook address; polling stays the truth."""

    @property
    def kind(self) -> RegistryKind:
        """Which registry it is."""
        return "mlflow" if self.mlflow is not None else "huggingFace"

    @property
    def url(self) -> str:
        """Address that is asked; empty where the spec names no registry this operator knows."""
        connection = self.mlflow or self.hugging_face
        return connection.url if connection else ""


class ModelRegistryStatus(ApiModel):
    """What the operator found."""

    observed_generation: int = 0
    """The generation of the spec this status speaks of."""
    server_version: Annotated[str, Field(max_length=64)] = ""
    """Version the server tells of itself."""
    url: Annotated[str, Field(max_length=512)] = ""
    """Address that is asked, for `kubectl get`."""
    conditions: Conditions = ()
    """`Ready`, `Reconciling`, `Stalled`."""


class ModelRegistry(Resource):
    """A connection to a model registry."""

    info = KindInfo(
        kind="ModelRegistry",
        plural="modelregistries",
        short_name="mreg",
        columns=(
            Column("URL", ".status.url"),
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
