"""Fixtures of the runtime's tests."""

from collections.abc import Callable

import pytest
from tests.runtime.bench import Bench, Scripted

from weighbridge.runtime.connection import Connection


@pytest.fixture
def bench(connection: Connection, namespace: str) -> Callable[..., Bench]:
    """Makes a bench around a decision."""
    return lambda decision, **more: Bench(connection, namespace, Scripted(decision, **more))
