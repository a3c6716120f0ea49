"""Objects with the status that the operator writes, for the customizations' testdata: each is told by the real `decide`.

`python -m tests.argocd.stories` writes them anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import yaml

from tests.core.laboratory import RESULTS
from tests.core.things import GATE, START, evaluation_job, model_version, registry, sha, snapshot
from tests.core.world import REF, Behaviour, World
from weighbridge.api import EvaluationJob, ModelApproval
from weighbridge.api.annotations import HOLD, ROLLBACK
from weighbridge.api.base import API_VERSION, Resource
from weighbridge.api.references import Lineage
from weighbridge.core import evaluationjob, modelapproval, modelregistry
from weighbridge.core.evaluationfacts import EvaluationFacts, JobFacts
from weighbridge.core.facts import Absent, Failed, Known, Pending, ServerInfo
from weighbridge.core.modelversion import decide

from .customizations import TREE

Object = dict[str, Any]
ACCOUNT = "system:serviceaccount:argocd:argocd-server"
"""Argo CD's own, with which its actions decide."""


def written(thing: Resource, *, status: bool = True) -> Object:
    """The object as the API server has it."""
    kept = {"name", "namespace", "uid", "generation", "annotations", "creationTimestamp", "deletionTimestamp", "finalizers"}
    body = thing.to_json()
    metadata = {key: value for key, value in body["metadata"].items() if key in kept and value not in (None, {}, [])}
    said = {"status": body["status"]} if status else {}
    return {"apiVersion": API_VERSION, "kind": thing.info.kind, "metadata": metadata, "spec": body["spec"], **said}


# --- ModelVersions


def world(**behaviours: Behaviour) -> World:
    """Versions by number; those that are named are good unless they say otherwise."""
    return World({name.removeprefix("v"): each for name, each in behaviours.items()})


def seen(made: World, number: str) -> Object:
    """What a pass over the version says now."""
    version = made.versions[number]
    return written(version.model_copy(update={"status": made.plan(number).status}))


def settled(*numbers: str, **behaviours: Behaviour) -> World:
    """A world in which these were applied, one after the other, and came to rest."""
    made = world(**{f"v{number}": Behaviour() for number in numbers}, **behaviours)
    for number in made.behaviours:
        made.apply(number)
        made.settle()
    return made


def annotated(made: World, number: str, **annotations: str) -> None:
    version = made.versions[number]
    metadata = version.metadata.model_copy(update={"annotations": annotations})
    made.versions[number] = version.model_copy(update={"metadata": metadata})


def changed(made: World, number: str, **spec: Any) -> None:
    """Another spec, which is another generation."""
    version = made.versions[number]
    metadata = version.metadata.model_copy(update={"generation": version.metadata.generation + 1})
    made.versions[number] = version.model_copy(update={"spec": version.spec.model_copy(update=spec), "metadata": metadata})


def evaluating() -> Object:
    made = world(v1=Behaviour())
    made.apply("1")
    for _ in range(3):
        made.reconcile("1")
    return seen(made, "1")


def promoting() -> Object:
    made = settled("1")
    made.behaviours["2"] = Behaviour()
    made.apply("2")
    for _ in range(20):
        made.reconcile("2")
        made.step_evaluations()
        made.now += timedelta(seconds=1)
        if made.rollout == "Progressing":
            return seen(made, "2")
    raise AssertionError("it never rolls out")


def held() -> Object:
    made = settled("1")
    annotated(made, "1", **{HOLD: "incident 7 (jane)"})
    return seen(made, "1")


def held_just_now() -> Object:
    made = settled("1")
    annotated(made, "1", **{HOLD: "incident 7 (jane)"})
    return written(made.versions["1"])


def suspended() -> Object:
    made = settled("1")
    changed(made, "1", suspend=True)
    return seen(made, "1")


def other_spec() -> Object:
    made = settled("1")
    changed(made, "1", precedence=1)
    return written(made.versions["1"])


def requested() -> Object:
    made = settled("1", "2")
    annotated(made, "2", **{ROLLBACK: "2026-01-01T13:00:00Z scores look wrong"})
    made.settle()
    return seen(made, "2")


def alone() -> Object:
    """Rolled back by wish, and there is no other version: what serves stays."""
    made = settled("1")
    annotated(made, "1", **{ROLLBACK: "2026-01-01T13:00:00Z scores look wrong"})
    made.settle()
    return seen(made, "1")


def not_in_time() -> Object:
    made = world(v1=Behaviour())
    made.apply("1")
    made.outage = True
    return seen(made, "1")


def without_workload() -> Object:
    made = settled("1")
    facts = replace(made.facts("1"), targets={REF: Absent("TargetNotFound", "there is no Deployment server", made.now)})
    version = made.versions["1"]
    return written(version.model_copy(update={"status": decide(version, facts, made.now).status}))


def weighed() -> Object:
    made = settled("1")
    version = model_version("1", stage="Candidate", metadata={"name": "v1", "uid": "uid-1"}, serving=[])
    return written(version.model_copy(update={"status": decide(version, made.facts("1"), made.now).status}))


def entry_removed() -> Object:
    made = settled("1")
    changed(made, "1", serving=())
    return seen(made, "1")


def awaiting(required: int = 1) -> World:
    """A version that has passed and waits for people."""
    made = world(v1=Behaviour())
    metadata = {"name": "v1", "uid": "uid-1"}
    made.versions["1"] = model_version("1", metadata=metadata, approvals={"required": required})
    made.settle()
    return made


def decision(made: World, word: str = "Approve", who: str = "jane", **change: Any) -> ModelApproval:
    """What somebody decides now about what is to be decided."""
    state = made.versions["1"].status.approvals
    subject = state.subject_hash if state is not None and state.subject_hash else sha("subject")
    spec = {"modelVersionRef": {"name": "v1"}, "stage": "Production", "decision": word, "subjectHash": subject, "approver": who}
    name = f"v1-{word.lower()}-{made.now:%Y%m%d%H%M%S}"
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "generation": 1, "creationTimestamp": made.now}
    body = {"metadata": metadata, "spec": spec | {"comment": "looked at the slices"} | change}
    return ModelApproval.model_validate(body)


def decided(*words: str, who: str = "jane", required: int = 1) -> World:
    """A version that waited, and what followed from each decision of somebody."""
    made = awaiting(required)
    for word in words:
        made.approvals.append(decision(made, word, who))
        made.settle()
    return made


def outdated() -> Object:
    """It serves, and the approval was deleted since."""
    made = decided("Approve")
    made.approvals.clear()
    return seen(made, "1")


# --- ModelApprovals


def judged(made: World, approval: ModelApproval) -> Object:
    """What is said of a decision when the version has been looked at."""
    made.approvals.append(approval)
    made.settle()
    return counted(made, approval)


def counted(made: World, approval: ModelApproval) -> Object:
    """What is said of a decision now."""
    facts = modelapproval.ApprovalFacts(made.versions.get("1"))
    return written(approval.model_copy(update={"status": modelapproval.decide(approval, facts, made.now).status}))


def not_evaluated() -> Object:
    made = world(v1=Behaviour(good=False))
    made.versions["1"] = model_version("1", metadata={"name": "v1", "uid": "uid-1"}, approvals={"required": 1})
    made.settle()
    return counted(made, decision(made))


def replaced() -> Object:
    made = decided("Approve", "Reject")
    return counted(made, made.approvals[0])


def of_who_trained_it() -> Object:
    made = awaiting()
    version = made.versions["1"]
    status = version.status.model_copy(update={"lineage": Lineage(run_id="run", trained_by="jane")})
    made.versions["1"] = version.model_copy(update={"status": status})
    return counted(made, decision(made))


# --- EvaluationJobs


def evaluation(job: EvaluationJob, /, model: Any = None, **facts: Any) -> EvaluationJob:
    """After one pass."""
    known = EvaluationFacts({"mlflow": registry()}, ((model or Known(snapshot("1"), START),),), None, None, None)

    def manifest(_job: Any, _pins: Any, _registries: Any, name: str) -> Mapping[str, Any]:
        return {"metadata": {"name": name}}

    return job.model_copy(update={"status": evaluationjob.decide(job, replace(known, **facts), START, manifest).status})


def at_work(state: str, *, gate: Any = GATE, report: Any = None, **kind: Any) -> Object:
    """Its Job is in this state."""
    job = evaluation(evaluation_job(gate=gate, backoffLimit=0))
    found = JobFacts(uid="job", ours=True, state=state, started_at=START, **kind)  # type: ignore[arg-type]
    return written(evaluation(job, job=found, report=report))


# --- ModelRegistries


def asked(answer: Any, *, before: Any = None) -> Object:
    found = registry()
    for each in (before, answer):
        if each is not None:
            status = modelregistry.decide(found, modelregistry.RegistryFacts(each), START).status
            found = found.model_copy(update={"status": status})
    return written(found)


_OUT = Failed("RegistryUnavailable", "mlflow does not answer: connection refused", START, 5.0)
_KNOWN = Known(ServerInfo("3.17.2"), START)
_CRASHES = {"v2": Behaviour(crashes=True)}

STORIES: Mapping[str, Mapping[str, Callable[[], Object]]] = {
    "ModelVersion": {
        "progressing_new": lambda: written(model_version("1"), status=False),
        "progressing_otherSpec": other_spec,
        "progressing_registryUnavailable": not_in_time,
        "progressing_evaluating": evaluating,
        "progressing_promoting": promoting,
        "suspended_awaitingApproval": lambda: seen(awaiting(), "1"),
        "suspended_approvedByArgoCD": lambda: seen(decided("Approve", who=ACCOUNT, required=2), "1"),
        "suspended_hold": held,
        "suspended_holdJustNow": held_just_now,
        "suspended_spec": suspended,
        "healthy_weighed": weighed,
        "healthy_serving": lambda: seen(settled("1"), "1"),
        "healthy_approvalOutdated": outdated,
        "healthy_superseded": lambda: seen(settled("1", "2"), "1"),
        "degraded_versionNotFound": lambda: seen(settled(v1=Behaviour(exists=False)), "1"),
        "degraded_gateFailed": lambda: seen(settled(v1=Behaviour(good=False)), "1"),
        "degraded_approvalRejected": lambda: seen(decided("Reject"), "1"),
        "degraded_rejectedByArgoCD": lambda: seen(decided("Reject", who=ACCOUNT), "1"),
        "degraded_targetNotFound": without_workload,
        "degraded_crashed": lambda: seen(settled("1", **_CRASHES), "2"),
        "degraded_requested": requested,
        "degraded_noEligibleClaim": alone,
        "degraded_entryRemoved": entry_removed,
    },
    "EvaluationJob": {
        "progressing_new": lambda: written(evaluation_job(), status=False),
        "progressing_checking": lambda: written(evaluation(evaluation_job(), Pending())),
        "progressing_registryUnavailable": lambda: written(evaluation(evaluation_job(), _OUT)),
        "progressing_scheduled": lambda: written(evaluation(evaluation_job())),
        "progressing_queued": lambda: at_work("Queued", reason="Queued", message="waits for quota in queue gpu"),
        "progressing_running": lambda: at_work("Running"),
        "suspended_job": lambda: at_work("Queued", reason="Suspended", message="somebody suspended the Job"),
        "healthy_passed": lambda: at_work("Complete", report=RESULTS),
        "degraded_refused": lambda: written(
            evaluation(evaluation_job(), Absent("VersionNotFound", "mlflow knows no version 1 of model", START))
        ),
        "degraded_failed": lambda: at_work("Complete", report=RESULTS, gate=[{"metric": "accuracy", "min": 0.99}]),
        "degraded_inconclusive": lambda: at_work(
            "Complete", report=RESULTS, gate=[{"metric": "accuracy", "min": 0.9, "minSamples": 1000}]
        ),
        "degraded_error": lambda: at_work("Failed", reason="OutOfMemory", message="the engine needed more than 4Gi"),
    },
    "ModelRegistry": {
        "progressing_new": lambda: written(registry(), status=False),
        "progressing_checking": lambda: asked(Pending()),
        "progressing_neverAnswered": lambda: asked(_OUT),
        "healthy_reachable": lambda: asked(_KNOWN),
        "degraded_unavailable": lambda: asked(_OUT, before=_KNOWN),
        "degraded_unauthorized": lambda: asked(Failed("Unauthorized", "mlflow does not take the credentials", START, 30.0)),
    },
    "ModelApproval": {
        "progressing_new": lambda: written(decision(awaiting()), status=False),
        "progressing_noSuchVersion": lambda: counted(world(), decision(awaiting())),
        "progressing_notObserved": lambda: counted(made := awaiting(), decision(made)),
        "progressing_notEvaluated": not_evaluated,
        "healthy_counted": lambda: judged(made := awaiting(), decision(made)),
        "healthy_rejected": lambda: judged(made := awaiting(), decision(made, "Reject")),
        "healthy_replaced": replaced,
        "healthy_notRequired": lambda: counted(made := settled("1"), decision(made)),
        "degraded_otherStage": lambda: judged(made := awaiting(), decision(made, stage="Staging")),
        "degraded_subjectChanged": lambda: judged(made := awaiting(), decision(made, subjectHash=sha("other numbers"))),
        "degraded_ownVersion": of_who_trained_it,
    },
}
"""By kind and file name. The first word of a name is the health."""


def shown(thing: Object) -> str:
    """As it is in a file."""
    return yaml.safe_dump(thing, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    for kind, stories in STORIES.items():
        for name, story in stories.items():
            text = shown(story())
            (TREE / kind / "testdata" / f"{name}.yaml").write_text(text, encoding="utf-8")
            if (again := TREE / kind / "actions" / "testdata" / f"{name}.yaml").exists():
                again.write_text(text, encoding="utf-8")
