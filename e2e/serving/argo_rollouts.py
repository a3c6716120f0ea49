"""Argo Rollouts with its real controller, from its own manifests."""

import json
import subprocess

from e2e.kube import ROOT, Kube
from e2e.serving.workloads import namespace

NAMESPACE = "argo-rollouts"


def install() -> None:
    """The controller runs. It is compiled first where that was never done."""
    program = ROOT / "e2e" / "tools" / "argo-rollouts"
    manifests = subprocess.run([str(program)], stdout=subprocess.PIPE, text=True, check=True).stdout
    kube = Kube(NAMESPACE)
    kube.run("apply", "--filename", "-", stdin=json.dumps(namespace(NAMESPACE)))
    kube.run("apply", "--server-side", "--force-conflicts", "--filename", "-", stdin=manifests)
    kube.run("rollout", "status", "deployment/argo-rollouts", "--timeout=120s")
