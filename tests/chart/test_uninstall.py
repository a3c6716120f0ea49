"""A release that goes: what its hooks run, with the rights its hooks have, lets versions, kinds and namespaces be deleted.

No kubelet runs here, so a process with the hook's own token is the Job's pod.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from weighbridge.api.modelversion import FINALIZER

from .conftest import CHART, ROOT, Api, Object
from .test_install import may, succeeds

SAMPLE = yaml.safe_load((ROOT / "manifests" / "samples" / "modelversion.yaml").read_text(encoding="utf-8"))
OPERATORS = "operators"


def version(api: Api, namespace: str, name: str, *finalizers: str) -> None:
    """As an operator leaves a version that serves."""
    metadata = {"name": name, "namespace": namespace, "finalizers": [*finalizers]}
    api.create(SAMPLE | {"metadata": metadata})


def finalizers(api: Api, namespace: str, name: str) -> list[str]:
    body = yaml.safe_load(succeeds(api.kubectl("get", "modelversion", name, "-n", namespace, "-o", "yaml")))
    return list(body["metadata"].get("finalizers", ()))


class Hook:
    """The Job's pod of a release that is gone."""

    def __init__(self, api: Api, objects: list[Object], folder: Path) -> None:
        self._api, self._folder = api, folder
        (job,) = [each for each in objects if each["kind"] == "Job"]
        (self._container,) = job["spec"]["template"]["spec"]["containers"]
        self.account = job["spec"]["template"]["spec"]["serviceAccountName"]
        api.create(*(each for each in objects if each["kind"] != "Job"))
        succeeds(api.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(job)))

    def run(self) -> "subprocess.CompletedProcess[str]":
        """Its arguments, and less time to settle: nobody puts anything back here."""
        token = succeeds(self._api.kubectl("create", "token", self.account, "-n", OPERATORS)).strip()
        config = yaml.safe_load(Path(self._api.environment["KUBECONFIG"]).read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        kubeconfig = self._folder / "hook.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [ROOT / "e2e" / "tools" / "python", "-m", "weighbridge.cli", *self._container["args"], "--settle=1s"]
        environment = os.environ | {"KUBECONFIG": str(kubeconfig)}
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)


@pytest.fixture
def release(api: Api, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hook]:
    """Installed with the values of the test, and uninstalled again; its hooks' objects are there, as Helm kept them."""
    for name in (OPERATORS, "fraud", "search"):
        api.kubectl("create", "namespace", name)
    values = [part for value in request.param for part in ("--set", value)]
    succeeds(api.helm("install", "weighbridge", CHART, "--namespace", OPERATORS, *values))
    hooks = succeeds(api.helm("get", "hooks", "weighbridge", "--namespace", OPERATORS))
    succeeds(api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"))
    version(api, "fraud", "serving", FINALIZER)
    version(api, "fraud", "held-by-others", "example.com/theirs", FINALIZER)
    version(api, "search", "serving", FINALIZER)
    succeeds(api.helm("uninstall", "weighbridge", "--namespace", OPERATORS, "--no-hooks"))
    objects = [each for each in yaml.safe_load_all(hooks) if each]
    yield Hook(api, objects, tmp_path)
    api.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(objects))
    for name in ("fraud", "search"):
        for each in api.kubectl("get", "modelversions", "-n", name, "-o", "name").stdout.split():
            api.kubectl("patch", each, "-n", name, "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
            api.kubectl("delete", each, "-n", name, "--ignore-not-found", "--timeout=20s")


@pytest.mark.parametrize("release", [()], indirect=True)
def test_every_version_can_be_deleted_and_nothing_else_is_touched(api: Api, release: Hook) -> None:
    succeeds(api.kubectl("delete", "modelversion", "serving", "-n", "fraud", "--wait=false"))
    assert finalizers(api, "fraud", "serving") == [FINALIZER]  # nobody is left who would
    before = succeeds(api.kubectl("get", "modelversion", "serving", "-n", "search", "-o", "jsonpath={.spec}{.metadata.generation}"))
    done = release.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("let go of 3 ModelVersions, of 2 there are")
    gone = api.kubectl("get", "modelversion", "serving", "-n", "fraud")
    assert "NotFound" in gone.stderr
    assert finalizers(api, "fraud", "held-by-others") == ["example.com/theirs"]
    assert finalizers(api, "search", "serving") == []
    assert before == succeeds(
        api.kubectl("get", "modelversion", "serving", "-n", "search", "-o", "jsonpath={.spec}{.metadata.generation}")
    )


@pytest.mark.parametrize("release", [("watchNamespaces={fraud}",)], indirect=True)
def test_a_tenants_release_lets_go_in_its_own_namespaces_only(api: Api, release: Hook) -> None:
    done = release.run()
    assert done.returncode == 0, done.stderr
    assert finalizers(api, "fraud", "serving") == []
    assert finalizers(api, "search", "serving") == [FINALIZER]
    account = f"system:serviceaccount:{OPERATORS}:{release.account}"
    for verb in ("list", "patch"):
        assert may(api, account, verb, "modelversions.weighbridge.dev", "-n", "fraud")
        assert not may(api, account, verb, "modelversions.weighbridge.dev", "-n", "search")
    for verb in ("get", "watch", "create", "update", "delete", "deletecollection"):
        assert not may(api, account, verb, "modelversions.weighbridge.dev", "-n", "fraud")


@pytest.mark.parametrize("release", [("crds.keep=false",)], indirect=True)
def test_kinds_that_go_with_the_release_are_waited_for_by_nobody(api: Api, release: Hook) -> None:
    """The API server itself deletes the objects of a kind that goes, and waits for their finalizers."""
    there = succeeds(api.kubectl("get", "crd", "modelversions.weighbridge.dev", "-o", "jsonpath={.metadata.deletionTimestamp}"))
    assert there
    remove = '{"metadata": {"finalizers": ["weighbridge.dev/serving"]}}'
    succeeds(api.kubectl("patch", "modelversion", "held-by-others", "-n", "fraud", "--type=merge", "--patch", remove))
    done = release.run()
    assert done.returncode == 0, done.stderr
    succeeds(api.kubectl("wait", "--for=delete", "crd/modelversions.weighbridge.dev", "--timeout=30s"))
    again = release.run()
    assert again.returncode == 0, again.stderr
