"""What an engine program of ours leaves beside its result: samples and files for the full report, and its progress.

None of it is needed for the verdict: where the disk is full or the operator is an older one, the evaluation goes on without.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .samples import MAX_LINES, SAMPLES_FILE
from .task import PROGRESS, REPORT

_LARGEST = 64 << 20
"""Bytes of an artifact that is kept."""


def keep_samples(lines: Sequence[Mapping[str, Any]]) -> None:
    """Writes the samples into the report, if there is one."""
    if not (place := os.environ.get(REPORT)) or not lines:
        return
    try:
        Path(place).mkdir(parents=True, exist_ok=True)
        with (Path(place) / SAMPLES_FILE).open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line, allow_nan=False)}\n" for line in lines[:MAX_LINES])
        if len(lines) > MAX_LINES:
            _say(f"{len(lines) - MAX_LINES} samples left out of the report")
    except OSError:
        _say("the samples could not be written into the report")


def keep_files(folder: Path, place_in_report: str) -> None:
    """Copies the files of a folder into the report, if there is one; the largest are left out."""
    if not (place := os.environ.get(REPORT)) or not folder.is_dir():
        return
    try:
        for path in folder.rglob("*"):
            if path.is_file() and path.stat().st_size <= _LARGEST:
                to = Path(place) / place_in_report / path.relative_to(folder)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
    except OSError:
        _say("files could not be copied into the report")


def tell_progress(done: int, total: int) -> None:
    """Writes how many of how many steps, whatever they are, are done."""
    if not (place := os.environ.get(PROGRESS)):
        return
    try:
        partial = Path(place).with_suffix(".partial")
        partial.write_text(json.dumps({"done": done, "total": total}), encoding="utf-8")
        partial.rename(place)
    except OSError:
        _say("progress could not be written")


def _say(line: str) -> None:
    sys.stdout.write(f"engine: {line}\n")
    sys.stdout.flush()
