"""What the adapters pin is what a pod proves: both compute one identity from what each of them sees of a registry."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.core.things import evaluation_job, registry
from tests.evaluation.conftest import READER
from tests.registries.hubserver import DATASETS, MODELS, Hub
from tests.registries.mlflowserver import MlflowServer
from weighbridge.api import ModelRegistry
from weighbridge.api.evaluationjob import Resolved, ResolvedDataset, ResolvedModel
from weighbridge.api.references import DatasetReference, ModelReference
from weighbridge.evaluation.fetch import fetch_dataset, fetch_model
from weighbridge.evaluation.task import Task, task_of
from weighbridge.registries.connections import connect
from weighbridge.registries.credentials import Credentials

DATA = {"data/test.csv": b"x,label\n1,0\n", "data/train.csv": b"x,label\n2,1\n", "empty": b""}
MANY = {f"code/part-{number:02}.py": b"#" * (number + 1) for number in range(40)}
"""More files than are read where the registry keeps no digests."""


def pinned(connection: ModelRegistry, model: dict[str, Any], *datasets: dict[str, Any]) -> Task:
    """The task of an evaluation of these references, pinned by the real adapter."""
    place = {"registryRef": {"name": connection.metadata.name}}
    wanted = [DatasetReference.model_validate(place | {"name": f"data-{at}"} | each) for at, each in enumerate(datasets)]
    credentials = Credentials({"HF_TOKEN": READER}) if connection.spec.hugging_face else None
    adapter = connect(connection, credentials, (ip_network("127.0.0.0/8"),), lambda: False)
    try:
        pin = adapter.model(ModelReference.model_validate(place | model)).pin
        pins = [adapter.dataset(each) for each in wanted]
    finally:
        adapter.close()
    found = Resolved(model=ResolvedModel(**dict(pin)), datasets=tuple(ResolvedDataset(**dict(each)) for each in pins))
    return task_of(evaluation_job(), found, {connection.metadata.name: connection})


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_mlflow(tmp_path: Path, mlflow_here: MlflowServer) -> None:
    from mlflow.genai.datasets import create_dataset

    name, logged, recorded = mlflow_here.new_name(), mlflow_here.new_name(), mlflow_here.new_name()
    mlflow_here.register(name, MANY)
    full = {path: content for path, content in DATA.items() if content}
    mlflow_here.log_dataset(mlflow_here.run(full, f"datasets/{logged}"), logged, "0a1b2c3d")
    create_dataset(name=recorded).merge_records([{"inputs": {"x": 1}, "expectations": {"label": 0}}])
    task = pinned(
        registry(mlflow={"url": mlflow_here.url}),
        {"name": name, "version": "1"},
        {"path": logged},
        {"path": logged, "file": "data/test.csv"},
        {"path": recorded},
    )
    assert set(MANY) < files(fetch_model(task, tmp_path))
    assert [files(fetch_dataset(each, tmp_path)) for each in task.datasets] == [set(full), {"data/test.csv"}, {"records.jsonl"}]


@pytest.mark.usefixtures("hub_server")
def test_the_hub(tmp_path: Path, hub: Hub) -> None:
    hub.create_repo(MODELS, "demo/classifier")
    hub.create_repo(DATASETS, "demo/holdout")
    described = b"flavors: {python_function: {loader_module: m}}\n"
    model = MANY | {"MLmodel": described, "model.bin": b"weights", "README.md": b"---\n{}\n---\n"}
    hub.commit(MODELS, "demo/classifier", model)
    hub.commit(DATASETS, "demo/holdout", DATA | {"data/big.parquet": b"table"})
    metadata = {"name": "hub", "namespace": "ns", "uid": "hub", "generation": 1}
    connection = ModelRegistry.model_validate({"metadata": metadata, "spec": {"huggingFace": {"url": os.environ["HF_ENDPOINT"]}}})
    task = pinned(
        connection,
        {"name": "demo/classifier", "revision": "main"},
        {"path": "demo/holdout"},
        {"path": "demo/holdout", "file": "data/test.csv"},
        {"path": "demo/holdout", "file": "data/big.parquet"},
    )
    assert files(fetch_model(task, tmp_path)) == set(model)
    assert [files(fetch_dataset(each, tmp_path)) for each in task.datasets] == [
        {*DATA, "data/big.parquet"},
        {"data/test.csv"},
        {"data/big.parquet"},
    ]
