"""What people without Helm apply: each file and each component of kustomize, and the rights of an operator of one namespace."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from weighbridge import __version__

from .conftest import ROOT, Api
from .test_combinations import MONITORING
from .test_install import MAY, may, questions, succeeds

MANIFESTS = ROOT / "manifests"
HOME, OTHER = "fraud", "other"
ACCOUNT = f"system:serviceaccount:{HOME}:weighbridge"


@pytest.fixture(scope="module")
def cluster(api: Api) -> Api:
    """With the kinds, as an administrator installs them beforehand, and an operator of one namespace."""
    api.namespaces(HOME, OTHER, "weighbridge-system")
    succeeds(api.kubectl("apply", "--server-side", "-f", ROOT / "crds"))
    succeeds(api.kubectl("create", "-f", MONITORING))
    succeeds(api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"))
    succeeds(api.kubectl("apply", "-n", HOME, "--server-side", "-f", MANIFESTS / "namespace-install.yaml"))
    return api


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side", "server-side"])
@pytest.mark.parametrize("name", ["install", "let-go", "namespace-install", "namespace-let-go"])
def test_every_file_is_taken_every_way(cluster: Api, name: str, way: tuple[str, ...]) -> None:
    place = ("-n", HOME) if name.startswith("namespace-") else ()
    succeeds(cluster.kubectl("apply", "--validate=strict", "--dry-run=server", *way, *place, "-f", MANIFESTS / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["namespace-install", "namespace-let-go"])
def test_nothing_of_one_namespace_names_any(name: str) -> None:
    objects = list(yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8")))
    found = {each["kind"] for each in objects if each}
    assert not found & {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}
    assert not [each for each in objects if each and "namespace" in each["metadata"]]
    assert "here" not in [each.get("namespace") for each in objects if each for each in each.get("subjects", ())]


def test_the_operator_of_one_namespace_watches_the_one_it_is_in(cluster: Api) -> None:
    deployment = yaml.safe_load(succeeds(cluster.kubectl("get", "deployment", "weighbridge", "-n", HOME, "-o", "yaml")))
    env = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["WEIGHBRIDGE_NAMESPACES"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"


@pytest.mark.parametrize(("verb", "what"), questions(MAY))
def test_the_operator_of_one_namespace_may_work_there_and_nowhere_else(cluster: Api, verb: str, what: str) -> None:
    assert may(cluster, ACCOUNT, verb, what, "-n", HOME)
    assert not may(cluster, ACCOUNT, verb, what, "-n", OTHER)
    assert not may(cluster, ACCOUNT, verb, what, "--all-namespaces")


def built(cluster: Api, folder: Path, kustomization: str) -> str:
    """What a folder beside a copy of manifests/ builds."""
    shutil.copytree(MANIFESTS, folder / "manifests")
    (folder / "mine").mkdir()
    (folder / "mine" / "kustomization.yaml").write_text(kustomization, encoding="utf-8")
    return succeeds(cluster.kubectl("kustomize", folder / "mine"))


def test_the_kustomization_of_the_documentation_works_as_written(cluster: Api, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    written = re.search(r"^```yaml\n(# kustomization.yaml.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert written
    text = built(cluster, tmp_path, written[1])
    succeeds(cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text))
    (deployment,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert container["image"] == env["WEIGHBRIDGE_REPORTER_IMAGE"] == f"registry.example.com/weighbridge/operator:{__version__}"
    assert env["WEIGHBRIDGE_EVALUATOR_IMAGE"] == f"registry.example.com/weighbridge/evaluator:{__version__}"


@pytest.mark.parametrize("component", ["", "monitoring", "networkpolicy"])
def test_kustomize_builds_what_the_api_server_takes(cluster: Api, component: str, tmp_path: Path) -> None:
    mine: dict[str, object] = {"resources": ["../manifests"], "images": [{"name": "weighbridge/operator", "newName": "mine"}]}
    if component:
        mine["components"] = [f"../manifests/components/{component}"]
    text = built(cluster, tmp_path, yaml.safe_dump(mine))
    objects = [each for each in yaml.safe_load_all(text) if each]
    base = [each for each in yaml.safe_load_all((MANIFESTS / "install.yaml").read_text(encoding="utf-8")) if each]
    assert len(objects) > len(base) if component else len(objects) == len(base)
    (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].startswith("mine:")
    succeeds(cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text))


def test_the_folder_of_crds_can_be_applied_as_it_is(cluster: Api) -> None:
    assert cluster.kubectl("diff", "--server-side", "-f", ROOT / "crds").stdout == ""
