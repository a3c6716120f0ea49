"""ModelVersion: one version of one model, and the wish for its stage. Claims and election (core/election) decide what serves."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import GROUP, ApiModel, Cel, Column, Duration, KindInfo, ObjectMeta, Resource, rules
from .evaluationjob import EvaluationTemplate
from .modelapproval import StageToApprove
from .modelregistry import Stage
from .references import LineagePart, ModelReference
from .serving import Serving
from .versionstatus import ModelVersionStatus

RollbackTrigger = Literal["RolloutFailed", "ProbeFailed", "Revoked", "EvaluationFailed", "Alert"]
_OWN_EVIDENCE = "a version is promoted on its own evidence alone: remove fallback (an EvaluationJob of yours may have one)"
_TOO_OFTEN = "evaluate every hour at the most: set maxAge to 1h or more"
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
    max_age: Annotated[Duration, Cel("duration(self) >= duration('1h')", _TOO_OFTEN)] | None = None
    """How long its verdict counts; then it is made again. Until it is, a version that never had a target gets none, and one that
    has or had it keeps what it is. A changed dataset, or the annotation `weighbridge.dev/re-evaluate`, makes it again at once."""


class Approvals(ApiModel):
    """How many people must approve the version before it gets a target it never had."""

    required: Annotated[int, Field(ge=1, le=5)] = 1
    """How many different people; who trained the version does not count."""
    stages: Annotated[
        tuple[StageToApprove, ...], Field(min_length=1, max_length=2, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ("Production",)
    """Stages that need it."""


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
    approvals: Approvals | None = None
    """People who must approve the version (ModelApproval). Absent: nobody is asked."""
    serving: Annotated[tuple[Serving, ...], Field(max_length=4)] = ()
    """Workloads this version claims."""
    rollback: Rollback = Rollback()
    """What takes a target away from this version again."""
    suspend: bool = False
    """Stops every change for this version (not the watching)."""


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
