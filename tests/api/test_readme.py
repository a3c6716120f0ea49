"""What the README and the page on gates show is what the API server takes."""

import re
from pathlib import Path

import yaml

from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster

README = Path(__file__).parents[2] / "README.md"


async def test_the_first_yaml_is_taken(cluster: Cluster, namespace: str) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    bodies = [body for block in blocks for body in yaml.safe_load_all(block)]
    assert [body["kind"] for body in bodies] == ["ModelRegistry", "ModelVersion"]
    for body in bodies:
        created = await cluster.create({**body, "metadata": {**body["metadata"], "namespace": namespace}})
        for field, value in body["spec"].items():
            assert field in created["spec"], value


async def test_the_gate_of_the_docs_is_taken(cluster: Cluster, namespace: str) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (README.parent / "docs" / "gates.md").read_text(encoding="utf-8"), re.DOTALL)
    written = yaml.safe_load(block)
    gate = written["gate"]
    spec = {
        "model": {"registryRef": {"name": "mlflow"}, "name": "fraud", "version": "7"},
        "evaluator": {"engine": "container", "image": "engine:1"},
        **written,
    }
    body = {"apiVersion": API_VERSION, "kind": "EvaluationJob", "metadata": {"name": "docs", "namespace": namespace}, "spec": spec}
    created = await cluster.create(body)
    assert created["spec"]["gate"] == [{"minSamples": 1, **rule} for rule in gate]


def test_every_file_and_target_it_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    root = README.parent
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (root / link).exists(), link
    for target in re.findall(r"make ([a-z-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
