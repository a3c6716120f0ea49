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
from weighbridge.registries.base import Registry, RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.guard import GuardedRegistries

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

    def __init__(self) -> None:
        self.time = START
        self.calls: list[str] = []
        self.credentials: list[Credentials | None] = []
        self.closed = 0
        self.trouble: Exception | None = None
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
            observe=lambda operation, outcome, _: self.observed.append((operation, outcome)),
            connect=self.connect,
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
        if self._world.trouble is not None:
            raise self._world.trouble

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


async def test_memory_is_bounded(world: World) -> None:
    registry = mreg()
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
