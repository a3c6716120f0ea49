"""`weighbridge approve` and `reject` as people type them, with the operator as a process on a real API server and its policy."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import yaml

from tests.apiserver import ApiServer, Identity
from tests.chart.conftest import ROOT
from tests.cli.test_rights import DECISIONS, Rights, documented
from tests.conftest import _install
from tests.runtime.stage import Stage, condition, operating, pin, uri, version_spec, workload
from weighbridge.api.base import API_VERSION
from weighbridge.cli import main
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings

OPERATOR = "operator"
ANN, BEN, EVE = (Identity(name, ("system:authenticated",)) for name in ("ann", "ben", "eve"))
JANES = tuple(Identity(f"jane-{number}", ("system:authenticated",)) for number in range(5))


def allow(namespace: str, user: str, *verbs: str) -> list[dict[str, Any]]:
    """Rights in the namespace: to read, to create ModelApprovals, and more verbs on ModelVersions."""
    metadata, group = {"name": user, "namespace": namespace}, "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": ["weighbridge.dev"], "resources": ["modelversions", "modelapprovals"], "verbs": ["get", "list", *verbs]},
        {"apiGroups": ["weighbridge.dev"], "resources": ["modelapprovals"], "verbs": ["create", "delete"]},
    ]
    binding = {"roleRef": {"apiGroup": group, "kind": "Role", "name": user}, "subjects": [{"kind": "User", "name": user}]}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, **binding},
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer([Identity(OPERATOR, ("system:masters",)), ANN, BEN, EVE, *JANES]) as server:
        asyncio.run(_install(server.kubeconfig()))
        installed = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text(encoding="utf-8"))
        policy = [each for each in installed if each["kind"].startswith("ValidatingAdmissionPolicy")]
        apply(server, policy)
        yield server


def apply(server: ApiServer, objects: list[dict[str, Any]]) -> None:
    command = [server.kubectl, "--kubeconfig", server.kubeconfig(), "apply", "-f", "-"]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    subprocess.run(command, input=listed, text=True, check=True, capture_output=True, timeout=60)


@pytest.fixture
async def connection(server: ApiServer) -> AsyncIterator[Connection]:
    connection = Connection(Surroundings(str(server.kubeconfig())))
    yield connection
    await connection.close()


class People:
    """People at their terminals."""

    def __init__(self, server: ApiServer, namespace: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._server, self.namespace, self._capsys = server, namespace, capsys

    async def type(self, user: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
        """What a command says, and its exit code."""
        monkeypatch.setenv("KUBECONFIG", str(self._server.kubeconfig(user)))
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, [*arguments, "-n", self.namespace])
        said = self._capsys.readouterr()
        return code, said.out + said.err


@pytest.fixture
def people(server: ApiServer, namespace: str, capsys: pytest.CaptureFixture[str]) -> People:
    return People(server, namespace, capsys)


async def waiting(stage: Stage, number: int, *, required: int = 1, before: str = uri(1)) -> str:
    """A version as it is when its evaluations have passed, and a workload that serves another one."""
    workloads = workload("serving", before)
    body = await stage.create("apps/v1", "Deployment", "serving", spec=workloads["spec"])
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    await stage.status(body, {"observedGeneration": 1, **dict.fromkeys(counts, 1)})
    await stage.pod("serving", 1, ready=True)
    spec = version_spec("serving", number, approvals={"required": required})
    name = f"fraud-{number}"
    made = await stage.create(API_VERSION, "ModelVersion", name, spec=spec)
    lineage = {"runId": "r1", "trainedBy": "tess"}
    answers = [condition(kind, "True", "Known") for kind in ("Resolved", "LineageComplete", "Evaluated")]
    await stage.status(made, {"observedGeneration": 1, "resolved": pin(number), "lineage": lineage, "conditions": answers})
    return name


async def counted(stage: Stage, name: str) -> dict[str, Any]:
    return dict((await stage.get("ModelVersion", name, API_VERSION))["status"]["approvals"])


async def test_people_approve_what_waits_for_them_and_are_told_what_counts(
    server: ApiServer, connection: Connection, namespace: str, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Cluster(connection), namespace, server)
    apply(server, [*allow(namespace, "ann", "approve"), *allow(namespace, "ben", "approve"), *allow(namespace, "eve")])
    name = await waiting(stage, 2, required=2)
    async with operating(server.kubeconfig(OPERATOR), namespace, NAMESPACES=namespace):
        await stage.settled(name, "AwaitingApproval")

        code, said = await people.type("eve", monkeypatch, "approve", name)
        assert (code, "ask for the verb approve on modelversions.weighbridge.dev" in said) == (1, True)
        code, said = await people.type("ann", monkeypatch, "approve", name, "--comment", "looked at the slices")
        assert code == 0, said
        for part in ("fraud 2, for Production", pin(2)["digest"], "trained     by tess in run r1", "1 of 2 approvals"):
            assert part in said
        again, _ = await people.type("ann", monkeypatch, "approve", name, "-o", "json")
        assert (again, len((await counted(stage, name))["approvedBy"])) == (0, 1)
        listed = await stage.cluster.list(API_VERSION, "ModelApproval", namespace, {})
        assert [each["spec"]["comment"] for each in listed] == ["looked at the slices"]

        code, text = await people.type("ben", monkeypatch, "reject", name, "--comment", "wrong on new customers", "-o", "json")
        document = json.loads(text)
        assert (code, document["result"], document["rejectedBy"]) == (0, "Counted", ["ben"])
        await stage.settled(name, "Refused")
        rejection = await stage.get("ModelApproval", document["modelApproval"], API_VERSION)
        await stage.cluster.delete(API_VERSION, "ModelApproval", namespace, document["modelApproval"], rejection["metadata"]["uid"])
        # Another object passes the same way after the deletion did: when it is counted, the deletion was seen.
        code, text = await people.type("ann", monkeypatch, "reject", name, "--comment", "ben is right", "-o", "json")
        assert (code, json.loads(text)["rejectedBy"]) == (0, ["ben", "ann"])

        for who in ("ann", "ben"):
            code, said = await people.type(who, monkeypatch, "approve", name)
            assert code == 0, said
        assert [each["approver"] for each in (await counted(stage, name))["approvedBy"]] == ["ann", "ben"]
        body = await stage.get("ModelVersion", name, API_VERSION)
        [approved] = [each for each in body["status"]["conditions"] if each["type"] == "Approved"]
        assert (approved["status"], approved["reason"]) == ("True", "Approved")


async def grant(server: ApiServer, connection: Connection, namespace: str, user: str, rights: Rights) -> None:
    """Exactly these rights; they are in force when this is done."""
    role, binding = allow(namespace, user)
    role["rules"] = [{"apiGroups": ["weighbridge.dev"], "resources": [resource], "verbs": [verb]} for resource, verb in rights]
    apply(server, [role, binding])
    for resource, verb in rights:
        asked = {"namespace": namespace, "group": "weighbridge.dev", "resource": resource, "verb": verb}
        review = {"spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": asked}}
        async with asyncio.timeout(30):
            while not await allowed(connection, review):  # noqa: ASYNC110 - nobody tells when a right is in force
                await asyncio.sleep(0.02)


async def allowed(connection: Connection, review: dict[str, Any]) -> bool:
    answer = await connection.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize("command", sorted(DECISIONS))
async def test_the_rights_in_the_table_are_enough_and_each_is_needed(
    command: str,
    server: ApiServer,
    connection: Connection,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace = people.namespace
    stage = Stage(Cluster(connection), namespace, server)
    rights, name = documented()[command], await waiting(stage, 2, required=2)
    async with operating(server.kubeconfig(OPERATOR), namespace, NAMESPACES=namespace):
        await stage.settled(name, "AwaitingApproval")
        for jane, missing in zip(JANES, (None, *rights), strict=True):
            await grant(server, connection, namespace, jane.name, [each for each in rights if each != missing])
            code, said = await people.type(jane.name, monkeypatch, command.split(maxsplit=1)[0], name, "--comment", "looked at it")
            if missing is None:
                assert code == 0, said
            else:
                resource, verb = missing
                assert code == (1 if verb == "approve" else 3), (
                    said
                )  # the cluster's admission refuses; who lacks a right cannot be told
                assert f"{verb} {resource}.weighbridge.dev" in said.replace("the verb approve on", "approve"), said


async def test_where_nothing_waits_the_command_says_so(
    server: ApiServer, connection: Connection, namespace: str, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Cluster(connection), namespace, server)
    await stage.create(API_VERSION, "ModelVersion", "free", spec=version_spec("serving", 2))
    assert await people.type("admin", monkeypatch, "approve", "mver/free") == (
        1,
        "weighbridge: nobody is asked to approve free in stage Production (spec.approvals)\n",
    )
    code, said = await people.type("admin", monkeypatch, "reject", "free", "--comment", "bad")
    assert (code, "weighbridge rollback free" in said) == (1, True)
    code, said = await people.type("admin", monkeypatch, "approve", "other")
    assert (code, said) == (2, f"weighbridge: there is no ModelVersion other in namespace {namespace}; there are free\n")
    code, said = await people.type("admin", monkeypatch, "reject", "free", "--comment", " ")
    assert (code, "say why" in said) == (2, True)
    early = await stage.create(API_VERSION, "ModelVersion", "early", spec=version_spec("serving", 3, approvals={}))
    await stage.status(early, {"approvals": {"stage": "Production", "required": 1}})
    code, said = await people.type("admin", monkeypatch, "approve", "early")
    assert (code, "has not passed its evaluations" in said) == (1, True)
