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
            say("engine", f"{len(lines) - MAX_LINES} samples left out of the report")
    except OSError:
        say("engine", "the samples could not be written into the report")


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
        say("engine", "files could not be copied into the report")


def tell_progress(done: int, total: int) -> None:
    """Writes how many of how many steps, whatever they are, are done."""
    if not (place := os.environ.get(PROGRESS)):
        return
    try:
        write_whole(Path(place), json.dumps({"done": done, "total": total}))
    except OSError:
        say("engine", "progress could not be written")


def write_whole(path: Path, text: str) -> None:
    """Written under another name first: nobody sees half of it. Raises OSError."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


def say(name: str, line: str) -> None:
    """One line in the log of the engine of that name."""
    sys.stdout.write(f"{name}: {line}\n")
    sys.stdout.flush()
