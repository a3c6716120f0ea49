"""What a model says of itself: a table of what flavors write, what nobody should, and what it costs on a real server."""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

import pytest
import yaml

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import DESCRIPTION, MlflowServer
from tests.registries.oddserver import OddServer, odd, passed_on, reply
from weighbridge.api.base import LocalRef
from weighbridge.api.references import Lineage, ModelReference
from weighbridge.registries.mlflow import MlflowRegistry
from weighbridge.registries.mlflow_declared import declared, dependencies, signature
from weighbridge.registries.mlflow_flavors import described

COLUMNS = json.dumps([{"type": "double", "name": f"c{number}", "required": True} for number in range(30)])
TENSOR = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 10]}}])


def lineage(url: str, name: str, version: str) -> Lineage:
    registry = MlflowRegistry(url, None, request_timeout=20, allow=LOCAL, may_write=lambda: True)
    return registry.model(ModelReference(registry_ref=LocalRef(name="r"), name=name, version=version)).lineage


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": COLUMNS, "outputs": TENSOR, "params": None}, "30 inputs, 1 output"),
        ({"inputs": TENSOR}, "1 input"),
        ({"outputs": TENSOR, "params": '[{"name": "t", "type": "float", "default": 1}]'}, "1 output, 1 parameter"),
        ({"inputs": '[{"dtype": "float32", "shape": [1]}]'}, "1 input"),
        ({"inputs": None, "outputs": None, "params": '[{"name": "t", "type": "float"}]'}, ""),  # says nothing of the data
        ({"inputs": "[]", "outputs": "[]"}, ""),
        ({"inputs": [{"type": "double"}], "outputs": {"a": 1}}, ""),
        ({"inputs": '{"type": "double"}', "outputs": "7"}, ""),
        ({"inputs": "[1, 2]", "outputs": '["double"]'}, ""),
        ({"inputs": "[" * 100_000, "outputs": "not json"}, ""),
        ({"inputs": "[" + "{}," * 700_000 + "{}]"}, ""),
        ({"inputs": 7, "outputs": True, "params": b"x"}, ""),
        ({}, ""),
    ],
)
def test_signature(given: Mapping[str, object], said: str) -> None:
    assert signature(given) == said


@pytest.mark.parametrize("odd_one", ["signature: 7", "signature: [inputs]", "signature: {inputs: 1.5, outputs: [x]}"])
def test_odd_types_in_a_description_are_no_signature(odd_one: str) -> None:
    flavors, content = described("m 1", DESCRIPTION + odd_one.encode())
    assert declared(content, flavors, b"").signature == ""


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (b"mlflow==3.17.2\nscikit-learn == 1.8.0\n", "requirements.txt: mlflow==3.17.2, scikit-learn==1.8.0"),
        (b"# made by MLflow\r\n\r\ntorch[cuda]>=2.1,<3 ; python_version > '3.10'\r\n", "requirements.txt: torch>=2.1,<3"),
        (b"numpy\nscipy --hash=sha256:abc  # why\n", "requirements.txt: numpy, scipy"),
        (b"--extra-index-url https://me:canary@pypi.example.com\n-r other.txt\n-e .\na\n", "requirements.txt: a"),
        (b"own @ https://me:canary@example.com/own.whl\n", "requirements.txt: own"),
        (b"git+https://canary@example.com/x.git#egg=x\na\n./b.whl\ncode/c-1-py3-none-any.whl\n", "requirements.txt: a and 3 more"),
        (b"https://canary@example.com/x.whl\n", "requirements.txt: 1 entry"),
        (b"", ""),
        (b"\n# nothing\n--no-binary :all:\n", ""),
    ],
)
def test_dependencies(listed: bytes, said: str) -> None:
    assert dependencies(listed) == said


@pytest.mark.parametrize(
    "listed", [b"\xff\x00\xfe" * 999, b"a" * 60_000, b"a " * 30_000 + b"\x00", b"x==" + b"1." * 30_000, b"a\n" * 30_000]
)
def test_no_list_is_larger_than_its_field(listed: bytes) -> None:
    found = Lineage(dependencies=dependencies(listed))
    assert Lineage.model_validate(found.model_dump()) == found
    assert found.dependencies.isprintable()


@pytest.mark.parametrize(
    ("flavors", "bases"),
    [
        ({"transformers": {"source_model_name": "org/base", "model_binary": "model"}}, ("org/base",)),
        ({"transformers": {"source_model_name": "bert-base-uncased", "peft_adaptor": "peft"}}, ("bert-base-uncased",)),
        ({"sentence_transformers": {"source_model_name": "org/sentences"}}, ("org/sentences",)),
        ({"diffusers": {"base_model": "org/FLUX.1-dev"}}, ("org/FLUX.1-dev",)),
        ({"transformers": {"source_model_name": "/home/x/out"}}, ()),
        ({"transformers": {"source_model_name": "./out"}}, ()),
        ({"transformers": {"source_model_name": "out/checkpoint-500"}}, ()),
        ({"transformers": {"source_model_name": "C:\\out"}}, ()),
        ({"transformers": {"source_model_name": "https://canary@example.com/x"}}, ()),
        ({"transformers": {"source_model_name": ["org/base"]}}, ()),
        ({"transformers": {"source_model_name": "o" * 9999}}, ("o" * 256,)),
        ({"sklearn": {"source_model_name": "org/base"}}, ()),
    ],
)
def test_base_models(flavors: dict[str, object], bases: tuple[str, ...]) -> None:
    found, content = described("m 1", yaml.safe_dump({"flavors": flavors}).encode())
    assert declared(content, found, b"").base_models == bases


def test_a_registered_model_tells_it_without_one_request_more(mlflow_server: MlflowServer) -> None:
    """The list of requirements belongs to the fingerprint, so it is read anyway, and once."""
    description = DESCRIPTION + f"signature:\n  inputs: '{TENSOR}'\n  outputs: '{TENSOR}'\n".encode()
    name = mlflow_server.new_name()
    version = mlflow_server.register(name, {"MLmodel": description, "requirements.txt": b"mlflow==3.17.2\n"})
    port = int(mlflow_server.url.rpartition(":")[2])

    def answer(handler: BaseHTTPRequestHandler, server: OddServer) -> None:
        status, body, headers = passed_on(handler, server, port)
        reply(status, body, **headers)(handler, server)

    with odd(answer) as server:
        found = lineage(server.url, name, version)
    assert (found.signature, found.dependencies) == ("1 input, 1 output", "requirements.txt: mlflow==3.17.2")
    files = [each.path.rpartition("artifact_file_path=")[2] for each in server.seen if "artifact_file_path=" in each.path]
    assert sorted(files) == ["MLmodel", "code%2Fdeep%2Fa.py", "data.bin", "requirements.txt"]
    assert not [each for each in server.seen if "conda" in each.path]


def test_a_large_list_is_not_read_for_lineage(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name, {"requirements.txt": b"a==1\n" * 20_000})
    assert lineage(mlflow_server.url, name, version).dependencies == ""


def test_a_logged_model_has_parameters_of_its_own(mlflow_server: MlflowServer) -> None:
    """Made outside of any run, as `mlflow.create_external_model` and imports do."""
    name, client = mlflow_server.new_name(), mlflow_server.client
    client.create_registered_model(name)
    logged = client.create_logged_model("0", name="model", params={"depth": "3", "seed": "7"})
    mlflow_server.upload_model(logged.model_id, {"MLmodel": DESCRIPTION, "data.bin": b"weights"})
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_model_version(name, f"models:/{logged.model_id}", model_id=logged.model_id)
    found = lineage(mlflow_server.url, name, "1")
    assert (dict(found.parameters), found.run_id, found.signature, found.dependencies) == ({"depth": "3", "seed": "7"}, "", "", "")
