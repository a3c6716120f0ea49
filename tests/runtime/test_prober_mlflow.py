"""The prober against MLflow's own scoring server with a model of ours."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from weighbridge.api.serving import HttpGet, Identity, Invariant, Probe
from weighbridge.core.facts import ProbeOutcome
from weighbridge.runtime.prober import HttpProber

HERE = "127.0.0.1"
MODEL = """
import mlflow

class Half(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [float(each) / 2 for each in model_input["x"]]

mlflow.models.set_model(Half())
"""
SAVE = "import sys, mlflow; mlflow.pyfunc.save_model(sys.argv[2], python_model=sys.argv[1], pip_requirements=[])"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`mlflow models serve` with a model that halves its input."""
    folder = tmp_path_factory.mktemp("scoring")
    (folder / "half.py").write_text(MODEL)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment = clean | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", SAVE, "half.py", "model"], cwd=folder, env=environment, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind((HERE, 0))
        number = free.getsockname()[1]
    command = ["models", "serve", "--model-uri", "model", "--env-manager", "local", "--host", HERE, "--port", str(number)]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(f"http://{HERE}:{number}/ping", process, log)
        yield number
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(url, timeout=1):
                return
        except (URLError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
    raise AssertionError(f"the scoring server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def half(port: int, x: str, **bounds: Any) -> Invariant:
    body = f'{{"dataframe_records": [{{"x": {x}}}]}}'
    return Invariant(name="half", port=port, body=body, answer="/predictions/0", **bounds)


async def judge(questions: Probe) -> ProbeOutcome:
    async with HttpProber() as probe:
        return await probe((HERE,), questions)


async def test_it_is_known_for_what_it_is_and_proved_by_its_answers(port: int) -> None:
    questions = Probe(
        http_get=HttpGet(path="/ping", port=port),
        identity=Identity(protocol="MLflow", port=port),
        invariants=(half(port, "3", min=1.4, max=1.6), half(port, "-8", max=-4)),
    )
    assert await judge(questions) == ProbeOutcome(1, 1)


async def test_another_models_answer_is_wrong(port: int) -> None:
    outcome = await judge(Probe(invariants=(half(port, "3", min=2),)))
    assert (outcome.passed, outcome.wrong) == (0, 1)
    assert "invariant half wrongly: the answer is 1.5, expected a number, at least 2.0" in outcome.message


async def test_the_nan_that_mlflow_really_writes_passes_no_bound(port: int) -> None:
    outcome = await judge(Probe(invariants=(half(port, "NaN", min=-1e308),)))
    assert (outcome.passed, outcome.wrong) == (0, 1)
    assert "not a finite number" in outcome.message


async def test_a_model_that_raises_is_wrong_and_its_traceback_is_not_told(port: int) -> None:
    outcome = await judge(Probe(invariants=(half(port, '"three"', min=1),)))
    assert (outcome.passed, outcome.wrong) == (0, 1)
    assert outcome.message == f"the pod at {HERE}:{port} answered invariant half with status 400, expected 200"


@pytest.mark.parametrize(("protocol", "model"), [("OpenAI", None), ("OpenInference", "half")])
async def test_it_is_taken_for_nothing_else(port: int, protocol: str, model: str | None) -> None:
    outcome = await judge(
        Probe(identity=Identity.model_validate({"protocol": protocol, "port": port, "model": model, "value": "7"}))
    )
    assert (outcome.passed, outcome.wrong) == (0, 1)


async def test_behind_the_nginx_of_its_images_the_fallback_holds(port: int) -> None:
    """The premise: `/invocations` is there and takes nothing but POST."""
    assert "status 405" in (await judge(Probe(http_get=HttpGet(path="/invocations", port=port)))).message
