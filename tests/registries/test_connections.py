"""The guard with the adapter that a ModelRegistry's spec asks for, on the real registry."""

import asyncio
from datetime import UTC, datetime

from tests.registries.benches import LOCAL
from tests.registries.mlflowserver import MlflowServer
from weighbridge.api.base import Key, LocalRef, ObjectMeta
from weighbridge.api.modelregistry import ModelRegistry
from weighbridge.api.references import ModelReference
from weighbridge.core.facts import Failed, Known, Pending, WriteOrder
from weighbridge.registries.guard import GuardedRegistries

ASKER = Key("ModelVersion", "ns", "a")


async def no_secret(namespace: str, name: str) -> None:
    return None


async def test_from_spec_to_a_written_tag(mlflow_server: MlflowServer) -> None:
    name = mlflow_server.new_name()
    version = await asyncio.to_thread(mlflow_server.register, name)
    woken: asyncio.Queue[Key] = asyncio.Queue()
    guard = GuardedRegistries(no_secret, woken.put_nowait, lambda: datetime(2026, 1, 1, tzinfo=UTC), allow=LOCAL)
    registry = ModelRegistry(metadata=ObjectMeta(name="r", namespace="ns", uid="u"), spec={"mlflow": {"url": mlflow_server.url}})
    reference = ModelReference(registry_ref=LocalRef(name="r"), name=name, version=version)
    async with asyncio.timeout(60):
        assert guard.model(registry, reference, ASKER, 60) == Pending()
        assert await woken.get() == ASKER
        found = guard.model(registry, reference, ASKER, 60)
        assert isinstance(found, Known)
        guard.write(registry, WriteOrder(found.value.pin, {"weighbridge.dev/state": "Serving"}, "champion"), ASKER)
        await woken.get()
        written = guard.model(registry, reference, ASKER, 60)
        assert isinstance(written, Known)
        assert (written.value.tags, written.value.aliases) == ({"weighbridge.dev/state": "Serving"}, {"champion"})
        await guard.close()


async def test_loopback_is_refused_unless_allowed(mlflow_server: MlflowServer) -> None:
    woken: asyncio.Queue[Key] = asyncio.Queue()
    guard = GuardedRegistries(no_secret, woken.put_nowait, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    registry = ModelRegistry(metadata=ObjectMeta(name="r", namespace="ns", uid="u"), spec={"mlflow": {"url": mlflow_server.url}})
    async with asyncio.timeout(60):
        guard.server(registry, ASKER, 60)
        await woken.get()
        failed = guard.server(registry, ASKER, 60)
        await guard.close()
    assert isinstance(failed, Failed)
    assert failed.reason == "AddressRefused"
