"""ModelApproval: what one person decided about one model version. It is written once; what it counts for is the operator's word."""

from typing import Annotated, Literal

from pydantic import Field

from .base import ApiModel, Cel, Column, Conditions, KindInfo, LocalRef, ObjectMeta, Resource, Text
from .references import Digest

DecisionWord = Literal["Approve", "Reject"]
StageToApprove = Literal["Staging", "Production"]


class ModelApprovalSpec(ApiModel):
    """What one person decided about one model version."""

    model_version_ref: LocalRef
    """The ModelVersion that was decided about."""
    stage: StageToApprove
    """The stage it was decided for."""
    decision: DecisionWord
    """Approve or Reject. A rejection wins, whoever else approves. Of several decisions of one person the last one counts."""
    subject_hash: Digest
    """What was looked at: `status.approvals.subjectHash` of the ModelVersion. With other content, other results or another gate
    the decision does not count."""
    approver: Annotated[str, Field(min_length=1, max_length=256)]
    """Who decides: the name by which the API server knows them (`kubectl auth whoami`). Nobody can decide for somebody else."""
    comment: Text = ""
    """Why, for those who read it later."""


class ModelApprovalStatus(ApiModel):
    """Whether the decision counts."""

    observed_generation: int = 0
    """The generation of the spec this status speaks of."""
    counted: bool = False
    """Whether it counts now; where not, the reason of Ready says why."""
    conditions: Conditions = ()
    """`Ready` (True: it counts, or nothing waits for it), `Reconciling`, `Stalled`."""


class ModelApproval(Resource):
    """What one person decided about one model version."""

    info = KindInfo(
        kind="ModelApproval",
        plural="modelapprovals",
        short_name="mappr",
        columns=(
            Column("ModelVersion", ".spec.modelVersionRef.name"),
            Column("Stage", ".spec.stage"),
            Column("Decision", ".spec.decision"),
            Column("Approver", ".spec.approver"),
            Column("Counted", ".status.counted", "boolean"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", priority=1),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )
    metadata: ObjectMeta
    spec: Annotated[
        ModelApprovalSpec,
        Cel("self == oldSelf", "a decision is immutable: make another ModelApproval, the last one of a person counts"),
    ]
    """What one person decided about one model version."""
    status: ModelApprovalStatus = ModelApprovalStatus()
    """Whether it counts; written by the operator alone."""
