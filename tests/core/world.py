"""A small world that plays registry, engine, Deployment controller and users, and runs the real `decide` functions in it.

It is a model for checking decisions, not a stand-in for Kubernetes: passes can be cut short after any write, in any order.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from weighbridge.api import EvaluationJob, ModelApproval, ModelVersion
from weighbridge.api.evaluationjob import EvaluationJobStatus
from weighbridge.api.gate import Verdict
from weighbridge.api.references import ModelPin
from weighbridge.api.serving import TargetRef
from weighbridge.core.facts import Absent, Failed, Known, ModelSnapshot, TargetState
from weighbridge.core.modelversion import decide
from weighbridge.core.plan import Create, Plan, Repoint, SetFinalizer, WriteRegistry
from weighbridge.core.versionfacts import VersionFacts

from .things import START, TARGET, model_version, registry, resolved, snapshot, target

REF = TargetRef.model_validate(TARGET)


@dataclass
class Behaviour:
    """How a version really is."""

    good: bool = True
    """Passes its evaluation."""
    crashes: bool = False
    """Its server crashes."""
    exists: bool = True


@dataclass
class World:
    behaviours: dict[str, Behaviour]
    now: datetime = START + timedelta(hours=1)
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    evaluations: dict[str, EvaluationJob] = field(default_factory=dict)
    approvals: list[ModelApproval] = field(default_factory=list)
    creates: dict[str, int] = field(default_factory=dict)
    pointer: str = "unset"
    rollout: str = "Complete"
    serving: str = "unset"
    resource_version: int = 1
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    alias: str | None = None
    outage: bool = False
    served: list[str] = field(default_factory=list)
    """Every value the pointer was given."""
    writes: int = 0

    def apply(self, number: str) -> None:
        self.versions.setdefault(number, model_version(number, metadata={"name": f"v{number}", "uid": f"uid-{number}"}))

    def delete(self, number: str) -> None:
        if (version := self.versions.get(number)) is None:
            return
        if not version.metadata.finalizers:
            del self.versions[number]
        elif version.metadata.deletion_timestamp is None:
            self._meta(number, deletion_timestamp=self.now)

    def step_rollout(self) -> None:
        """The Deployment's controller and the kubelet make one step."""
        if self.rollout != "Progressing":
            return
        number = self.pointer.rsplit("/", 1)[-1]
        if number in self.behaviours and self.behaviours[number].crashes:
            self.rollout = "Failed"
        else:
            self.rollout, self.serving = "Complete", self.pointer
        self.resource_version += 1

    def step_evaluations(self) -> None:
        """One engine ends its work."""
        for name, job in self.evaluations.items():
            if job.status.verdict is None:
                number = job.spec.model.version or ""
                good = self.behaviours[number].good
                status = EvaluationJobStatus(
                    resolved=resolved(number),
                    verdict=Verdict(result="Passed" if good else "Failed"),
                    score="accuracy 0.95" if good else "accuracy 0.5",
                )
                self.evaluations[name] = job.model_copy(update={"status": status})
                return

    def facts(self, number: str) -> VersionFacts:
        behaviour = self.behaviours[number]
        answer: Known[ModelSnapshot] | Absent | Failed
        if self.outage:
            answer = Failed("RegistryUnavailable", "no answer", self.now, 5.0)
        elif not behaviour.exists:
            answer = Absent("VersionNotFound", "no such version", self.now)
        else:
            aliases = frozenset({"champion"} if self.alias == number else ())
            answer = Known(snapshot(number, tags=self.tags.get(number, {}), aliases=aliases), self.now)
        seen: TargetState = replace(
            target(self.pointer, state=self.rollout, serving={self.serving: 1}), resource_version=str(self.resource_version)
        )
        return VersionFacts(
            registry=registry(),
            snapshot=answer,
            evaluations={
                name: job
                for name, job in self.evaluations.items()
                if any(owner.uid == f"uid-{number}" for owner in job.metadata.owner_references)
            },
            siblings=tuple(each for other, each in self.versions.items() if other != number),
            targets={REF: Known(seen, self.now)},
            approvals=tuple(each for each in self.approvals if each.spec.model_version_ref.name == f"v{number}"),
        )

    def plan(self, number: str) -> Plan:
        return decide(self.versions[number], self.facts(number), self.now)

    def reconcile(self, number: str, survive: int = 99) -> bool:
        """One pass; the operator dies after `survive` writes. Tells whether anything was written."""
        if number not in self.versions:
            return False
        version, plan = self.versions[number], self.plan(number)
        budget, before = survive, self.writes
        if plan.status != version.status:
            if not budget:
                return True
            budget -= 1
            self.writes += 1
            self.versions[number] = version.model_copy(update={"status": plan.status})
        for action in plan.actions:
            if not budget:
                break
            budget -= 1
            self._act(number, action)
        return self.writes != before

    def _act(self, number: str, action: Any) -> None:
        match action:
            case Create(manifest=manifest):
                name = manifest["metadata"]["name"]
                if name not in self.evaluations:
                    self.writes += 1
                    self.creates[name] = self.creates.get(name, 0) + 1
                    self.evaluations[name] = EvaluationJob.model_validate(manifest)
            case Repoint(value=value, resource_version=seen):
                if seen == str(self.resource_version):
                    self.writes += 1
                    self.pointer, self.rollout = value, "Complete" if value == self.serving else "Progressing"
                    self.resource_version += 1
                    self.served.append(value)
            case SetFinalizer(present=present):
                finalizers = ("weighbridge.dev/serving",) if present else ()
                if self.versions[number].metadata.finalizers != finalizers:
                    self.writes += 1
                    self._meta(number, finalizers=finalizers)
                    if not present and self.versions[number].metadata.deletion_timestamp is not None:
                        del self.versions[number]
            case WriteRegistry(order=order) if not self.outage:
                self.writes += 1
                self.tags.setdefault(number, {}).update(order.tags)
                self.alias = number if order.alias else self.alias

    def _meta(self, number: str, **change: Any) -> None:
        version = self.versions[number]
        self.versions[number] = version.model_copy(update={"metadata": version.metadata.model_copy(update=change)})

    def settle(self) -> None:
        """Everything that can happen without new faults or wishes happens, until nothing does."""
        self.outage = False
        for _ in range(60):
            wrote = [self.reconcile(number) for number in sorted(self.versions)]
            # Who wants to look again within the second waits for an answer, and is not at rest.
            wrote += [(self.plan(number).requeue_after or 60.0) < 1.0 for number in self.versions]
            before = (self.rollout, sum(job.status.verdict is None for job in self.evaluations.values()))
            self.step_evaluations()
            self.step_rollout()
            self.now += timedelta(seconds=1)
            if not any(wrote) and before == ("Complete", 0):
                return
            if not any(wrote) and before[1] == 0 and self.rollout == "Failed":
                return
        raise AssertionError("the world does not come to rest")

    def pins(self) -> dict[str, ModelPin | None]:
        return {number: version.status.resolved for number, version in self.versions.items()}
