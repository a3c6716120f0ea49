"""Writes manifests/argocd/argocd-cm.yaml: the tree of customizations in the form that an installed Argo CD reads.

`python -m e2e.tools.argocd_cm [--check]`; `e2e/tools/render` calls it. With --check it writes nothing and fails where they differ.
"""

import difflib
import sys
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "manifests" / "argocd"
TREE = FOLDER / "resource_customizations"
CONFIG_MAP = FOLDER / "argocd-cm.yaml"
HEAD = """\
# What Argo CD has to know of Weighbridge's kinds. Made from resource_customizations/ by e2e/tools/render: edit there.
#   kubectl patch configmap argocd-cm -n argocd --patch-file argocd-cm.yaml
# or, where Argo CD is installed with kustomize, this folder as a component.
"""
IGNORED = {
    "EvaluationJob": [".status.progress", ".status.preflight", ".status.conditions[]?.lastTransitionTime"],
    "ModelRegistry": [".status.conditions[]?.lastTransitionTime"],
    "ModelVersion": [".status.history", ".status.registry.writtenAt", ".status.conditions[]?.lastTransitionTime"],
}
"""Paths of status that change without anything that Argo CD shows: they do not make it look at the whole application again."""


class _Text(str):
    """Written as a block."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def _actions(folder: Path) -> str:
    names = sorted(path.parent.name for path in folder.glob("*/action.lua"))
    definitions = [
        {"name": each, "action.lua": _Text((folder / each / "action.lua").read_text(encoding="utf-8"))} for each in names
    ]
    return _dumped({"discovery.lua": _Text((folder / "discovery.lua").read_text(encoding="utf-8")), "definitions": definitions})


def config_map() -> str:
    """The whole file."""
    data = {}
    for folder in sorted(path for group in TREE.iterdir() for path in group.iterdir()):
        kind, place = folder.name, f"{folder.parent.name}_{folder.name}"
        data[f"resource.customizations.health.{place}"] = _Text((folder / "health.lua").read_text(encoding="utf-8"))
        if (folder / "actions").exists():
            data[f"resource.customizations.actions.{place}"] = _Text(_actions(folder / "actions"))
        if kind in IGNORED:
            data[f"resource.customizations.ignoreResourceUpdates.{place}"] = _Text(_dumped({"jqPathExpressions": IGNORED[kind]}))
    metadata = {"name": "argocd-cm"}
    return HEAD + _dumped({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def main() -> int:
    """Writes or checks."""
    new, old = config_map(), CONFIG_MAP.read_text(encoding="utf-8") if CONFIG_MAP.exists() else ""
    if "--check" not in sys.argv[1:]:
        CONFIG_MAP.write_text(new, encoding="utf-8")
    elif new != old:
        sys.stderr.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(CONFIG_MAP), "as it should be"))
        sys.stderr.write("manifests/argocd/argocd-cm.yaml does not follow from its tree: run e2e/tools/render and commit it\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
