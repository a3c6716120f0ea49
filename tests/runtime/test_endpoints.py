"""The two HTTP servers and what they say."""

import socket
from contextlib import AsyncExitStack

import aiohttp

from weighbridge.api.base import API_VERSION, Key
from weighbridge.runtime import endpoints
from weighbridge.runtime.metrics import Metrics
from weighbridge.runtime.queue import Queue
from weighbridge.runtime.store import ObjectStore
from weighbridge.settings import Address

OFF = Address("", 0)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_ready_means_that_the_lists_are_in_and_health_does_not_wait_for_them() -> None:
    store = ObjectStore()
    queue: Queue[Key] = Queue(lambda key: key)
    state = {"ready": False}
    port = free_port()
    async with AsyncExitStack() as stack:
        await endpoints.serve(stack, Metrics(queue, store), lambda: state["ready"], OFF, Address("127.0.0.1", port))
        assert (await get(port, "/healthz"))[0] == 200
        assert (await get(port, "/readyz"))[0] == 503
        state["ready"] = True
        assert (await get(port, "/readyz"))[0] == 200
        assert (await get(port, "/metrics"))[0] == 404


async def test_metrics_tell_the_state_of_the_objects_at_the_moment_of_asking() -> None:
    store = ObjectStore()
    queue: Queue[Key] = Queue(lambda key: key)
    metrics = Metrics(queue, store)
    drift = [{"type": "Pointer", "message": "", "since": "2026-01-01T00:00:00Z"}]
    ready = {"type": "Ready", "status": "False", "reason": "RolledBack", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    spec = {"source": {"registryRef": {"name": "r"}, "name": "m", "version": "7"}}
    for number, status in enumerate(({"drift": drift, "conditions": [ready]}, {"conditions": [ready]}, {})):
        meta = {"name": f"secret-name-{number}", "namespace": "fraud", "uid": str(number), "resourceVersion": "1"}
        store.put({"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": meta, "spec": spec, "status": status})
    queue.add(Key("ModelVersion", "fraud", "secret-name-0"))
    metrics.registry_request("model", "ok", 0.1)
    port = free_port()
    async with AsyncExitStack() as stack:
        await endpoints.serve(stack, metrics, lambda: True, Address("127.0.0.1", port), OFF)
        _, text = await get(port, "/metrics")
    lines = set(text.splitlines())
    assert 'weighbridge_resources{kind="ModelVersion",ready="False",reason="RolledBack"} 2.0' in lines
    assert 'weighbridge_resources{kind="ModelVersion",ready="Unknown",reason=""} 1.0' in lines
    assert 'weighbridge_modelversion_drift{namespace="fraud",type="Pointer"} 1.0' in lines
    assert "weighbridge_queue_depth 1.0" in lines
    assert 'weighbridge_registry_requests_total{operation="model",outcome="ok"} 1.0' in lines
    assert "secret-name" not in text, "names of objects are no labels"
