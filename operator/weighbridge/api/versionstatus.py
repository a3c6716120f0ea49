"""What the operator tells of a ModelVersion: its pin, its evaluations, its standing on every target, and what it remembers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from .base import ApiModel, Conditions, Text
from .gate import VerdictName
from .modelapproval import StageToApprove
from .references import Digest, Lineage, ModelPin

DriftType = Literal["Pointer", "Serving", "Registry", "Artifact", "Revoked", "Unknown"]


class EvaluationState(ApiModel):
    """One evaluation of this version."""

    name: Annotated[str, Field(max_length=40)]
    """Name within spec.evaluations."""
    job: Annotated[str, Field(max_length=253)]
    """Name of the EvaluationJob."""
    verdict: VerdictName | None = None
    """Its verdict; absent while it runs. While it is made again, the verdict before."""
    score: Annotated[str, Field(max_length=64)] = ""
    """Its first gate metric."""
    evidence: Annotated[str, Field(max_length=64)] = ""
    """SHA-256 of the engine's result document."""
    round: Annotated[int, Field(ge=1)] = 1
    """How often it was made."""
    ended_at: datetime | None = None
    """When it was measured."""
    datasets: Annotated[dict[str, Digest], Field(max_length=8)] = {}
    """Fingerprints of the datasets it was measured on, by name."""
    champion: Annotated[str, Field(max_length=253)] | None = None
    """EvaluationJob it was compared with, empty where nothing served; absent where the gate compares with nothing."""
    failures: Annotated[int, Field(ge=0)] = 0
    """How often in a row it could not be made again."""
    again: Annotated[str, Field(max_length=1024)] = ""
    """Why it is being made again; empty where it is not."""
    message: Text = ""
    """What it says."""


class CountedDecision(ApiModel):
    """A person's decision that counts."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the ModelApproval."""
    approver: Annotated[str, Field(max_length=256)]
    """Who decided."""
    at: datetime
    """When."""
    subject_hash: Digest
    """What was decided about."""


class ApprovalsState(ApiModel):
    """What is to be approved, and who has decided."""

    subject_hash: Annotated[str, Field(max_length=71)] = ""
    """SHA-256 over pinned content, results, gates and stage: what an approval is for. Empty until the evaluations have passed."""
    stage: StageToApprove | None = None
    """The stage it is to be approved for; absent where none needs it now."""
    required: Annotated[int, Field(ge=0)] = 0
    """How many people must approve."""
    approved_by: Annotated[tuple[CountedDecision, ...], Field(max_length=32)] = ()
    """Approvals that count."""
    rejected_by: Annotated[tuple[CountedDecision, ...], Field(max_length=32)] = ()
    """Rejections that count, also where the ModelApproval was deleted since: until the same person approves."""
    earlier: Annotated[tuple[CountedDecision, ...], Field(max_length=32)] = ()
    """Rejections that counted before results or gates changed. They keep a version that had a target from having it again, until
    the same people approve, or as many as are required."""


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
    re_evaluate: Annotated[str, Field(max_length=1024)] = ""
    """The last value of `weighbridge.dev/re-evaluate`."""
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
    """Pointer: the workload was edited by somebody else. Serving: pods serve something else, or none serves. Registry: own tags or
    alias were changed. Artifact: the content behind the version changed. Revoked: the version is gone. Unknown: it cannot be
    told."""
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
    approvals: ApprovalsState | None = None
    """Who approved; absent where nobody is asked."""
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
    """`Resolved`, `LineageComplete`, `Evaluated`, `Approved` (where people are asked), `Serving`, `RegistrySynced`, `InSync`,
    `RollbackReady`, `Ready`, `Reconciling`, `Stalled`."""
