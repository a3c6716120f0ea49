"""`weighbridge rollback`, `retry`, `hold` and `release` as people type them, on a real API server; the test plays the operator."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.said import Type
from tests.conftest import RealServer
from tests.core.things import START, pin
from weighbridge.api import ModelVersion
from weighbridge.api.annotations import HOLD, REQUESTED_BY, RETRY, ROLLBACK
from weighbridge.api.base import API_VERSION
from weighbridge.core.requests import follow
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection

TARGET = "Deployment/server"
NO_REQUEST = dict.fromkeys((RETRY, ROLLBACK, REQUESTED_BY))


class Place:
    """A namespace with ModelVersions, and the operator's part of them."""

    def __init__(self, server: RealServer, connection: Connection, namespace: str) -> None:
        self.connection, self.cluster, self.namespace, self._server = connection, Cluster(connection), namespace, server

    async def version(self, number: str, state: str, *targets: str, **spec: Any) -> str:
        """A resolved and granted version with this standing on its targets."""
        name, targets = f"fraud-{number}", targets or ("server",)
        serving = [{"targetRef": {"name": each}, "pointer": {"container": "c", "env": "MODEL"}} for each in targets]
        source = {"registryRef": {"name": "mlflow"}, "name": "model", "version": number}
        body = {"source": source, "stage": "Production", "serving": serving, **spec}
        metadata = {"name": name, "namespace": self.namespace}
        await self.cluster.create({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": metadata, "spec": body})
        granted = [_condition(each, "True") for each in ("Resolved", "LineageComplete", "Evaluated")]
        standing = {"state": state, "repointedAt": START.isoformat()}
        status = {
            "resolved": pin(number).to_json(),
            "conditions": granted,
            "serving": [{"target": f"Deployment/{each}", **standing} for each in targets] if state else [],
        }
        await self.report(name, status)
        return name

    async def report(self, name: str, status: Mapping[str, Any]) -> None:
        where = f"/apis/{API_VERSION}/namespaces/{self.namespace}/modelversions/{name}/status"
        await self.connection.request("PATCH", where, body={"status": status}, content_type="application/merge-patch+json")

    async def live(self, name: str) -> ModelVersion:
        body = await self.cluster.get(API_VERSION, "ModelVersion", self.namespace, name)
        assert body is not None
        return ModelVersion.model_validate(body)

    async def annotations(self, name: str) -> Mapping[str, str]:
        return (await self.live(name)).metadata.annotations

    async def stand(self, name: str, state: str, target: str = TARGET) -> None:
        """Another standing on one target."""
        states = [each.to_json() for each in (await self.live(name)).status.serving if each.target != target]
        await self.report(name, {"serving": [*states, {"target": target, "state": state}]})

    async def looked(self) -> None:
        """Waits until the command has looked at what is there now."""

        def lists() -> int:
            return sum(each.verb == "list" and each.namespace == self.namespace for each in self._server.server.requests())

        before = lists()
        async with asyncio.timeout(20):
            while lists() < before + 2:  # noqa: ASYNC110 - the first may be on its way already
                await asyncio.sleep(0.05)

    async def take(self, name: str) -> None:
        """Waits for a rollback to be asked for, and takes it in as the operator does."""
        async with asyncio.timeout(20):
            while ROLLBACK not in (await self.live(name)).metadata.annotations:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        taken = follow(await self.live(name), datetime.now(UTC)).status  # noqa: TID251
        states = [{**each.to_json(), "state": "RolledBack" if each.rejection else each.state} for each in taken.serving]
        await self.report(name, {"requests": taken.requests.to_json(), "serving": states})


def _condition(kind: str, status: str, reason: str = "Known", message: str = "") -> dict[str, Any]:
    at = (START - timedelta(hours=1)).isoformat()
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at}


@pytest.fixture
def place(api_server: RealServer, connection: Connection, namespace: str) -> Place:
    return Place(api_server, connection, namespace)


@asynccontextmanager
async def meanwhile(work: Awaitable[Any]) -> AsyncIterator[None]:
    """Runs the operator's part beside the command."""
    async with asyncio.timeout(30):
        task = asyncio.ensure_future(work)
        yield
        await task


def rollback(name: str, *more: str) -> tuple[str, ...]:
    return ("rollback", name, "--reason", "scores look wrong", *more)


async def test_a_rollback_is_followed_to_the_version_that_serves(place: Place, typed: Type) -> None:
    old, new = await place.version("6", "Superseded"), await place.version("7", "Serving")

    async def operator() -> None:
        await place.stand(old, "Progressing")
        await place.take(new)
        await place.looked()  # pods take their time
        await place.stand(old, "Serving")

    async with meanwhile(operator()):
        said = await typed(*rollback(f"mver/{new}"))
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"asked by admin: every target is to be taken away from {new}",
        f"{TARGET}: given back to {old} (models:/model/6), its pods are on their way",
        f"{TARGET}: {old} serves (models:/model/6)",
        f"rolled back; {new} is given no target until `weighbridge retry {new} -n {place.namespace}` or another spec",
    ]
    written = await place.annotations(new)
    assert re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ scores look wrong", written[ROLLBACK])
    assert written[REQUESTED_BY] == "admin"
    rejected = (await place.live(new)).status.serving[0].rejection
    assert rejected is not None
    assert rejected.message == f"{written[ROLLBACK]} (admin)"


async def test_a_rollback_for_programs(place: Place, typed: Type) -> None:
    old, new = await place.version("6", "Superseded"), await place.version("7", "Serving")

    async def operator() -> None:
        await place.stand(old, "Serving")
        await place.take(new)

    async with meanwhile(operator()):
        said = await typed(*rollback(new, "--by", "jane of the night shift", "-o", "json"))
    assert (said.code, said.err) == (0, "")
    assert said.document == {
        "modelVersion": new,
        "result": "RolledBack",
        "message": f"rolled back; {new} is given no target until `weighbridge retry {new} -n {place.namespace}` or another spec",
        "namespace": place.namespace,
        "requestedBy": "jane of the night shift",
        "targets": [{"target": TARGET, "state": "Serving", "to": old, "value": "models:/model/6"}],
    }
    assert (await place.annotations(new))[REQUESTED_BY] == "jane of the night shift"


async def test_pods_that_take_long_are_no_failure(place: Place, typed: Type) -> None:
    old, new = await place.version("6", "Superseded"), await place.version("7", "Serving")

    async def operator() -> None:
        await place.stand(old, "Progressing")
        await place.take(new)

    async with meanwhile(operator()):
        said = await typed(*rollback(new, "--timeout", "3s", "-o", "json"))
    assert (said.code, said.document["result"]) == (0, "RolledBack")
    assert said.document["targets"][0]["state"] == "Progressing"


async def test_where_nothing_else_may_serve_what_serves_stays(place: Place, typed: Type) -> None:
    """Also on one of two targets alone."""
    await place.version("5", "Superseded", "second")
    new = await place.version("7", "Serving", "server", "second")

    async def operator() -> None:
        await place.stand("fraud-5", "Serving", "Deployment/second")
        await place.take(new)

    async with meanwhile(operator()):
        said = await typed(*rollback(new, "-o", "json"))
    assert (said.code, said.document["result"]) == (1, "NoEligibleClaim")
    assert [(each["target"], each["state"], each["to"]) for each in said.document["targets"]] == [
        ("Deployment/server", "NoEligibleClaim", ""),
        ("Deployment/second", "Serving", "fraud-5"),
    ]
    assert f"no other version may serve on {TARGET}: {new} stays there" in said.document["message"]


async def test_a_version_without_a_target_is_only_kept_out(place: Place, typed: Type) -> None:
    await place.version("6", "Serving")
    standby = await place.version("5", "Superseded")
    async with meanwhile(place.take(standby)):
        said = await typed(*rollback(standby))
    assert said.code == 0
    assert f"{standby} has no target; it is given none until" in said.out


async def test_a_request_that_nobody_takes_is_told(place: Place, typed: Type) -> None:
    new = await place.version("7", "Serving")
    where = {"conditions": [_condition("Ready", "False", "Suspended", "the operator is told to change nothing\x1b[2J")]}
    await place.report(new, where)
    said = await typed(*rollback(new, "--timeout", "1s"))
    assert said.code == 3
    assert "the operator has not taken the request yet (Suspended: the operator is told to change nothing?[2J)" in said.err
    assert "the request stays" in said.err


async def test_a_rollback_of_what_is_on_hold_waits_and_says_so(place: Place, typed: Type) -> None:
    held, suspended = await place.version("7", "Serving"), await place.version("8", "Serving", suspend=True)
    await typed("hold", held, "--reason", "drill")
    for name in (held, suspended):
        said = await typed(*rollback(name, "-o", "json"))
        assert (said.code, said.document["result"]) == (3, "Suspended")
        assert ROLLBACK in await place.annotations(name), "it counts once the hold ends"


async def test_who_interrupts_a_rollback_is_told_that_it_goes_on(place: Place, api_server: RealServer) -> None:
    name = await place.version("7", "Serving")
    handled = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{handled}; from weighbridge.cli import main; raise SystemExit(main())"
    source = str(Path(__file__).parents[2] / "operator")
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", code, *rollback(name, "-n", place.namespace)),
        env={**os.environ, "KUBECONFIG": str(api_server.kubeconfig), "PYTHONPATH": source},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stdout is not None
    assert (await running.stdout.readline()).startswith(b"asked by admin")
    await place.looked()
    running.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        _, told = await running.communicate()
    follow = f"`kubectl -n {place.namespace} get mver {name} -w` shows what comes of it"
    assert (running.returncode, told.decode()) == (130, f"weighbridge: the request is written and stays; {follow}\n")
    assert ROLLBACK in await place.annotations(name)


async def test_hold_release_and_retry(place: Place, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await place.version("7", "Serving")
    held = await typed("hold", name, "--reason", "audit until Monday")
    assert (held.code, held.err) == (0, "")
    assert f"until `weighbridge release {name} -n {place.namespace}`; no rollback either" in held.out
    assert await place.annotations(name) == {HOLD: "audit until Monday (admin)"}
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-weighbridge"])
    assert f"`kubectl weighbridge release {name} -n {place.namespace}`" in (await typed("retry", name)).out
    assert f"so is the request: `kubectl weighbridge release {name} -n {place.namespace}`" in (await typed(*rollback(name))).err
    await place.cluster.merge(API_VERSION, "ModelVersion", place.namespace, name, {"metadata": {"annotations": NO_REQUEST}})
    released = await typed("release", f"modelversions/{name}", "-o", "json")
    assert (released.code, released.document["result"]) == (0, "Released")
    assert await place.annotations(name) == {}
    assert (await typed("release", name)).code == 0, "twice is no mistake"
    assert (await typed("retry", name)).code == 0
    assert re.fullmatch(r"\S+Z", (await place.annotations(name))[RETRY])
    retried = await typed("retry", name, "--reason", "quota was raised", "-o", "json")
    assert (retried.code, retried.document["result"]) == (0, "Asked")
    assert (await place.annotations(name))[RETRY].endswith("Z quota was raised")


async def test_a_release_says_that_the_spec_still_stops(place: Place, typed: Type) -> None:
    name = await place.version("7", "Serving", suspend=True)
    assert "spec.suspend still stops every change" in (await typed("release", name)).out


async def test_annotations_of_others_stay_and_the_spec_is_untouched(place: Place, typed: Type) -> None:
    name = await place.version("7", "Serving")
    await place.cluster.merge(API_VERSION, "ModelVersion", place.namespace, name, {"metadata": {"annotations": {"team": "fraud"}}})
    before = await place.live(name)
    await typed("hold", name, "--reason", "x")
    await typed(*rollback(name))
    after = await place.live(name)
    assert after.metadata.annotations["team"] == "fraud"
    assert (after.spec, after.metadata.generation) == (before.spec, before.metadata.generation)
    body = await place.cluster.get(API_VERSION, "ModelVersion", place.namespace, name)
    assert body is not None
    managers = {each["manager"] for each in body["metadata"]["managedFields"] if HOLD in json.dumps(each["fieldsV1"])}
    assert managers == {"weighbridge-cli"}, "it is not the operator that holds"


async def test_a_name_that_is_not_there_gets_those_that_are(place: Place, typed: Type) -> None:
    none = await typed(*rollback("fraud-7"))
    assert (none.code, none.out) == (2, "")
    assert f"there is no ModelVersion fraud-7 in namespace {place.namespace}; there is none in this namespace" in none.err
    for number in range(25):
        await place.version(str(number), "")
    said = await typed("retry", "fraud-77")
    assert said.code == 2
    assert "; there are fraud-0, fraud-1, fraud-10, fraud-11" in said.err
    assert "and 5 more" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rollback", "fraud-7"), "--reason"),
        (("rollback", "fraud-7", "--reason", " "), "say why"),
        (("hold", "fraud-7", "--reason", ""), "say why"),
        (("hold", "fraud-7", "--reason", "a\nb"), "--reason takes one line"),
        (("rollback", "fraud-7", "--reason", "x" * 501), "--reason takes one line of at most 500"),
        (("rollback", "fraud-7", "--reason", "x", "--by", "a\x1b"), "--by takes one line"),
        (("rollback", "fraud-7", "--reason", "x", "--timeout", "long"), "write a duration such as 30s"),
        (("rollback", "mver/", "--reason", "x"), "NAME is the name of a ModelVersion"),
        (("retry", "deployment/x"), "NAME is the name of a ModelVersion"),
        (("release", "../x"), "NAME is the name of a ModelVersion"),
    ],
)
async def test_wrong_usage_is_told_on_stderr(typed: Type, arguments: tuple[str, ...], says: str) -> None:
    said = await typed(*arguments)
    assert (said.code, said.out) == (2, "")
    assert says in said.err


async def test_no_cluster_is_told(typed: Type, tmp_path: Path) -> None:
    said = await typed("retry", "fraud-7", kubeconfig=tmp_path / "none")
    assert (said.code, "check KUBECONFIG" in said.err) == (2, True)
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "jane", "user": {"token": "x"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "jane"}}],
        "current-context": "x",
    }
    (tmp_path / "dead").write_text(json.dumps(config), encoding="utf-8")
    said = await typed("retry", "fraud-7", "-o", "json", kubeconfig=tmp_path / "dead")
    assert (said.code, said.document["modelVersion"]) == (3, "fraud-7")
    assert said.document["result"] == said.document["reason"] == "ApiServerUnavailable"


async def test_a_missing_right_is_named(
    place: Place, typed: Type, api_server: RealServer, connection: Connection, tmp_path: Path
) -> None:
    """Nobody, somebody who may only read, and somebody who may only write."""
    old, name = await place.version("6", "Superseded"), await place.version("7", "Serving")
    where, metadata = f"namespaces/{place.namespace}", {"name": "jane"}
    await connection.request("POST", f"/api/v1/{where}/serviceaccounts", body={"metadata": metadata})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await connection.request("POST", f"/api/v1/{where}/serviceaccounts/jane/token", body=request))["status"]["token"]

    def kubeconfig(token: str) -> Path:
        config = json.loads(api_server.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config), encoding="utf-8")
        return file

    nobody = await typed(*rollback(name), kubeconfig=kubeconfig("nobody-has-this"))
    assert (nobody.code, "log in again" in nobody.err) == (3, True)

    right = (
        f"you may not patch ModelVersions in namespace {place.namespace}: ask for the right to patch modelversions.weighbridge.dev"
    )
    none = await typed(*rollback(name), kubeconfig=kubeconfig(token))
    assert (none.code, right in none.err) == (3, True)
    assert await place.annotations(name) == {}

    rbac = f"/apis/rbac.authorization.k8s.io/v1/{where}"
    rule = {"apiGroups": ["weighbridge.dev"], "resources": ["modelversions"], "verbs": ["patch"]}
    await connection.request("POST", f"{rbac}/roles", body={"metadata": metadata, "rules": [rule]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jane"}
    subject = {"kind": "ServiceAccount", "name": "jane", "namespace": place.namespace}
    await connection.request("POST", f"{rbac}/rolebindings", body={"metadata": metadata, "roleRef": role, "subjects": [subject]})
    blind = await typed(*rollback(name))
    assert blind.code == 3
    assert f"you may not list ModelVersions in namespace {place.namespace}" in blind.err
    written = await place.annotations(name)
    assert written[REQUESTED_BY] == f"system:serviceaccount:{place.namespace}:jane", "whom the API server takes them for"
    assert ROLLBACK in written
    missing = await typed("retry", "fraud-9")
    assert (missing.code, "there is no ModelVersion fraud-9" in missing.err, old in missing.err) == (2, True, False)


async def test_a_policy_of_the_cluster_may_refuse(place: Place, typed: Type, connection: Connection) -> None:
    """An admission policy of the cluster, in its own words."""
    name = await place.version("7", "Serving")
    admission = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["weighbridge.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["modelversions"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}}
    policy = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "validations": [{"expression": "false", "message": "only the night shift may do this"}],
    }
    metadata = {"name": place.namespace}
    await connection.request("POST", f"{admission}/validatingadmissionpolicies", body={"metadata": metadata, "spec": policy})
    binding = {"policyName": place.namespace, "validationActions": ["Deny"]}
    await connection.request("POST", f"{admission}/validatingadmissionpolicybindings", body={"metadata": metadata, "spec": binding})
    async with asyncio.timeout(30):
        while (said := await typed("hold", name, "--reason", "x")).code == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert said.code == 1
    assert "only the night shift may do this" in said.err
    refused = await typed("retry", name, "-o", "json")
    assert refused.document["result"] == refused.document["reason"] == "Refused"
