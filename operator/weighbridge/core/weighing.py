"""How one evaluation of a version came out, or what it waits for, in words: from the version's status and its EvaluationJob's.

Must not judge anything anew: a verdict is the gate's word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..api.evaluationjob import EvaluationJob
from ..api.gate import GateLine, VerdictName
from ..api.versionstatus import EvaluationState
from .conditions import find

_REASONS: Mapping[VerdictName, str] = {
    "Passed": "GatePassed",
    "Failed": "GateFailed",
    "Inconclusive": "Inconclusive",
    "Error": "EvaluationError",
}


@dataclass(frozen=True)
class Weighed:
    """One evaluation, as it stands."""

    state: Literal["Passed", "Waiting", "Blocked"]
    reason: str
    message: str
    details: tuple[str, ...]


def outcome(state: EvaluationState, job: EvaluationJob | None) -> Weighed:
    """What is known of it; `job`: its EvaluationJob, where that can be seen."""
    ready = find(job.status.conditions, "Ready") if job is not None else None
    again = (f"made again: {state.again}",) if state.again else ()
    if state.verdict is None:
        reason, text = (ready.reason, ready.message) if ready else ("EvaluationRunning", f"measured by EvaluationJob {state.job}")
        refused = job is not None and job.status.phase == "Refused"
        return Weighed("Blocked" if refused else "Waiting", reason, text, (*_way(job), *again))
    reason = _REASONS[state.verdict]
    if state.verdict == "Error" and ready is not None and job is not None and job.status.phase == "Error":
        reason = ready.reason
    lines = tuple(map(shown, job.status.verdict.lines)) if job is not None and job.status.verdict is not None else ()
    return Weighed("Passed" if state.verdict == "Passed" else "Blocked", reason, state.message, (*lines, *again))


def shown(line: GateLine) -> str:
    """One line of the gate, with the numbers it used."""
    numbers = [f"{line.value:.6g}"] if line.value is not None else []
    numbers += [f"± {line.stderr:.3g}"] if line.stderr is not None else []
    numbers += [f"on {line.slice}"] if line.slice is not None else []
    numbers += [f"of {line.n}"] if line.n is not None else []
    numbers += [f"champion {line.champion:.6g}"] if line.champion is not None else []
    value = f": {' '.join(numbers)}" if numbers else ""
    return f"{line.verdict}: {line.rule}{value}{f' ({line.message})' if line.message else ''}"


def _way(job: EvaluationJob | None) -> tuple[str, ...]:
    """Where one that has no verdict is."""
    if job is None:
        return ()
    status = job.status
    lines = [f"{each.name} {each.result}: {each.reason}: {each.message}" for each in status.preflight if each.result != "Passed"]
    if status.job is not None and status.job.waiting_since is not None:
        queue = job.spec.scheduling.queue_name
        place = f"in queue {queue}" if queue else "for a node"
        lines.append(f"Job {status.job.name} waits {place} since {status.job.waiting_since:%Y-%m-%dT%H:%M:%SZ}")
    if status.progress is not None:
        lines.append(f"{status.progress.done} of {status.progress.total} steps done")
    return tuple(lines)
