"""`weighbridge approve` and `weighbridge reject`: a person's decision on a ModelVersion, asked from a terminal.

Shows what is decided about, and writes one ModelApproval in the name of whoever types; the cluster decides whether they may, and
the operator whether it counts. Its name follows from the decision, so that typing twice is one decision.
"""

import argparse
import asyncio
import hashlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..api.base import API_VERSION, GROUP, Condition
from ..api.modelapproval import ModelApproval
from ..api.modelversion import ModelVersion
from ..api.versionstatus import ApprovalsState
from ..controllers.ports import ClusterError
from ..core.conditions import find
from ..runtime.clock import now
from . import answers
from .answers import DONE, ENDS, REFUSED, UNKNOWN, Answer, hint, one_line
from .desk import Desk, Refused
from .places import CannotTell, Misused
from .terminal import printable

_DESCRIPTIONS: Mapping[str, str] = {
    "approve": "Shows content, verdicts and scores of a version that waits for people, approves it in your name, and says whether "
    f"that counts. {ENDS}",
    "reject": f"Rejects a version in your name: it may not serve. {ENDS}",
}
_PLURAL = ModelApproval.info.plural
_LONGEST_STEM = 200
_SECOND = 1.0
_LOOK, _LOOKS = 0.2, 50
"""Seconds between two looks at whether the operator counts the decision, and how many."""


def add(parser: argparse.ArgumentParser, command: str) -> None:
    """What one of the commands takes."""
    parser.description = _DESCRIPTIONS[command]
    answers.add_version(parser)
    reject = command == "reject"
    parser.add_argument("--comment", metavar="TEXT", required=reject, help="why; kept in the ModelApproval" if reject else "why")


def main(options: argparse.Namespace) -> int:
    """Runs one of the two commands; the exit code."""
    return answers.run(options, lambda desk: _decide(desk, options))


async def _decide(desk: Desk, options: argparse.Namespace) -> Answer:
    comment, about = one_line("--comment", options.comment or ""), {"modelVersion": desk.name, "namespace": desk.namespace}
    decision = "Approve" if options.command == "approve" else "Reject"
    if decision == "Reject" and not comment:
        raise Misused('say why, for those who read it later: --comment "wrong on new customers"')
    version = await desk.version()
    state = version.status.approvals
    if state is None or state.stage is None:
        text = f"nobody is asked to approve {desk.name} in stage {version.spec.stage} (spec.approvals)"
        if decision == "Reject":
            rollback = hint("rollback", desk.namespace, desk.name, f"--reason {shlex.quote(comment)}")
            text += f"; to take its targets away: {rollback}"
        return Answer(REFUSED, "NotRequired", text, about)
    if not state.subject_hash:
        evaluated = find(version.status.conditions, "Evaluated")
        why = f": {printable(evaluated.message)}" if evaluated is not None else ""
        text = f"{desk.name} has not passed its evaluations, so there is nothing to decide{why}"
        return Answer(REFUSED, "NotEvaluated", text, about)
    if options.output == "text":
        sys.stdout.writelines(f"{each}\n" for each in _shown(version, state))
        sys.stdout.flush()
    user = await desk.known_user()
    if not user:
        raise CannotTell("Unauthorized", "the API server does not say who you are (kubectl auth whoami)")
    against = state.rejected_by if decision == "Approve" else state.approved_by
    taken_back = next((each for each in against if each.approver == user), None)
    if taken_back is not None and abs((now() - taken_back.at).total_seconds()) < _SECOND * 2:
        await asyncio.sleep(_SECOND)  # times are whole seconds, and of two decisions of one the rejection counts
    before = taken_back.name if taken_back is not None else ""
    manifest = _manifest(version, state, decision, user, comment=comment, taken_back=before)
    await _create(desk, manifest)
    return await _counted(desk, manifest["metadata"]["name"], about)


def _shown(version: ModelVersion, state: ApprovalsState) -> Iterator[str]:
    """What is decided about."""
    pin, lineage = version.status.resolved, version.status.lineage
    if pin is not None:
        yield f"{pin.name} {pin.version}, for {state.stage}"
        yield f"  content     {pin.digest}"
    if lineage is not None and (lineage.run_id or lineage.trained_by):
        by, run = printable(lineage.trained_by) or "somebody unknown", printable(lineage.run_id) or "unknown"
        yield f"  trained     by {by} in run {run}"
    for each in version.status.evaluations:
        yield f"  {each.name:<11} {each.verdict}: {printable(each.message or each.score)}"
    if not version.status.evaluations:
        yield "  no evaluation is required"
    yield f"  decision on {state.subject_hash}"


def _manifest(
    version: ModelVersion, state: ApprovalsState, decision: str, user: str, *, comment: str, taken_back: str
) -> dict[str, Any]:
    """The decision. Its name tells it from the one it takes back, so that what was taken back can be decided once more."""
    unique = hashlib.sha256("\0".join((state.subject_hash, decision, user, taken_back)).encode()).hexdigest()[:16]
    metadata = {"name": f"{version.metadata.name[:_LONGEST_STEM].rstrip('-.')}-{decision.lower()}-{unique}"}
    spec = {
        "modelVersionRef": {"name": version.metadata.name},
        "stage": state.stage,
        "decision": decision,
        "subjectHash": state.subject_hash,
        "approver": user,
        **({"comment": comment} if comment else {}),
    }
    metadata["namespace"] = version.metadata.namespace
    return {"apiVersion": API_VERSION, "kind": ModelApproval.info.kind, "metadata": metadata, "spec": spec}


async def _create(desk: Desk, manifest: Mapping[str, Any]) -> None:
    """One that is there already is success. Raises Misused, Refused, CannotTell."""
    namespace = desk.namespace
    try:
        await desk.cluster.create(manifest)
    except ClusterError as error:
        match error.reason:
            case "AlreadyExists":
                return
            case "Forbidden":
                text = f"you may not create ModelApprovals in namespace {namespace}: ask for the right to create {_PLURAL}.{GROUP}"
                raise CannotTell("Forbidden", text) from error
            case "AdmissionDenied" | "Invalid":
                raise Refused(printable(error.public)) from error
            case "NotFound":
                raise Misused("this cluster has no ModelApprovals: install the CRDs of this release") from error
        raise CannotTell(error.reason, error.public) from error


async def _counted(desk: Desk, name: str, about: Mapping[str, str]) -> Answer:
    """What the operator makes of the decision, once it has looked."""
    said: Condition | None = None
    approval: ModelApproval | None = None
    for _ in range(_LOOKS):
        approval = await _read(desk, name)
        said = find(approval.status.conditions, "Ready") if approval is not None else None
        if said is not None and said.reason != "NotObserved":
            break
        await asyncio.sleep(_LOOK)
    details = {**about, "modelApproval": name}
    if approval is None or said is None or said.reason == "NotObserved":
        text = f"{name} is recorded; the operator has not counted it yet: kubectl -n {desk.namespace} get mappr {name}"
        return Answer(UNKNOWN, "NotObserved", text, details)
    details["approver"] = approval.spec.approver
    if not approval.status.counted:
        return Answer(REFUSED, said.reason, f"{name} is recorded and does not count: {printable(said.message)}", details)
    version = await desk.version()
    state, approved = version.status.approvals or ApprovalsState(), find(version.status.conditions, "Approved")
    counts = {
        "required": state.required,
        "approvedBy": [each.approver for each in state.approved_by],
        "rejectedBy": [each.approver for each in state.rejected_by],
    }
    text = f"{printable(approval.spec.approver)}: {printable(said.message)}"
    so_far = f"\n  {approved.reason}: {printable(approved.message)}" if approved is not None else ""
    return Answer(DONE, "Counted", f"{text}{so_far}", {**details, **counts})


async def _read(desk: Desk, name: str) -> ModelApproval | None:
    try:
        body = await desk.cluster.get(API_VERSION, ModelApproval.info.kind, desk.namespace, name)
        return ModelApproval.model_validate(body) if body is not None else None
    except ClusterError as error:
        why = error.public
        if error.reason == "Forbidden":
            why = f"you may not get ModelApprovals in namespace {desk.namespace}: ask for the right to get {_PLURAL}.{GROUP}"
        raise CannotTell(error.reason, f"{name} is recorded; whether it counts cannot be read: {why}") from error
    except ValidationError as error:
        raise CannotTell("InvalidSpec", f"{name} is recorded; this program is older than the CRDs and cannot read it") from error
