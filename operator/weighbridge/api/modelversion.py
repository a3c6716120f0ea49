"""ModelVersion: one version of one model, and the wish for its stage. Claims and election (core/election) decide what serves."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import GROUP, ApiModel, Cel, Column, Conditions, Duration, KindInfo, ObjectMeta, Resource, Text, rules
from .evaluationjob import EvaluationTemplate
from .gate import VerdictName
from .modelregistry import Stage
from .references import Digest, Lineage, LineagePart, ModelPin, ModelReference
from .serving import Serving

RollbackTrigger = Literal["RolloutFailed", "ProbeFailed", "Revoked", "EvaluationFailed", "Alert"]
DriftType = Literal["Pointer", "Serving", "Registry", "Artifact", "Revoked", "Unknown"]
_OWN_EVIDENCE = "a version is promoted on its own evidence alone: remove fallback (an EvaluationJob of yours may have one)"
_ONE_BAR = "every evaluation needs at least one gate rule: without a bar nothing can pass"


class LineageRequirement(ApiModel):
    """Lineage the registry must know before the version may serve."""

    require: Annotated[tuple[LineagePart, ...], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})] = ()
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


class Rollback(ApiModel):
    """What takes the target away from this version again."""

    automatic: bool = True
    """Whether the operator rolls back by itself; otherwise it tells and waits."""
    triggers: Annotated[tuple[RollbackTrigger, ...], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"})] = (
        "RolloutFailed",
        "ProbeFailed",
        "Revoked",
        "EvaluationFailed",
    )
    """What it reacts to, while it is promoted and for as long as it serves. RolloutFailed: pods that crash, get no image or are not
    ready in time. ProbeFailed: wrong answers. Revoked: the registry deleted the version or says that it is rejected (tag
    `weighbridge.dev/rejected`, alias `rejected`). EvaluationFailed: a later evaluation failed. Alert: Alertmanager sent an alert
    on the version. A request by annotation, demotion and deletion are wishes and always count."""
    cooldown: Duration = "5m"
    """After a rollback to this version: alerts that began within this time still speak of the version before, and do not count."""
    retention: Duration = "24h"
    """How long a version that was replaced is kept as the way back: until then, lowering its stage needs a reason."""


class ModelVersionSpec(ApiModel):
    """One version of one model, and the wish for its stage."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(
                "!has(self.serving) || self.serving.all(s, self.serving.exists_one(t,"
                " t.stage == s.stage && t.targetRef.kind == s.targetRef.kind && t.targetRef.name == s.targetRef.name))",
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
    """Goes before the registry's creation time when claims on one target are ordered: the highest goes first."""
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
    """Why this version may not serve on a target any more; holds for this generation and content, until a retry is asked for."""

    reason: Annotated[str, Field(max_length=64)]
    """RolloutFailed, ProbeFailed, Alert or Requested."""
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
    until: datetime | None = None
    """When another version took over."""
    asked_at: datetime | None = None
    """Since when its first promotion here waits for the registry to confirm the version."""
    fits: bool = True
    """Whether the workload has what `serving` names."""
    failing_since: datetime | None = None
    """Since when its answers to the probe are wrong, while it serves."""
    taken: Annotated[tuple[datetime, ...], Field(max_length=4)] = ()
    """When the target was last given to this version; too often within an hour is flapping."""
    rollback: bool = False
    """Whether it was given the target back because another version failed."""
    rejection: Rejection | None = None
    """Why it may not serve here any more."""


class Requests(ApiModel):
    """The requests by annotation that were followed, so that each is followed once, also when a manifest brings an old one back."""

    rollback: Annotated[str, Field(max_length=1024)] = ""
    """The last value of `weighbridge.dev/rollback`."""
    retry: Annotated[str, Field(max_length=1024)] = ""
    """The last value of `weighbridge.dev/retry`."""
    alert: Annotated[str, Field(max_length=1024)] = ""
    """The last value of `weighbridge.dev/alert`."""
    reason: Annotated[str, Field(max_length=1024)] = ""
    """`weighbridge.dev/reason` of the last demotion; the next one needs another."""
    followed: Annotated[tuple[Annotated[str, Field(max_length=16)], ...], Field(max_length=64)] = ()
    """Digests of the last values, the newest last."""


class RegistryState(ApiModel):
    """What was written to the registry and read back."""

    alias: Annotated[str, Field(max_length=63)] = ""
    """Alias that points at this version by our hand."""
    tags: Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)] = {}
    """Own tags, as read back."""
    written_at: datetime | None = None
    """When they were last changed."""
    enforced: Annotated[int, Field(ge=0)] = 0
    """How often in a row what somebody changed in the registry was set again."""


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
    requests: Requests = Requests()
    """Requests that were followed."""
    registry: RegistryState = RegistryState()
    """What the registry was told."""
    drift: Annotated[tuple[Drift, ...], Field(max_length=8)] = ()
    """Differences seen now."""
    history: Annotated[tuple[HistoryEntry, ...], Field(max_length=20)] = ()
    """The last changes, oldest first."""
    conditions: Conditions = ()
    """`Resolved`, `LineageComplete`, `Evaluated`, `Serving`, `RegistrySynced`, `InSync`, `RollbackReady`,
    `Ready`, `Reconciling`, `Stalled`."""


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
