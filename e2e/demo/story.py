"""The story, chapter by chapter. Every sentence is checked against the cluster before it is told."""

import json
import time
from collections.abc import Callable
from typing import Any

from e2e.demo.stage import MODEL, NAMESPACE, OPERATOR_PODS, SERVER, Stage
from e2e.kube import condition

EVALUATION = 180.0
"""Seconds an evaluation may take on two busy cores."""
ROLLOUT = 180.0


def first_version(stage: Stage) -> None:
    name = stage.apply_version("version-1")
    stage.follow(name, ("Serving",), EVALUATION + ROLLOUT)
    assert stage.pointer() == f"models:/{MODEL}/1"
    stage.say(f"✓ promoted; of one malignant biopsy it says malignant with {stage.predict():.3f}: a modest start")


def missing_version(stage: Stage) -> None:
    begun = time.monotonic()
    name = stage.apply_version("version-99")
    version = stage.follow(name, ("Refused",), 5.0)
    seconds = time.monotonic() - begun
    ready = condition(version, "Ready")
    assert ready["reason"] == "VersionNotFound", ready
    made = _made_for(stage, version)
    assert not made, f"something was created for a version that does not exist: {made}"
    stage.say(f"✓ refused after {seconds:.1f} s ({ready['reason']}); EvaluationJobs, Jobs and pods created for it: 0")


def bad_version(stage: Stage) -> None:
    name = stage.apply_version("version-2")
    version = stage.follow(name, ("Refused",), EVALUATION)
    assert condition(version, "Ready")["reason"] == "GateFailed"
    assert stage.pointer() == f"models:/{MODEL}/1"
    for line in _verdict(stage, version)["lines"]:
        stage.say(f"  {line['verdict']}: {line['rule']}: {line['message']}")
    stage.say("✓ refused by the gate; version 1 serves on")


def better_version(stage: Stage) -> None:
    before = stage.predict()
    name = stage.apply_version("version-3")
    stage.follow(name, ("Serving",), EVALUATION + ROLLOUT)
    assert stage.pointer() == f"models:/{MODEL}/3"
    # The Service may send a request to a pod that is just ending.
    after = stage.kube.until("predictions come from version 3", 20, lambda: (found := stage.predict()) != before and found)
    older = stage.kube.until("version 1 is superseded", 10, lambda: _phase(stage, f"{MODEL}-1", "Superseded"))
    assert condition(older, "Ready")["status"] == "True"
    stage.say(f"✓ promoted; of the same biopsy: {before:.3f} → {after:.3f}. Version 1 is Superseded and ready to take it back")


def crashing_version(stage: Stage) -> None:
    before = stage.predict()
    name = stage.apply_version("version-4")
    version = stage.follow(name, ("RolledBack",), EVALUATION + ROLLOUT)
    verdict = _verdict(stage, version)
    assert verdict["result"] == "Passed", "version 4 passes offline: only serving shows that it crashes"
    stage.kube.until("the pointer is back at version 3", 10, lambda: stage.pointer() == f"models:/{MODEL}/3")
    stage.kube.until("version 3 serves", 60, lambda: _phase(stage, f"{MODEL}-3", "Serving"))
    stage.kube.until("the Deployment is whole", 60, lambda: _whole(stage))
    stage.kube.until("version 3 answers as before", 20, lambda: stage.predict() == before)
    seconds = rollback_seconds(stage)
    assert seconds < 1.0, f"rollout failed seen → pointer patched took {seconds:.3f} s"
    stage.say(
        f"✓ rolled back by itself; from “rollout failed” to “pointer patched”: {seconds * 1000:.0f} ms. Version 3 answers as before"
    )


CHAPTERS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("Version 1 is a decent baseline: it is weighed and promoted", first_version),
    ("Version 99 does not exist: it is refused before anything is scheduled", missing_version),
    ("Version 2 was trained on broken data: the gate refuses it", bad_version),
    ("Version 3 is better: it is promoted, and predictions come from it", better_version),
    ("Version 4 scores well, but its server crashes: version 3 gets the target back", crashing_version),
)


def epilogue(stage: Stage) -> None:
    """What there is to see in the end, in the cluster and in the registry."""
    stage.title("The end: what the cluster says")
    table = stage.kube.run("get", "modelversions,evaluationjobs", "--all-namespaces")
    stage.say(f"$ kubectl get modelversions,evaluationjobs -A\n\n{table}")
    stage.title("… and what MLflow says")
    model = stage.mlflow(f"registered-models/get?name={MODEL}")["registered_model"]
    aliases = {alias["alias"]: alias["version"] for alias in model.get("aliases", ())}
    assert aliases == {"champion": "3"}, aliases
    stage.say(f"alias champion → version {aliases['champion']}")
    expected = {"1": "Superseded", "2": None, "3": "Serving", "4": "RolledBack"}
    for number, state in expected.items():
        tags = stage.kube.until(f"MLflow says {state} of version {number}", 20, lambda n=number, s=state: _tags(stage, n, s))
        words = ", ".join(f"{key.rpartition('/')[2]}: {value}" for key, value in tags.items() if "digest" not in key)
        stage.say(f"version {number}: {words}")
    stage.title("Look further")
    stage.say("kubectl here is e2e/cluster/kubectl, or yours after: export KUBECONFIG=$(e2e/cluster/kubeconfig)")
    stage.say(f"  kubectl -n {NAMESPACE} describe modelversion {MODEL}-4     # why it was rolled back, step by step")
    stage.say(f"  kubectl -n {NAMESPACE} get evaluationjobs -o yaml          # pins, pre-flight, verdicts line by line")
    stage.say("  kubectl explain modelversion.spec                        # what can be said")
    stage.say(f"  kubectl -n {NAMESPACE} port-forward service/mlflow 5000    # the registry in a browser, at localhost:5000")


def rollback_seconds(stage: Stage) -> float:
    """The last rollback as the operator measured it: from the start of the pass that saw the failure to the patch's answer."""
    log = stage.operator.run("logs", OPERATOR_PODS, "--tail=-1")  # one pod's after the other's
    entries = [json.loads(line) for line in log.splitlines() if '"rollback"' in line]
    found = [entry for entry in entries if entry.get("event") == "rollback"]
    assert found, "the operator's log tells of no rollback"
    return float(max(found, key=lambda entry: str(entry["time"]))["seconds"])


def _made_for(stage: Stage, version: dict[str, Any]) -> list[str]:
    uid, number = version["metadata"]["uid"], version["spec"]["source"]["version"]
    evaluations = stage.kube.list("evaluationjobs")
    return [
        each["metadata"]["name"]
        for each in evaluations
        if each["spec"]["model"].get("version") == number
        or any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
    ]


def _verdict(stage: Stage, version: dict[str, Any]) -> dict[str, Any]:
    job = stage.kube.get("evaluationjob", version["status"]["evaluations"][0]["job"])
    assert job is not None
    verdict: dict[str, Any] = job["status"]["verdict"]
    return verdict


def _phase(stage: Stage, name: str, phase: str) -> dict[str, Any] | None:
    version = stage.kube.get("modelversion", name)
    return version if version and version.get("status", {}).get("phase") == phase else None


def _whole(stage: Stage) -> bool:
    deployment = stage.kube.get("deployment", SERVER)
    assert deployment is not None
    status = deployment["status"]
    generation = deployment["metadata"]["generation"]
    return status.get("observedGeneration") == generation and status.get("unavailableReplicas", 0) == 0


def _tags(stage: Stage, number: str, state: str | None) -> dict[str, str] | None:
    version = stage.mlflow(f"model-versions/get?name={MODEL}&version={number}")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", ()) if tag["key"].startswith("weighbridge.dev/")}
    return tags if tags and tags.get("weighbridge.dev/state") == state else None
