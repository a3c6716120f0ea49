"""Why a version is where it is: the chain of facts behind its present state, in the order in which the operator asks for them.

Everything comes from what the objects' status says and from the election's own functions. Must not guess: what is not known is a
step that is open.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from ..api.annotations import HOLD, REASON
from ..api.base import Condition
from ..api.evaluationjob import EvaluationJob
from ..api.modelversion import Evaluation, ModelVersion
from ..api.serving import Serving
from ..api.versionstatus import EvaluationState, ServingState
from .approvals import how
from .conditions import find
from .election import suspended, waits_for
from .ranking import Ranked, rank
from .stages import HOLDING, entries, standing, target_name
from .weighing import outcome

State = Literal["Passed", "Waiting", "Blocked"]
_HOME = "weighbridge-system"
"""Where the operator is installed, as the pages say."""
_BY_STATUS: Mapping[str, State] = {"True": "Passed", "Unknown": "Waiting", "False": "Blocked"}


@dataclass(frozen=True)
class Step:
    """One fact of the chain."""

    name: str
    state: State
    reason: str
    """One word of docs/reasons.md."""
    message: str
    details: tuple[str, ...] = ()
    todo: str = ""
    """What to do where it is not passed; commands are in backquotes."""


def account(version: ModelVersion, others: Sequence[ModelVersion], evaluations: Mapping[str, EvaluationJob]) -> tuple[Step, ...]:
    """The steps up to the first that keeps the version back; all of them where it has a target, which it keeps meanwhile.
    `evaluations`: its EvaluationJobs, as far as they can be seen."""
    holds = any(state.state in HOLDING for state in version.status.serving)
    steps: list[Step] = []
    for step in _steps(version, (version, *others), evaluations):
        steps.append(step)
        if step.state != "Passed" and not holds:
            break
    return tuple(steps)


def keeps_back(steps: Sequence[Step]) -> Step | None:
    """What is told at the end: the first step that blocks, or else the first that is open."""
    order = ("Blocked", "Waiting")
    return next((step for state in order for step in steps if step.state == state), None)


def _steps(version: ModelVersion, everyone: Sequence[ModelVersion], jobs: Mapping[str, EvaluationJob]) -> Iterator[Step]:
    named, status = version.metadata.name, version.status
    seen, wanted = status.observed_generation, version.metadata.generation
    if version.metadata.deletion_timestamp is not None:
        said = find(status.conditions, "Ready")
        yield Step("Deletion", "Waiting", "Deleting", said.message if said else "it is to be deleted", todo=_look(version))
    elif not status.conditions or seen != wanted:
        text = f"the operator has not looked at generation {wanted} of the spec yet; what it tells is of generation {seen}"
        text = text if status.conditions else "the operator has not looked at it yet"
        todo = f"see that it runs (`kubectl -n {_HOME} get pods`) and watches namespace {version.metadata.namespace}"
        yield Step("Operator", "Waiting", "NotObserved", text, todo=todo)
    if suspended(version):
        spec = f'`kubectl -n {version.metadata.namespace} patch mver {named} --type merge -p \'{{"spec":{{"suspend":false}}}}\'`'
        todo = spec if version.spec.suspend else _command(version, "release")
        why = "spec.suspend is set" if version.spec.suspend else f"on hold: {version.metadata.annotations.get(HOLD, '')}"
        yield Step("Hold", "Blocked", "Suspended", f"{why}; nothing is changed for it", todo=todo)
    pin = (f"{status.resolved.uri} {status.resolved.digest}",) if status.resolved else ()
    yield _told("Resolved", find(status.conditions, "Resolved"), pin, _ask_registry(version))
    yield _told("Lineage", find(status.conditions, "LineageComplete"), (), _ask_registry(version))
    yield from _evaluated(version, everyone, jobs)
    if (approved := find(status.conditions, "Approved")) is not None:
        yield _told("Approval", approved, _counted(version), _decide(version, approved))
    yield from _served(version, everyone)
    if (written := find(status.conditions, "RegistrySynced")) is not None:
        tags = [f"{key}={text}" for key, text in sorted(status.registry.tags.items())]
        alias = [f"alias {status.registry.alias}"] if status.registry.alias else []
        yield _told("Write-back", written, (*alias, *tags), _look(version))
    if (same := find(status.conditions, "InSync")) is not None:
        drift = tuple(f"{each.type} since {each.since:%Y-%m-%dT%H:%M:%SZ}: {each.message}" for each in status.drift)
        yield _told("Drift", same, drift, "do what the sentence says; the operator looks again by itself")


def _evaluated(version: ModelVersion, everyone: Sequence[ModelVersion], jobs: Mapping[str, EvaluationJob]) -> Iterator[Step]:
    said = find(version.status.conditions, "Evaluated")
    states = {state.name: state for state in version.status.evaluations}
    for evaluation in version.spec.evaluations:
        yield _evaluation(version, evaluation, states.get(evaluation.name), everyone, jobs)
    passed = all(each.verdict == "Passed" for each in states.values())
    if not version.spec.evaluations or (said is not None and said.status != "True" and passed):
        yield _told("Evaluations", said, (), _look(version))


def _evaluation(
    version: ModelVersion,
    evaluation: Evaluation,
    state: EvaluationState | None,
    everyone: Sequence[ModelVersion],
    jobs: Mapping[str, EvaluationJob],
) -> Step:
    name, said = f"Evaluation {evaluation.name}", find(version.status.conditions, "Evaluated")
    job = jobs.get(state.job) if state is not None else None
    if state is None or (state.verdict is None and job is None):
        before = _turn(version, everyone)
        todo = _command(version, "why", before) if before else _look(version)
        if said is None:
            return Step(name, "Waiting", "EvaluationPending", "not begun", todo=todo)
        return Step(name, "Waiting", said.reason, said.message, todo=todo)
    found = outcome(state, job)
    todo = f"`kubectl -n {version.metadata.namespace} describe evaljob {state.job}`"
    if found.state == "Blocked":
        todo += f", and once that is mended {_command(version, 're-evaluate')}"
    return Step(name, found.state, found.reason, found.message, found.details, todo)


def _turn(version: ModelVersion, everyone: Sequence[ModelVersion]) -> str:
    """The version whose decision its evaluations wait for; empty where there is none."""
    for entry in entries(version):
        claims = [each.claim for each in rank(entry.target_ref, everyone)]
        if before := waits_for(version.metadata.name, claims):
            return before
    return ""


def _counted(version: ModelVersion) -> tuple[str, ...]:
    """The decisions that count."""
    said = version.status.approvals
    if said is None:
        return ()
    return tuple(
        f"{each.approver} {word} {each.at:%Y-%m-%dT%H:%M:%SZ} ({each.name})"
        for word, decisions in (("approved", said.approved_by), ("rejected", said.rejected_by))
        for each in decisions
    )


def _decide(version: ModelVersion, said: Condition) -> str:
    """What people can type."""
    match said.reason:
        case "ApprovalRequired":
            return f"{how(version)}, or {_command(version, 'reject', more='--comment WHY')}"
        case "ApprovalRejected":
            return f"register a better version; to take a rejection back, who rejected types {how(version)}"
    return _look(version)


def _served(version: ModelVersion, everyone: Sequence[ModelVersion]) -> Iterator[Step]:
    claimed = entries(version)
    if not claimed:
        said = find(version.status.conditions, "Ready")
        reason, text = (said.reason, said.message) if said else ("NoClaim", "it claims no workload in its stage")
        yield Step("Election", "Passed", reason, text, todo="")
    several = len(claimed) > 1
    yield from chain.from_iterable(_target(version, entry, everyone, several=several) for entry in claimed)


def _target(version: ModelVersion, entry: Serving, everyone: Sequence[ModelVersion], *, several: bool) -> Iterator[Step]:
    where, ranked = target_name(entry.target_ref), rank(entry.target_ref, everyone)
    state = standing(version, entry.target_ref)
    step = _elected(version, where, ranked, state)
    yield step
    if step.state != "Passed":
        return
    said = find(version.status.conditions, "Serving")
    if said is not None and several and where not in said.message:
        said = None  # it speaks of another target
    if state is None:
        yield Step(f"Pointer {where}", "Waiting", "NotObserved", "the target was not looked at yet", todo=_look(version))
        return
    shown = f"{entry.pointer.shown} of {where} is {state.observed or 'empty'}"
    if state.state == "Blocked" or state.observed != state.wished or state.state not in HOLDING:
        reason, text = (said.reason, said.message) if said else ("Repointing", f"it is to be {state.wished}")
        kept: State = "Blocked" if state.state == "Blocked" or (said and said.status == "False") else "Waiting"
        yield Step(f"Pointer {where}", kept, reason, f"{shown}: {text}", todo=_workload(version, entry))
        return
    yield Step(f"Pointer {where}", "Passed", "Repointing", shown)
    if state.state == "Serving" and (said is None or said.status == "True"):
        since = f" since {state.since:%Y-%m-%dT%H:%M:%SZ}" if state.since else ""
        yield Step(f"Proof {where}", "Passed", said.reason if said else "Serving", f"proved to serve{since}")
        return
    reason, text = (said.reason, said.message) if said else ("RollingOut", "its pods are on their way")
    kept = _BY_STATUS[said.status] if said else "Waiting"
    yield Step(f"Proof {where}", kept, reason, text, todo=_workload(version, entry))


def _elected(version: ModelVersion, where: str, ranked: Sequence[Ranked], state: ServingState | None) -> Step:
    name, details = f"Election {where}", tuple(each.shown(place) for place, each in enumerate(ranked, start=1))
    mine = next((each for each in ranked if each.claim.name == version.metadata.name), None)
    won = next((each for each in ranked if each.wins), None)
    if mine is not None and mine.wins:
        return Step(name, "Passed", "Electing", "it goes before all others that may serve", details)
    if mine is None:
        return Step(name, "Blocked", "NoClaim", "it makes no claim", details, _look(version))
    if state is not None and state.rejection is not None and not mine.claim.eligible:
        text = f"{mine.reason}: {mine.why}" + (f"; {won.claim.name} has it" if won else "; no other version may serve")
        return Step(name, "Blocked", "RolledBack" if won else "NoEligibleClaim", text, details, _command(version, "retry"))
    if won is None:
        return Step(name, "Blocked", "NoEligibleClaim", f"no version may serve: {mine.reason}: {mine.why}", details, _look(version))
    if not mine.claim.eligible:
        return Step(name, "Blocked", "NotEligible", f"{mine.reason}: {mine.why}", details, _reason(version))
    back = f"nothing: it stands by. To go back to it: {_command(version, 'rollback', won.claim.name, '--reason WHY')}"
    text = f"{won.claim.name} goes before it ({won.order}; this one: {mine.order})"
    return Step(name, "Blocked", "Outranked" if mine.claim.holds else "Superseded", text, details, back)


def _told(name: str, said: Condition | None, details: tuple[str, ...], todo: str) -> Step:
    if said is None:
        return Step(name, "Waiting", "NotObserved", "the operator has not told yet", details, todo)
    state = _BY_STATUS[said.status]
    return Step(name, state, said.reason, said.message, details, "" if state == "Passed" else todo)


def _command(version: ModelVersion, command: str, name: str = "", more: str = "") -> str:
    words = ["weighbridge", command, name or version.metadata.name, "-n", version.metadata.namespace, more]
    return f"`{' '.join(each for each in words if each)}`"


def _look(version: ModelVersion) -> str:
    return f"`kubectl -n {version.metadata.namespace} describe mver {version.metadata.name}`"


def _reason(version: ModelVersion) -> str:
    said = find(version.status.conditions, "Ready")
    if said is not None and said.reason == "DemotionNeedsReason":
        return f"`kubectl -n {version.metadata.namespace} annotate mver {version.metadata.name} {REASON}=WHY --overwrite`"
    return _look(version)


def _workload(version: ModelVersion, entry: Serving) -> str:
    return f"`kubectl -n {version.metadata.namespace} describe {entry.target_ref.kind.lower()} {entry.target_ref.name}`"


def _ask_registry(version: ModelVersion) -> str:
    """How to put the operator's question oneself."""
    source, place = version.spec.source, version.metadata.namespace
    if source.revision is not None:
        text = f"hf://{source.name}@{source.revision.replace('/', '%2F')}"
    else:
        text = f"models:/{source.name}@{source.alias}" if source.alias else f"models:/{source.name}/{source.version}"
    quoted = (
        text if text.replace("%", "").isascii() and " " not in text and "'" not in text else "'" + text.replace("'", "'\\''") + "'"
    )
    return f"`weighbridge preflight {quoted} --registry {source.registry_ref.name} -n {place}`"
