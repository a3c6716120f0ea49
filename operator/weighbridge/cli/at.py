"""`weighbridge at`: what served at a time, and why, as far as anybody still knows. Must not write anything."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..core.past import Answer, Served, served_at, when
from ..runtime.clock import now
from .answers import DONE, UNKNOWN, View, add_form, bare, complain, hint, run
from .desk import Desk
from .places import Misused
from .terminal import Page

_SAID = {
    "Proved": "proved to serve",
    "Told": "the pointer named it; when it was proved is forgotten",
    "Remembered": "by its history, which names no target",
    "Progressing": "given to it, not proved yet",
}


def add(parser: argparse.ArgumentParser, _command: str) -> None:
    """What the command takes."""
    parser.description = (
        "Tells what served at a time and why, from what the versions that are still there remember, and what is not known. "
        "Exit status: 0 known for every target asked for, 3 not known any more for some, 2 wrong usage."
    )
    parser.add_argument(
        "time", metavar="TIME", help="2026-01-31T02:10:00Z (without a zone: UTC), or how long ago: -2h, '90m ago', -3d"
    )
    parser.add_argument("what", nargs="?", metavar="TARGET|NAME", help="Deployment/scores, or the name of a ModelVersion")
    add_form(parser)


def main(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        time = when(options.time, now())
    except (ValueError, OverflowError):
        text = f'"{options.time.strip()}" is no time: write 2026-01-31T02:10:00Z, or how long ago: -2h, "90m ago", -3d'
        return complain(text)
    wanted: str = options.what or ""

    async def look(desk: Desk) -> View:
        if time > now():
            raise Misused(f"{time:%Y-%m-%dT%H:%M:%SZ} is not over: {hint('status', desk.namespace)} tells what serves now")
        found = _chosen(served_at(time, await desk.versions()), wanted, desk.namespace)
        document = {"at": _stamp(time), "namespace": desk.namespace, "targets": [_target(each) for each in found]}
        code = DONE if all(len(each.served) == 1 and not each.gaps for each in found) else UNKNOWN
        return View(code, document, lambda page: _print(page, time, found))

    return run(options, look)


def _chosen(answers: Sequence[Answer], wanted: str, namespace: str) -> list[Answer]:
    if not answers:
        raise Misused(f"no ModelVersion in namespace {namespace} claims a workload: name another namespace with -n")
    if not wanted:
        return list(answers)
    found = [each for each in answers if each.target.lower() == wanted.lower()]
    if not found and "/" in wanted and not wanted.startswith(("mver/", "modelversion")):
        raise Misused(f"no ModelVersion claims {wanted}; there are {', '.join(each.target for each in answers)}")
    if found:
        return found
    name = bare(wanted)
    mine = [Answer(each.target, kept, each.gaps) for each in answers if (kept := _of(each, name))]
    return mine or [Answer(each.target, (), (f"{name} is not known to have served it then", *each.gaps)) for each in answers]


def _of(answer: Answer, name: str) -> tuple[Served, ...]:
    return tuple(each for each in answer.served if each.version == name)


def _target(answer: Answer) -> dict[str, Any]:
    served = [
        {
            "modelVersion": each.version,
            "value": each.value,
            "known": each.known,
            "since": _stamp(each.since),
            "until": _stamp(each.until),
            "why": each.why,
        }
        for each in answer.served
    ]
    return {"target": answer.target, "served": served, "notKnown": list(answer.gaps)}


def _print(page: Page, time: datetime, answers: Sequence[Answer]) -> None:
    page.line(f"at {_stamp(time)}")
    for answer in answers:
        page.line(answer.target)
        for each in answer.served:
            until = f" until {_stamp(each.until)}" if each.until else ""
            since = f" since {_stamp(each.since)}" if each.since else ""
            page.line(
                f"  {each.version} ({each.value}): {_SAID[each.known]}{since}{until}", "good" if each.known == "Proved" else "open"
            )
            if each.why:
                page.line(f"    {each.why}")
        for gap in answer.gaps:
            page.line(f"  not known: {gap}", "open")


def _stamp(time: datetime | None) -> str | None:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else None
