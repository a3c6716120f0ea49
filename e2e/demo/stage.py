"""The demo's stage: the operator, an MLflow server with trained models, and a serving Deployment, in a cluster that is up."""

import json
import subprocess
import sys
import time
from typing import Any

import yaml

from e2e.kube import ROOT, Kube, Late, condition

NAMESPACE = "weighbridge-demo"
OPERATOR_NAMESPACE = "weighbridge-system"
OPERATOR_PODS = "--selector=app.kubernetes.io/name=weighbridge"
"""The operator's pods, as kubectl finds them: one leads, and which one nobody knows."""
MANIFESTS = ROOT / "e2e" / "demo" / "manifests"
MODEL = "tumour-classifier"
SERVER = "tumour-server"
"""Name of the serving Deployment and its Service."""


class Stage:
    """The cluster, and somebody who tells what happens in it."""

    def __init__(self, begun: float, *, quiet: bool = False) -> None:
        self.kube, self.operator = Kube(NAMESPACE), Kube(OPERATOR_NAMESPACE)
        self._begun, self._quiet = begun, quiet

    def say(self, text: str) -> None:
        if not self._quiet:
            sys.stdout.write(f"[{time.monotonic() - self._begun:6.1f} s] {text}\n")
            sys.stdout.flush()

    def title(self, text: str) -> None:
        if not self._quiet:
            sys.stdout.write(f"\n━━ {text}\n")

    def set_up(self) -> None:
        """Everything that is there before the story begins. What is there already from an earlier run stays, but its story goes."""
        self.title("Setting the stage")
        self.say("installing the operator: kubectl apply --server-side -f manifests/install.yaml")
        self.operator.run("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "manifests" / "install.yaml"))
        self.operator.run("rollout", "restart", "deployment/weighbridge")
        self.operator.run("rollout", "status", "deployment/weighbridge", "--timeout=180s")
        self.furnish()

    def furnish(self) -> None:
        """All of it but the operator, which is there already."""
        self.kube.apply(MANIFESTS / "namespace.yaml")
        self.say("taking an earlier story off the stage: all ModelVersions and EvaluationJobs of its namespace go")
        self._clear()
        self.say("an MLflow server in the cluster")
        self.kube.apply(MANIFESTS / "mlflow.yaml")
        self.kube.run("rollout", "status", "deployment/mlflow", "--timeout=240s")
        self._train()
        self.kube.apply(MANIFESTS / "registry.yaml")
        self.kube.run("wait", "modelregistry/mlflow", "--for=condition=Ready", "--timeout=60s")
        self.say("ModelRegistry mlflow is Ready")
        self.kube.apply(MANIFESTS / "serving.yaml")
        self.say(f"a serving Deployment {SERVER}: mlflow models serve, its model named by MODEL_URI")

    def _clear(self) -> None:
        """Takes an earlier story off the stage: the workload first, so that nothing serves any more and every version lets go."""
        self.kube.run("delete", "deployment", SERVER, "--ignore-not-found", "--timeout=60s")
        for kind in ("modelversions", "evaluationjobs"):
            self.kube.run("delete", kind, "--all", "--timeout=60s")

    def _train(self) -> None:
        self.kube.run("delete", "job", "training", "--ignore-not-found", "--timeout=60s")
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        manifest = (MANIFESTS / "training.yaml").read_text(encoding="utf-8")
        manifest = manifest.replace('{name: CODE_COMMIT, value: ""}', f'{{name: CODE_COMMIT, value: "{commit or "unknown"}"}}')
        self.kube.run("apply", "--filename", "-", stdin=manifest)
        self.say("four versions of a classifier, trained on scikit-learn's breast cancer data")
        told: list[str] = []

        def ended() -> bool:
            lines = self.kube.run("logs", "job/training", "--tail=-1", check=False).splitlines()
            fresh = [line for line in lines[len(told) :] if line.startswith("train: ")]
            for line in fresh:
                self.say(f"  {line.removeprefix('train: ')}")
            told.extend(lines[len(told) :] if fresh else [])
            job = self.kube.get("job", "training") or {}
            if condition(job, "Failed").get("status") == "True":
                raise AssertionError(f"training failed: kubectl -n {NAMESPACE} logs job/training")
            return condition(job, "Complete").get("status") == "True"

        self.kube.until("training", 300, ended, pause=1.0)

    def follow(self, name: str, ends: tuple[str, ...], seconds: float) -> dict[str, Any]:
        """Tells each change of a ModelVersion until its phase is one of `ends`."""
        told = ""
        try:
            for version in self.kube.changes("modelversion", name, seconds):
                ready, phase = condition(version, "Ready"), version.get("status", {}).get("phase", "")
                line = f"{name}: {phase}: {ready.get('message', '')}"
                if phase and line != told:
                    told = line
                    self.say(f"  {line}")
                if phase in ends:
                    return version
        except Late as late:
            raise Late(f"{name} did not become {' or '.join(ends)} within {seconds:.0f} s; last seen: {told}") from late
        raise AssertionError("unreachable")

    def predict(self) -> float:
        """What the serving Deployment answers to one fixed biopsy: how sure it is that the tumour is malignant."""
        row = json.loads((MANIFESTS / "biopsy.json").read_text(encoding="utf-8"))
        _, malignant = self.kube.post("deployment/mlflow", f"http://{SERVER}:8080/invocations", row)["predictions"][0]
        return float(malignant)

    def pointer(self) -> str:
        """What the Deployment is told to serve."""
        deployment = self.kube.get("deployment", SERVER)
        assert deployment is not None
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        return next((each.get("value", "") for each in container.get("env", ()) if each["name"] == "MODEL_URI"), "")

    def mlflow(self, path: str) -> dict[str, Any]:
        """GET of MLflow's REST interface."""
        where = f"/api/v1/namespaces/{NAMESPACE}/services/mlflow:5000/proxy/api/2.0/mlflow/{path}"
        answer: dict[str, Any] = json.loads(self.kube.run("get", "--raw", where))
        return answer

    def apply_version(self, name: str) -> str:
        """Applies one of the demo's ModelVersions and shows it."""
        path = MANIFESTS / f"{name}.yaml"
        self.say(f"$ kubectl apply -f {path.relative_to(ROOT)}")
        self.kube.apply(path)
        found: str = yaml.safe_load(path.read_text(encoding="utf-8"))["metadata"]["name"]
        return found

    def look_closer(self) -> None:
        """What a person would look at first when the story goes wrong."""
        if self._quiet:
            return
        for arguments in (
            ("get", "modelversions,evaluationjobs,jobs,pods", "--output", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
        ):
            sys.stdout.write(self.kube.run(*arguments, check=False)[-6000:] + "\n")
        sys.stdout.write(self.operator.run("logs", OPERATOR_PODS, "--tail=40", check=False)[-8000:] + "\n")
