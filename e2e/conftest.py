"""The stage of the demo, set up once for all tests on the cluster."""

import time

import pytest

from e2e.demo.stage import Stage
from weighbridge.runtime.clock import now


@pytest.fixture(scope="session", autouse=True)
def begun() -> float:
    """When this run of the tests began, in seconds since 1970."""
    return now().timestamp()


@pytest.fixture(scope="session")
def stage() -> Stage:
    """Operator, MLflow with trained models, serving Deployment. What was left of an earlier story is gone."""
    stage = Stage(time.monotonic())
    stage.set_up()
    return stage
