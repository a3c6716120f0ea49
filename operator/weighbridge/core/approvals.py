"""Approvals: what people are asked about, whose decisions count, and what they say together.

A decision is about one subject: content, results, gates and stage. Of one person the last decision counts; of all of them a
rejection does. Must not take anything from a version because its subject changed: only a person's no does that.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..api.modelapproval import ModelApproval
from ..api.modelversion import ModelVersion
from ..api.references import Lineage, ModelPin
from ..api.versionstatus import ApprovalsState, CountedDecision, EvaluationState
from .conditions import Draft
from .evaluations import Evaluated
from .policy import policy_hash
from .stages import entries, had, standing, to_approve

_MOST = 32
_NAMED = 5
_BEFORE_NAME = re.compile(r"^.*[:#/\\]")


@dataclass(frozen=True)
class Approved:
    """What people said so far."""

    state: ApprovalsState | None
    draft: Draft | None
    """Approved; None where nobody is asked at all."""


def approve(
    version: ModelVersion, pin: ModelPin | None, lineage: Lineage | None, evaluated: Evaluated, decisions: Iterable[ModelApproval]
) -> Approved:
    """Fails closed: what never had a target of its stage gets one only with enough decisions on exactly what it is now."""
    last = version.status.approvals or ApprovalsState()
    asked, stage = version.spec.approvals, to_approve(version)
    remembered = _distinct((*last.rejected_by, *last.earlier))
    if asked is None or stage is None:
        draft = Draft("Approved", True, "NotRequired", f"no approval is required in stage {version.spec.stage}") if asked else None
        return Approved(ApprovalsState(earlier=remembered) if remembered else None, draft)
    subject = ""
    if pin is not None and evaluated.draft.status is True:
        subject = subject_hash(version, pin, evaluated.states, stage)
    decided = [each for each in decisions if each.spec.stage == stage]
    approving, rejecting = _counted(subject, decided, remembered)
    trainer = lineage.trained_by if lineage is not None else ""
    state = ApprovalsState(
        subject_hash=subject,
        stage=stage,
        required=asked.required,
        approved_by=tuple(each for each in approving if not same_person(each.approver, trainer))[:_MOST],
        rejected_by=rejecting[:_MOST],
    )
    if not rejecting and enough(state):
        return Approved(state, Draft("Approved", True, "Approved", f"approved for {stage} by {_names(state.approved_by)}"))
    again = {each.approver: each.at for each in approving}
    earlier = [each for each in remembered if each.subject_hash != subject and again.get(each.approver, each.at) <= each.at]
    state = state.model_copy(update={"earlier": tuple(earlier)})
    return Approved(state, _draft(version, state, trainer))


def subject_hash(version: ModelVersion, pin: ModelPin, states: Sequence[EvaluationState], stage: str) -> str:
    """What an approval is for. The same results measured once more are the same subject."""
    gates = {evaluation.name: policy_hash(evaluation.template.gate) for evaluation in version.spec.evaluations}
    results = [
        {
            "name": state.name,
            "gate": gates.get(state.name, ""),
            "verdict": state.verdict,
            "score": state.score,
            "evidence": state.evidence,
            "datasets": state.datasets,
            "champion": state.champion,
        }
        for state in sorted(states, key=lambda state: state.name)
    ]
    said = json.dumps({"digest": pin.digest, "stage": stage, "evaluations": results}, sort_keys=True)
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


def enough(state: ApprovalsState) -> bool:
    """Whether as many people approved as are required."""
    return bool(state.subject_hash) and people(state.approved_by) >= state.required > 0


def people(decisions: Iterable[CountedDecision]) -> int:
    """How many people these are: one who is known by two names is one."""
    found = list[str]()
    for each in decisions:
        if not any(same_person(each.approver, other) for other in found):
            found.append(each.approver)
    return len(found)


def same_person(name: str, another: str) -> bool:
    """Whether two names may be those of one person, such as a user of the cluster and of a training run: one may lack the prefix of
    the identity provider, or the domain. In doubt they are one."""
    one, other = (_BEFORE_NAME.sub("", each.strip().lower()) for each in (name, another))
    if "@" not in one or "@" not in other:
        one, other = one.partition("@")[0], other.partition("@")[0]
    return one == other != ""


def how(version: ModelVersion) -> str:
    """What to type."""
    return f"`weighbridge approve {version.metadata.name} -n {version.metadata.namespace}`"


def _counted(
    subject: str, decisions: Iterable[ModelApproval], remembered: Iterable[CountedDecision]
) -> tuple[tuple[CountedDecision, ...], tuple[CountedDecision, ...]]:
    """Who approves and who rejects the subject by their last word, which is a rejection where two are of the same second."""
    if not subject:
        return (), ()
    said = [(False, each) for each in remembered if each.subject_hash == subject]
    for decision in decisions:
        spec, at = decision.spec, decision.metadata.creation_timestamp
        if spec.subject_hash == subject and at is not None:
            word = CountedDecision(name=decision.metadata.name, approver=spec.approver, at=at, subject_hash=subject)
            said.append((spec.decision == "Approve", word))
    said.sort(key=lambda each: (each[1].at, not each[0], each[1].name))
    last = {word.approver: (approves, word) for approves, word in said}
    ordered = sorted(last.values(), key=lambda each: (each[1].at, each[1].approver))
    return tuple(word for approves, word in ordered if approves), tuple(word for approves, word in ordered if not approves)


def _draft(version: ModelVersion, state: ApprovalsState, trainer: str) -> Draft:
    stage, missing = state.stage, state.required - people(state.approved_by)
    if state.rejected_by:
        who = _names(state.rejected_by)
        text = f"rejected for {stage} by {who}: register a better version; who rejected it takes that back with {how(version)}"
        return Draft("Approved", False, "ApprovalRejected", text)
    counted = f"{people(state.approved_by)} of {state.required} approvals"
    if keeps(version) and state.earlier:
        text = (
            f"rejected for {stage} by {_names(state.earlier)}, before its results or gates changed; {counted} since: {how(version)}"
        )
        return Draft("Approved", False, "ApprovalRejected", text)
    if keeps(version):
        text = f"keeps what it has in {stage}, with {counted} for its results and gates as they are now: {how(version)}"
        return Draft("Approved", True, "ApprovalOutdated", text)
    if not state.subject_hash:
        return Draft(
            "Approved", None, "NotEvaluated", f"people are asked to approve it for {stage} once its evaluations have passed"
        )
    others = f" by others than {trainer}, who trained it" if trainer else ""
    text = f"waits for {missing} of {state.required} approvals for {stage}{others}: {how(version)}"
    return Draft("Approved", False, "ApprovalRequired", text)


def keeps(version: ModelVersion) -> bool:
    """Whether it has, or is the way back of, every target it claims in the stage that needs approval."""
    stage = to_approve(version)
    claimed = [entry for entry in entries(version) if entry.stage == stage]
    return bool(claimed) and all(had(standing(version, entry.target_ref)) for entry in claimed)


def _distinct(decisions: Iterable[CountedDecision]) -> tuple[CountedDecision, ...]:
    found = {(each.approver, each.name, each.at): each for each in decisions}
    return tuple(found.values())[:_MOST]


def _names(decisions: Sequence[CountedDecision]) -> str:
    names = [each.approver for each in decisions]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
