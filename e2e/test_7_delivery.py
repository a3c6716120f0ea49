"""Delivery on the cluster: installed by Helm with its defaults, upgraded, watched by a real Prometheus, uninstalled, limited to a
namespace."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.demo.stage import MANIFESTS, MODEL, NAMESPACE, OPERATOR_NAMESPACE, SERVER, Stage
from e2e.demo.story import CHAPTERS, EVALUATION, ROLLOUT, epilogue
from e2e.helm import CHART, helm, kubeconfig
from e2e.kube import ROOT, Kube, Late, condition
from e2e.prometheus import INTERVAL, RULES, prometheus

INSTALL = ("install", "weighbridge", str(CHART), "--create-namespace", "--wait", "--timeout=180s")
TENANT, OTHER, TENANTS_OPERATOR = "weighbridge-tenant-a", "weighbridge-tenant-b", "weighbridge-tenant"
PATIENCE = 120.0


@pytest.fixture(scope="module")
def released() -> Iterator[Stage]:
    """A cluster that has never heard of Weighbridge, then `helm install` with no value set."""
    stage = Stage(time.monotonic())
    cluster = stage.operator
    if "modelversions" in cluster.run("api-resources", "--api-group=weighbridge.dev", "--output=name"):
        stage.kube.run("delete", "deployment", SERVER, "--ignore-not-found")
        for namespace in {each["metadata"]["namespace"] for each in cluster.list("modelversions", "--all-namespaces")}:
            Kube(namespace).run("delete", "modelversions", "--all", f"--timeout={PATIENCE:.0f}s")
    manifest = str(ROOT / "manifests" / "install.yaml")
    cluster.run("delete", "--ignore-not-found", f"--timeout={PATIENCE:.0f}s", "--filename", manifest)
    helm(*INSTALL, namespace=OPERATOR_NAMESPACE)
    stage.furnish()
    yield stage
    for namespace in (TENANTS_OPERATOR, TENANT, OTHER):
        cluster.run("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={PATIENCE:.0f}s")


def test_installed_by_helm_with_defaults_the_demo_passes(released: Stage) -> None:
    for _, chapter in CHAPTERS:
        chapter(released)
    epilogue(released)


def test_an_upgrade_with_a_changed_value_touches_nothing_that_serves(released: Stage) -> None:
    before, phases = _deployment(released), _phases(released)
    helm("upgrade", "weighbridge", str(CHART), "--set", "log.level=debug", "--wait", "--timeout=180s", namespace=OPERATOR_NAMESPACE)
    operator = released.operator.get("deployment", "weighbridge")
    assert operator is not None
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert {"name": "WEIGHBRIDGE_LOG_LEVEL", "value": "debug"} in container["env"]
    # It works: what is asked of it now is done, and undone.
    held = ("annotate", "modelversion", f"{MODEL}-3", "--overwrite")
    released.kube.run(*held, "weighbridge.dev/hold=an upgrade")
    released.kube.until("the hold is seen", PATIENCE, lambda: _reason(released, f"{MODEL}-3") == "Suspended")
    released.kube.run(*held, "weighbridge.dev/hold-")
    released.kube.until("everything is as it was", PATIENCE, lambda: _phases(released) == phases)
    assert _deployment(released) == before


def test_a_version_that_needs_a_person_serves_once_somebody_approved_it(released: Stage) -> None:
    """Version 2 once more, with a bar it reaches; it would be served before the others, but for the person."""
    body = yaml.safe_load((MANIFESTS / "version-2.yaml").read_text(encoding="utf-8"))
    body["metadata"]["name"] = name = f"{MODEL}-2-approved"
    body["spec"] |= {"precedence": 1, "approvals": {"required": 1}}
    body["spec"]["evaluations"][0]["template"]["gate"] = [{"metric": "accuracy", "min": 0.01}]
    released.kube.run("apply", "--filename=-", stdin=json.dumps(body))
    version = released.follow(name, ("AwaitingApproval",), EVALUATION)
    assert f"weighbridge approve {name}" in condition(version, "Approved")["message"]
    assert released.pointer() == f"models:/{MODEL}/3"
    account = ("--as", f"system:serviceaccount:{NAMESPACE}:default")
    forged = _approval(name, version["status"]["approvals"]["subjectHash"], "kubernetes-admin")
    assert "forbidden" in released.kube.run("create", "--filename=-", *account, stdin=json.dumps(forged), check=False)
    forged = _approval(name, version["status"]["approvals"]["subjectHash"], "somebody-else")
    assert "ValidatingAdmissionPolicy" in released.kube.run("create", "--filename=-", stdin=json.dumps(forged), check=False)
    said = _weighbridge("approve", name, "--namespace", NAMESPACE, "--comment", "looked at it")
    assert "sha256:" in said
    released.follow(name, ("Serving",), ROLLOUT)
    assert released.pointer() == f"models:/{MODEL}/2"
    released.kube.run("delete", "modelversion", name, f"--timeout={PATIENCE:.0f}s")
    released.follow(f"{MODEL}-3", ("Serving",), ROLLOUT)


@pytest.fixture(scope="module")
def watched(released: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The operator, scraped by Debian's Prometheus with the shipped rules."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), OPERATOR_NAMESPACE) as found:
        released.kube.until("Prometheus answers", 60, found.answers)
        yield found


def test_prometheus_scrapes_every_pod_of_the_operator_and_in_health_no_alert_is_up(released: Stage, watched: Any) -> None:
    def scraped() -> bool:
        up = [each["labels"]["pod"] for each in watched.targets() if each["health"] == "up"]
        return len(set(up)) == len(up) == 2

    released.kube.until("every pod is scraped", 60, scraped)
    phase = f'weighbridge_modelversion_phase{{namespace="{NAMESPACE}", name="{MODEL}-3", phase="Serving"}}'
    released.kube.until("it tells what serves", 60, lambda: watched.query(phase))
    drifts = [each["alert"] for each in _rules() if "Drift" in each["alert"]]
    assert len(drifts) >= 5
    # What was approved and is gone wrote its tags to version 2; the other ModelVersion of that version tells so at a later poll.
    assert {each["labels"]["name"] for name in drifts for each in watched.alerts(name)} <= {f"{MODEL}-2"}


@pytest.mark.parametrize("alert", ["WeighbridgePointerDrift", "WeighbridgeArtifactDrift"])
def test_a_drift_made_by_hand_fires_within_its_for_and_one_scrape(released: Stage, watched: Any, alert: str) -> None:
    (rule,) = (each for each in _rules() if each["alert"] == alert)
    kind = alert.removeprefix("Weighbridge").removesuffix("Drift")
    _MADE[kind](released)
    released.kube.until(f"{kind} drift is told", PATIENCE, lambda: kind in _drifts(released))
    told = time.monotonic()
    limit = _seconds(rule.get("for", "0s")) + 3 * INTERVAL + 1

    def firing() -> bool:
        mine = [each for each in watched.alerts(alert) if each["labels"]["name"] == f"{MODEL}-3"]
        return any(each["state"] == "firing" and each["labels"]["namespace"] == NAMESPACE for each in mine)

    # A scrape, a look at the rules when it begins, and one when its `for` is over.
    try:
        released.kube.until(f"{alert} fires", limit, firing)
    except Late as late:
        series = watched.query(f'weighbridge_modelversion_drift{{name="{MODEL}-3"}}[{limit:.0f}s]')
        seen = {"alerts": watched.alerts(alert), "targets": watched.targets(), "series": series}
        raise AssertionError(f"{late}; {json.dumps(seen)}") from late
    released.say(f"{alert}: firing {time.monotonic() - told:.1f} s after the drift was told (for: {rule.get('for', '0s')})")


def test_uninstall_keeps_what_people_made_and_leaves_nothing_stuck(released: Stage) -> None:
    before, pointer = _deployment(released), released.pointer()
    assert any(each["metadata"].get("finalizers") for each in released.kube.list("modelversions"))
    helm("uninstall", "weighbridge", "--wait", "--timeout=180s", namespace=OPERATOR_NAMESPACE)
    versions = released.kube.list("modelversions")
    assert {each["metadata"]["name"] for each in versions} >= {f"{MODEL}-{number}" for number in (1, 2, 3, 4)}
    assert [each["metadata"]["name"] for each in versions if each["metadata"].get("finalizers")] == []
    assert (released.pointer(), _deployment(released)) == (pointer, before)
    left = released.operator.run("get", "all,serviceaccounts,roles,rolebindings", "--output=name").splitlines()
    assert [each for each in left if "weighbridge" in each] == []
    released.kube.run("delete", "namespace", NAMESPACE, f"--timeout={PATIENCE:.0f}s")
    released.operator.run("delete", "namespace", OPERATOR_NAMESPACE, f"--timeout={PATIENCE:.0f}s")


def test_an_operator_of_one_namespace_sees_no_other(released: Stage) -> None:
    """A tenant's own operator. The registry there is a name nobody has: that it says so shows who was looked at."""
    cluster = released.operator
    registry = {
        "apiVersion": "weighbridge.dev/v1alpha1",
        "kind": "ModelRegistry",
        "metadata": {"name": "mlflow"},
        "spec": {"mlflow": {"url": "http://mlflow.nosuch.svc:5000"}},
    }
    for name in (TENANT, OTHER):
        cluster.run("create", "namespace", name)
        Kube(name).run("create", "--filename=-", stdin=json.dumps(registry))
    helm(*INSTALL, "--set", f"watchNamespaces={{{TENANT}}}", "--set", "crds.install=false", namespace=TENANTS_OPERATOR)
    mine, others = Kube(TENANT), Kube(OTHER)
    mine.run("wait", "modelregistry/mlflow", "--for=jsonpath={.status.conditions[0].type}", f"--timeout={PATIENCE:.0f}s")
    assert "status" not in (others.get("modelregistry", "mlflow") or {})
    account = f"system:serviceaccount:{TENANTS_OPERATOR}:weighbridge"
    for verb in ("get", "list", "watch"):
        for what in ("modelregistries", "modelversions", "secrets", "pods", "jobs"):
            # kubectl fails where the answer is no.
            answer = others.run("auth", "can-i", verb, what, "--as", account, check=False)
            assert answer.strip() != "yes", f"{verb} {what}"
    assert mine.run("auth", "can-i", "list", "modelversions", "--as", account).strip() == "yes"
    helm("uninstall", "weighbridge", "--wait", "--timeout=180s", namespace=TENANTS_OPERATOR)


def _approval(version: str, subject: str, approver: str) -> dict[str, Any]:
    spec = {"modelVersionRef": {"name": version}, "stage": "Production", "decision": "Approve", "subjectHash": subject}
    kind = {"apiVersion": "weighbridge.dev/v1alpha1", "kind": "ModelApproval", "metadata": {"name": f"forged-{approver}"}}
    return kind | {"spec": spec | {"approver": approver}}


def _weighbridge(*arguments: str) -> str:
    """The program at a terminal."""
    environment = os.environ | {"KUBECONFIG": str(kubeconfig()), "PYTHONPATH": str(ROOT / "operator")}
    command = [str(ROOT / "e2e" / "tools" / "python"), "-m", "weighbridge.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _change_artifact(stage: Stage) -> None:
    """Some bytes more in a small file of each version, in MLflow's own store, which is asked twice a minute."""
    stage.kube.run("patch", "modelregistry", "mlflow", "--type=merge", "--patch", '{"spec": {"pollInterval": "30s"}}')
    program = (
        "import pathlib; found = [p for p in pathlib.Path('/tmp/artifacts').rglob('MLmodel')]; "
        "[p.write_text(p.read_text() + '\\n# edited by hand\\n') for p in found]; assert found"
    )
    stage.kube.run("exec", "deployment/mlflow", "--", "python", "-c", program)


def _change_pointer(stage: Stage) -> None:
    """Somebody who will not let go of it: the operator gives the target back twice, then stops and tells for good."""

    def gave_up() -> bool:
        return _phases(stage)[f"{MODEL}-3"] == "Blocked"

    for _ in range(5):
        stage.kube.run("set", "env", f"deployment/{SERVER}", f"MODEL_URI=models:/{MODEL}@champion")
        stage.kube.until("the operator took it back, or gave up", PATIENCE, lambda: stage.pointer().endswith("/3") or gave_up())
        if gave_up():
            return
    raise AssertionError("the operator puts it back again and again")


_MADE = {"Artifact": _change_artifact, "Pointer": _change_pointer}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(Path(RULES).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)([smh])", text)
    assert found
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def _drifts(stage: Stage) -> set[str]:
    version = stage.kube.get("modelversion", f"{MODEL}-3") or {}
    return {each["type"] for each in version.get("status", {}).get("drift", ())}


def _deployment(stage: Stage) -> tuple[str, int]:
    """What changes when somebody touches the serving workload."""
    found = stage.kube.get("deployment", SERVER)
    assert found is not None
    return found["metadata"]["uid"], found["metadata"]["generation"]


def _phases(stage: Stage) -> dict[str, str]:
    return {each["metadata"]["name"]: each.get("status", {}).get("phase", "") for each in stage.kube.list("modelversions")}


def _reason(stage: Stage, name: str) -> str:
    return str(condition(stage.kube.get("modelversion", name) or {}, "Ready").get("reason", ""))
