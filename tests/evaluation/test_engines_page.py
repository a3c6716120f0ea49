"""The engine on the page about engines works as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from weighbridge.api.results import Results
from weighbridge.evaluation import task
from weighbridge.evaluation.reporter import read_file
from weighbridge.evaluation.samples import MAX_LINE, MAX_LINES, SAMPLES_FILE, read_samples

from .documents import DIGEST

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")


def test_the_engine_on_the_page_keeps_the_contract(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    asked = {"subject": {"digest": DIGEST}, "model": {"uri": "models:/m/1"}}
    environment = {
        "PATH": os.environ["PATH"],
        task.TASK: json.dumps(asked),
        task.RESULT: str(tmp_path / "result.json"),
        task.REPORT: str(tmp_path / "report"),
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    read = read_file(tmp_path / "result.json", DIGEST)
    assert isinstance(read, Results)
    assert [(each.name, each.n, each.unit) for each in read.metrics] == [("accuracy", 3, "ratio")]
    samples = list(read_samples(tmp_path / "report" / SAMPLES_FILE))
    assert [each.value for each in samples] == [1, 1, 0]
    assert sum(each.value for each in samples) / len(samples) == read.metrics[0].value


def test_the_page_names_the_variables_and_limits_there_are() -> None:
    for name in (task.TASK, task.RESULT, task.REPORT, task.PROGRESS):
        assert f"`{name}`" in PAGE
    assert f"{MAX_LINES:,} lines" in PAGE
    assert f"{MAX_LINE >> 10} KiB a line" in PAGE
