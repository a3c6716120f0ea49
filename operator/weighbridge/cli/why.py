"""`weighbridge why`: the chain of facts behind a version's present state, and what to do next. Must not write anything."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..api.modelversion import ModelVersion
from ..core.account import State, Step, account, keeps_back
from ..core.conditions import find
from . import answers
from .answers import DONE, REFUSED, UNKNOWN, View
from .desk import Desk
from .places import CannotTell
from .terminal import Colour, Page, called

_WORDS: Mapping[State, tuple[str, Colour]] = {
    "Passed": ("passed", "good"),
    "Waiting": ("waits", "open"),
    "Blocked": ("BLOCKS", "bad"),
}


def add(parser: argparse.ArgumentParser, _command: str) -> None:
    """What the command takes."""
    parser.description = (
        "Tells the facts behind a version's present state in the order in which the operator asks, up to the first that keeps "
        "it back, and what to do then. Exit status: 0 nothing keeps it back, 1 something does until it is changed, "
        "3 it is on its way or cannot be told now, 2 wrong usage."
    )
    answers.add_version(parser)


def main(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    return answers.run(options, _look)


async def _look(desk: Desk) -> View:
    version, notes = await desk.version(), list[str]()
    others: tuple[ModelVersion, ...] = ()
    try:
        others = tuple(each for each in await desk.versions() if each.metadata.name != desk.name)
    except CannotTell as error:
        notes.append(f"{error}; the other versions are not seen, so the election is told as if there were none")
    jobs, trouble = await desk.evaluations(state.job for state in version.status.evaluations)
    notes += [trouble] if trouble else []
    steps = account(version, others, jobs)
    last = keeps_back(steps)
    code = DONE if last is None else REFUSED if last.state == "Blocked" else UNKNOWN
    document = {
        "modelVersion": desk.name,
        "namespace": desk.namespace,
        "phase": version.status.phase,
        "steps": [_step(each) for each in steps],
        "keepsBack": _step(last) if last else None,
        "next": _here(last.todo) if last else "",
        "notes": notes,
    }
    return View(code, document, lambda page: _print(page, version, steps, last, notes))


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "state": step.state,
        "reason": step.reason,
        "message": step.message,
        "details": list(step.details),
    }


def _print(page: Page, version: ModelVersion, steps: Sequence[Step], last: Step | None, notes: Sequence[str]) -> None:
    spec, ready = version.spec, find(version.status.conditions, "Ready")
    said = f": {ready.reason}: {ready.message}" if ready else ""
    phase = version.status.phase or "not looked at yet"
    wanted = version.status.version or spec.source.wanted
    page.line(f"{version.metadata.name}  {spec.source.name} {wanted}  {spec.stage}  {phase}{said}")
    names, reasons = max(len(each.name) for each in steps), max(len(each.reason) for each in steps)
    for step in steps:
        word, colour = _WORDS[step.state]
        page.line(f"{word:<6}  {step.name:<{names}}  {step.reason:<{reasons}}  {step.message}", colour)
        for detail in step.details:
            page.line(f"        {detail}")
    for note in notes:
        page.line(f"note: {note}", "open")
    page.line(f"next: {_here(last.todo) or 'nothing'}" if last else "nothing keeps it back")


def _here(todo: str) -> str:
    """With what this program was called."""
    return todo.replace("`weighbridge ", f"`{called()} ")
