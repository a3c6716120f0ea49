"""A Hub in the cluster: the tests' stand-in with the demo's classifier and a tiny language model in it, and the ModelRegistry that
points there."""

import tempfile
from pathlib import Path

from tests.evaluation import language

from e2e.kube import ROOT, Kube

MANIFESTS = ROOT / "e2e" / "hub" / "manifests"
PROGRAMS = (ROOT / "tests" / "registries" / "hubserver.py", ROOT / "e2e" / "hub" / "seed.py")


def stand_up(kube: Kube) -> None:
    """A fresh Hub, filled and serving, and the ModelRegistry `hub`, Ready. An earlier one goes, with all it kept.

    Needs the operator, the evaluator image and the demo's namespace in the cluster."""
    kube.run("delete", "deployment", "hub", "--ignore-not-found", "--cascade=foreground", "--timeout=60s")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (language.model() | language.questions()).items():
            (Path(folder) / name).write_bytes(content)
        files = (f"--from-file={path.name}={path}" for path in (*PROGRAMS, *Path(folder).iterdir()))
        programs = kube.run("create", "configmap", "hub", *files, "--dry-run=client", "--output=json")
    kube.run("apply", "--filename", "-", stdin=programs)
    kube.apply(MANIFESTS / "hub.yaml")
    kube.run("rollout", "status", "deployment/hub", "--timeout=240s")
    kube.apply(MANIFESTS / "registry.yaml")
    kube.run("wait", "modelregistry/hub", "--for=condition=Ready", "--timeout=60s")
