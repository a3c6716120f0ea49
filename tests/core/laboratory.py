"""A small world of one evaluation: plays the Job controller, the kubelet and bad luck, and runs the real `decide` in it.

A model for checking decisions, not a stand-in for Kubernetes: the operator can be killed at any write.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from weighbridge.api import EvaluationJob
from weighbridge.api.results import Metric, Results
from weighbridge.core.evaluationfacts import Earlier, EvaluationFacts, JobFacts, ResultProblem
from weighbridge.core.evaluationjob import decide
from weighbridge.core.facts import Known
from weighbridge.core.names import job_name
from weighbridge.core.plan import Create, Delete, Plan

from .things import START, evaluation_job, registry, snapshot

RESULTS = Results(metrics=(Metric(name="accuracy", value=0.95, direction="maximize", n=100),), sha256="0" * 64)


@dataclass
class Made:
    """A Job as it is in the cluster."""

    uid: str
    at: datetime
    state: str = "Waiting"
    reason: str = ""


class Killed(Exception):
    """The operator died."""


@dataclass
class Laboratory:
    """One evaluation. `luck` says how each attempt ends: `Result`, or a reason; `JobDeleted` means that somebody deletes it."""

    luck: list[str]
    job: EvaluationJob = field(default_factory=lambda: evaluation_job(backoffLimit=3))
    now: datetime = START
    jobs: dict[str, Made] = field(default_factory=dict)
    pods: dict[str, str] = field(default_factory=dict)
    """What runs, by name of the Job: `there`, or `going` once the Job is deleted."""
    created: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    most_pods: int = 0
    most_jobs: int = 0
    measured: bool = False
    """An attempt came to a result."""
    writes: int = 0

    def name(self, attempt: int) -> str:
        return job_name(self.job, attempt)

    def facts(self) -> EvaluationFacts:
        state = self.job.status.job
        made = self.jobs.get(state.name) if state else None
        found = report = None
        if made is not None:
            found = JobFacts(
                uid=made.uid,
                ours=True,
                state=made.state,  # type: ignore[arg-type]
                created_at=made.at,
                started_at=made.at if made.state != "Waiting" else None,
                reason=made.reason,
                message=made.reason,
            )
            report = RESULTS if made.state == "Complete" and not made.reason else None
        earlier = Earlier()
        if state is not None and state.next_attempt_at is not None:
            before = self.name(state.attempt - 1)
            left = self.jobs.get(before)
            earlier = Earlier(uid=left.uid if left else "", pods=(before,) if before in self.pods else ())
        handed: Results | ResultProblem | None = report
        answers = ((Known(snapshot("1"), self.now),),)
        return EvaluationFacts({"mlflow": registry()}, answers, found, handed, None, earlier)

    def plan(self) -> Plan:
        def manifest(_job: Any, _pins: Any, _registries: Any, name: str) -> Mapping[str, Any]:
            return {"metadata": {"name": name}}

        return decide(self.job, self.facts(), self.now, manifest)

    def reconcile(self, dies_at: int | None = None) -> None:
        """One pass. Raises Killed right before the write of that number."""
        plan = self.plan()
        if plan.status != self.job.status:
            self._write(dies_at)
            self.job = self.job.model_copy(update={"status": plan.status})
        for action in plan.actions:
            self._write(dies_at)
            match action:
                case Create(manifest=manifest):
                    self._create(manifest["metadata"]["name"])
                case Delete(name=name, uid=uid):
                    if (made := self.jobs.get(name)) is not None and made.uid == uid:
                        self.delete(name)

    def _write(self, dies_at: int | None) -> None:
        if self.writes == dies_at:
            raise Killed
        self.writes += 1

    def _create(self, name: str) -> None:
        if name in self.jobs:
            return
        self.created[name] += 1
        self.order.append(name)
        self.jobs[name] = Made(f"{name}/{self.created[name]}", self.now)
        self.pods[name] = "there"
        self.most_pods = max(self.most_pods, len(self.pods))
        self.most_jobs = max(self.most_jobs, len(self.jobs))

    def delete(self, name: str) -> None:
        """The Job is gone at once, its pod is asked to end."""
        del self.jobs[name]
        if name in self.pods:
            self.pods[name] = "going"

    def step(self) -> None:
        """The Job controller, the kubelet and luck make one step."""
        self.now += timedelta(seconds=2)
        for name in [name for name, state in self.pods.items() if state == "going"]:
            del self.pods[name]
        for name, made in list(self.jobs.items()):
            if made.state == "Waiting":
                made.state = "Running"
            elif made.state == "Running":
                self._end(name, made)

    def _end(self, name: str, made: Made) -> None:
        end = self.luck[self.order.index(name)]
        if end == "JobDeleted":
            seen = self.job.status.job
            if seen is not None and seen.uid == made.uid:  # what the operator never saw it makes again under the same name
                self.delete(name)
            return
        made.state = "Complete" if end in ("Result", "ResultLost") else "Failed"
        made.reason = "" if end == "Result" else end
        self.measured |= end == "Result"
        self.pods.pop(name, None)

    def settle(self, dies_at: int | None = None, steps: int = 400) -> None:
        """Life goes on until there is a verdict and nothing more is done at once; the operator may be killed once on the way."""
        for _ in range(steps):
            try:
                self.reconcile(dies_at)
            except Killed:
                dies_at = None
            if self.job.status.verdict is not None and self.plan().status == self.job.status:
                return
            self.step()
        raise AssertionError(f"no verdict: {self.job.status.conditions}")
