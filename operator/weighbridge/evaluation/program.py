"""What every engine program of ours does around its measuring: read the task, keep the disk tidy, write the result.

An engine is a function from task and scratch folder to metrics. Exit code 0 means measured, whatever the score; the others are in
task.py.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .fetch import tidy_credentials
from .output import keep_samples, say, write_whole
from .refusal import Refusal
from .task import EXIT_MISCONFIGURED, RESULT, TASK, Task


@dataclass(frozen=True)
class Measured:
    """What an engine measured, in the words of the result contract."""

    metrics: Sequence[Mapping[str, Any]]
    samples: Sequence[Mapping[str, Any]] = ()
    """Lines of the report's samples.jsonl."""
    invariants: Sequence[Mapping[str, Any]] = ()


def run(name: str, measure: Callable[[Task, Path], Measured]) -> int:
    """Carries out the task of the environment with `measure`, which may raise Refusal. Returns the exit code."""
    try:
        tidy_credentials(os.environ)
        task, result = _asked(os.environ)
        with tempfile.TemporaryDirectory() as scratch:
            measured = measure(task, Path(scratch))
    except Refusal as refusal:
        sys.stderr.write(f"{name}: {refusal}\n")
        return refusal.code
    keep_samples(measured.samples)
    document: dict[str, Any] = {
        "schemaVersion": "v1",
        "subject": {"digest": task.subject.digest},
        "metrics": list(measured.metrics),
    }
    if measured.invariants:
        document["invariants"] = list(measured.invariants)
    write_whole(result, json.dumps(document, allow_nan=False))
    say(name, f"{len(measured.metrics)} metrics written")
    return 0


def _asked(environment: Mapping[str, str]) -> tuple[Task, Path]:
    try:
        return Task.model_validate_json(environment[TASK]), Path(environment[RESULT])
    except (KeyError, ValidationError) as error:
        raise Refusal(EXIT_MISCONFIGURED, f"{TASK} and {RESULT} must be set as the operator sets them") from error
