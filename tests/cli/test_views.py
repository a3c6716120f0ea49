"""`weighbridge status`, `why` and `at` as people type them, on a real API server that holds what the real decisions said."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.cli.said import Said, Type
from tests.cli.stage import Stage, settled
from tests.cli.terminal import on_terminal
from tests.conftest import RealServer
from tests.core.test_approvals import decision
from tests.core.things import START, model_version
from tests.core.world import Behaviour, World
from tests.registries.oddserver import odd, reply
from tests.test_reasons import _explained
from weighbridge.api.annotations import HOLD
from weighbridge.api.base import API_VERSION
from weighbridge.runtime.cluster import Cluster

TARGET = "Deployment/server"
VERSIONS = "modelversions"
JOBS = "evaluationjobs"


def steps(said: Said) -> list[tuple[str, str, str]]:
    return [(each["name"], each["state"], each["reason"]) for each in said.document["steps"]]


async def test_what_serves_is_told_to_its_end(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1", "2"))
    said = await typed("why", "mver/v2", "-o", "json")
    assert (said.code, said.err) == (0, "")
    assert steps(said) == [
        ("Resolved", "Passed", "Pinned"),
        ("Lineage", "Passed", "NothingRequired"),
        ("Evaluation holdout", "Passed", "GatePassed"),
        (f"Election {TARGET}", "Passed", "Electing"),
        (f"Pointer {TARGET}", "Passed", "Repointing"),
        (f"Proof {TARGET}", "Passed", "Proved"),
        ("Write-back", "Passed", "Synced"),
        ("Drift", "Passed", "NoDrift"),
    ]
    assert (said.document["keepsBack"], said.document["next"]) == (None, "")
    assert {each["reason"] for each in said.document["steps"]} <= _explained()


async def test_what_stands_by_is_told_who_goes_before_it_and_why(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1", "2"))
    said = await typed("why", "v1")
    assert said.code == 1
    lines = said.out.splitlines()
    blocked = next(line for line in lines if line.startswith("BLOCKS"))
    assert f"Election {TARGET}  Superseded" in blocked
    assert "v2 goes before it (registered 2026-01-01T12:02:00Z; this one: registered 2026-01-01T12:01:00Z)" in blocked
    assert "        1. v2 wins (registered 2026-01-01T12:02:00Z): Serving" in lines
    assert "        2. v1 may serve (registered 2026-01-01T12:01:00Z): Ready" in lines
    assert lines[-1].endswith(f"`weighbridge rollback v2 -n {stage.namespace} --reason WHY`")


async def test_a_failed_gate_ends_the_chain(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1", "2", v2=Behaviour(good=False)))
    said = await typed("why", "v2", "-o", "json")
    assert (said.code, steps(said)[-1]) == (1, ("Evaluation holdout", "Blocked", "GateFailed"))
    assert "describe evaljob v2-holdout-" in said.document["next"]
    assert f"`weighbridge re-evaluate v2 -n {stage.namespace}`" in said.document["next"]


async def test_what_waits_for_people_gets_the_commands_that_decide(stage: Stage, typed: Type) -> None:
    await stage.bring(asked())
    said = await typed("why", "v2", "-o", "json")
    assert (said.code, steps(said)[-1]) == (1, ("Approval", "Blocked", "ApprovalRequired"))
    assert "waits for 2 of 2 approvals for Production" in said.document["keepsBack"]["message"]
    where = f"v2 -n {stage.namespace}"
    assert said.document["next"] == f"`weighbridge approve {where}`, or `weighbridge reject {where} --comment WHY`"
    other = await typed("why", "v1")
    assert other.code == 0
    assert "1. v2 may not serve (registered 2026-01-01T12:02:00Z): ApprovalRequired: waits for 2 of 2 approvals" in other.out


async def test_a_rejection_is_told_with_whose_it_is(stage: Stage, typed: Type) -> None:
    world = asked()
    waits = world.versions["2"].status.approvals
    assert waits is not None
    world.approvals = [
        decision(word, who, waits.subject_hash, version="v2") for word, who in (("Approve", "ann"), ("Reject", "ben"))
    ]
    world.settle()
    await stage.bring(world)
    said = await typed("why", "v2", "-o", "json")
    assert (said.code, steps(said)[-1]) == (1, ("Approval", "Blocked", "ApprovalRejected"))
    assert [each.split(" 2026")[0] for each in said.document["keepsBack"]["details"]] == ["ann approved", "ben rejected"]
    assert said.document["next"].endswith(f"who rejected types `weighbridge approve v2 -n {stage.namespace}`")


def asked() -> World:
    """A world at rest in which v1 serves, and v2 waits for two people."""
    world = settled("1")
    world.behaviours["2"] = Behaviour()
    world.versions["2"] = model_version("2", metadata={"name": "v2", "uid": "uid-2"}, approvals={"required": 2})
    world.settle()
    return world


async def test_what_crashed_is_told_with_its_rejection(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1", "2", v2=Behaviour(crashes=True)))
    said = await typed("why", "v2", "-o", "json")
    assert (said.code, steps(said)[-1]) == (1, (f"Election {TARGET}", "Blocked", "RolledBack"))
    assert "RolloutFailed" in said.document["keepsBack"]["message"]
    assert "pod server-1 crashed" in said.document["keepsBack"]["message"]
    assert said.document["next"] == f"`weighbridge retry v2 -n {stage.namespace}`"
    shown = await typed("status", "v2")
    assert "RolloutFailed: pod server-1 crashed" in shown.out


async def test_one_that_waits_for_its_turn_names_the_version_before_it(stage: Stage, typed: Type) -> None:
    world = World({number: Behaviour() for number in "12"})
    for number in "12":
        world.apply(number)
    for _ in range(3):  # pinned; the newer one is weighed first
        for number in "21":
            world.reconcile(number)
    await stage.bring(world)
    said = await typed("why", "v1", "-o", "json")
    assert (said.code, steps(said)[-1]) == (3, ("Evaluation holdout", "Waiting", "EvaluationPending"))
    assert said.document["next"] == f"`weighbridge why v2 -n {stage.namespace}`"
    running = await typed("why", "v2", "-o", "json")
    assert (running.code, steps(running)[-1]) == (3, ("Evaluation holdout", "Waiting", "EvaluationRunning"))


async def test_what_is_not_in_the_registry_gets_the_command_that_asks_it(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1", v1=Behaviour(exists=False)))
    said = await typed("why", "v1", "-o", "json")
    assert (said.code, steps(said)) == (1, [("Resolved", "Blocked", "VersionNotFound")])
    assert said.document["next"] == f"`weighbridge preflight models:/model/1 --registry mlflow -n {stage.namespace}`"


async def test_a_hold_is_told_first_and_a_spec_nobody_looked_at(stage: Stage, typed: Type) -> None:
    world = settled("1")
    await stage.bring(world)
    patch = {"metadata": {"annotations": {HOLD: "audit"}}, "spec": {"precedence": 3}}
    await Cluster(stage.connection).merge(API_VERSION, "ModelVersion", stage.namespace, "v1", patch)
    said = await typed("why", "v1", "-o", "json")
    assert [each[::2] for each in steps(said)][:2] == [("Operator", "NotObserved"), ("Hold", "Suspended")]
    assert said.document["keepsBack"]["message"].startswith("on hold: audit")
    assert said.document["next"] == f"`weighbridge release v1 -n {stage.namespace}`"


async def test_what_no_operator_looked_at_is_told_with_what_to_check(stage: Stage, typed: Type) -> None:
    world = World({"1": Behaviour()})
    world.apply("1")
    await stage.bring(world)
    said = await typed("why", "v1")
    assert said.code == 3
    assert said.out.splitlines() == [
        "v1  model 1  Production  not looked at yet",
        "waits   Operator  NotObserved  the operator has not looked at it yet",
        f"next: see that it runs (`kubectl -n weighbridge-system get pods`) and watches namespace {stage.namespace}",
    ]


async def test_status_is_a_tree(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1", "2", "3", v3=Behaviour(good=False)))
    many = await typed("status")
    assert (many.code, many.err) == (0, "")
    lines = many.out.splitlines()
    assert "v2  model 2  Production  Serving" in lines
    assert "v1  model 1  Production  Superseded" in lines
    assert "v3  model 3  Production  Refused  GateFailed" in lines
    assert "  evaluation holdout: Failed  accuracy 0.5  (bar: accuracy at least 0.9)" in lines
    assert "  evaluation holdout: Passed  accuracy 0.95  (bar: accuracy at least 0.9)" in lines
    assert any(line.startswith(f"  {TARGET}: Serving since 2026-01-01T13:") for line in lines)
    one = await typed("status", "v2")
    assert "    wished models:/model/2, observed models:/model/2" in one.out
    assert "    alias champion" in one.out
    assert "  way back: StandbyReady: v1 could take Deployment/server over" in one.out
    found = (await typed("status", "v2", "-o", "json")).document["versions"][0]
    assert (found["evaluations"][0]["verdict"], found["targets"][0]["state"]) == ("Passed", "Serving")
    assert (found["registry"]["alias"], found["wayBack"]["reason"]) == ("champion", "StandbyReady")
    everywhere = await typed("status", "-A", everywhere=True)
    assert f"{stage.namespace}/v2  model 2  Production  Serving" in everywhere.out
    assert (await typed("status", "-A")).code == 2, "-A with -n"


async def test_text_of_others_moves_no_cursor(stage: Stage, typed: Type) -> None:
    world = settled("1")
    version = world.versions["1"]
    conditions = tuple(
        each.model_copy(update={"message": "gone\x1b[2J"}) if each.type == "InSync" else each for each in version.status.conditions
    )
    drift = {"type": "Pointer", "message": "by\x1b[2J\nme", "since": START}
    status = type(version.status).model_validate({**version.status.model_dump(), "conditions": conditions, "drift": [drift]})
    world.versions["1"] = version.model_copy(update={"status": status})
    await stage.bring(world)
    for command in (("status",), ("status", "v1"), ("why", "v1")):
        said = await typed(*command)
        assert "\x1b" not in said.out
        assert "by?[2J?me" in said.out


async def test_what_served_then(stage: Stage, typed: Type) -> None:
    """Version 1 served, then version 2; the API server made both objects just now, so they are asked for by what they remember."""
    world = settled("1", "2")
    one, two = (world.versions[number].status.serving[0] for number in "12")
    assert one.until is not None
    assert one.repointed_at is not None
    assert two.since is not None
    await stage.bring(world)
    said = await typed("at", (one.until - timedelta(seconds=1)).isoformat(), "-o", "json")
    # The objects are younger than the time asked for.
    assert (said.code, said.document["targets"][0]["served"]) == (3, [])
    assert any("versions deleted since are not known" in gap for gap in said.document["targets"][0]["notKnown"])


async def test_times_as_people_write_them(stage: Stage, typed: Type) -> None:
    await stage.bring(settled("1"))
    now = await typed("at", "-0h1s", TARGET)
    assert now.code in (0, 3)
    for wrong in ("yesterday", "-2", "2h", "2026-13-01"):
        said = await typed("at", wrong)
        assert (said.code, "is no time" in said.err) == (2, True), wrong
    assert (await typed("at", "2999-01-01T00:00:00Z")).code == 2
    assert "there are Deployment/server" in (await typed("at", "-1h", "Deployment/other")).err


async def test_a_window_cuts_the_table_and_no_answer(stage: Stage, api_server: RealServer) -> None:
    await stage.bring(settled("1", "2"))

    async def shown(*arguments: str) -> tuple[int, list[str]]:
        return await asyncio.to_thread(on_terminal, [*arguments, "-n", stage.namespace], KUBECONFIG=str(api_server.kubeconfig))

    code, lines = await shown("why", "v1")
    assert (code, lines[-1].endswith(f"`weighbridge rollback v2 -n {stage.namespace} --reason WHY`")) == (1, True)
    assert len(lines[-1]) > 80
    code, lines = await shown("status", "v1")
    assert (code, [line for line in lines if "…" in line]) == (0, [])
    assert max(map(len, lines)) > 80
    code, lines = await shown("status")
    assert (code, max(map(len, lines)) <= 80) == (0, True)


@pytest.mark.parametrize("command", [("status",), ("status", "v1"), ("why", "v1"), ("at", "-1h")])
async def test_a_no_to_a_look_is_no_answer(typed: Type, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Of what stands before an API server, in words of its own: for `why`, 1 would mean that something keeps the version back."""
    said_no = json.dumps({"kind": "Status", "message": "not from this network"}).encode()
    with odd(reply(403, said_no, Content_Type="application/json")) as gateway:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": gateway.url}}],
            "users": [{"name": "jane", "user": {"token": "x"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "jane"}}],
            "current-context": "x",
        }
        (tmp_path / "gateway").write_text(json.dumps(config), encoding="utf-8")
        said = await typed(*command, "-o", "json", kubeconfig=tmp_path / "gateway")
    about = {"modelVersion": "v1"} if "v1" in command else {}
    assert (said.code, said.err) == (3, "")
    message = said.document["message"]
    assert said.document == {"result": "AdmissionDenied", "reason": "AdmissionDenied", "message": message, **about}
    assert "not from this network" in message


async def test_nothing_there_is_told(typed: Type, api_server: RealServer, tmp_path: Path, namespace: str) -> None:
    nothing = f"there is no ModelVersion in namespace {namespace}"
    assert (await typed("status")).out == f"{nothing}\n"
    config = yaml.safe_load(api_server.kubeconfig.read_text(encoding="utf-8"))
    config["contexts"][0]["context"]["namespace"] = namespace
    (tmp_path / "here").write_text(yaml.safe_dump(config), encoding="utf-8")
    here = await typed("status", kubeconfig=tmp_path / "here", everywhere=True)
    assert here.out == f"{nothing}; `weighbridge status -A` looks in all namespaces\n"
    for command in (("status", "v9"), ("why", "v9")):
        said = await typed(*command)
        assert (said.code, "there is no ModelVersion v9" in said.err) == (2, True)
    assert (await typed("why", "../x")).code == 2
    missing = await typed("status", kubeconfig=tmp_path / "none")
    assert (missing.code, "check KUBECONFIG" in missing.err) == (2, True)
