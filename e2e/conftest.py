"""The stage of the demo, set up once for all tests on the cluster."""

import time
from collections.abc import Generator

import pytest

from e2e.demo.stage import OPERATOR_NAMESPACE, Stage
from e2e.kube import Kube
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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure tells what the cluster looked like at that moment: later it looks otherwise."""
    report = yield
    if report.failed:
        operator = Kube(OPERATOR_NAMESPACE)
        for what in (
            ("get", "modelversions,evaluationjobs,modelregistries,pods", "--all-namespaces", "--output=wide"),
            ("logs", "--selector=app.kubernetes.io/name=weighbridge", "--all-containers", "--tail=60", "--prefix"),
        ):
            report.sections.append((f"kubectl {' '.join(what)}", operator.run(*what, check=False)))
    return report
