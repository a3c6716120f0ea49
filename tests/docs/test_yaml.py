"""Every YAML block of every page is taken: by the models, without a field they do not know, and by a real API server.

A block that is a part of an object is put where it belongs, the rest of the object around it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from weighbridge.api import KINDS
from weighbridge.api.base import API_VERSION, GROUP

from .ground import BROUGHT, NAMESPACE, Ground
from .pages import ROOT, Block, blocks, pages

YAML = [block for page in pages() for block in blocks(page) if block.language in {"yaml", "yml"}]
VALUES = yaml.safe_load((ROOT / "charts" / "weighbridge" / "values.yaml").read_text(encoding="utf-8"))
ELSEWHERE = {
    ("docs/alerts.md", "alert"): "tests/docs/test_yaml.py::test_prometheus_takes_the_rule_of_the_page",
    ("docs/alerts.md", "route"): "tests/runtime/test_alerts.py::test_alertmanager_itself",
    ("docs/install.md", "resources"): "tests/chart/test_manifests.py::test_the_kustomization_of_the_documentation_works_as_written",
    ("docs/monitoring.md", "rule_files"): "tests/docs/test_monitoring.py::test_prometheus_takes_the_configuration",
    ("docs/monitoring.md", "route"): "tests/docs/test_monitoring.py::test_alertmanager_takes_the_routes",
}
"""Files of other programs, by page and first key, and the test that gives it to them."""
_SOURCE = {"registryRef": {"name": "mlflow"}, "name": "fraud-detector", "version": "7"}
_TARGET = {"targetRef": {"kind": "Deployment", "name": "fraud"}, "pointer": {"container": "server", "env": "MODEL_URI"}}
_SPECS: dict[str, dict[str, Any]] = {
    "ModelRegistry": {"mlflow": {"url": "https://mlflow.example.com"}},
    "EvaluationJob": {"model": _SOURCE, "evaluator": {"engine": "container", "image": "engine:1"}},
    "ModelVersion": {"source": _SOURCE, "stage": "Production", "serving": [_TARGET]},
}
"""The least of each kind's spec, around parts of it."""


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.place)
def test_the_block_is_taken(block: Block, ground: Ground) -> None:
    bodies = [body for body in yaml.safe_load_all(block.text) if body]
    assert bodies, "it is empty"
    for body in bodies:
        first = body[0] if isinstance(body, list) else body
        if (str(block.page.relative_to(ROOT)), next(iter(first))) in ELSEWHERE:
            continue
        if problem := _problem(body, ground):
            pytest.fail(problem)


def test_what_is_of_other_programs_is_given_to_them_in_a_test_that_exists() -> None:
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), place


def test_prometheus_takes_the_rule_of_the_page(tmp_path: Path, ground: Ground) -> None:
    (rule,) = [yaml.safe_load(block.text) for block in YAML if block.text.startswith("- alert: ")]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "page", "rules": rule}]}), encoding="utf-8")
    ground.must(f"{ROOT}/e2e/tools/promtool check rules {tmp_path}/rules.json")


@pytest.mark.parametrize(
    "part",
    [
        {"gate": [{"metric": "accuracy", "minimum": 0.9}]},
        {"gate": [{"metric": "accuracy", "min": 0.9, "max": 0.8}]},
        {"spec": {"stages": "Production"}},
        {"targetRef": {"kind": "Deployment", "name": "fraud"}, "pointer": {"container": "server"}},
        {"apiVersion": API_VERSION, "kind": "ModelRegistry", "metadata": {"name": "both"}, "spec": {}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "odd"}, "strings": {}},
        {"image": {"repositry": "weighbridge/operator"}},
        {"something": "else"},
        {"rules": [{"apiGroups": ["weighbridge.dev"], "resources": ["modelversions"], "verb": ["approve"]}]},
        {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "odd"}, "spec": {}},
    ],
    ids=str,
)
def test_what_is_wrong_is_found(part: dict[str, Any], ground: Ground) -> None:
    assert _problem(part, ground)


def _problem(body: Any, ground: Ground) -> str | None:
    """Why nothing takes it."""
    if "kind" not in body and isinstance(body, dict) and set(body) <= set(VALUES):
        return _refused(f"helm template weighbridge charts/weighbridge --values - <<'END'\n{json.dumps(body)}\nEND", ground)
    if isinstance(body, dict) and set(body) == {"rules"}:
        return _applied({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, **body}, ground)
    if "apiVersion" in body and not body["apiVersion"].startswith(GROUP):
        return _foreign(body, ground)
    candidates = [body] if "apiVersion" in body else list(_completed(body))
    problems = []
    for candidate in candidates:
        problem = _unknown(candidate) or _applied(candidate, ground)
        if problem is None:
            return None
        problems.append(f"as {candidate['kind']}: {problem}")
    return "\n".join(problems) or "it is no part of any kind"


def _completed(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Objects that this part could be of."""
    kinds = [part["kind"]] if "kind" in part else list(_SPECS)
    for kind in kinds:
        spec = _SPECS[kind]
        if "spec" in part:
            yield _object(kind, spec | part["spec"])
        elif set(part) <= _fields(kind):
            yield _object(kind, spec | part)
    serving = _TARGET | part
    if {"targetRef", "pointer", "probe"} & set(part):
        yield _object("ModelVersion", _SPECS["ModelVersion"] | {"serving": [serving]})


def _fields(kind: str) -> set[str]:
    (model,) = [each for each in KINDS if each.info.kind == kind]
    return set(model.model_json_schema(by_alias=True)["$defs"][f"{kind}Spec"]["properties"])


def _object(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "of-the-page"}, "spec": spec}


def _unknown(body: dict[str, Any]) -> str | None:
    """What the models say, a field they do not know included."""
    (model,) = [each for each in KINDS if each.info.kind == body["kind"]]
    try:
        read = model.model_validate(body | {"metadata": {"namespace": NAMESPACE, **body["metadata"]}}).to_json()
    except ValidationError as error:
        return str(error)
    lost = list(_lost(body["spec"], read["spec"], "spec"))
    return f"no model knows {', '.join(lost)}" if lost else None


def _lost(written: Any, read: Any, path: str) -> Iterator[str]:
    if isinstance(written, dict):
        for key, value in written.items():
            if key in read:
                yield from _lost(value, read[key], f"{path}.{key}")
            elif value is not None:
                yield f"{path}.{key}"
    elif isinstance(written, list):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")


def _applied(body: dict[str, Any], ground: Ground) -> str | None:
    place = body["metadata"].get("namespace", NAMESPACE)
    body = body | {"metadata": body["metadata"] | {"namespace": NAMESPACE, "generateName": f"{place}-"}}
    del body["metadata"]["name"]
    return _refused(f"kubectl create --dry-run=server --validate=strict -f - <<'END'\n{json.dumps(body)}\nEND", ground)


def _foreign(body: dict[str, Any], ground: Ground) -> str | None:
    """An object of somebody else's kind: the API server must take what it knows; of others it can only be said what they are."""
    if not body.get("kind") or not body.get("metadata", {}).get("name"):
        return "an object has kind and metadata.name"
    group = body["apiVersion"].partition("/")[0]
    if "." in group and not group.endswith(".k8s.io") and body["kind"] not in BROUGHT:
        return None
    return _applied(body, ground)


def _refused(command: str, ground: Ground) -> str | None:
    done = ground.run(command)
    return done.stderr if done.returncode else None
