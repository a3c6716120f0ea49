"""The two HTTP servers and what they say."""

import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

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


def version(number: int, **status: Any) -> dict[str, Any]:
    meta = {"name": f"fraud-{number}", "namespace": "ns", "uid": str(number), "resourceVersion": "1"}
    spec = {"source": {"registryRef": {"name": "r"}, "name": "m", "version": "7"}}
    return {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": meta, "spec": spec, "status": status}


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}


async def told(metrics: Metrics) -> set[str]:
    """What Prometheus would read."""
    port = free_port()
    async with AsyncExitStack() as stack:
        await endpoints.serve(stack, metrics, lambda: True, Address("127.0.0.1", port), OFF)
        _, text = await get(port, "/metrics")
    return set(text.splitlines())


async def test_metrics_tell_the_state_of_the_objects_at_the_moment_of_asking() -> None:
    store = ObjectStore()
    queue: Queue[Key] = Queue(lambda key: key)
    metrics = Metrics(queue, store)
    ready = condition("Ready", "False", "RolledBack")
    for number, status in enumerate(({"conditions": [ready]}, {"conditions": [ready]}, {})):
        store.put(version(number, **status))
    queue.add(Key("ModelVersion", "ns", "fraud-0"))
    metrics.registry_request("mlflow", "model", "Known", 0.1)
    metrics.rolled_back("RolloutFailed", 0.1)
    lines = await told(metrics)
    assert 'weighbridge_resources{kind="ModelVersion",ready="False",reason="RolledBack"} 2.0' in lines
    assert 'weighbridge_resources{kind="ModelVersion",ready="Unknown",reason=""} 1.0' in lines
    assert "weighbridge_queue_depth 1.0" in lines
    assert 'weighbridge_registry_requests_total{operation="model",outcome="Known",registry="mlflow"} 1.0' in lines
    assert 'weighbridge_rollbacks_total{reason="RolloutFailed"} 1.0' in lines
    assert "weighbridge_rollback_seconds_count 1.0" in lines


async def test_what_is_said_of_a_version_goes_with_what_it_was_said_of() -> None:
    store = ObjectStore()
    metrics = Metrics(Queue(lambda key: key), store)
    drift = [{"type": "Pointer", "message": "", "since": "2026-01-01T00:00:00Z"}]
    bodies = [
        version(0, phase="Serving", drift=drift, conditions=[condition("RollbackReady", "True", "StandbyReady")]),
        version(1, phase="Superseded", conditions=[condition("RollbackReady", "False", "VersionNotFound")]),
        version(2, phase="Superseded", conditions=[condition("RollbackReady", "Unknown", "Checking")]),
    ]
    for body in bodies:
        store.put(body)
    what = 'model="m",version="",registry="r",stage="Candidate"'
    metrics.checked(Key("ModelVersion", "ns", "fraud-0"), datetime(2026, 1, 1, tzinfo=UTC))
    lines = {line for line in await told(metrics) if line.startswith("weighbridge_modelversion_")}
    assert lines == {
        'weighbridge_modelversion_phase{name="fraud-0",namespace="ns",phase="Serving"} 1.0',
        'weighbridge_modelversion_phase{name="fraud-1",namespace="ns",phase="Superseded"} 1.0',
        'weighbridge_modelversion_phase{name="fraud-2",namespace="ns",phase="Superseded"} 1.0',
        'weighbridge_modelversion_rollback_ready{name="fraud-0",namespace="ns"} 1.0',
        'weighbridge_modelversion_rollback_ready{name="fraud-1",namespace="ns"} 0.0',
        'weighbridge_modelversion_drift{name="fraud-0",namespace="ns",type="Pointer"} 1.0',
        'weighbridge_modelversion_last_check_timestamp_seconds{name="fraud-0",namespace="ns"} 1767225600.0',
        *(f'weighbridge_modelversion_info{{name="fraud-{each}",namespace="ns",{what}}} 1.0' for each in range(3)),
    }
    for body in bodies:
        store.remove(body)
    assert not [line for line in await told(metrics) if line.startswith("weighbridge_modelversion_")]
