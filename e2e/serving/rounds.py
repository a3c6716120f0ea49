"""One round of a stage: a candidate takes over from version 1, goes wrong, and version 1 gets its target back. Rounds of all stages
are played at once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from e2e.kube import condition
from e2e.serving.selfheal import Git
from e2e.serving.stage import Scene, Stage
from e2e.serving.watch import Body
from e2e.serving.workloads import service, workload
from weighbridge.runtime.clock import now

AT_ONCE, LATER = 0.5, 8.0
"""Seconds until the operator is killed: after the trigger, and after its successor is ready. Counted from then, lest a slow machine
give nobody the time to do anything."""


@dataclass(frozen=True)
class Trigger:
    """Something that takes a target away from a version, and how that is told."""

    name: str
    reason: str
    """Of the rejection; where `phase` is another than RolledBack, of `Ready`; empty where nobody is left to tell."""
    phase: str = "RolledBack"
    """The candidate's in the end; empty: it is gone."""
    fault: str = ""
    """How the candidate misbehaves."""
    fire: Callable[["Round"], None] | None = None
    """Makes what serves go wrong. None: the candidate is wrong from the start and never proved."""
    said_by_registry: bool = False
    """The registry has to be heard before it can be missed."""
    git: bool = False
    """Everything is in a folder that a GitOps tool applies again and again, by force."""
    claim: Body = field(default_factory=dict)
    """How versions of this stage serve, where not as usual."""
    candidate: Body = field(default_factory=dict)
    """How the candidate differs in that."""
    server: Body | None = None
    """The workload's container, where not the usual one."""


class Round:
    """One trigger, one candidate."""

    def __init__(self, trigger: Trigger, stage: Stage, git: Git, number: int) -> None:
        self.trigger, self.stage, self.number = trigger, stage, number
        self.failure: BaseException | None = None
        self._git = git
        serving = trigger.claim | trigger.candidate
        self.body = stage.version(number, fault=trigger.fault, serving=serving)
        self.before, self.after = self._value(1, trigger.claim), self._value(number, serving, trigger.fault)
        self.began = self.wrong_at = self.ended = 0.0
        self._answers: list[tuple[float, str, bool]] = []
        self._last: Body = {}

    @property
    def told(self) -> str:
        """Seconds from bad to good, as a client of the Service saw it."""
        name = self.trigger.name
        if self.failure is not None:
            return f"{name}: {self.failure}"
        given = self.trigger.fire is None
        wrong = [at for at, model, _ in self._answers if model == self.after]
        back = next(at for at, value in self.stage.pointers(self.wrong_at, self.ended) if value == self.before)
        if given and not wrong:
            return f"{name}: taken back {back - self.wrong_at:.1f} s after the promotion; the Service never answered wrong"
        begun = wrong[0] if given else self._asked_at() or self.wrong_at
        back, ended = max(back, begun), max(self._answers[-1][0], back)
        pods = (ended - back) / max(ended - begun, 0.1)
        seen = f"{ended - begun:.1f} s from bad to good at the Service"
        parts = f"{back - begun:.1f} s until the pointer was back, then {ended - back:.1f} s ({pods:.0%}) for the pods"
        return f"{name}: {seen}: {parts}"

    def begin(self) -> None:
        """Version 1 serves."""
        trigger = self.trigger
        self.apply("workload", workload(server=trigger.server), service())
        self.apply("scale-1", self.stage.version(1, serving=trigger.claim))
        self.stage.until_phase(1, "Serving")

    def prepare(self) -> None:
        """The candidate serves, if it is good at first, and the registry is gone, if it is not needed any more."""
        self.stage.until_phase(1, "Serving")
        self.began = now().timestamp()
        if self.trigger.fire is not None:
            self.wish(self.body)
            self.stage.until_phase(self.number, "Serving")
            if not self.trigger.said_by_registry:
                self.stage.registry(reachable=False)

    def go_wrong(self) -> None:
        """The trigger, and what must follow from it: version 1 serves again."""
        trigger, stage = self.trigger, self.stage
        stage.watch_service()
        if trigger.fire is None:
            self.wish(self.body)
            stage.until_pointer(self.after)
            stage.registry(reachable=False)
            self.wrong_at = now().timestamp()
        else:
            self.wrong_at = now().timestamp()
            trigger.fire(self)
        if trigger.said_by_registry:
            self.until("is refused", lambda body: condition(body or {}, "Resolved").get("status") == "False")
            stage.registry(reachable=False)
        stage.until_pointer(self.before)
        self.until(trigger.phase or "gone", self._has_ended)
        stage.until_phase(1, "Serving")
        self._answers = stage.until_service(self.before)
        self._last = stage.last(self.number)
        self.ended = now().timestamp()
        stage.registry(reachable=True)

    def check(self) -> None:
        """What must hold in the end."""
        if self.failure is not None:
            raise self.failure
        values = [value for _, value in self.stage.pointers(self.began, self.ended)]
        assert values == [self.after, self.before]
        assert len(self.stage.shapes()) == 1, "more of the workload was changed than its pointer"
        body = self._last
        first = (self.stage.last(1), self.stage.version(1, serving=self.trigger.claim))
        for found, wished in (first, (body, self.body)):
            assert _holds(found["spec"], wished["spec"]), "somebody wrote to the spec"
            assert not _writes_spec(found), "the operator owns a part of the spec"
        if self.trigger.phase == "RolledBack":
            (state,) = body["status"]["serving"]
            assert state["rejection"]["reason"] == self.trigger.reason
        elif self.trigger.phase:
            assert condition(body, "Ready")["reason"] == self.trigger.reason

    def wish(self, body: Body) -> None:
        """The candidate as it should be from now on."""
        self.body = body
        self.apply(f"scale-{self.number}", body)

    def apply(self, name: str, *bodies: Body) -> None:
        if self.trigger.git:
            self._git.commit(f"{self.stage.namespace}-{name}", *(_placed(body, self.stage.namespace) for body in bodies))
        else:
            self.stage.apply(*bodies)

    def until(self, what: str, probe: Callable[[Body | None], Any]) -> None:
        self.stage.until(self.number, what, probe)

    def _asked_at(self) -> float | None:
        """When the wish was seen on the candidate, where somebody put it there: how long kubectl takes does not count."""
        story = [(at, body["metadata"]) for at, body in self.stage.story(self.number) if body is not None]
        before = [metadata.get("annotations") for at, metadata in story if at < self.wrong_at]
        during = [(at, metadata) for at, metadata in story if self.wrong_at <= at <= self.ended]
        return next((at for at, each in during if "deletionTimestamp" in each or each.get("annotations") != before[-1]), None)

    def _has_ended(self, body: Body | None) -> bool:
        if body is None or not self.trigger.phase:
            return body is None and not self.trigger.phase
        return bool(body.get("status", {}).get("phase") == self.trigger.phase)

    def _value(self, number: int, claim: Body, fault: str = "") -> str:
        template: str = claim.get("pointer", {}).get("value", "{uri}")
        value = template.replace("{uri}", f"models:/{self.stage.model}/{number}").replace("{version}", str(number))
        return f"{value}#{fault}" if fault else value


def play(rounds: Sequence[Round], steps: Sequence[Callable[[Round], None]]) -> None:
    """Lets every round take these steps, all rounds at once. What goes wrong in one is kept there."""

    def one(each: Round) -> None:
        try:
            for step in steps:
                if each.failure is None:
                    step(each)
        except Exception as error:  # told by the test of this round
            each.failure = error

    with ThreadPoolExecutor(len(rounds)) as pool:
        list(pool.map(one, rounds))


@contextmanager
def killer(scene: Scene) -> Iterator[None]:
    """Kills the operator a moment after it is entered, and its successor when that has worked for a while."""
    over = threading.Event()

    def kill() -> None:
        over.wait(AT_ONCE)
        scene.kill_operator()
        scene.operator_is_back()
        if not over.wait(LATER):
            scene.kill_operator()
            scene.operator_is_back()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _placed(body: Body, namespace: str) -> Body:
    return body | {"metadata": body["metadata"] | {"namespace": namespace}}


def _holds(found: Any, wished: Any) -> bool:
    """Whether everything that was wished is there; defaults may have come to it."""
    if isinstance(wished, dict):
        return isinstance(found, dict) and all(key in found and _holds(found[key], value) for key, value in wished.items())
    if isinstance(wished, list):
        return len(found) == len(wished) and all(_holds(*pair) for pair in zip(found, wished, strict=True))
    return bool(found == wished)


def _writes_spec(body: Body) -> bool:
    return any(
        each["manager"] == "weighbridge" and "f:spec" in each.get("fieldsV1", {}) for each in body["metadata"]["managedFields"]
    )
