"""Everything that takes a target away from a version, on the real cluster: the version before serves again while the registry is
out of reach, the operator killed meanwhile or not. Some stages are kept by a GitOps tool that applies its folder again and again.

Each trigger has a namespace of its own, with its own way to the registry.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.kube import ROOT, condition
from e2e.serving.rounds import Round, Trigger, killer, play
from e2e.serving.selfheal import Git
from e2e.serving.stage import ALERTS, Scene
from e2e.serving.workloads import container
from weighbridge.runtime.clock import now

SECRET = "test-token"
IMAGE = {"pointer": {"container": "server", "image": True, "value": "weighbridge/scale:{version}"}}
NO_IMAGE = {"pointer": {"container": "server", "image": True, "value": "weighbridge/nosuch:{version}"}}


def turn(round_: Round) -> None:
    """The model begins to misbehave."""
    round_.stage.turn(round_.after)


def delete_in_registry(round_: Round) -> None:
    round_.stage.mlflow("model-versions/delete", _entry(round_), "DELETE")


def tag_in_registry(round_: Round) -> None:
    tag = {"key": "weighbridge.dev/rejected", "value": "biased against new customers"}
    round_.stage.mlflow("model-versions/set-tag", _entry(round_) | tag)


def alias_in_registry(round_: Round) -> None:
    """There is one such alias for all versions of a model: the one that had it goes first, lest it is welcome again."""
    if round_.number > 2:
        round_.stage.kube.run("delete", "modelversion", f"scale-{round_.number - 1}")
    round_.stage.mlflow("registered-models/alias", _entry(round_) | {"alias": "rejected"})


def _entry(round_: Round) -> dict[str, Any]:
    return {"name": round_.stage.model, "version": str(round_.number)}


def demote(round_: Round) -> None:
    """Its stage is lowered: first without a word, which changes nothing, then with a reason."""
    lowered = round_.body | {"spec": round_.body["spec"] | {"stage": "Candidate"}}
    round_.wish(lowered)
    round_.until("asks for a reason", lambda body: condition(body or {}, "Ready").get("reason") == "DemotionNeedsReason")
    why = {"weighbridge.dev/reason": "scores drift since Tuesday"}
    round_.wrong_at = now().timestamp()
    round_.wish(lowered | {"metadata": lowered["metadata"] | {"annotations": why}})


def delete(round_: Round) -> None:
    round_.stage.kube.run("delete", "modelversion", f"scale-{round_.number}", "--wait=false")


def alert(round_: Round) -> None:
    """As Alertmanager sends it: again until it is taken."""
    began = now().isoformat().replace("+00:00", "Z")
    labels = {"alertname": "ScoresOff", "modelversion": f"scale-{round_.number}"}
    one = {"status": "firing", "labels": labels, "startsAt": began, "fingerprint": "c0ffee00c0ffee00"}
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    url = f"{ALERTS}/{round_.stage.namespace}"
    round_.stage.post(url, headers, {"version": "4", "alerts": [one]})


def ask(round_: Round) -> None:
    wish = "weighbridge.dev/rollback=scores look wrong to me"
    round_.stage.kube.run("annotate", "modelversion", f"scale-{round_.number}", wish)


SOON = {"progressDeadline": "20s"}
ACTS = (
    (
        Trigger("crash-loop", "RolloutFailed", fault="crash", git=True),
        Trigger("out-of-memory", "RolloutFailed", fault="oom"),
        Trigger("no-image", "RolloutFailed", claim=IMAGE, candidate=NO_IMAGE, server=container(env=None)),
        Trigger("not-ready-in-time", "RolloutFailed", fault="unready", candidate=SOON),
        Trigger("crash-loop-later", "RolloutFailed", fault="late-crash", fire=turn),
    ),
    (
        Trigger("wrong-identity", "ProbeFailed", fault="wrong-identity", candidate=SOON),
        Trigger("wrong-answer", "ProbeFailed", fault="wrong-answer", candidate=SOON),
        Trigger("wrong-answer-later", "ProbeFailed", fault="late-wrong-answer", fire=turn, git=True),
        Trigger("alerted", "Alert", fire=alert),
        Trigger("requested", "Requested", fire=ask, git=True),
    ),
    (
        Trigger("version-deleted", "VersionNotFound", "Refused", fire=delete_in_registry, said_by_registry=True),
        Trigger("tagged-rejected", "Rejected", "Refused", fire=tag_in_registry, said_by_registry=True),
        Trigger("alias-rejected", "Rejected", "Refused", fire=alias_in_registry, said_by_registry=True),
        Trigger("demoted", "Demoted", "Demoted", fire=demote, git=True),
        Trigger("deleted", "", "", fire=delete),
    ),
)
"""What is played at once; all of it together would be too much for two cores."""
NAMES = [trigger.name for act in ACTS for trigger in act]


@dataclass
class Play:
    """All rounds, played twice."""

    calm: dict[str, Round]
    killed: dict[str, Round]
    kills: int
    git: Git


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    subprocess.run([str(ROOT / "e2e" / "serving" / "images")], check=True)
    with Scene() as scene, Git(tmp_path_factory.mktemp("git")) as git:
        stages = scene.stages(NAMES, versions=3)
        for stage in stages.values():
            stage.kube.run("create", "secret", "generic", "weighbridge-alerts", f"--from-literal=ALERTS_TOKEN={SECRET}")
        calm: dict[str, Round] = {}
        killed: dict[str, Round] = {}
        for act in ACTS:
            first, second = ([Round(each, stages[each.name], git, number) for each in act] for number in (2, 3))
            play(first, (Round.begin, Round.prepare))
            play(first, (Round.go_wrong,))
            play(second, (Round.prepare,))
            with killer(scene):
                play(second, (Round.go_wrong,))
            for rounds, told in ((first, calm), (second, killed)):
                told |= {each.trigger.name: each for each in rounds}
                sys.stdout.write("".join(f"{each.told}\n" for each in rounds))
        yield Play(calm, killed, scene.kills, git)


@pytest.mark.parametrize("name", NAMES)
def test_the_version_before_serves_again_without_the_registry(name: str, played: Play) -> None:
    played.calm[name].check()


@pytest.mark.parametrize("name", NAMES)
def test_killing_the_operator_meanwhile_changes_nothing(name: str, played: Play) -> None:
    played.killed[name].check()


def test_the_disturbances_were_real(played: Play) -> None:
    assert played.kills >= len(ACTS)
    assert played.git.rounds >= 10
    assert played.git.refusals == []
