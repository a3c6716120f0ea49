"""Targets as they are read from a real API server, by somebody who has only the rights that were granted."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.core.things import target
from tests.runtime.stage import Stage, condition, pin, stamp, uri, version_spec, workload
from weighbridge.api import ModelVersion
from weighbridge.api.base import API_VERSION, Key
from weighbridge.api.serving import Probe, TargetRef
from weighbridge.controllers.modelversion import ModelVersionController
from weighbridge.controllers.ports import ClusterError, Ports
from weighbridge.core.facts import Absent, Failed, Known, ProbeOutcome
from weighbridge.core.modelversion import decide
from weighbridge.core.versionfacts import VersionFacts
from weighbridge.runtime.clock import now
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.connection import Connection, Surroundings
from weighbridge.runtime.store import ObjectStore

ALL = (("apps", "deployments"), ("apps", "statefulsets"), ("", "services"), ("", "configmaps"))
SERVING = TargetRef(name="serving")
PING = {"httpGet": {"path": "/ping", "port": 8080}}
REPOINTED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Asked:
    """Stands where probes stand: keeps what is asked."""

    answer: ProbeOutcome | None = None
    questions: list[tuple[tuple[str, ...], Probe, datetime | None, float, bool]] = field(default_factory=list)

    def ask(
        self,
        asker: Key,
        target: TargetRef,
        addresses: tuple[str, ...],
        probe: Probe,
        *,
        since: datetime | None,
        period: float,
        keep: bool,
    ) -> ProbeOutcome | None:
        self.questions.append((addresses, probe, since, period, keep))
        return self.answer


class Eyes:
    """The controller with the rights of a service account."""

    def __init__(self, connection: Connection, user: str, server: RealServer) -> None:
        self.asked, self.store, self.user, self._server = Asked(), ObjectStore(), user, server
        self._ports = Ports(self.store, Cluster(connection), None, self.asked, None, now, lambda _: None)  # type: ignore[arg-type]

    async def look(self, version: ModelVersion) -> VersionFacts:
        return await ModelVersionController().observe(version, self._ports)

    def reads(self) -> list[str]:
        """What was read, in order, as `verb resource name`."""
        found = self._server.server.requests(self.user)
        return [f"{each.verb} {each.resource} {each.name}".strip() for each in found if each.resource]


@pytest.fixture
def stage(cluster: Cluster, namespace: str, api_server: RealServer) -> Stage:
    return Stage(cluster, namespace, api_server.server)


@pytest.fixture
async def eyes(stage: Stage, connection: Connection, api_server: RealServer, tmp_path: Path) -> Any:
    opened: list[Connection] = []

    async def open_(rights: Iterable[tuple[str, str]] = ALL) -> Eyes:
        core, rbac = f"/api/v1/namespaces/{stage.namespace}", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{stage.namespace}"
        meta = {"metadata": {"name": "eyes"}}
        await connection.request("POST", f"{core}/serviceaccounts", body=meta)
        rules = [{"apiGroups": [group], "resources": [resource], "verbs": ["get"]} for group, resource in rights]
        rules.append({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]})
        await connection.request("POST", f"{rbac}/roles", body={**meta, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": "eyes", "namespace": stage.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "eyes"}
        await connection.request("POST", f"{rbac}/rolebindings", body={**meta, "roleRef": role, "subjects": [subject]})
        made = await connection.request("POST", f"{core}/serviceaccounts/eyes/token", body={"spec": {}})
        config = json.loads(api_server.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": made["status"]["token"]}
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config), encoding="utf-8")
        opened.append(Connection(Surroundings(str(file))))
        return Eyes(opened[0], f"system:serviceaccount:{stage.namespace}:eyes", api_server)

    yield open_
    for each in opened:
        await each.close()


Open = Callable[..., Awaitable[Eyes]]


def version(namespace: str, *entries: dict[str, Any], state: str = "Progressing", stage: str = "Production") -> ModelVersion:
    """Version 2, pinned, which was given its targets."""
    spec = version_spec("serving", 2, stage=stage)
    if entries:
        spec["serving"] = list(entries)
    serving = [
        {
            "target": f"{each['targetRef'].get('kind', 'Deployment')}/{each['targetRef']['name']}",
            "state": state,
            "wished": uri(2),
            "repointedAt": stamp(REPOINTED),
        }
        for each in spec["serving"]
    ]
    answers = [condition(kind, "True", "Known") for kind in ("Resolved", "LineageComplete", "Evaluated")]
    body = {
        "metadata": {"name": "v2", "namespace": namespace, "uid": "v2", "generation": 1},
        "spec": spec,
        "status": {"resolved": pin(2), "serving": serving, "conditions": answers},
    }
    return ModelVersion.model_validate(body)


def entry(probe: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    made = version_spec("serving", 2)["serving"][0] | more
    return made | ({"probe": probe} if probe else {})


async def rolled_out(stage: Stage, value: str = uri(2)) -> None:
    """A Deployment whose one pod is ready with that value."""
    body = await stage.create("apps/v1", "Deployment", "serving", spec=workload("serving", value)["spec"])
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    await stage.status(body, {"observedGeneration": 1, **dict.fromkeys(counts, 1)})
    await stage.pod("serving", 2, ready=True)


async def test_a_target_that_two_stages_name_is_read_once_and_by_the_pointer_of_the_present_one(eyes: Open, stage: Stage) -> None:
    await rolled_out(stage)
    mine = await eyes()
    staging = entry(stage="Staging", pointer={"container": "server", "env": "OTHER_URI"})
    facts = await mine.look(version(stage.namespace, staging, entry()))
    fact = facts.targets[SERVING]
    assert isinstance(fact, Known)
    assert (fact.value.pointer, dict(fact.value.serving)) == (uri(2), {uri(2): 1})
    assert mine.reads() == ["get deployments serving", "list pods"]


async def test_a_target_that_is_not_there_or_is_going_away_is_absent(eyes: Open, stage: Stage) -> None:
    mine = await eyes()
    facts = await mine.look(version(stage.namespace))
    assert isinstance(absent := facts.targets[SERVING], Absent)
    assert absent.reason == "TargetNotFound"
    body = await stage.create(
        "apps/v1", "Deployment", "serving", spec=workload("serving", uri(2))["spec"], metadata={"finalizers": ["example.com/stay"]}
    )
    await stage.cluster.delete("apps/v1", "Deployment", stage.namespace, "serving", body["metadata"]["uid"])
    facts = await mine.look(version(stage.namespace))
    assert isinstance(facts.targets[SERVING], Absent)


async def test_a_kind_that_the_cluster_does_not_know_is_absent_with_what_to_do(eyes: Open, stage: Stage) -> None:
    ref = {"apiVersion": "models.example.com/v1", "kind": "ModelServer", "name": "serving"}
    wanted = version(stage.namespace, {"targetRef": ref, "pointer": {"fieldPath": "spec.model"}}, entry())
    facts = await (await eyes()).look(wanted)
    fact = facts.targets[wanted.spec.serving[0].target_ref]
    assert isinstance(fact, Absent)
    assert fact.reason == "TargetKindUnknown"
    assert fact.message == (
        "the cluster has no kind ModelServer of models.example.com/v1 with objects in namespaces;"
        " install what brings it, or correct serving.targetRef"
    )
    assert facts.targets.keys() == {each.target_ref for each in wanted.spec.serving}, "the other one is looked at all the same"


@pytest.mark.parametrize(
    ("ref", "pointer", "said"),
    [
        (
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "serving"},
            {"container": "server", "env": "MODEL_URI"},
            "the operator may not read StatefulSet/serving: add StatefulSet to the chart's servingTargets",
        ),
        (
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "serving"},
            {"fieldPath": "spec.model"},
            "the operator may not read Ingress/serving: add the group and the resource of Ingress to the chart's genericTargets",
        ),
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "serving"},
            {"configMap": {"name": "models", "key": "uri"}},
            "the operator may not read ConfigMap models: set configMapPointers in the chart's values",
        ),
    ],
    ids=["known", "generic", "ConfigMap"],
)
async def test_a_missing_right_is_no_evidence_and_names_the_value_that_grants_it(
    eyes: Open, stage: Stage, ref: dict[str, str], pointer: dict[str, Any], said: str
) -> None:
    await rolled_out(stage)
    wanted = version(stage.namespace, {"targetRef": ref, "pointer": pointer})
    facts = await (await eyes([("apps", "deployments")])).look(wanted)
    fact = facts.targets[wanted.spec.serving[0].target_ref]
    assert isinstance(fact, Failed)
    assert (fact.reason, fact.message) == ("TargetForbidden", said)


async def test_pods_are_asked_once_all_are_rolled_out(eyes: Open, stage: Stage) -> None:
    await rolled_out(stage)
    mine = await eyes()
    mine.asked.answer = ProbeOutcome(1, 1)
    facts = await mine.look(version(stage.namespace, entry(PING)))
    assert facts.probes == {SERVING: ProbeOutcome(1, 1)}
    probe = Probe.model_validate(PING)
    assert mine.asked.questions == [(("127.0.0.1",), probe, REPOINTED, 60.0, False)]


@pytest.mark.parametrize(("state", "asked"), [("Progressing", 0), ("Serving", 1)])
async def test_amid_a_rollout_only_what_serves_already_is_asked(eyes: Open, stage: Stage, state: str, asked: int) -> None:
    await rolled_out(stage)
    body = await stage.get("Deployment", "serving")
    await stage.status(body, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1})
    mine = await eyes()
    await mine.look(version(stage.namespace, entry(PING), state=state))
    assert [keep for *_, keep in mine.asked.questions] == [True] * asked


async def test_through_a_service_only_one_version_may_answer(eyes: Open, stage: Stage) -> None:
    await rolled_out(stage)
    mine = await eyes()
    wanted = version(stage.namespace, entry({**PING, "service": "front"}), state="Serving")
    await mine.look(wanted)
    assert [addresses for addresses, *_ in mine.asked.questions] == [(f"front.{stage.namespace}.svc",)]
    body = await stage.get("Deployment", "serving")
    await stage.status(body, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 2})
    await stage.pod("serving", 1, ready=True)
    await mine.look(wanted)
    assert len(mine.asked.questions) == 1


async def test_a_pointer_that_names_another_version_is_nothing_to_ask_about(eyes: Open, stage: Stage) -> None:
    await rolled_out(stage, uri(1))
    mine = await eyes()
    await mine.look(version(stage.namespace, entry(PING)))
    assert mine.asked.questions == []


async def test_where_pods_are_not_known_the_service_has_to_be_named(eyes: Open, stage: Stage, connection: Connection) -> None:
    group = f"{stage.namespace}.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    kind = {
        "metadata": {"name": f"servers.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Server", "plural": "servers"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    await connection.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body=kind)
    body = {"apiVersion": f"{group}/v1", "kind": "Server", "metadata": {"name": "serving", "namespace": stage.namespace}}
    content = {"spec": {"model": uri(2)}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await _created(stage, body | content)
    ref = {"apiVersion": f"{group}/v1", "kind": "Server", "name": "serving"}
    wanted = version(stage.namespace, {"targetRef": ref, "pointer": {"fieldPath": "spec.model"}, "probe": PING})
    mine = await eyes([(group, "servers")])
    facts = await mine.look(wanted)
    outcome = facts.probes[wanted.spec.serving[0].target_ref]
    assert (outcome.asked, outcome.message) == (
        0, "the pods of Server/serving are not known: name the Service to ask through in serving.probe.service"
    )  # fmt: skip
    assert mine.asked.questions == []


async def _created(stage: Stage, body: dict[str, Any]) -> None:
    """A kind that was just installed cannot be written at once."""
    async with asyncio.timeout(20):
        while True:
            try:
                await stage.cluster.create(body)
            except ClusterError:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize(
    ("identity", "value"),
    [
        ({"protocol": "OpenAI", "port": 80}, "models:/fraud/2"),
        ({"protocol": "OpenAI", "port": 80, "value": "{name}-{version}"}, "fraud-2"),
        ({"protocol": "OpenInference", "port": 80, "model": "fraud"}, "2"),
        ({"protocol": "OpenInference", "port": 80, "model": "fraud", "value": "{digest}"}, f"sha256:{2:064x}"),
        ({"protocol": "MLflow", "port": 80}, None),
    ],
)
async def test_what_the_server_must_answer_is_filled_in(
    eyes: Open, stage: Stage, identity: dict[str, Any], value: str | None
) -> None:
    await rolled_out(stage)
    mine = await eyes()
    await mine.look(version(stage.namespace, entry({"identity": identity})))
    [(_, probe, *_)] = mine.asked.questions
    assert probe.identity is not None
    assert probe.identity.value == value


def stored(store: ObjectStore, *versions: tuple[str, list[dict[str, Any]]]) -> None:
    for name, serving in versions:
        spec = version_spec("x", 2) | {"serving": serving}
        meta = {"name": name, "namespace": "fraud", "uid": name, "resourceVersion": "1"}
        store.put({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": meta, "spec": spec})


def named(kind: str, name: str, **pointer: Any) -> dict[str, Any]:
    given = pointer or {"container": "server", "env": "MODEL_URI"}
    return {"targetRef": {"apiVersion": "v1" if kind == "Service" else "apps/v1", "kind": kind, "name": name}, "pointer": given}


def test_events_wake_those_who_claim_exactly_what_changed() -> None:
    store, controller = ObjectStore(), ModelVersionController()
    by_label = named("Service", "a", selector="version", value="{version}")
    stored(
        store,
        ("v1", [named("Deployment", "a")]),
        ("v2", [named("StatefulSet", "a"), named("Deployment", "b")]),
        ("v3", [by_label, named("Deployment", "c", configMap={"name": "models", "key": "uri"})]),
    )

    def woken(kind: str, name: str, **body: Any) -> set[str]:
        body = {"metadata": {"name": name, "namespace": "fraud"}, **body}
        return {key.name for key in controller.affected(kind, body, store)}

    assert woken("Deployment", "a") == {"v1"}
    assert woken("StatefulSet", "a") == {"v2"}
    assert woken("Service", "a") == {"v3"}
    assert woken("ConfigMap", "models") == {"v3"}
    assert woken("Rollout", "a") == set()
    spec = {"serving": [{"targetRef": {"name": "a"}}]}
    assert woken("ModelVersion", "v0", spec=spec) == {"v1"}, "kind Deployment where none is said"
    assert woken("ModelVersion", "v1", spec=spec) == set(), "nobody wakes itself"
    moved = {"spec": {"serving": []}, "status": {"serving": [{"target": "Deployment/b"}]}}
    assert woken("ModelVersion", "v0", **moved) == {"v2"}, "what it had until now"


@pytest.mark.parametrize(
    ("serving", "state", "polled"),
    [
        (named("Deployment", "a"), "Serving", False),
        (named("Rollout", "a"), "Serving", True),
        (named("Deployment", "a", configMap={"name": "models", "key": "uri"}), "Serving", True),
        (named("ModelServer", "a", fieldPath="spec.model"), "Serving", True),
        (named("ModelServer", "a", fieldPath="spec.model"), "Superseded", False),
    ],
)
def test_what_no_event_tells_of_is_looked_at_every_ten_seconds(serving: dict[str, Any], state: str, polled: bool) -> None:
    mine = version("fraud", serving, state=state)
    facts = VersionFacts(targets={mine.spec.serving[0].target_ref: Known(target(uri(2)), now())})
    assert (decide(mine, facts, now()).requeue_after or 999.0) > 10.0
    after = ModelVersionController().decide(mine, facts, now()).requeue_after
    assert after == 10.0 if polled else after is None or after > 10.0


async def test_on_hold_the_facts_say_so(eyes: Open, stage: Stage) -> None:
    mine = await eyes()
    assert (await mine.look(version(stage.namespace))).hold == ""
    facts = await ModelVersionController(hold=True).observe(version(stage.namespace), mine._ports)
    assert "WEIGHBRIDGE_HOLD" in facts.hold
