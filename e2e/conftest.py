"""The stage of the demo, set up once for all tests on the cluster."""

import time

import pytest

from e2e.demo.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Stage:
    """Operator, MLflow with trained models, serving Deployment. What was left of an earlier story is gone."""
    stage = Stage(time.monotonic())
    stage.set_up()
    return stage
