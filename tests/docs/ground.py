"""An API server with what the pages speak of: the operator's manifests, the namespace `fraud` with README's first YAML in it, and
what others bring (`monitoring`, `argocd`).

No kubelet and no controllers run, so that commands which need pods run elsewhere (`elsewhere.py`). What the operator would have
written into `status` is written by hand.

Must not: judge what a command says.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.apiserver import ApiServer

from .pages import ROOT, blocks

NAMESPACE = "fraud"
INSTALL = "manifests/install.yaml"
MONITORING = "tests/chart/crds"
BROUGHT = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
"""Kinds of others that are there, from the files in that folder."""
PLACEHOLDERS = {"NAMESPACE": NAMESPACE, "NAME": "fraud-detector-7", "TARGET": "deployment/fraud-serving"}
"""What stands for something of the reader's own, and what it is here."""
_THEN = "2026-01-31T02:00:00Z"
_READING = re.compile(r"kubectl( -n \S+)? (get|describe|explain|wait)\b")
_SHIM = '#!/bin/sh\nPATH={path}\nexec {command} "$@"\n'


class Ground:
    """`with Ground() as ground: ground.install(); ground.furnish(); ground.run("kubectl get mver")`."""

    def __init__(self, programs: Path) -> None:
        self._stack = ExitStack()
        self._programs = programs
        self._furnished = False

    def __enter__(self) -> Self:
        self._server = self._stack.enter_context(ApiServer())
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._kubeconfig = folder / "kubeconfig"
        config = json.loads(self._server.kubeconfig().read_text(encoding="utf-8"))
        config["contexts"][0]["context"]["namespace"] = NAMESPACE
        self._kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        self._kubeconfig.chmod(0o600)
        self._shims = folder / "bin"
        self._shims.mkdir()
        for name, command in {"helm": ROOT / "e2e/tools/helm", "weighbridge": f"{sys.executable} -m weighbridge.cli"}.items():
            (self._shims / name).write_text(_SHIM.format(path=os.environ["PATH"], command=command), encoding="utf-8")
            (self._shims / name).chmod(0o755)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def run(self, command: str, *, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """What bash makes of it at the root of the tree, with the placeholders filled in."""
        for word, value in PLACEHOLDERS.items():
            command = re.sub(rf"(?<![\w:/.-]){word}(?![\w:/.-])", value, command)
        self._furnished = self._furnished and _READING.match(command) is not None
        environment = os.environ | {
            "KUBECONFIG": str(self._kubeconfig),
            "PATH": os.pathsep.join([str(self._shims), str(self._programs), os.environ["PATH"]]),
            "USER": "jane",
        }
        script = ["timeout", str(seconds), "bash", "-uo", "pipefail", "-c", command]
        return subprocess.run(script, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)

    def must(self, command: str, stdin: Any = None) -> None:
        """Runs what has to work before anything can be tested."""
        if stdin is not None:
            command += f" <<'END'\n{json.dumps(stdin)}\nEND"
        done = self.run(command)
        if done.returncode:
            raise AssertionError(f"{command}\n{done.stdout}{done.stderr}")

    def prepare(self) -> None:
        """What others bring: kinds of the Prometheus Operator."""
        self.must(f"kubectl create -f {MONITORING}")
        self.must("kubectl wait --for=condition=Established --timeout=30s crd --all")

    def install(self) -> None:
        """The operator's manifests, and the Lease it would hold; namespaces that the pages speak of."""
        self.prepare()
        self.must(f"kubectl apply --server-side -f {INSTALL}")
        self.must("kubectl wait --for=condition=Established --timeout=30s crd --all")
        for name in (NAMESPACE, "monitoring", "argocd"):
            self.must(f"kubectl create namespace {name}")
        self.must("kubectl -n argocd create configmap argocd-cm")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "weighbridge", "namespace": "weighbridge-system"},
            "spec": {"holderIdentity": "weighbridge-0"},
        }
        self.must("kubectl apply -f -", lease)

    def furnish(self) -> None:
        """Everything in `fraud` as the pages find it, whatever was done to it before."""
        if self._furnished:
            return
        self.must("kubectl -n fraud delete secret --all")
        objects = things()
        told = [each | {"status": STATUS[each["kind"]](each)} for each in objects if each["kind"] in STATUS]
        for items, what in ((objects, ""), (told, " --subresource=status")):
            self.must(
                f"kubectl -n fraud apply --server-side --force-conflicts{what} -f -",
                {"apiVersion": "v1", "kind": "List", "items": items},
            )
        self._furnished = True


def things() -> list[dict[str, Any]]:
    """README's first YAML, versions beside it, their evaluation, and the workload it names."""
    first = [each for block in blocks(ROOT / "README.md") if block.language == "yaml" for each in yaml.safe_load_all(block.text)]
    registry = next(each for each in first if each["kind"] == "ModelRegistry")
    version = next(each for each in first if each["kind"] == "ModelVersion")
    others = [_numbered(version, number) for number in ("6", "8")]
    evaluation = {
        "apiVersion": version["apiVersion"],
        "kind": "EvaluationJob",
        "metadata": {"name": "fraud-detector-7-holdout", "namespace": NAMESPACE},
        "spec": {"model": version["spec"]["source"], **version["spec"]["evaluations"][0]["template"]},
    }
    container = {"name": "server", "image": "registry.example.com/server:1", "env": [{"name": "MODEL_URI"}]}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "fraud-serving", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {"app": "fraud"}},
            "template": {"metadata": {"labels": {"app": "fraud"}}, "spec": {"containers": [container]}},
        },
    }
    return [workload, registry, *others, version, evaluation]


def _numbered(version: dict[str, Any], number: str) -> dict[str, Any]:
    name = f"fraud-detector-{number}"
    source = version["spec"]["source"] | {"version": number}
    return version | {"metadata": version["metadata"] | {"name": name}, "spec": version["spec"] | {"source": source}}


def _conditions(**states: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": _THEN, "observedGeneration": 1}
        for kind, (status, reason) in states.items()
    ]


def _version_status(version: dict[str, Any]) -> dict[str, Any]:
    number = version["spec"]["source"]["version"]
    reason = {"6": "Superseded", "7": "Serving"}.get(number, "NoEligibleClaim")
    state = "True" if number in "67" else "False"
    told = {
        "Ready": (state, reason),
        "Serving": (state, reason),
        "InSync": ("True", "InSync"),
        "RegistrySynced": ("True", "Written"),
    }
    standing = {"target": "Deployment/fraud-serving", "state": "Superseded" if number == "6" else "Serving"}
    return {
        "observedGeneration": 1,
        "phase": standing["state"],
        "score": "accuracy 0.9604",
        "version": number,
        "serving": [standing | {"wished": f"models:/fraud-detector/{number}", "since": _THEN}],
        "conditions": _conditions(**told),
        "approvals": {"subjectHash": f"sha256:{int(number):064x}", "stage": version["spec"]["stage"], "required": 1},
    }


STATUS = {
    "ModelRegistry": lambda registry: {
        "observedGeneration": 1,
        "url": registry["spec"]["mlflow"]["url"],
        "conditions": _conditions(Ready=("True", "Reachable")),
    },
    "EvaluationJob": lambda _: {
        "observedGeneration": 1,
        "phase": "Passed",
        "score": "accuracy 0.9604",
        "conditions": _conditions(Ready=("True", "Passed"), Complete=("True", "Passed")),
    },
    "ModelVersion": _version_status,
}
"""What the operator would say of each kind."""
