"""Helm on the cluster, as a person at a terminal uses it."""

import os
import subprocess
from pathlib import Path

from e2e.kube import ROOT

CHART = ROOT / "charts" / "weighbridge"


def kubeconfig() -> Path:
    """The cluster's own."""
    done = subprocess.run([ROOT / "e2e" / "cluster" / "kubeconfig"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def helm(*arguments: str, namespace: str) -> str:
    """Helm's standard output. Raises AssertionError with its error text where it fails."""
    command = [str(ROOT / "e2e" / "tools" / "helm"), "--namespace", namespace, *arguments]
    environment = os.environ | {"KUBECONFIG": str(kubeconfig())}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout
