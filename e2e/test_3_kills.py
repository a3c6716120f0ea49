"""The story once more, while the operator is killed again and again: same end, same number of Jobs."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

from e2e.demo.stage import MODEL, Stage
from e2e.kube import condition

LIVES = (1.0, 5.0, 12.0)
"""Seconds that one leader after the other works until it is killed: at once, amid an evaluation, at its end. Counted from when it
leads, since a killed one does not release its lease (15 s): on a slow machine nobody would ever get to work otherwise."""
SLOW = 420.0
END = {"1": "Superseded", "2": "Refused", "3": "Serving", "4": "RolledBack", "99": "Refused"}


@contextmanager
def _killer(stage: Stage) -> Iterator[list[float]]:
    """Kills the operator's processes without warning, over and over."""
    over, kills, first = threading.Event(), [], _leaders(stage)

    def kill() -> None:
        last = first
        for life in cycle(LIVES):
            while (leaders := _leaders(stage)) == last:
                if over.wait(0.5):
                    return
            last = leaders
            if over.wait(life):
                return
            _kill(stage)
            kills.append(time.monotonic())

    _kill(stage)
    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()


def _kill(stage: Stage) -> None:
    stage.operator.run("delete", "pod", "--selector=app.kubernetes.io/name=weighbridge", "--force", "--grace-period=0", check=False)


def _leaders(stage: Stage) -> int:
    """How many there were so far."""
    lease = stage.operator.get("lease", "weighbridge") or {}
    return int(lease.get("spec", {}).get("leaseTransitions", 0))


def test_killing_the_operator_changes_nothing_about_the_end(stage: Stage) -> None:
    stage.set_up()
    jobs_before = {each["metadata"]["uid"] for each in stage.kube.list("jobs")}
    with _killer(stage) as kills:
        for name, ends in (("1", "Serving"), ("99", "Refused"), ("2", "Refused"), ("3", "Serving"), ("4", "RolledBack")):
            stage.apply_version(f"version-{name}")
            stage.kube.until(f"version {name} is {ends}", SLOW, lambda n=name, e=ends: _phase(stage, n) == e)
    assert len(kills) >= 4, "killed too seldom to prove anything"
    for name, phase in END.items():
        stage.kube.until(f"version {name} is {phase}", 60, lambda n=name, p=phase: _phase(stage, n) == p)
    assert stage.pointer() == f"models:/{MODEL}/3"
    jobs = [each for each in stage.kube.list("jobs") if each["metadata"]["uid"] not in jobs_before]
    assert len(jobs) == 4, [each["metadata"]["name"] for each in jobs]
    stage.kube.until("the registry agrees", 60, lambda: _synced(stage))


def _phase(stage: Stage, number: str) -> str:
    return str((stage.kube.get("modelversion", f"{MODEL}-{number}") or {}).get("status", {}).get("phase", ""))


def _synced(stage: Stage) -> bool:
    version = stage.kube.get("modelversion", f"{MODEL}-3") or {}
    return condition(version, "RegistrySynced").get("status") == "True"
