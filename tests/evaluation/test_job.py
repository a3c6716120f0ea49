"""What is read from a Job and its pods, with bodies as a real cluster gives them."""

from typing import Any

import pytest

from weighbridge.api import EvaluationJob
from weighbridge.api.results import Metric, Results
from weighbridge.core.evaluationfacts import ResultProblem
from weighbridge.evaluation.job import is_of, job_facts, report, still_there
from weighbridge.evaluation.message import summary

from .documents import DIGEST

MODEL = {"registryRef": {"name": "mlflow"}, "name": "m", "version": "1"}


def owner(engine: str = "mlflow") -> EvaluationJob:
    return EvaluationJob.model_validate(
        {
            "metadata": {"name": "e", "namespace": "ns", "uid": "u"},
            "spec": {"model": MODEL, "evaluator": {"engine": engine, "image": "i"}},
        }
    )


def job(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "j", "uid": "j", "ownerReferences": [{"uid": "u"}]}, "status": status}


def failed(reason: str) -> dict[str, Any]:
    return job(conditions=[{"type": "Failed", "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}])


def pod(state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    containers = [{"name": "engine", "state": state}] if state else []
    metadata = {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "status": {"containerStatuses": containers, **status}}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


COMPLETE = [{"type": "Complete", "status": "True"}]
DISRUPTED = {"type": "DisruptionTarget", "status": "True"}
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}


@pytest.mark.parametrize(
    ("body", "pods", "state", "reason"),
    [
        (job(), [], "Waiting", ""),
        (job(ready=1, startTime="2026-01-01T00:00:00Z"), [], "Running", ""),
        (job(), [pod(conditions=[UNSCHEDULABLE])], "Waiting", "Unschedulable"),
        (job(), [pod({"waiting": {"reason": "ImagePullBackOff"}})], "Waiting", "ImageUnavailable"),
        (job(), [pod({"waiting": {"reason": "InvalidImageName"}})], "Waiting", "InvalidImageName"),
        (job(), [pod({"waiting": {"reason": "ImagePullBackOff"}}, phase="Failed")], "Waiting", ""),
        (job(), [pod({"running": {"startedAt": "2026-01-01T00:00:00Z"}})], "Running", ""),
        (job(conditions=COMPLETE), [], "Complete", "ResultLost"),
        (job(conditions=COMPLETE), [pod(ended(0), phase="Succeeded")], "Complete", ""),
        (job(conditions=COMPLETE), [pod({"running": {}}, phase="Running")], "Running", ""),
        (failed("DeadlineExceeded"), [pod(ended(1))], "Failed", "DeadlineExceeded"),
        (failed("BackoffLimitExceeded"), [], "Failed", "PodLost"),
        (failed("BackoffLimitExceeded"), [pod(ended(137), reason="DeadlineExceeded")], "Failed", "DeadlineExceeded"),
        (failed("BackoffLimitExceeded"), [pod(reason="Evicted")], "Failed", "OutOfStorage"),
        (failed("BackoffLimitExceeded"), [pod(ended(137), reason="Evicted", conditions=[DISRUPTED])], "Failed", "EngineFailed"),
        (failed("BackoffLimitExceeded"), [pod(ended(1))], "Failed", "EngineFailed"),
        (failed("BackoffLimitExceeded"), [pod(ended(0, "OOMKilled"))], "Failed", "OutOfMemory"),
        (failed("PodFailurePolicy"), [pod(ended(2))], "Failed", "EvaluatorMisconfigured"),
        (failed("PodFailurePolicy"), [pod(ended(3))], "Failed", "SubjectChanged"),
        (failed("BackoffLimitExceeded"), [pod(ended(4))], "Failed", "EngineFailed"),
        (failed("NewInNextVersion"), [], "Failed", "EngineFailed"),
    ],
)
def test_the_state_and_its_reason(body: dict[str, Any], pods: list[dict[str, Any]], state: str, reason: str) -> None:
    facts = job_facts(body, owner(), pods)
    assert (facts.state, facts.reason) == (state, reason)
    assert bool(facts.message) == bool(reason)


def test_exit_codes_of_other_engines_mean_nothing_but_failure() -> None:
    assert job_facts(failed("BackoffLimitExceeded"), owner("container"), [pod(ended(3))]).reason == "EngineFailed"


def test_a_job_of_somebody_else_is_not_ours() -> None:
    body = job()
    body["metadata"]["ownerReferences"] = [{"uid": "another"}]
    assert not job_facts(body, owner()).ours


def test_a_label_makes_no_pod_one_of_the_job() -> None:
    owner = {"kind": "Job", "uid": "job", "controller": True}
    assert is_of({"metadata": {"ownerReferences": [owner]}}, "job")
    for owners in ([], [owner | {"uid": "other"}], [owner | {"controller": False}]):
        assert not is_of({"metadata": {"labels": {"batch.kubernetes.io/job-name": "job"}, "ownerReferences": owners}}, "job")


WORKLOAD = {
    "status": {"conditions": [{"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "no quota left"}]}
}
EVICTED = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "by another"}


@pytest.mark.parametrize(
    ("labels", "workload", "reason", "says"),
    [
        ({}, None, "Suspended", "somebody suspended Job j"),
        ({"kueue.x-k8s.io/queue-name": "gpu"}, None, "Queued", "waits in queue gpu until Kueue admits it"),
        ({"kueue.x-k8s.io/queue-name": "gpu"}, {}, "Queued", "waits in queue gpu until Kueue admits it"),
        ({"kueue.x-k8s.io/queue-name": "gpu"}, WORKLOAD, "Queued", "waits in queue gpu (Pending: no quota left)"),
        (
            {"kueue.x-k8s.io/queue-name": "gpu"},
            {"status": {"conditions": [EVICTED, *WORKLOAD["status"]["conditions"]]}},
            "Queued",
            "waits in queue gpu (Preempted: by another; Pending: no quota left)",
        ),
    ],
)
def test_why_a_suspended_job_waits(labels: dict[str, str], workload: Any, reason: str, says: str) -> None:
    body = job() | {"spec": {"suspend": True}}
    body["metadata"] |= {"labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    facts = job_facts(body, owner(), [pod({"running": {}})], workload)
    assert (facts.state, facts.reason) == ("Queued", reason)
    assert says in facts.message
    assert facts.started_at is None


def test_a_pod_that_took_the_place_of_another_one_decides() -> None:
    old = pod(ended(137), phase="Failed")
    new = pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
    new["metadata"] |= {"name": "q", "creationTimestamp": "2026-01-01T00:05:00Z"}
    assert job_facts(job(startTime="2026-01-01T00:00:00Z"), owner(), [old, new]).state == "Waiting"
    assert still_there([old, new]) == ("q",)


MEASURED = Results(metrics=(Metric(name="accuracy", value=0.9, direction="maximize", n=100),), sha256="c" * 64)
WORDS = summary(MEASURED, DIGEST).decode()


def told(number: int, phase: str, state: dict[str, Any] | None = None, last: dict[str, Any] | None = None) -> dict[str, Any]:
    """The pod of an attempt, and how its reporter ended."""
    reporters = [{"name": "reporter", "state": state or {}, "lastState": last or {}}] if state is not None else []
    metadata = {"name": f"p{number}", "creationTimestamp": f"2026-01-01T00:0{number}:00Z"}
    return {"metadata": metadata, "status": {"phase": phase, "initContainerStatuses": reporters}}


def said(message: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": 0, "message": message}}


@pytest.mark.parametrize(
    ("pods", "outcome"),
    [
        ([], None),
        ([told(1, "Running", {"running": {}})], None),
        ([told(1, "Running", {"running": {}}, said(WORDS))], None),
        ([told(1, "Succeeded", said(WORDS))], "Results"),
        ([told(1, "Failed", said("")), told(2, "Succeeded", said(WORDS))], "Results"),
        ([told(2, "Succeeded", said(WORDS)), told(1, "Failed", said("late"))], "Results"),
        ([told(1, "Failed", said(WORDS)), told(2, "Running", {"running": {}})], "Results"),
        ([told(1, "Failed", said(WORDS)), told(2, "Succeeded", said(""))], "ResultMissing"),
        ([told(1, "Failed", said(WORDS)), told(2, "Failed")], "ResultMissing"),
        ([told(1, "Succeeded", {"waiting": {"reason": "CrashLoopBackOff"}}, said(WORDS))], "Results"),
    ],
)
def test_the_newest_pod_that_ended_decides_and_no_earlier_one_stands_in_for_it(
    pods: list[dict[str, Any]], outcome: str | None
) -> None:
    found = report(pods, DIGEST)
    assert (found.reason if isinstance(found, ResultProblem) else "Results" if found == MEASURED else found) == outcome
