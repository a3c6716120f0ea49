"""What is handed out for Argo CD, Flux and Kargo: the ConfigMap follows from the tree, and all that is Weighbridge's is taken by a
real API server. The kinds of the others are not to be had here: of them it is held that they are YAML and name what exists."""

import csv
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e.tools.argocd_cm import CONFIG_MAP, IGNORED, config_map

from tests.conftest import RealServer
from weighbridge.api import KINDS as ALL
from weighbridge.api.base import API_VERSION, GROUP
from weighbridge.api.modelversion import ModelVersionSpec

from .customizations import KINDS, ROOT, TREE

MANIFESTS = ROOT / "manifests"
FOLDERS = [MANIFESTS / name for name in ("argocd/examples", "flux", "kargo")]
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.yaml"))
PAGE = (ROOT / "docs" / "gitops.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def kubectl(server: RealServer, *arguments: str, given: str = "") -> str:
    command = [str(server.server.kubectl), f"--kubeconfig={server.kubeconfig}", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


# --- argocd-cm


def test_the_config_map_follows_from_the_tree_and_says_the_same() -> None:
    assert CONFIG_MAP.read_text(encoding="utf-8") == config_map(), "run e2e/tools/render"
    data = yaml.safe_load(config_map())["data"]
    for kind in KINDS:
        health = data.pop(f"resource.customizations.health.{GROUP}_{kind}")
        assert health == (TREE / kind / "health.lua").read_text(encoding="utf-8")
    for kind, paths in IGNORED.items():
        ignored = yaml.safe_load(data.pop(f"resource.customizations.ignoreResourceUpdates.{GROUP}_{kind}"))
        assert ignored == {"jqPathExpressions": paths}
    actions = yaml.safe_load(data.pop(f"resource.customizations.actions.{GROUP}_ModelVersion"))
    folder = TREE / "ModelVersion" / "actions"
    assert actions["discovery.lua"] == (folder / "discovery.lua").read_text(encoding="utf-8")
    assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == {
        path.parent.name: path.read_text(encoding="utf-8") for path in folder.glob("*/action.lua")
    }
    assert data == {}


def test_what_is_ignored_exists() -> None:
    kinds = {kind.info.kind: kind for kind in ALL}
    assert set(kinds) == set(KINDS)
    for name, paths in IGNORED.items():
        for path in paths:
            fields: Any = kinds[name].model_fields["status"].annotation
            for word in path.removeprefix(".status.").replace("[]?", "").split("."):
                known = {field.alias or key: field.annotation for key, field in fields.model_fields.items()}
                assert word in known, path
                fields = known[word]
                fields = next((each for each in getattr(fields, "__args__", ()) if hasattr(each, "model_fields")), fields)


def test_an_installed_argo_cd_is_patched_and_keeps_what_it_has(api_server: RealServer, namespace: str) -> None:
    kubectl(api_server, "-n", namespace, "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com")
    kubectl(api_server, "-n", namespace, "patch", "configmap", "argocd-cm", "--patch-file", str(CONFIG_MAP))
    data = yaml.safe_load(kubectl(api_server, "-n", namespace, "get", "configmap", "argocd-cm", "-o", "yaml"))["data"]
    assert data == {"url": "https://argocd.example.com", **yaml.safe_load(config_map())["data"]}


def test_it_is_a_component_of_an_installation_with_kustomize(api_server: RealServer, tmp_path: Path) -> None:
    installed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"url": "https://x"}}
    (tmp_path / "argocd").mkdir()
    for name in ("argocd-cm.yaml", "kustomization.yaml"):
        (tmp_path / "argocd" / name).write_bytes((CONFIG_MAP.parent / name).read_bytes())
    (tmp_path / "install").mkdir()
    (tmp_path / "install" / "cm.yaml").write_text(yaml.safe_dump(installed))
    whole = {"namespace": "argocd", "resources": ["cm.yaml"], "components": ["../argocd"]}
    (tmp_path / "install" / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    made = yaml.safe_load(kubectl(api_server, "kustomize", str(tmp_path / "install")))
    assert made["metadata"] == {"name": "argocd-cm", "namespace": "argocd"}
    assert made["data"] == {"url": "https://x", **yaml.safe_load(config_map())["data"]}


def test_the_rights_are_for_actions_that_exist_and_for_all_of_them(api_server: RealServer) -> None:
    rows = [row for row in csv.reader((MANIFESTS / "argocd" / "policy.csv").read_text().splitlines()) if not row[0].startswith("#")]
    actions = {row[3].strip() for row in rows if row[0] == "p"} - {"get"}
    existing = {path.parent.name for path in (TREE / "ModelVersion" / "actions").glob("*/action.lua")}
    assert actions == {f"action/{GROUP}/ModelVersion/{name}" for name in existing}
    assert {row[2].strip() for row in rows if row[0] == "g"} <= {row[1].strip() for row in rows if row[0] == "p"}
    kubectl(api_server, "apply", "--server-side", "--dry-run=server", "-f", str(MANIFESTS / "argocd" / "approvals-rbac.yaml"))


# --- examples


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_an_example_is_taken(path: Path, api_server: RealServer, namespace: str) -> None:
    for body in documents(path):
        assert {"apiVersion", "kind", "metadata", "spec"} <= set(body)
        if body["apiVersion"] in (API_VERSION, "apps/v1"):
            kubectl(api_server, "-n", namespace, "create", "--validate=strict", "-f", "-", given=yaml.safe_dump(body))


def test_no_example_declares_a_pointer() -> None:
    bodies = [body for path in FILES for body in documents(path)]
    workloads = {(each["kind"], each["metadata"]["name"]): each for each in bodies if each["kind"] == "Deployment"}
    specs = [ModelVersionSpec.model_validate(each["spec"]) for each in bodies if each["kind"] == "ModelVersion"]
    assert specs
    for entry in (entry for spec in specs for entry in spec.serving):
        found = workloads[entry.target_ref.kind, entry.target_ref.name]
        containers = {each["name"]: each for each in found["spec"]["template"]["spec"]["containers"]}
        (variable,) = [each for each in containers[entry.pointer.container or ""]["env"] if each["name"] == entry.pointer.env]
        assert variable == {"name": entry.pointer.env}


def test_the_hook_has_a_fixed_name_and_is_made_anew() -> None:
    (hook,) = documents(MANIFESTS / "argocd" / "examples" / "gate" / "evaluationjob.yaml")
    assert hook["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "PreSync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }
    assert hook["kind"] in KINDS
    assert "generateName" not in hook["metadata"]


# --- the page


def test_every_block_of_the_page_parses_and_every_link_leads_somewhere() -> None:
    assert BLOCKS
    assert all(yaml.safe_load(block)["kind"] for block in BLOCKS)
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_the_page_names_every_action() -> None:
    table = PAGE.split("### Actions")[1].split("```")[0]
    for path in (TREE / "ModelVersion" / "actions").glob("*/action.lua"):
        assert f"`{path.parent.name}`" in table
