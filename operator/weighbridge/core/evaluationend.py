"""How an evaluation ends: the verdict, which is recorded once, and what becomes of the Job after it."""

from datetime import datetime, timedelta

from ..api.base import seconds
from ..api.evaluationjob import EvaluationJob, Resolved
from ..api.evaluationpod import JobState
from ..api.gate import GateLine, Verdict
from ..api.results import Results
from .conditions import Draft, Summary, find, stamp
from .evaluationfacts import EvaluationFacts, ResultProblem
from .evaluationstatus import status_plan, told, validated
from .gate import judge, score
from .incumbent import rival
from .names import job_name
from .plan import Action, Delete, Plan
from .preflight import Examination
from .regression import NOT_COMPARABLE
from .report import reported, without

RECHECK = 300.0
"""Seconds between looks at a refused or ended evaluation."""


def finish(job: EvaluationJob, report: Results | ResultProblem, state: JobState, facts: EvaluationFacts, now: datetime) -> Plan:
    """The verdict on what was handed over, and what follows from it."""
    if state.finished_at is None:
        state = state.model_copy(update={"finished_at": stamp(now)})
    results: Results | None = None
    pins = job.status.resolved
    if isinstance(report, Results):
        results = reported(job, report).model_copy(update={"model": pins.model.uri if pins else ""})
        verdict = judge(
            job.spec.gate,
            report.metrics,
            report.truncated,
            champion=rival(job, facts, state.image),
            comparisons=report.comparisons,
            invariants=report.invariants,
        )
        worst = next((line for line in verdict.lines if line.verdict == verdict.result), None)
        message = worst.message if worst else "no gate rule: nothing was asked"
        reason = {"Passed": "GatePassed", "Failed": "GateFailed", "Inconclusive": "Inconclusive", "Error": "GateError"}[
            verdict.result
        ]
        if verdict.result == "Inconclusive" and message.startswith(NOT_COMPARABLE):
            reason = NOT_COMPARABLE
    else:
        reason, message = report.reason, report.message
        verdict = Verdict(result="Error", lines=(GateLine(rule="result", verdict="Error", message=message[:1024]),))
    if results is not None and results.report is not None and results.report.problem:
        message = f"{message} ({without(results.report)})"
    source = results.reused_from if results is not None else ""
    if source:
        message = f"{message} (measured by EvaluationJob {source})"
    if pins is not None and pins.fallback:
        message = f"{message} (measured on a fallback: see FallbackUsed)"
    summary = Summary("Ready" if verdict.result == "Passed" else "Stalled", reason, message)
    drafts = (
        validated(),
        *told(job),
        Draft("Scheduled", False, "ResultReused", f"measured by EvaluationJob {source}")
        if source
        else Draft("Scheduled", True, "JobCreated", f"Job {state.name}"),
        Draft("Complete", True, reason, message),
    )
    plan = status_plan(job, now, summary, drafts, phase=verdict.result, job_state=state)
    status = plan.status.model_copy(
        update={"results": results, "verdict": verdict, "score": score(job.spec.gate, verdict) if results else ""}
    )
    return clean_up(job.model_copy(update={"status": status}), facts, now)


def reused(
    job: EvaluationJob, same: EvaluationJob, pins: Resolved, *, found: Examination, facts: EvaluationFacts, now: datetime
) -> Plan:
    """Without a Job: the verdict on what an earlier evaluation measured, which is as old as that."""
    assert same.status.results is not None
    assert same.status.job is not None
    results = same.status.results.model_copy(update={"reused_from": same.metadata.name, "comparisons": ()})
    state = same.status.job.model_copy(update={"name": job_name(job), "uid": None, "attempt": 1})
    status = job.status.model_copy(update={"resolved": pins, "preflight": found.checks})
    return finish(job.model_copy(update={"status": status}), results, state, facts, now)


def clean_up(job: EvaluationJob, facts: EvaluationFacts, now: datetime) -> Plan:
    """The result is recorded: the Job goes when its time has come, and at once where it has not ended."""
    recorded = find(job.status.conditions, "Complete")
    if facts.job is None or not facts.job.ours or recorded is None:
        return Plan(status=job.status)
    passed = job.status.verdict is not None and job.status.verdict.result == "Passed"
    kept = seconds(job.spec.ttl_after_finished if passed else job.spec.ttl_after_failed)
    due = recorded.last_transition_time + timedelta(seconds=kept)
    if now < due and facts.job.state in ("Complete", "Failed"):
        return Plan(status=job.status, requeue_after=(due - now).total_seconds())
    actions: tuple[Action, ...] = (
        Delete(api_version="batch/v1", kind="Job", name=job.status.job.name if job.status.job else "", uid=facts.job.uid),
    )
    return Plan(status=job.status, actions=actions, requeue_after=RECHECK)
