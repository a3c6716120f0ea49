"""Each command with exactly the rights that docs/cli.md names, on a real API server: they are enough, and what is missing
is named."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.said import Said, Type
from tests.cli.stage import Stage, settled
from tests.conftest import RealServer
from weighbridge.api.base import API_VERSION, GROUP
from weighbridge.api.modelversion import FINALIZER
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection

ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$")
RIGHT = re.compile(r"`(\w+)`: ([a-z, ]+)")
Rights = Sequence[tuple[str, str]]
"""Resource and verb."""
ARGUMENTS = {
    "status": ("status",),
    "status -A": ("status", "-A"),
    "status NAME": ("status", "v1"),
    "why NAME": ("why", "v1"),
    "at TIME": ("at", "-0s"),
    "lint FILE": ("lint", "FILE"),
    "preflight REF --registry NAME": ("preflight", "models:/model/1", "--registry", "mlflow"),
    "preflight -f FILE": ("preflight", "-f", "FILE"),
    "preflight evaluationjob/NAME": ("preflight", "evaluationjob/e"),
    "rollback NAME": ("rollback", "v1", "--reason", "x", "--timeout", "1s"),
    "retry NAME": ("retry", "v1"),
    "re-evaluate NAME": ("re-evaluate", "v1"),
    "hold NAME": ("hold", "v1", "--reason", "x"),
    "release NAME": ("release", "v1"),
    "let-go -n NS": ("let-go", "--settle", "1s"),
    "let-go -A": ("let-go", "-A", "--settle", "1s"),
}
DECISIONS = frozenset({"approve NAME", "reject NAME"})
"""They need the operator and the admission policy: tests/cli/test_approve.py tries their rights."""
SPEC = {
    "model": {"registryRef": {"name": "mlflow"}, "name": "model", "version": "1"},
    "evaluator": {"engine": "container", "image": "e:1"},
    "gate": [{"metric": "accuracy", "min": 0.9}],
}


def documented() -> dict[str, Rights]:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text.split("## Rights", 1)[1].split("##", 1)[0]
    return {
        found[1]: [(resource, verb.strip()) for resource, verbs in RIGHT.findall(found[2]) for verb in verbs.split(",")]
        for line in section.splitlines()
        if (found := ROW.match(line)) and found[1] != "command"
    }


def test_the_table_names_every_command_that_is_tried() -> None:
    assert set(documented()) == {*ARGUMENTS, *DECISIONS}


@pytest.fixture
async def granted(api_server: RealServer, connection: Connection, namespace: str, tmp_path: Path) -> Callable[..., Awaitable[Path]]:
    """A kubeconfig of somebody who has these rights and no other."""
    where = f"namespaces/{namespace}"
    made = 0

    async def granted(rights: Rights, *, everywhere: bool = False) -> Path:
        nonlocal made
        made += 1
        name = f"jane-{made}"
        await connection.request("POST", f"/api/v1/{where}/serviceaccounts", body={"metadata": {"name": name}})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = (await connection.request("POST", f"/api/v1/{where}/serviceaccounts/{name}/token", body=request))["status"]["token"]
        rules = [
            {"apiGroups": ["" if resource == "secrets" else GROUP], "resources": [resource], "verbs": [verb]}
            for resource, verb in rights
        ]
        rbac, scope = "/apis/rbac.authorization.k8s.io/v1", "" if everywhere else f"/{where}"
        kind = "ClusterRole" if everywhere else "Role"
        role = f"{namespace}-{name}"
        await connection.request("POST", f"{rbac}{scope}/{kind.lower()}s", body={"metadata": {"name": role}, "rules": rules})
        binding = {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        await connection.request("POST", f"{rbac}{scope}/{kind.lower()}bindings", body=binding)
        who = f"system:serviceaccount:{namespace}:{name}"
        for rule in rules:
            attributes = {"group": rule["apiGroups"][0], "resource": rule["resources"][0], "verb": rule["verbs"][0]}
            await _in_force(connection, who, attributes if everywhere else {**attributes, "namespace": namespace})
        config = json.loads(api_server.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        config["contexts"][0]["context"]["namespace"] = namespace
        file = tmp_path / name
        file.write_text(json.dumps(config), encoding="utf-8")
        return file

    return granted


async def _in_force(connection: Connection, who: str, attributes: dict[str, str]) -> None:
    """The API server learns of a right a moment after it was given."""
    review = {"spec": {"user": who, "groups": ["system:authenticated"], "resourceAttributes": attributes}}
    async with asyncio.timeout(10):
        while True:
            answer = await connection.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
            if answer["status"]["allowed"]:
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def furnished(stage: Stage, connection: Connection, namespace: str, tmp_path: Path) -> Path:
    """A namespace with all that the commands look at; the path of a file to check."""
    await stage.bring(settled("1"))
    cluster = Cluster(connection)

    async def create(api_version: str, kind: str, name: str, **body: Any) -> None:
        metadata = {"name": name, "namespace": namespace}
        await cluster.create({"apiVersion": api_version, "kind": kind, "metadata": metadata, **body})

    await create("v1", "Secret", "reader", stringData={"MLFLOW_TRACKING_TOKEN": "x"})
    registry = {"mlflow": {"url": "http://192.0.2.1:9"}, "requestTimeout": "1s", "credentialsSecretRef": {"name": "reader"}}
    await create(API_VERSION, "ModelRegistry", "mlflow", spec=registry)
    await create(API_VERSION, "EvaluationJob", "e", spec=SPEC)
    file = tmp_path / "evaluation.yaml"
    document = {"apiVersion": API_VERSION, "kind": "EvaluationJob", "metadata": {"name": "e"}, "spec": SPEC}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


@pytest.mark.parametrize("command", sorted(ARGUMENTS))
async def test_the_rights_in_the_table_are_enough_and_each_is_needed(
    command: str,
    typed: Type,
    granted: Callable[..., Awaitable[Path]],
    furnished: Path,
    stage: Stage,
) -> None:
    rights, everywhere = documented()[command], command.endswith(" -A")
    arguments = [str(furnished) if each == "FILE" else each for each in ARGUMENTS[command]]
    alone = everywhere or command.startswith("lint")

    async def run(given: Rights) -> Said:
        where = f"/apis/{API_VERSION}/namespaces/{stage.namespace}/modelversions/v1"
        held = {"metadata": {"finalizers": [FINALIZER]}}
        if command.startswith("let-go"):
            await stage.connection.request("PATCH", where, body=held, content_type="application/merge-patch+json")
        return await typed(*arguments, kubeconfig=await granted(given, everywhere=everywhere), everywhere=alone)

    enough = await run(rights)
    # Of this person: on a shared API server the versions of other tests are listed too, and some of them "may not serve".
    assert "you may not" not in enough.out + enough.err
    # preflight: the registry does not answer. The others: nobody takes the request.
    assert enough.code == (3 if command.startswith(("preflight", "rollback")) else 0), enough.err
    if command.startswith("preflight"):
        assert "RegistryUnavailable" in enough.out
    for missing in rights:
        said = await run([each for each in rights if each != missing])
        assert "you may not" in said.out + said.err, (missing, said)
        assert "Traceback" not in said.out + said.err
        if missing == ("evaluationjobs", "get") and not command.startswith("preflight"):
            assert (said.code, "what the evaluations measured is not shown" in said.out) == (0, True)
        if (command, missing) == ("why NAME", ("modelversions", "list")):
            assert "the election is told as if there were none" in said.out
