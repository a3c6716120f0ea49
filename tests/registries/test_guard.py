"""The front to all registries: answers at once, one question for many askers, failures that stay where they are. Time is set by the
tests; adapters are small and answer when the test lets them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from weighbridge.api.base import Key, LocalRef, ObjectMeta
from weighbridge.api.modelregistry import ModelRegistry
from weighbridge.api.references import DatasetPin, DatasetReference, Lineage, ModelPin, ModelReference
from weighbridge.core.facts import Absent, Failed, Known, ModelSnapshot, Pending, ServerInfo, WriteOrder
from weighbridge.registries.base import EntryFailed, Registry, RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.guard import GuardedRegistries
from weighbridge.registries.rate import NORMAL, Limit

START = datetime(2026, 1, 1, tzinfo=UTC)
SHA = f"sha256:{'0' * 64}"
ASKER = Key("ModelVersion", "ns", "a")
OTHER = Key("ModelVersion", "ns", "b")


def ref(name: str = "m", version: str | None = "1", alias: str | None = None) -> ModelReference:
    return ModelReference(registry_ref=LocalRef(name="r"), name=name, version=version, alias=alias)


def pin(name: str = "m", version: str = "1") -> ModelPin:
    return ModelPin(
        registry="r", name=name, version=version, uri=f"models:/{name}/{version}", created_at=START, fingerprint=SHA, digest=SHA
    )


def mreg(name: str = "r", uid: str = "u1", generation: int = 1, **spec: Any) -> ModelRegistry:
    meta = ObjectMeta(name=name, namespace="ns", uid=uid, generation=generation)
    return ModelRegistry(metadata=meta, spec={"mlflow": {"url": "http://mlflow"}, **spec})


class World:
    """What the registries say, who was woken, and the clock."""

    def __init__(self, limit: Limit = NORMAL) -> None:
        self.time = START
        self.calls: list[str] = []
        self.credentials: list[Credentials | None] = []
        self.closed = 0
        self.trouble: Exception | None = None
        self.troubles: dict[str, Exception] = {}
        """Of one operation: `server`, `model`, `dataset`, `write`."""
        self.tags: dict[str, str] = {}
        self.gate = threading.Event()
        """Adapters answer while it is set."""
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.secrets: dict[str, Mapping[str, str] | None] = {}
        self.secret_reads = 0
        self.secret_trouble: Exception | None = None
        self.woken: asyncio.Queue[Key] = asyncio.Queue()
        self.observed: list[tuple[str, str]] = []
        self.guard = GuardedRegistries(
            self.secret,
            self.woken.put_nowait,
            lambda: self.time,
            observe=lambda _kind, operation, outcome, _seconds: self.observed.append((operation, outcome)),
            connect=self.connect,
            limit=limit,
        )

    def connect(self, registry: ModelRegistry, credentials: Credentials | None, *_: object) -> Registry:
        self.credentials.append(credentials)
        return Desk(self)

    async def secret(self, namespace: str, name: str) -> Mapping[str, str] | None:
        self.secret_reads += 1
        if self.secret_trouble is not None:
            raise self.secret_trouble
        return self.secrets.get(name)

    async def answer(self, ask: Callable[[], Any]) -> Any:
        """Asks, waits until the asker is woken, and asks again."""
        assert not isinstance(ask(), Known)
        await self.wake()
        return ask()

    async def wake_all(self) -> None:
        while not self.woken.empty():
            await self.wake()

    async def wake(self) -> Key:
        async with asyncio.timeout(30):
            return await self.woken.get()

    def later(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Desk:
    """An adapter that says what the world says."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _serve(self, what: str) -> None:
        self._world.calls.append(what)
        self._world.entered.release()
        assert self._world.gate.wait(30)
        trouble = self._world.troubles.get(what.split(maxsplit=1)[0], self._world.trouble)
        if trouble is not None:
            raise trouble

    def server(self) -> ServerInfo:
        self._serve("server")
        return ServerInfo("1")

    def model(self, ref: ModelReference) -> ModelSnapshot:
        self._serve(f"model {ref.name} {ref.version or ref.alias}")
        return ModelSnapshot(pin(ref.name, ref.version or "1"), Lineage(), dict(self._world.tags), frozenset())

    def dataset(self, ref: DatasetReference) -> DatasetPin:
        self._serve(f"dataset {ref.path}")
        return DatasetPin(name=ref.name, registry="r", path=ref.path, revision="1", uri="u", fingerprint=SHA, digest=SHA)

    def write(self, order: WriteOrder) -> None:
        self._serve(f"write {dict(order.tags)}")
        self._world.tags = dict(order.tags)

    def close(self) -> None:
        self._world.closed += 1


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    yield found
    found.gate.set()
    await found.guard.close()


async def test_answers_at_once_and_wakes(world: World) -> None:
    registry, guard = mreg(), world.guard
    assert guard.model(registry, ref(), ASKER, 60) == Pending()
    assert await world.wake() == ASKER
    found = guard.model(registry, ref(), ASKER, 60)
    assert isinstance(found, Known)
    assert (found.value.pin, found.at) == (pin(), START)
    dataset = DatasetReference(name="d", registry_ref=LocalRef(name="r"), path="p")
    assert isinstance(await world.answer(lambda: guard.dataset(registry, dataset, ASKER, 60)), Known)
    assert isinstance(await world.answer(lambda: guard.server(registry, ASKER, 60)), Known)
    assert world.calls == ["model m 1", "dataset p", "server"]
    assert world.observed == [("model", "Known"), ("dataset", "Known"), ("server", "Known")]


async def test_one_question_is_asked_once_for_all_who_ask(world: World) -> None:
    registry = mreg()
    world.gate.clear()
    for _ in range(5):
        world.guard.model(registry, ref(), ASKER, 60)
        world.guard.model(registry, ref(), OTHER, 60)
    world.gate.set()
    assert {await world.wake(), await world.wake()} == {ASKER, OTHER}
    assert isinstance(world.guard.model(registry, ref(), OTHER, 60), Known)
    assert (world.calls, world.woken.empty()) == (["model m 1"], True)


async def test_an_old_answer_stands_until_the_new_one_is_there(world: World) -> None:
    registry = mreg()
    first = await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    world.later(60)
    assert world.guard.model(registry, ref(), ASKER, 60) == first
    world.later(1)
    assert world.guard.model(registry, ref(), ASKER, 60) == first
    await world.wake()
    second = world.guard.model(registry, ref(), ASKER, 60)
    assert isinstance(second, Known)
    assert (second.at, len(world.calls)) == (world.time, 2)


async def test_a_no_is_remembered_like_an_answer(world: World) -> None:
    registry = mreg()
    world.trouble = RegistryAbsent("VersionNotFound", "no version 1")
    assert await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60)) == Absent(
        "VersionNotFound", "no version 1", START
    )
    world.trouble = None
    assert isinstance(world.guard.model(registry, ref(), ASKER, 60), Absent)
    world.later(61)
    await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    assert isinstance(world.guard.model(registry, ref(), ASKER, 60), Known)


async def test_failure_replaces_an_older_answer_and_nothing_is_sent_before_its_time(world: World) -> None:
    registry = mreg()
    await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    world.later(61)
    world.trouble = RegistryFailed("RateLimited", "slow down", 17)
    world.guard.model(registry, ref(), ASKER, 60)
    await world.wake()
    failed = world.guard.model(registry, ref(), ASKER, 60)
    assert failed == Failed("RateLimited", "slow down", world.time, 17)
    world.later(16)
    assert world.guard.model(registry, ref(), ASKER, 60) == Failed("RateLimited", "slow down", world.time, 1)
    never_asked = world.guard.model(registry, ref("another"), OTHER, 60)
    assert isinstance(never_asked, Failed)
    assert len(world.calls) == 2
    world.trouble = None
    world.later(1)
    assert isinstance(world.guard.model(registry, ref(), ASKER, 60), Failed)
    await world.wake()
    assert isinstance(world.guard.model(registry, ref(), ASKER, 60), Known)


async def test_what_was_queued_when_it_failed_is_not_sent(world: World) -> None:
    registry = mreg()
    world.gate.clear()
    for number in range(20):
        world.guard.model(registry, ref(version=str(number)), ASKER, 60)
    for _ in range(4):
        await asyncio.to_thread(world.entered.acquire)
    world.trouble = RegistryFailed("RateLimited", "slow down", 30)
    world.gate.set()
    for _ in range(20):
        await world.wake()
    assert len(world.calls) == 4
    assert all(isinstance(world.guard.model(registry, ref(version=str(n)), ASKER, 60), Failed) for n in range(20))


async def test_trouble_of_one_version_is_not_the_trouble_of_others(world: World) -> None:
    registry = mreg()
    world.trouble = RegistryFailed("ModelNotReady", "wait")
    assert isinstance(await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60)), Failed)
    world.trouble = None
    assert isinstance(await world.answer(lambda: world.guard.model(registry, ref(version="2"), ASKER, 60)), Known)


async def test_a_stuck_registry_leaves_others_alone(world: World) -> None:
    world.gate.clear()
    for number in range(10):
        world.guard.model(mreg("stuck", "u-stuck"), ref(version=str(number)), OTHER, 60)
    for _ in range(4):
        await asyncio.to_thread(world.entered.acquire)
    assert len(world.calls) == 4
    quick = World()
    world.guard._connect = quick.connect
    for number in range(10, 500):
        world.guard.model(mreg("stuck", "u-stuck"), ref(version=str(number)), OTHER, 60)
    assert isinstance(world.guard.model(mreg("quick", "u-quick"), ref(), ASKER, 60), Pending)
    assert await world.wake() == ASKER
    assert isinstance(world.guard.model(mreg("quick", "u-quick"), ref(), ASKER, 60), Known)


async def test_changed_spec_forgets_and_wakes_who_waits(world: World) -> None:
    world.gate.clear()
    world.guard.model(mreg(), ref(), ASKER, 60)
    await asyncio.to_thread(world.entered.acquire)
    assert world.guard.model(mreg(generation=2), ref(), OTHER, 60) == Pending()
    assert await world.wake() == ASKER
    world.gate.set()
    assert await world.wake() == OTHER
    assert isinstance(world.guard.model(mreg(generation=2), ref(), ASKER, 60), Known)
    assert isinstance(world.guard.model(mreg(generation=1), ref(), ASKER, 60), Known)  # seen late: still the newer one
    assert world.guard.model(mreg(uid="u2"), ref(), ASKER, 60) == Pending()


async def test_unused_registries_are_let_go(world: World) -> None:
    await world.answer(lambda: world.guard.server(mreg("old", "u-old"), ASKER, 60))
    world.later(3601)
    await world.answer(lambda: world.guard.server(mreg("new", "u-new"), ASKER, 60))
    await asyncio.gather(*world.guard._closing)
    assert (world.closed, list(world.guard._kept)) == (1, [("ns", "new")])


async def test_memory_is_bounded() -> None:
    world, registry = World(Limit(per_second=1e9, burst=10_000)), mreg()
    for number in range(10_000):
        world.guard.last_write(registry, Key("ModelVersion", "ns", str(number)))
        world.guard.model(registry, ref(version=str(number)), ASKER, 60)
        if number % 500 == 499:
            for _ in range(500):
                await world.wake()
    world.guard.model(registry, ref("last"), ASKER, 60)
    bulkhead = world.guard._bulkhead(registry)
    assert len(bulkhead._answers) <= 4096
    assert len(bulkhead._writings) == 0
    assert isinstance(world.guard.model(registry, ref(version="9999"), ASKER, 60), Known)
    await world.guard.close()


async def test_credentials_by_role(world: World) -> None:
    world.secrets = {"admin": {"K": "admin"}, "reader": {"K": "reader"}}
    registry = mreg(credentials_secret_ref={"name": "admin"}, workload_credentials_secret_ref={"name": "reader"})
    await world.answer(lambda: world.guard.server(registry, ASKER, 60))
    await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    world.guard.write(registry, WriteOrder(pin(), {"t": "1"}, None), ASKER)
    await world.wake()
    assert [dict(each or {}) for each in world.credentials] == [{"K": "admin"}, {"K": "reader"}]


async def test_secret_is_read_when_used_and_again_after_half_a_minute(world: World) -> None:
    world.secrets = {"s": {"K": "1"}}
    registry = mreg(credentials_secret_ref={"name": "s"})
    await world.answer(lambda: world.guard.server(registry, ASKER, 5))
    world.secrets = {"s": {"K": "2"}}
    for seconds, reads in ((20, 1), (11, 2)):
        world.later(seconds)
        world.guard.server(registry, ASKER, 5)
        await world.wake()
        assert world.secret_reads == reads
    assert [dict(each or {}) for each in world.credentials] == [{"K": "1"}, {"K": "2"}]
    await asyncio.sleep(0)
    assert world.closed == 1


async def test_missing_secret(world: World) -> None:
    registry = mreg(credentials_secret_ref={"name": "s"})
    failed = await world.answer(lambda: world.guard.server(registry, ASKER, 60))
    assert isinstance(failed, Failed)
    assert (failed.reason, "Secret s" in failed.message, failed.retry_after) == ("SecretNotFound", True, 1)
    world.secrets = {"s": {"K": "1"}}
    world.later(1)
    await world.answer(lambda: world.guard.server(registry, ASKER, 60))
    assert isinstance(world.guard.server(registry, ASKER, 60), Known)


async def test_secret_that_cannot_be_read(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world.secret_trouble = RuntimeError("canary")
    failed = await world.answer(lambda: world.guard.server(mreg(credentials_secret_ref={"name": "s"}), ASKER, 60))
    assert isinstance(failed, Failed)
    assert (failed.reason, "canary" in failed.message, "canary" in caplog.text) == ("SecretUnavailable", False, False)


async def test_secret_of_the_workload_does_not_hold_up_the_operator(world: World) -> None:
    world.secrets = {"admin": {"K": "1"}}
    registry = mreg(credentials_secret_ref={"name": "admin"}, workload_credentials_secret_ref={"name": "reader"})
    failed = await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    assert (failed.reason, world.calls) == ("SecretNotFound", [])
    assert isinstance(await world.answer(lambda: world.guard.server(registry, ASKER, 60)), Known)


def test_credentials_do_not_print() -> None:
    secret = Credentials({"MLFLOW_TRACKING_TOKEN": "canary"})
    assert "canary" not in f"{secret} {secret!r} {[secret]}"


async def test_unknown_trouble_stays_private(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world.trouble = ZeroDivisionError("canary")
    failed = await world.answer(lambda: world.guard.model(mreg(), ref(), ASKER, 60))
    assert isinstance(failed, Failed)
    assert failed.reason == "AdapterFailed"
    assert "canary" not in failed.message + caplog.text
    caplog.set_level("DEBUG")
    world.later(2)
    world.guard.model(mreg(), ref(), ASKER, 60)
    await world.wake()
    assert "canary" in caplog.text


async def test_write_brings_the_answers_up_to_date_before_it_wakes(world: World) -> None:
    registry = mreg()
    await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    world.guard.write(registry, WriteOrder(pin(), {"t": "1"}, "champion"), ASKER)
    assert await world.wake() == ASKER
    found = world.guard.model(registry, ref(), ASKER, 60)
    assert isinstance(found, Known)
    assert found.value.tags == {"t": "1"}
    assert world.guard.last_write(registry, ASKER) is None
    assert world.calls == ["model m 1", "write {'t': '1'}", "model m 1"]


async def test_write_makes_other_versions_of_the_model_be_read_anew(world: World) -> None:
    registry = mreg()
    await world.answer(lambda: world.guard.model(registry, ref(version="2"), OTHER, 60))
    world.guard.write(registry, WriteOrder(pin(), {"t": "1"}, "champion"), ASKER)
    assert await world.wake() == ASKER
    world.guard.model(registry, ref(version="2"), OTHER, 60)
    assert await world.wake() == OTHER
    assert world.calls[-1] == "model m 2"


async def test_same_order_is_not_written_twice_and_the_newest_wins(world: World) -> None:
    registry = mreg()
    world.gate.clear()
    orders = [WriteOrder(pin(), {"t": str(number)}, None) for number in range(4)]
    world.guard.write(registry, orders[0], ASKER)
    await asyncio.to_thread(world.entered.acquire)
    for order in (orders[0], orders[1], orders[2], orders[3]):
        world.guard.write(registry, order, ASKER)
    world.gate.set()
    await world.wake()
    assert world.calls == ["write {'t': '0'}", "write {'t': '3'}"]
    world.guard.write(registry, orders[1], ASKER)
    world.guard.write(registry, orders[2], ASKER)
    world.guard.write(registry, orders[1], ASKER)
    await world.wake()
    assert world.tags == {"t": "1"}


async def test_failed_write_is_told_and_not_repeated_before_its_time(world: World) -> None:
    registry, order = mreg(), WriteOrder(pin(), {"t": "1"}, None)
    world.trouble = RegistryFailed("WriteForbidden", "grant EDIT")
    world.guard.write(registry, order, ASKER)
    await world.wake()
    failed = Failed("WriteForbidden", "grant EDIT", START, 1)
    assert world.guard.last_write(registry, ASKER) == failed
    assert world.guard.last_write(registry, OTHER) is None
    world.guard.write(registry, order, ASKER)
    assert world.guard.last_write(registry, ASKER) == failed
    world.later(1)
    world.trouble = None
    world.guard.write(registry, order, ASKER)
    await world.wake()
    assert world.guard.last_write(registry, ASKER) is None
    assert world.calls == ["write {'t': '1'}"] * 2


async def test_an_adapter_that_never_ends_is_given_up(world: World) -> None:
    """The deadline is the real clock's: six requests of a second and five seconds of grace would be too long for a test."""
    registry = mreg()
    world.guard.server(registry, ASKER, 60)
    await world.wake()
    world.guard._bulkhead(registry)._line._deadline = 0.05
    world.gate.clear()
    world.later(61)
    world.guard.server(registry, ASKER, 60)
    await world.wake()
    failed = world.guard.server(registry, ASKER, 60)
    assert isinstance(failed, Failed)
    assert failed.reason == "RegistryUnavailable"


async def test_close_wakes_who_waits_and_closes_adapters_when_they_are_done(world: World) -> None:
    world.gate.clear()
    world.guard.model(mreg(), ref(), ASKER, 60)
    await asyncio.to_thread(world.entered.acquire)
    await world.guard.close()
    assert (await world.wake(), world.closed) == (ASKER, 0)
    done = asyncio.get_running_loop().create_future()
    original = Desk.close

    def close(desk: Desk) -> None:
        original(desk)
        done.set_result(None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "close", close)
        world.gate.set()
        async with asyncio.timeout(30):
            await done
    assert world.closed == 1


def objects(count: int) -> list[Key]:
    return [Key("EvaluationJob", "ns", f"e{number}") for number in range(count)]


async def test_five_hundred_objects_on_one_model_cost_two_questions_a_minute(world: World) -> None:
    """Ten minutes, each object looking every five seconds and wanting nothing older than half a minute, as before something is
    begun."""
    registry, askers, minutes = mreg(), objects(500), list[int]()
    for _ in range(10):
        before = len(world.calls)
        for _ in range(12):
            for asker in askers:
                world.guard.model(registry, ref(), asker, 30)
            await asyncio.gather(*world.guard._bulkhead(registry)._tasks)
            world.later(5)
        minutes.append(len(world.calls) - before)
    assert set(world.calls) == {"model m 1"}
    assert max(minutes) <= 2
    assert sum(minutes) >= 17, "they do get what they want"


async def test_many_models_are_asked_for_at_the_rate_of_the_registry(world: World) -> None:
    registry = mreg()
    for number in range(30):
        world.guard.model(registry, ref(f"m{number}"), Key("ModelVersion", "ns", str(number)), 60)
    woken = {await world.wake() for _ in range(20)}
    assert (len(woken), len(world.calls)) == (20, 20)
    for seconds, most in ((0.4, 22), (1.0, 27), (1000, 30)):
        world.later(seconds)
        woken |= {await world.wake() for _ in range(most - len(woken))}
        assert (len(woken), len(world.calls)) == (most, most)


async def test_the_rate_of_one_registry_is_not_that_of_another(world: World) -> None:
    for number in range(40):
        world.guard.model(mreg("busy", "u-busy"), ref(f"m{number}"), OTHER, 60)
    for _ in range(20):
        await world.wake()
    assert world.guard.model(mreg("quiet", "u-quiet"), ref("quiet"), ASKER, 60) == Pending()
    assert await world.wake() == ASKER
    assert world.calls[20:] == ["model quiet 1"]


async def test_who_is_about_to_act_does_not_wait_behind_a_crowd_that_polls(world: World) -> None:
    registry, crowd = mreg(), [f"m{number}" for number in range(20)]
    for name in crowd:
        await world.answer(lambda name=name: world.guard.model(registry, ref(name), OTHER, 300))  # type: ignore[misc]
        world.later(1)
    world.later(301)
    world.calls.clear()
    world.gate.clear()
    for name in crowd:
        world.guard.model(registry, ref(name), OTHER, 300)
    await started(world, 4)
    world.guard.model(registry, ref("m19"), ASKER, 30)  # is queued already, and somebody is about to act on it
    world.guard.model(registry, ref("new"), ASKER, 300)
    world.guard.write(registry, WriteOrder(pin("other"), {"t": "1"}, None), ASKER)
    world.gate.set()
    await started(world, 20)
    assert sorted(world.calls[:4]) == [f"model m{number} 1" for number in range(4)]
    assert {"write {'t': '1'}", "model m19 1", "model new 1"} < set(world.calls[4:8]), "four threads take up the next four at once"


async def started(world: World, calls: int) -> None:
    async with asyncio.timeout(30):
        while len(world.calls) < calls:  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.001)


async def test_a_crowd_learns_of_an_outage_at_once(world: World) -> None:
    """The rate is for what is sent; what is not sent any more does not wait for it."""
    registry, askers = mreg(), objects(500)
    world.trouble = RegistryFailed("RegistryUnavailable", "down", 600)
    for number, asker in enumerate(askers):
        world.guard.model(registry, ref(f"m{number}"), asker, 60)
    assert {await world.wake() for _ in askers} == set(askers)
    assert len(world.calls) <= 4
    for number, asker in enumerate(askers):
        failed = world.guard.model(registry, ref(f"m{number}"), asker, 60)
        assert isinstance(failed, Failed)
        assert (failed.reason, failed.message, failed.retry_after) == ("RegistryUnavailable", "down (until 00:10 UTC)", 600)


async def test_a_hanging_registry_is_given_up_once_for_all(world: World) -> None:
    """All four threads are held; whoever asks about whatever is told so after the first deadline, and nothing more is sent."""
    registry, askers = mreg(), objects(50)
    world.guard._bulkhead(registry)._line._deadline = 0.1
    world.gate.clear()
    for number, asker in enumerate(askers):
        world.guard.model(registry, ref(f"m{number % 10}"), asker, 60)
    assert {await world.wake() for _ in askers} == set(askers)
    assert len(world.calls) == 4
    for number in range(12):
        failed = world.guard.model(registry, ref(f"m{number}"), ASKER, 60)
        assert isinstance(failed, Failed)
        assert (failed.reason, failed.retry_after) == ("RegistryUnavailable", 1)
    assert len(world.calls) == 4


async def test_credentials_refused_to_one_role_do_not_hold_up_the_other(world: World) -> None:
    registry = mreg()
    world.troubles = {"model": RegistryFailed("Unauthorized", "correct the reader's token")}
    failed = await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60))
    assert (failed.reason, failed.retry_after) == ("Unauthorized", 1)
    other = world.guard.model(registry, ref("another"), OTHER, 60)
    assert isinstance(other, Failed), "the same credentials: not tried before its time"
    world.guard.write(registry, WriteOrder(pin(), {"t": "1"}, None), ASKER)
    await world.wake()
    assert world.guard.last_write(registry, ASKER) is None
    assert isinstance(await world.answer(lambda: world.guard.server(registry, ASKER, 60)), Known)
    assert world.calls == ["model m 1", "write {'t': '1'}", "server"]


async def test_what_the_registry_cannot_keep_is_tried_once_an_hour(world: World) -> None:
    registry, tried = mreg(), 0
    world.troubles = {"write": RegistryFailed("WriteBackUnsupported", "this registry keeps no such thing")}
    for minute in range(150):
        world.guard.write(registry, WriteOrder(pin(), {"minute": str(minute)}, None), ASKER)
        await asyncio.gather(*world.guard._bulkhead(registry)._tasks)
        failed = world.guard.last_write(registry, ASKER)
        assert isinstance(failed, Failed)
        tried = sum(call.startswith("write") for call in world.calls)
        world.later(60)
    assert tried == 3
    assert failed.retry_after == 3600
    await world.wake_all()
    assert isinstance(await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 60)), Known), "reading is no trouble"


async def test_a_hint_makes_the_named_be_asked_again_and_nothing_else(world: World) -> None:
    registry, dataset = mreg(), DatasetReference(name="d", registry_ref=LocalRef(name="r"), path="Org/Data")
    for ask in (
        lambda: world.guard.model(registry, ref(), ASKER, 300),
        lambda: world.guard.model(registry, ref(version=None, alias="champion"), ASKER, 300),
        lambda: world.guard.model(registry, ref("other"), ASKER, 300),
        lambda: world.guard.dataset(registry, dataset, ASKER, 300),
        lambda: world.guard.server(registry, ASKER, 300),
    ):
        await world.answer(ask)

    async def asked_again(names: frozenset[str] | None) -> set[str]:
        world.later(60)
        world.calls.clear()
        assert world.guard.hint(registry, names) == 0
        assert world.calls == [], "a hint itself sends nothing"
        world.guard.model(registry, ref(), ASKER, 300)
        world.guard.model(registry, ref(version=None, alias="champion"), ASKER, 300)
        world.guard.model(registry, ref("other"), ASKER, 300)
        world.guard.dataset(registry, dataset, ASKER, 300)
        world.guard.server(registry, ASKER, 300)
        await asyncio.gather(*world.guard._bulkhead(registry)._tasks)
        return set(world.calls)

    assert await asked_again(frozenset({"m"})) == {"model m 1", "model m champion"}
    assert await asked_again(frozenset({"org/data"})) == {"dataset Org/Data"}
    assert await asked_again(frozenset({"nobody"})) == set()
    assert await asked_again(None) == {"model m 1", "model m champion", "model other 1", "dataset Org/Data", "server"}


async def test_a_flood_of_hints_costs_one_question_in_five_seconds_and_none_is_lost(world: World) -> None:
    registry = mreg()
    await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 300))
    waits = list[float]()
    for _ in range(100):  # ten seconds
        waits.append(world.guard.hint(registry, frozenset({"m"})))
        world.guard.model(registry, ref(), ASKER, 300)
        await asyncio.gather(*world.guard._bulkhead(registry)._tasks)
        world.later(0.1)
    assert len(world.calls) == 1 + 2
    assert (waits[0], round(waits[1], 1), round(waits[49], 1), round(waits[50], 1)) == (0, 4.9, 0.1, 0)
    world.tags = {"changed": "at last"}
    world.later(world.guard.hint(registry, frozenset({"m"})))
    await world.wake_all()
    world.guard.model(registry, ref(), ASKER, 300)
    await world.wake()
    found = world.guard.model(registry, ref(), ASKER, 300)
    assert isinstance(found, Known)
    assert found.value.tags == {"changed": "at last"}


async def test_a_hint_during_a_question_is_followed_after_it(world: World) -> None:
    """The question may have been answered before what the hint speaks of."""
    registry = mreg()
    world.gate.clear()
    world.guard.model(registry, ref(), ASKER, 300)
    await asyncio.to_thread(world.entered.acquire)
    world.guard.hint(registry, frozenset({"m"}))
    world.gate.set()
    await world.wake()
    world.guard.model(registry, ref(), ASKER, 300)
    await world.wake()
    assert world.calls == ["model m 1", "model m 1"]
    world.guard.model(registry, ref(), ASKER, 300)
    assert all(task.done() for task in world.guard._bulkhead(registry)._tasks)


async def test_a_hint_does_not_ask_a_failing_registry_before_its_time(world: World) -> None:
    registry = mreg()
    world.trouble = RegistryFailed("RegistryUnavailable", "down", 30)
    await world.answer(lambda: world.guard.model(registry, ref(), ASKER, 300))
    world.guard.hint(registry, None)
    assert isinstance(world.guard.model(registry, ref(), ASKER, 300), Failed)
    assert len(world.calls) == 1
    assert world.guard.hint(mreg(uid="another"), None) == 0
    assert world.guard.hint(mreg("never asked"), None) == 0


async def test_what_is_odd_about_one_entry_holds_no_other_back(world: World) -> None:
    registry, guard = mreg(), world.guard
    world.trouble = EntryFailed("RegistryMisconfigured", "describes a commit in a way nobody does")
    failed = await world.answer(lambda: guard.model(registry, ref("odd"), ASKER, 60))
    assert isinstance(failed, Failed)
    world.trouble = None
    assert isinstance(await world.answer(lambda: guard.model(registry, ref("good"), OTHER, 60)), Known)
    world.trouble = RegistryFailed("RegistryMisconfigured", "a login page")
    assert isinstance(await world.answer(lambda: guard.model(registry, ref("page"), ASKER, 60)), Failed)
    assert isinstance(guard.model(registry, ref("another"), OTHER, 60), Failed)
