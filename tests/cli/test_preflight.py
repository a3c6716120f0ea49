"""`weighbridge preflight` as people type it: real registries (an MLflow server, a Hub backed by git), a real API server, and for
each answer the exit status that scripts rely on."""

import asyncio
import base64
import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver import ApiServer
from tests.cli.said import Said as Told
from tests.conftest import RealServer, _install
from tests.registries.hubserver import DATASETS, MODELS, Hub, Server, serving
from tests.registries.mlflowserver import MlflowServer, running
from tests.registries.oddserver import odd, reply
from weighbridge.api.base import API_VERSION
from weighbridge.cli import main
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings
from weighbridge.runtime.refusal import Invalid

CANARY = "canary-4711-preflight"
WEIGHTS = struct.pack("<Q", 8) + b"{}      " + b"x" * 4096
DEAD = "http://127.0.0.1:9"


class Said(Told):
    @property
    def checks(self) -> dict[str, str]:
        """Reason by name of the check."""
        return {check["name"]: check["reason"] for check in self.document["checks"]}


Type = Callable[..., Said]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Types a command in a terminal without a cluster and without registries, except for the variables given."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "HF_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", DEAD)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    def typed(*arguments: str, **environment: str) -> Said:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(["preflight", *arguments])
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return typed


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Hub(tmp_path_factory.mktemp("hub"))
    for name, options in (("good", {}), ("gated", {"gated": "auto"}), ("pickled", {})):
        found.create_repo(MODELS, f"org/{name}", **options)
    for name in ("good", "gated"):
        found.commit(MODELS, f"org/{name}", {"config.json": b"{}", "model.safetensors": WEIGHTS})
    found.commit(MODELS, "org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"x" * 100})
    found.create_repo(DATASETS, "org/data")
    found.commit(DATASETS, "org/data", {"data/test.csv": b"a,b\n1,2\n"})
    found.add_token(CANARY, "somebody", accepted=["org/gated"])
    with serving(found) as server:
        yield server


def address(hub: Server) -> str:
    return f"http://127.0.0.1:{hub.server_address[1]}"


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("mlflow")
    with running(folder) as url:
        yield MlflowServer(url, folder / "artifacts")


def test_a_model_of_the_hub_for_people(typed: Type, hub: Server) -> None:
    said = typed("hf://org/good", HF_ENDPOINT=address(hub))
    assert (said.code, said.err) == (0, "")
    *checks, empty, decision, pin = said.out.splitlines()
    assert [(line.split()[0], line.split()[1]) for line in checks] == [
        ("passed", "Registry/huggingface"),
        ("passed", "Model/Exists"),
        ("passed", "Model/Access"),
        ("passed", "Model/Complete"),
        ("passed", "Model/Format"),
    ]
    assert (empty, decision) == ("", "would be scheduled")
    assert pin.startswith("model    hf://org/good@")
    assert "sha256:" in pin
    assert re.search(r"  [0-9]{4,} bytes$", pin)


def test_a_model_of_the_hub_for_programs(typed: Type, hub: Server) -> None:
    said = typed("hf://org/good@main", "-o", "json", HF_ENDPOINT=address(hub))
    assert (said.code, said.err) == (0, "")
    assert (said.document["decision"], said.document["reason"]) == ("Available", "Available")
    assert set(said.checks.values()) == {"Reachable", "Available"}
    assert said.document["resolved"]["model"]["uri"] == f"hf://org/good@{said.document['resolved']['model']['version']}"


def test_a_dataset_of_the_hub_and_one_file_of_it(typed: Type, hub: Server) -> None:
    said = typed("hf://datasets/org/data@main/data/test.csv", "-o", "json", HF_ENDPOINT=address(hub))
    assert said.code == 0
    assert list(said.checks) == ["Registry/huggingface", "Dataset/Exists", "Dataset/Access", "Dataset/Complete"]
    assert said.document["resolved"]["datasets"][0]["file"] == "data/test.csv"
    missing = typed("hf://datasets/org/data@main/data/train.csv")
    assert (missing.code, "would be refused: ArtifactMissing" in missing.out) == (1, True)


def test_access_is_proved_with_the_token_of_the_environment(typed: Type, hub: Server) -> None:
    refused = typed("hf://org/gated", HF_ENDPOINT=address(hub))
    assert refused.code == 1
    assert "would be refused: Gated: " in refused.out
    allowed = typed("hf://org/gated", HF_TOKEN=CANARY)
    assert allowed.code == 0
    assert CANARY not in allowed.out + allowed.err + refused.out


def test_the_policy_on_unsafe_formats_can_be_tried(typed: Type, hub: Server) -> None:
    allowed = typed("hf://org/pickled", HF_ENDPOINT=address(hub))
    refused = typed("hf://org/pickled", "--unsafe-formats", "Refuse")
    assert (allowed.code, refused.code) == (0, 1)
    assert "pytorch_model.bin" in allowed.out, "what is allowed is told all the same"
    assert "would be refused: UnsafeFormat: " in refused.out


def test_models_and_datasets_of_mlflow(typed: Type, mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = mlflow_server.register(name)
    mlflow_server.client.set_registered_model_alias(name, "champion", version)
    mlflow_server.log_dataset(mlflow_server.run({"a.csv": b"1"}, "datasets/holdout"), "holdout", "0a1b2c3d")
    for reference in (f"models:/{name}/{version}", f"models:/{name}@champion"):
        said = typed(reference, "-o", "json", MLFLOW_TRACKING_URI=mlflow_server.url)
        assert (said.code, said.document["resolved"]["model"]["uri"]) == (0, f"models:/{name}/{version}")
    for reference in ("mlflow-datasets:/holdout", "mlflow-datasets:/holdout@0a1b2c3d"):
        said = typed(reference, "-o", "json")
        assert (said.code, said.document["resolved"]["datasets"][0]["revision"]) == (0, "0a1b2c3d")
    for reference, reason in (
        (f"models:/{name}/99", "VersionNotFound"),
        (f"models:/{name}@nobody", "AliasNotFound"),
        ("models:/nothing/1", "ModelNotFound"),
        ("mlflow-datasets:/nothing", "DatasetNotFound"),
    ):
        said = typed(reference)
        assert (said.code, f"would be refused: {reason}: " in said.out) == (1, True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_outage_is_no_absence(typed: Type, form: str) -> None:
    for reference in ("hf://org/good", "models:/fraud/7"):
        said = typed(reference, "-o", form, HF_ENDPOINT=DEAD, MLFLOW_TRACKING_URI=DEAD)
        assert said.code == 3
        assert ("would wait: RegistryUnavailable: " in said.out) or said.document["decision"] == "Waiting"
    with odd(reply(200, b"<html>log in</html>")) as server:
        assert typed("models:/fraud/7", MLFLOW_TRACKING_URI=server.url).code == 3


def test_messages_name_what_holds_here_and_no_secret(typed: Type) -> None:
    with odd(reply(401, b"no")) as server:
        said = typed("models:/fraud/7", MLFLOW_TRACKING_URI=server.url, MLFLOW_TRACKING_TOKEN=CANARY)
        assert (said.code, "in the environment" in said.out) == (3, True)
        assert CANARY not in said.out + said.err
    with odd(reply(404, b"nothing here")) as server:
        assert "MLFLOW_TRACKING_URI" in typed("models:/fraud/7", MLFLOW_TRACKING_URI=server.url).out
        assert "HF_ENDPOINT" in typed("hf://org/m", HF_ENDPOINT=server.url).out


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        ((), {}, "name one thing to check"),
        (("models:/a/1", "-f", "x.yaml"), {}, "name one thing to check"),
        (("fraud",), {}, '"fraud" names no model or dataset'),
        (("models:/a/1",), {}, "set MLFLOW_TRACKING_URI"),
        (("models:/a/1",), {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}, "MLFLOW_TRACKING_URI must be http"),
        (("models:/a/1",), {"MLFLOW_TRACKING_URI": f"https://me:{CANARY}@mlflow"}, "MLFLOW_TRACKING_URI must be http"),
        (("models:/a/1",), {"MLFLOW_TRACKING_URI": DEAD, "MLFLOW_TRACKING_USERNAME": "me"}, "both MLFLOW_TRACKING_USERNAME"),
        (("-f", "/does/not/exist"), {}, "cannot be read"),
        (("models:/a/1", "--registry", "r"), {}, "check KUBECONFIG"),
        (("evaluationjob/x",), {}, "check KUBECONFIG"),
        (("evaluationjob/x", "--registry", "r"), {}, "leave --registry out"),
    ],
)
def test_wrong_usage_is_told_on_stderr(typed: Type, arguments: tuple[str, ...], environment: dict[str, str], says: str) -> None:
    said = typed(*arguments, **environment)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert CANARY not in said.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no YAML"),
        ("", "exactly one EvaluationJob"),
        ("kind: ModelVersion", "apiVersion must be"),
        ("kind: Deployment", "exactly one EvaluationJob or ModelVersion"),
        ("{kind: EvaluationJob}\n---\n{kind: EvaluationJob}", "exactly one EvaluationJob"),
        ("{kind: EvaluationJob, apiVersion: v1}", "apiVersion must be"),
        (f"{{kind: EvaluationJob, apiVersion: {API_VERSION}, spec: {{model: {{name: m}}}}}}", "spec.model.registryRef"),
    ],
)
def test_a_file_that_holds_no_evaluation_is_wrong_usage(typed: Type, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "evaluation.yaml"
    file.write_text(text, encoding="utf-8")
    said = typed("-f", str(file))
    assert (said.code, says in said.err) == (2, True)


class InCluster:
    """A namespace with what an evaluation needs."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self.namespace = cluster, namespace

    async def registry(self, name: str, url: str, token: str | None, **spec: Any) -> None:
        """A ModelRegistry of the Hub, whose workloads have this token."""
        if token is not None:
            data = {"HF_TOKEN": base64.b64encode(token.encode()).decode()}
            metadata = {"name": f"{name}-reader", "namespace": self.namespace}
            await self._cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
            spec["workloadCredentialsSecretRef"] = {"name": f"{name}-reader"}
        await self._create("ModelRegistry", name, {"huggingFace": {"url": url}, **spec})

    async def evaluation(self, name: str, spec: Mapping[str, Any]) -> None:
        await self._create("EvaluationJob", name, spec)

    async def _create(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        await self._cluster.create({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})


@pytest.fixture
def place(cluster: Cluster, namespace: str) -> InCluster:
    return InCluster(cluster, namespace)


def spec(model: str, revision: str = "main", fallback: str | None = None, engine: str = "container") -> dict[str, Any]:
    def named(name: str, revision: str = "main") -> dict[str, Any]:
        return {"registryRef": {"name": "hub"}, "name": name, "revision": revision}

    data = {"name": "holdout", "registryRef": {"name": "hub"}, "path": "org/data", "revision": "main", "file": "data/test.csv"}
    evaluator = {"engine": engine, **({"image": "engine:1"} if engine == "container" else {"parameters": {"targets": "b"}})}
    instead = {"models": [named(fallback)]} if fallback else {}
    return {"model": named(model, revision), "fallback": instead, "datasets": [data], "evaluator": evaluator}


async def threaded(call: Callable[[], Said]) -> Said:
    """The command has an event loop of its own."""
    return await asyncio.to_thread(call)


async def test_a_registry_of_the_cluster_with_its_workloads_secret(
    typed: Type, api_server: RealServer, place: InCluster, hub: Server
) -> None:
    await place.registry("hub", address(hub), CANARY, unsafeFormats="Refuse")
    common = {"KUBECONFIG": str(api_server.kubeconfig), "WEIGHBRIDGE_ALLOW_ADDRESSES": "127.0.0.0/8"}
    options = ("--registry", "hub", "-n", place.namespace)
    gated = await threaded(lambda: typed("hf://org/gated", *options, **common))
    assert (gated.code, CANARY in gated.out + gated.err) == (0, False)
    assert (await threaded(lambda: typed("hf://org/pickled", *options))).code == 1
    assert (await threaded(lambda: typed("hf://org/pickled", *options, "--unsafe-formats", "Allow"))).code == 0
    wrong = await threaded(lambda: typed("models:/fraud/7", *options))
    assert (wrong.code, "ReferenceUnsupported" in wrong.out) == (1, True)
    none = await threaded(lambda: typed("hf://org/good", "--registry", "other", "-n", place.namespace))
    assert (none.code, "would be refused: RegistryNotFound: " in none.out) == (1, True)
    refused = await threaded(lambda: typed("hf://org/good", *options, WEIGHBRIDGE_ALLOW_ADDRESSES=""))
    assert (refused.code, "would wait: AddressRefused: " in refused.out) == (3, True)


async def test_an_evaluation_in_a_file_and_in_the_cluster(
    typed: Type, api_server: RealServer, place: InCluster, hub: Server, tmp_path: Path
) -> None:
    await place.registry("hub", address(hub), CANARY)
    common = {"KUBECONFIG": str(api_server.kubeconfig), "WEIGHBRIDGE_ALLOW_ADDRESSES": "127.0.0.0/8"}
    file = tmp_path / "evaluation.yaml"

    async def filed(body: dict[str, Any], *options: str) -> Said:
        document = {"apiVersion": API_VERSION, "kind": "EvaluationJob", "metadata": {"name": "e"}, "spec": body}
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return await threaded(lambda: typed("-f", str(file), "-n", place.namespace, *options, **common))

    good = await filed(spec("org/good"), "-o", "json")
    assert (good.code, good.document["decision"]) == (0, "Available")
    assert good.checks["Engine"] == "Available"
    assert [each["name"] for each in good.document["resolved"]["datasets"]] == ["holdout"]

    assert (await filed(spec("org/nothing"))).code == 1
    strange = await filed({**spec("org/good"), "model": {"registryRef": {"name": "mlflow"}, "name": "fraud", "version": "7"}})
    assert f"there is no ModelRegistry mlflow in namespace {place.namespace};" in strange.out
    unloadable = await filed(spec("org/good", engine="mlflow"))
    assert (unloadable.code, "would be refused: EngineUnsupported: " in unloadable.out) == (1, True)

    await place.evaluation("stored", spec("org/good"))
    stored = await threaded(lambda: typed("evaluationjob/stored", "-n", place.namespace, "-o", "json"))
    assert (stored.code, stored.document) == (0, good.document)
    missing = await threaded(lambda: typed("evaluationjob/nobody", "-n", place.namespace))
    assert (missing.code, "no EvaluationJob nobody" in missing.err) == (2, True)


async def test_a_version_in_a_file_is_asked_with_all_its_evaluations(
    typed: Type, api_server: RealServer, place: InCluster, hub: Server, tmp_path: Path
) -> None:
    await place.registry("hub", address(hub), CANARY)
    common = {"KUBECONFIG": str(api_server.kubeconfig), "WEIGHBRIDGE_ALLOW_ADDRESSES": "127.0.0.0/8"}
    file = tmp_path / "version.yaml"

    async def filed(model: str, *templates: dict[str, Any]) -> Said:
        source = spec(model)["model"]
        evaluations = [
            {"name": f"e{index}", "template": {key: each[key] for key in each if key not in ("model", "fallback")}}
            for index, each in enumerate(templates)
        ]
        body = {"source": source, "evaluations": evaluations}
        document = {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": {"name": "v"}, "spec": body}
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return await threaded(lambda: typed("-f", str(file), "-n", place.namespace, "-o", "json", **common))

    alone = await filed("org/good")
    assert (alone.code, alone.document["decision"]) == (0, "Available")
    good = await filed("org/good", spec("org/good"), spec("org/good", engine="guidellm"))
    assert good.code == 0
    assert good.checks["Evaluation/e0/Dataset/holdout/Exists"] == good.checks["Model/Exists"]
    assert good.checks["Evaluation/e0/Engine"] == "Available"
    assert good.checks["Evaluation/e1/Engine"] == "EngineUnknown", "a note: the operator may know it"
    assert [each["name"] for each in good.document["resolved"]["datasets"]] == ["holdout"]
    bad = await filed("org/good", spec("org/good"), spec("org/good", engine="mlflow"))
    assert (bad.code, bad.document["reason"]) == (1, "EngineUnsupported")
    assert bad.checks["Evaluation/e1/Engine"] == "EngineUnsupported"
    assert (await filed("org/nothing", spec("org/nothing"))).code == 1


async def test_a_fallback_is_named_loudly(typed: Type, api_server: RealServer, place: InCluster, hub: Server) -> None:
    await place.registry("hub", address(hub), CANARY)
    await place.evaluation("e", spec("org/good", "gone", fallback="org/good"))
    common = {"KUBECONFIG": str(api_server.kubeconfig), "WEIGHBRIDGE_ALLOW_ADDRESSES": "127.0.0.0/8"}
    said = await threaded(lambda: typed("evaluationjob/e", "-n", place.namespace, **common))
    assert said.code == 0
    assert "FALLBACK: model org/good gone does not exist (RevisionNotFound): org/good main is evaluated in its place" in said.out
    assert "Model/Fallback-1/Exists" in said.out
    assert "would be scheduled" in said.out


async def test_an_object_newer_than_the_program_is_told(typed: Type) -> None:
    """As after an upgrade of the CRDs alone: a value is allowed that this program does not know."""
    with ApiServer() as server:
        await _install(server.kubeconfig())
        connection = Connection(Surroundings(str(server.kubeconfig())))
        newer, metadata = {"huggingFace": {"url": DEAD}, "unsafeFormats": "Convert"}, {"name": "hub", "namespace": "default"}
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelregistries.weighbridge.dev"
        enum = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/unsafeFormats/enum/-"
        patch = [{"op": "add", "path": enum, "value": "Convert"}]
        await connection.request("PATCH", crds, body=patch, content_type="application/json-patch+json")
        body = {"apiVersion": API_VERSION, "kind": "ModelRegistry", "metadata": metadata, "spec": newer}
        async with asyncio.timeout(30):
            while True:
                try:
                    await Cluster(connection).create(body)
                    break
                except Invalid:  # the schema before is still in force
                    await asyncio.sleep(0.1)
        await connection.close()
        options = ("hf://org/good", "--registry", "hub", "-n", "default", "-o", "json")
        said = await threaded(lambda: typed(*options, KUBECONFIG=str(server.kubeconfig())))
    assert (said.code, said.err) == (3, "")
    assert said.document["result"] == said.document["reason"] == "InvalidSpec"
    assert said.document["message"] == "this program cannot read the ModelRegistry hub, it is older than the CRDs"


async def test_a_missing_right_is_told(
    typed: Type, api_server: RealServer, connection: Connection, place: InCluster, tmp_path: Path
) -> None:
    """Nobody, somebody without rights, and somebody who may see ModelRegistries but no Secrets."""
    await place.registry("hub", DEAD, CANARY)
    options = ("hf://org/good", "--registry", "hub", "-n", place.namespace, "-o", "json")

    async def as_user(token: str) -> Said:
        config = json.loads(api_server.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config), encoding="utf-8")
        said = await threaded(lambda: typed(*options, KUBECONFIG=str(file)))
        assert (said.code, said.document["decision"]) == (3, "Waiting")
        assert CANARY not in said.out + said.err
        return said

    assert (await as_user("nobody-has-this")).document["reason"] == "Unauthorized"

    where, metadata = f"namespaces/{place.namespace}", {"name": "jane"}
    await connection.request("POST", f"/api/v1/{where}/serviceaccounts", body={"metadata": metadata})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await connection.request("POST", f"/api/v1/{where}/serviceaccounts/jane/token", body=request))["status"]["token"]
    none = await as_user(token)
    assert none.document["reason"] == "Forbidden"
    assert "you may not read ModelRegistry hub" in none.document["message"]

    rbac = f"/apis/rbac.authorization.k8s.io/v1/{where}"
    rule = {"apiGroups": ["weighbridge.dev"], "resources": ["modelregistries"], "verbs": ["get"]}
    await connection.request("POST", f"{rbac}/roles", body={"metadata": metadata, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jane"}
    subject = {"kind": "ServiceAccount", "name": "jane", "namespace": place.namespace}
    await connection.request("POST", f"{rbac}/rolebindings", body={"metadata": metadata, "roleRef": role, "subjects": [subject]})
    some = await as_user(token)
    assert some.document["reason"] == "SecretUnavailable"
    assert "you may not read the Secret hub-reader" in some.document["message"]
