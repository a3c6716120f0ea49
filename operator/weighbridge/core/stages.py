"""Stages and what leaving one means: a version that holds a target, or is the way back, gives it up for a reason that is said.

Who lowers the stage of such a version says why (annotation `weighbridge.dev/reason`); until then it stays as if nothing had been
asked. What serves alone stays in any case, until another version can take over.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from ..api.annotations import REASON, REQUESTED_BY
from ..api.base import seconds
from ..api.modelapproval import StageToApprove
from ..api.modelregistry import Stage
from ..api.modelversion import ModelVersion
from ..api.serving import Serving, TargetRef
from ..api.versionstatus import ServingState

_RANK: Mapping[Stage, int] = {"Archived": 0, "Candidate": 1, "Staging": 2, "Production": 3}
HOLDING = ("Progressing", "Serving")
"""States of a version that the target is told to serve."""


def target_name(target: TargetRef) -> str:
    """Kind and name, as status shows it."""
    return f"{target.kind}/{target.name}"


def named_targets(version: ModelVersion) -> frozenset[tuple[str, str]]:
    """Kind and name of every target in the spec, whatever its stage."""
    return frozenset((entry.target_ref.kind, entry.target_ref.name) for entry in version.spec.serving)


def standing(version: ModelVersion, target: TargetRef) -> ServingState | None:
    """What the version's status says of a target."""
    return next((state for state in version.status.serving if state.target == target_name(target)), None)


def entries(version: ModelVersion) -> list[Serving]:
    """What the version claims: the entries of its stage, and those of a higher one it has not left yet."""
    return [entry for entry in version.spec.serving if entry.stage == version.spec.stage or leaves(version, entry)]


def to_approve(version: ModelVersion) -> StageToApprove | None:
    """The stage for which people have to approve the version now: the one it is wished in, or a higher one it has not left."""
    if version.spec.approvals is None:
        return None
    stages = {version.spec.stage, *(entry.stage for entry in entries(version))}
    needed: tuple[StageToApprove, ...] = ("Production", "Staging")
    return next((each for each in needed if each in stages and each in version.spec.approvals.stages), None)


def had(state: ServingState | None) -> bool:
    """Whether the version has a target, or is its way back, and no evidence has taken it away."""
    return state is not None and state.repointed_at is not None and state.state in (*HOLDING, "Superseded", "Blocked")


def leaves(version: ModelVersion, entry: Serving) -> bool:
    """Whether the version still has a target of a higher stage than the one it is wished in."""
    lowered = _RANK[version.spec.stage] < _RANK[entry.stage]
    named = any(each.target_ref == entry.target_ref and each.stage == version.spec.stage for each in version.spec.serving)
    state = standing(version, entry.target_ref)
    if not lowered or named or state is None:
        return False
    return state.state in HOLDING or (state.state == "Superseded" and not said_why(version))


def gone(version: ModelVersion, entry: Serving, now: datetime) -> bool:
    """Whether a version that stands by in a stage it was to leave has stood by long enough."""
    state = standing(version, entry.target_ref)
    if state is None or state.state != "Superseded":
        return False
    kept = timedelta(seconds=seconds(version.spec.rollback.retention))
    return state.until is None or now >= state.until + kept


def said_why(version: ModelVersion) -> str:
    """The reason for lowering the stage, with who gives it; empty where none is given."""
    reason = version.metadata.annotations.get(REASON, "").strip()
    if reason[:1024] == version.status.requests.reason:
        return ""
    who = version.metadata.annotations.get(REQUESTED_BY, "").strip()
    return f"{reason} ({who})" if reason and who else reason
