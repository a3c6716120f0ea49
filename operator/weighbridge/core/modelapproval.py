"""What to say of a ModelApproval: whether it counts, and if not, why.

Told from what the ModelVersion's status counts, so that the two never differ; must not count anything itself.
"""

from dataclasses import dataclass
from datetime import datetime

from ..api.modelapproval import ModelApproval, ModelApprovalStatus
from ..api.modelversion import ModelVersion
from ..api.versionstatus import ApprovalsState
from .approvals import how, people, same_person
from .conditions import Summary, settle
from .plan import Plan
from .stages import to_approve


@dataclass(frozen=True)
class ApprovalFacts:
    """The version that was decided about."""

    version: ModelVersion | None


def decide(approval: ModelApproval, facts: ApprovalFacts, now: datetime) -> Plan:
    """Status alone; a ModelApproval does nothing by itself."""
    summary = judge(approval, facts.version)
    generation = approval.metadata.generation
    status = ModelApprovalStatus(
        observed_generation=generation,
        counted=summary.reason == "Counted",
        conditions=settle(approval.status.conditions, summary.drafts(), generation, now),
    )
    return Plan(status)


def judge(approval: ModelApproval, version: ModelVersion | None) -> Summary:
    """Whether it counts; the first that applies."""
    spec = approval.spec
    if version is None:
        text = f"there is no ModelVersion {spec.model_version_ref.name} in this namespace (yet)"
        return Summary("InProgress", "NoSuchVersion", text)
    name, state = version.metadata.name, version.status.approvals
    if to_approve(version) is None:
        return Summary("Ready", "NotRequired", f"{name} needs no approval in stage {version.spec.stage}: nothing waits for it")
    if state is None or version.status.observed_generation != version.metadata.generation:
        return Summary("InProgress", "NotObserved", f"the operator looks at {name} first")
    if _listed(approval, state):
        said = f"{people(state.approved_by)} of {state.required} approvals" if spec.decision == "Approve" else "a rejection wins"
        return Summary("Ready", "Counted", f"counts for {name} in {spec.stage}: {said}")
    if spec.stage != state.stage:
        return Summary(
            "Stalled", "OtherStage", f"it is for {spec.stage}, and {name} is to be approved for {state.stage}: {how(version)}"
        )
    if not state.subject_hash:
        return Summary("InProgress", "NotEvaluated", f"{name} has not passed its evaluations (any more): nothing can be approved")
    if spec.subject_hash != state.subject_hash:
        text = f"content, results or gates of {name} are not the ones it was for: look at them and decide again, {how(version)}"
        return Summary("Stalled", "SubjectChanged", text)
    trainer = version.status.lineage.trained_by if version.status.lineage is not None else ""
    if spec.decision == "Approve" and same_person(spec.approver, trainer):
        return Summary("Stalled", "OwnVersion", f"{trainer} trained {name}: somebody else has to approve it")
    at, listed = approval.metadata.creation_timestamp, (*state.approved_by, *state.rejected_by)
    if any(each.approver == spec.approver and at is not None and each.at >= at for each in listed):
        return Summary("Ready", "Replaced", f"a later decision of {spec.approver} counts")
    return Summary("InProgress", "NotObserved", f"the operator looks at {name} first")


def _listed(approval: ModelApproval, state: ApprovalsState) -> bool:
    counted = state.approved_by if approval.spec.decision == "Approve" else state.rejected_by
    return any(each.name == approval.metadata.name and each.at == approval.metadata.creation_timestamp for each in counted)
