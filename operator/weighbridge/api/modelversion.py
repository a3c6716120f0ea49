"""ModelVersion: one version of one model, and the wish for its stage. Claims and election (core/election) decide what serves."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import GROUP, ApiModel, Cel, Column, Conditions, Duration, KindInfo, Name, ObjectMeta, Resource, Text, rules
from .evaluationjob import EvaluationTemplate, VerdictName
from .modelregistry import Stage
from .references import Digest, Lineage, LineagePart, ModelPin, ModelReference

RollbackTrigger = Literal["RolloutFailed", "ProbeFailed"]
DriftType = Literal["Pointer", "Serving", "Registry", "Artifact", "Revoked", "Unknown"]
_OWN_EVIDENCE = "a version is promoted on its own evidence alone: remove fallback (an EvaluationJob of yours may have one)"
_ONE_BAR = "every evaluation needs at least one gate rule: without a bar nothing can pass"


class LineageRequirement(ApiModel):
    """Lineage the registry must know before the version may serve."""

    require: Annotated[tuple[LineagePart, ...], Field(max_length=5, json_schema_extra={"x-kubernetes-list-type": "set"})] = ()
    """Parts that must be known. What is missing is named and blocks promotion."""


class Evaluation(ApiModel):
    """An evaluation the version must pass."""

    name: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Name of the evaluation within this version."""
    template: Annotated[
        EvaluationTemplate,
        Cel("has(self.gate) && size(self.gate) > 0", _ONE_BAR),
        Cel("!has(self.datasets) || self.datasets.all(each, !has(each.fallback) || size(each.fallback) == 0)", _OWN_EVIDENCE),
    ]
    """The EvaluationJob to run, without its model."""


class TargetRef(ApiModel):
    """A serving workload of the same namespace."""

    api_version: Annotated[Literal["apps/v1"], Field()] = "apps/v1"
    """API version of the workload."""
    kind: Literal["Deployment"] = "Deployment"
    """Kind of the workload."""
    name: Name
    """Name of the workload."""


class Pointer(ApiModel):
    """The one field of the workload that names the model; the operator owns it and nothing else there."""

    container: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the container."""
    env: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Environment variable that names the model to serve. The container must declare it; a declaration without value will do."""
    value: Annotated[
        str,
        Field(min_length=1, max_length=512),
        Cel(
            "self.contains('{uri}') || self.contains('{version}') || self.contains('{digest}')",
            "the value must name the version: use {uri}, {version} or {digest}",
        ),
    ] = "{uri}"
    """Template of the value over the pin: {uri}, {name}, {version}, {digest}."""


class HttpGet(ApiModel):
    """A request that the new version must answer."""

    path: Annotated[str, Field(max_length=512, pattern=r"^/[^\s]*$")] = "/"
    """Path of the request."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the pod."""


class Probe(ApiModel):
    """Proof that the new version answers, asked of its pods."""

    http_get: HttpGet
    """Each new pod must answer this request with status 200."""
    expect: Annotated[str, Field(max_length=256)] | None = None
    """Text that the answer must contain."""


class Serving(ApiModel):
    """A workload that this version claims while it is in the stage."""

    stage: Literal["Staging", "Production"] = "Production"
    """The stage in which the version claims the workload."""
    target_ref: TargetRef
    """The workload to point at this version."""
    pointer: Pointer
    """The field of the workload that names the model."""
    progress_deadline: Duration = "10m"
    """Longest time from re-pointing to proof; after it the rollout has failed."""
    probe: Probe | None = None
    """Proof that the new version answers, beyond the workload's own readiness."""


class Rollback(ApiModel):
    """What takes the target away from this version again."""

    automatic: bool = True
    """Whether the operator rolls back by itself; otherwise it tells and waits."""
    on: Annotated[tuple[RollbackTrigger, ...], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})] = (
        "RolloutFailed",
        "ProbeFailed",
    )
    """What it reacts to."""


class ModelVersionSpec(ApiModel):
    """One version of one model, and the wish for its stage."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(
                "!has(self.serving) || self.serving.all(s, self.serving.exists_one(t,"
                " t.stage == s.stage && t.targetRef.name == s.targetRef.name))",
                "serving names the same workload twice for one stage: keep one entry",
            ),
        )
    )

    source: Annotated[
        ModelReference,
        Cel("self == oldSelf", "the source is immutable: create a ModelVersion for the other version"),
    ]
    """The version in its registry."""
    stage: Stage = "Candidate"
    """The stage this version is wished in. Candidate: weighed only. Staging, Production: serves where `serving` says so."""
    precedence: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Goes before the registry's creation time when claims on one target are ordered."""
    lineage: LineageRequirement = LineageRequirement()
    """Lineage the registry must know."""
    evaluations: Annotated[
        tuple[Evaluation, ...],
        Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """Evaluations that must be passed before the version may serve."""
    serving: Annotated[tuple[Serving, ...], Field(max_length=4)] = ()
    """Workloads this version claims."""
    rollback: Rollback = Rollback()
    """What takes a target away from this version again."""
    suspend: bool = False
    """Stops every change for this version (not the watching)."""


class EvaluationState(ApiModel):
    """One evaluation of this version."""

    name: Annotated[str, Field(max_length=40)]
    """Name within spec.evaluations."""
    job: Annotated[str, Field(max_length=253)]
    """Name of the EvaluationJob."""
    verdict: VerdictName | None = None
    """Its verdict; absent while it runs."""
    score: Annotated[str, Field(max_length=64)] = ""
    """Its first gate metric."""
    message: Text = ""
    """What it says."""


class Rejection(ApiModel):
    """Why this version may not serve on a target any more; holds for this generation and content."""

    reason: Annotated[str, Field(max_length=64)]
    """RolloutFailed or ProbeFailed."""
    message: Text = ""
    """What was seen."""
    at: datetime
    """When it was seen."""
    generation: int
    """Generation of the spec that was rejected; a new one clears it."""
    digest: Digest
    """Content that was rejected."""


class ServingState(ApiModel):
    """What this version wishes of a target and what is observed there."""

    target: Annotated[str, Field(max_length=320)]
    """Kind and name of the workload."""
    state: Literal["Waiting", "Progressing", "Serving", "Superseded", "RolledBack", "Blocked"]
    """This version's standing on the target."""
    wished: Annotated[str, Field(max_length=1024)] = ""
    """Value of the pointer that names this version."""
    observed: Annotated[str, Field(max_length=1024)] = ""
    """Value of the pointer as last seen."""
    previous: Annotated[str, Field(max_length=1024)] = ""
    """Value of the pointer before this version got it."""
    restored: Annotated[int, Field(ge=0)] = 0
    """How often somebody else's change of the pointer was taken back."""
    repointed_at: datetime | None = None
    """When the pointer was given to this version."""
    since: datetime | None = None
    """Since when this version is proved to serve."""
    rejection: Rejection | None = None
    """Why it may not serve here any more."""


class RegistryState(ApiModel):
    """What was written to the registry and read back."""

    alias: Annotated[str, Field(max_length=63)] = ""
    """Alias that points at this version by our hand."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] = {}
    """Own tags, as read back."""
    written_at: datetime | None = None
    """When they were last changed."""


class Drift(ApiModel):
    """One difference between what should be and what is."""

    type: DriftType
    """Pointer: the workload was edited by somebody else. Serving: pods serve something else. Registry: own tags or alias were
    changed. Artifact: the content behind the version changed. Revoked: the version is gone. Unknown: it cannot be told."""
    message: Text = ""
    """What differs."""
    since: datetime
    """Since when it is seen."""


class HistoryEntry(ApiModel):
    """One change of this version's standing."""

    at: datetime
    event: Annotated[str, Field(max_length=64)]
    """Resolved, Evaluated, Repointed, Serving, RolledBack, Superseded, …"""
    message: Text = ""


class ModelVersionStatus(ApiModel):
    """What the operator found."""

    observed_generation: int = 0
    """The generation of the spec this status speaks of."""
    phase: Annotated[str, Field(max_length=32)] = ""
    """One word for people."""
    score: Annotated[str, Field(max_length=64)] = ""
    """The first gate metric of the first evaluation, for `kubectl get`."""
    version: Annotated[str, Field(max_length=64)] = ""
    """The pinned version, or else the one that was asked for, for `kubectl get`."""
    resolved: ModelPin | None = None
    """The pinned version; never replaced by another content."""
    lineage: Lineage | None = None
    """Where the version comes from."""
    evaluations: Annotated[tuple[EvaluationState, ...], Field(max_length=8)] = ()
    """The evaluations."""
    serving: Annotated[tuple[ServingState, ...], Field(max_length=4)] = ()
    """The claimed workloads."""
    registry: RegistryState = RegistryState()
    """What the registry was told."""
    drift: Annotated[tuple[Drift, ...], Field(max_length=8)] = ()
    """Differences seen now."""
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=20)] = ()
    """The last changes, oldest first."""
    conditions: Conditions = ()
    """`Resolved`, `LineageComplete`, `Evaluated`, `Serving`, `RegistrySynced`, `InSync`, `Ready`, `Reconciling`, `Stalled`."""


class ModelVersion(Resource):
    """One version of one model, and the wish for its stage."""

    info = KindInfo(
        kind="ModelVersion",
        plural="modelversions",
        short_name="mver",
        columns=(
            Column("Model", ".spec.source.name"),
            Column("Version", ".status.version"),
            Column("Stage", ".spec.stage"),
            Column("Phase", ".status.phase"),
            Column("Score", ".status.score"),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", priority=1),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )
    metadata: ObjectMeta
    spec: ModelVersionSpec
    """One version of one model, and the wish for its stage."""
    status: ModelVersionStatus = ModelVersionStatus()
    """What the operator found; written by the operator alone."""


FINALIZER = f"{GROUP}/serving"
"""Held while the version may be what a workload points at."""
