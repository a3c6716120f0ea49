"""The life of an evaluation's Job on a cluster: preempted, out of memory, hanging, without image, queued, deleted while it runs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.demo.stage import MODEL, NAMESPACE, Stage
from e2e.kube import condition
from weighbridge import __version__

EVALUATOR = f"weighbridge/evaluator:{__version__}"
ENDS = ("Passed", "Failed", "Inconclusive", "Error", "Refused")
ENGINE = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
with open(os.environ["WEIGHBRIDGE_PROGRESS"], "w") as file:
    json.dump({"done": 3, "total": 10}, file)
time.sleep(float(sys.argv[1]))
held = b"x" * (int(sys.argv[2]) << 20)
digest = json.loads(os.environ["WEIGHBRIDGE_TASK"])["subject"]["digest"]
metric = {"name": "accuracy", "value": 0.95, "direction": "maximize", "n": 100}
path = os.environ["WEIGHBRIDGE_RESULT"]
with open(path + ".new", "w") as file:
    json.dump({"schemaVersion": "v1", "subject": {"digest": digest}, "metrics": [metric]}, file)
os.rename(path + ".new", path)
"""
"""An engine that waits for some seconds, takes some MiB, and is content with every model."""


@pytest.fixture
def clean(stage: Stage) -> Iterator[Stage]:
    """Leaves no evaluation of these tests behind."""
    yield stage
    stage.kube.run("delete", "evaluationjobs", "--selector=test=life", "--timeout=120s")


def test_a_pod_that_is_evicted_is_replaced_and_no_attempt_is_used_up(clean: Stage) -> None:
    _apply(clean, "evicted", seconds=15)
    first = _running(clean, "evicted")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first, "namespace": NAMESPACE}}
    where = f"/api/v1/namespaces/{NAMESPACE}/pods/{first}/eviction"
    clean.kube.run("create", "--raw", where, "--filename", "-", stdin=json.dumps(body))
    job = _ended(clean, "evicted")
    assert job["status"]["phase"] == "Passed", condition(job, "Ready")
    assert job["status"]["job"]["attempt"] == 1
    failed = [each for each in _pods(clean, "evicted") if condition(each, "DisruptionTarget").get("status") == "True"]
    assert [each["metadata"]["name"] for each in failed] in ([first], []), "the one that was evicted, if it is still there"


def test_an_engine_that_takes_too_much_memory_ends_at_once(clean: Stage) -> None:
    _apply(clean, "greedy", mebibytes=512, resources={"limits": {"memory": "128Mi"}}, backoffLimit=2)
    job = _ended(clean, "greedy")
    assert (job["status"]["phase"], condition(job, "Ready")["reason"]) == ("Error", "OutOfMemory")
    assert job["status"]["job"]["attempt"] == 1


def test_an_engine_that_hangs_ends_at_its_deadline(clean: Stage) -> None:
    _apply(clean, "hanging", seconds=3600, activeDeadline="10s", backoffLimit=2)
    job = _ended(clean, "hanging")
    assert (job["status"]["phase"], condition(job, "Ready")["reason"]) == ("Error", "DeadlineExceeded")
    assert job["status"]["job"]["attempt"] == 1


def test_an_engine_that_crashes_is_attempted_again_and_its_first_job_is_gone(clean: Stage) -> None:
    _apply(clean, "crashing", seconds=-1, backoffLimit=1)
    job = _ended(clean, "crashing")
    assert condition(job, "Ready")["reason"] == "EngineFailed"
    assert (job["status"]["job"]["attempt"], job["status"]["job"]["lastFailure"]) == (2, "EngineFailed")
    assert [each["metadata"]["name"] for each in _jobs(clean, job)] == [job["status"]["job"]["name"]]


def test_a_job_that_somebody_deletes_is_made_anew(clean: Stage) -> None:
    _apply(clean, "deleted", seconds=5)
    _running(clean, "deleted")
    (job,) = _jobs(clean, _get(clean, "deleted"))
    clean.kube.run("delete", "job", job["metadata"]["name"], "--timeout=60s")
    ended = _ended(clean, "deleted")
    assert ended["status"]["phase"] == "Passed", condition(ended, "Ready")
    assert (ended["status"]["job"]["attempt"], ended["status"]["job"]["lastFailure"]) == (2, "JobDeleted")


def test_an_image_that_is_nowhere_is_told_and_waits_no_longer_than_its_queue_deadline(clean: Stage) -> None:
    _apply(clean, "imageless", image="registry.invalid/x:1", queueDeadline="90s")
    clean.kube.until("ImageUnavailable is told", 60, lambda: _reason(clean, "imageless") == "ImageUnavailable")
    job = _ended(clean, "imageless")
    assert condition(job, "Ready")["reason"] == "QueueDeadlineExceeded"
    clean.kube.until("its Job is gone", 60, lambda: not _jobs(clean, job))
    clean.kube.until("its pod is gone", 60, lambda: not _pods(clean, "imageless"))


def test_a_name_that_no_image_can_have_ends_at_once(clean: Stage) -> None:
    _apply(clean, "misnamed", image="NO:SUCH:NAME")
    job = _ended(clean, "misnamed")
    assert condition(job, "Ready")["reason"] == "InvalidImageName"
    clean.kube.until("its pod is gone", 60, lambda: not _pods(clean, "misnamed"))


def test_a_job_in_a_queue_is_admitted_evicted_and_admitted_again(clean: Stage) -> None:
    _apply(clean, "queued", seconds=15, scheduling={"queueName": "gpu"})
    clean.kube.until("it is queued", 60, lambda: _phase(clean, "queued") == "Queued")
    assert not _pods(clean, "queued")
    assert condition(_get(clean, "queued"), "Scheduled")["reason"] == "Queued"
    (job,) = _jobs(clean, _get(clean, "queued"))
    _suspend(clean, job, suspend=False)
    _running(clean, "queued")
    _suspend(clean, job, suspend=True)
    clean.kube.until("it is queued again", 90, lambda: _phase(clean, "queued") == "Queued")
    clean.kube.until("its pod is gone", 90, lambda: not _pods(clean, "queued"))
    _suspend(clean, job, suspend=False)
    ended = _ended(clean, "queued")
    assert ended["status"]["phase"] == "Passed", condition(ended, "Ready")
    assert ended["status"]["job"]["attempt"] == 1


def test_how_far_a_running_evaluation_is_can_be_seen(clean: Stage) -> None:
    _apply(clean, "slow", seconds=120)
    _running(clean, "slow")
    told = clean.kube.until("progress is told", 90, lambda: _get(clean, "slow")["status"].get("progress"))
    assert (told["done"], told["total"], told["percent"]) == (3, 10, 30)
    assert told["eta"] > told["at"]
    assert "30 %" in clean.kube.run("get", "evaluationjob", "slow")


def test_deleting_an_evaluation_stops_its_pod(clean: Stage) -> None:
    _apply(clean, "unwanted", seconds=3600)
    _running(clean, "unwanted")
    clean.kube.run("delete", "evaluationjob", "unwanted", "--timeout=60s")
    clean.kube.until("its pod is gone", 90, lambda: not _pods(clean, "unwanted"))


def _apply(stage: Stage, name: str, *, seconds: float = 0, mebibytes: int = 1, image: str = EVALUATOR, **spec: Any) -> None:
    body = {
        "apiVersion": "weighbridge.dev/v1alpha1",
        "kind": "EvaluationJob",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"test": "life"}},
        "spec": {
            "model": {"registryRef": {"name": "mlflow"}, "name": MODEL, "version": "1"},
            "evaluator": {
                "engine": "container",
                "image": image,
                "command": ["python", "-c", ENGINE],
                "args": [str(seconds), str(mebibytes)],
            },
            "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "50m"}},
            "scratch": "64Mi",
            "gate": [{"metric": "accuracy", "min": 0.9}],
            **spec,
        },
    }
    stage.kube.run("delete", "evaluationjob", name, "--ignore-not-found", "--timeout=60s")
    stage.kube.run("apply", "--filename", "-", stdin=yaml.safe_dump(body))


def _get(stage: Stage, name: str) -> dict[str, Any]:
    return stage.kube.get("evaluationjob", name) or {}


def _phase(stage: Stage, name: str) -> str:
    return str(_get(stage, name).get("status", {}).get("phase", ""))


def _reason(stage: Stage, name: str) -> str:
    return str(condition(_get(stage, name), "Ready").get("reason", ""))


def _ended(stage: Stage, name: str, seconds: float = 240) -> dict[str, Any]:
    stage.kube.until(f"{name} has ended", seconds, lambda: _phase(stage, name) in ENDS)
    return _get(stage, name)


def _running(stage: Stage, name: str) -> str:
    """The name of its pod, once the operator says that it runs."""
    stage.kube.until(f"{name} runs", 120, lambda: _phase(stage, name) == "Running")
    live = [each["metadata"]["name"] for each in _pods(stage, name) if each["status"].get("phase") == "Running"]
    assert live
    return str(live[0])


def _pods(stage: Stage, name: str) -> list[dict[str, Any]]:
    return stage.kube.list("pods", f"--selector=weighbridge.dev/evaluation-job={name}")


def _jobs(stage: Stage, evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    uid = evaluation["metadata"]["uid"]
    return [
        each
        for each in stage.kube.list("jobs")
        if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
    ]


def _suspend(stage: Stage, job: dict[str, Any], *, suspend: bool) -> None:
    """What Kueue does to admit a Job, and to take it back."""
    patch = json.dumps({"spec": {"suspend": suspend}})
    stage.kube.run("patch", "job", job["metadata"]["name"], "--type=merge", "--patch", patch)
