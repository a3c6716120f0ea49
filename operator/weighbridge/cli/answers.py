"""What the commands for people have in common: which version they are about, with whose rights they ask, how an answer and
trouble are told, and with which exit status.

Must not decide anything, and must not know what a command asks.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..api.base import GROUP, seconds
from .desk import PLURAL, Desk, Refused
from .places import CannotTell, Misused, connected
from .terminal import Page, called

DONE, REFUSED, MISUSED, UNKNOWN = 0, 1, 2, 3
"""Exit statuses: done or shown; refused, or the answer is no; wrong usage; cannot be told now."""
ENDS = "Exit status: 0 done, 1 refused, 3 cannot be told now, 2 wrong usage."
_LONGEST = 500
"""Characters of a line that somebody types."""
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
_STORED = tuple(f"{each}/" for each in ("mver", "modelversion", PLURAL, f"{PLURAL}.{GROUP}"))


class Shown(Protocol):
    """What a command found or did."""

    @property
    def code(self) -> int:
        """The exit status."""

    @property
    def document(self) -> Mapping[str, Any]:
        """The stable form for programs."""

    @property
    def print(self) -> Callable[[Page], None]:
        """Shows it to people."""


@dataclass(frozen=True)
class View:
    """What was looked at."""

    code: int
    document: Mapping[str, Any]
    print: Callable[[Page], None] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """What came of a wish, in one sentence."""

    code: int
    result: str
    """One stable word: the operator's own reason, where it gave one."""
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> Mapping[str, Any]:
        """The stable form for programs. Trouble has `reason` too, as what is looked at has it: whoever reads one reads all."""
        why = {} if self.code == DONE else {"reason": self.result}
        return {"result": self.result, **why, "message": self.message, **self.details}

    def print(self, page: Page) -> None:
        """What was done goes to standard output, why nothing was done to standard error."""
        if self.code == DONE:
            page.paragraph(self.message)
        else:
            complain(self.message)


def add_form(parser: argparse.ArgumentParser) -> None:
    """Where to look, and the form of the answer."""
    parser.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: the kubeconfig's)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form of the answer (default: text)")


def add_version(parser: argparse.ArgumentParser) -> None:
    """One version, where to look, and the form of the answer."""
    parser.add_argument("name", metavar="NAME", help="name of the ModelVersion; mver/NAME will do")
    add_form(parser)


def run(options: argparse.Namespace, command: Callable[[Desk], Awaitable[Shown]]) -> int:
    """Runs a command at the desk of the version it names, if any, and prints what comes of it; the exit status."""
    given: str | None = getattr(options, "name", None)
    try:
        name = "" if given is None else bare(given)
        shown = asyncio.run(_run(options.namespace or "", name, command))
    except Misused as error:
        return complain(str(error))
    except (CannotTell, Refused) as error:
        about = {"modelVersion": bare(given)} if given else {}
        told = (UNKNOWN, error.reason) if isinstance(error, CannotTell) else (REFUSED, "Refused")
        shown = Answer(*told, str(error), about)
    if options.output == "json":
        sys.stdout.write(json.dumps(shown.document, indent=2, ensure_ascii=False) + "\n")
    else:
        shown.print(Page())
    return shown.code


async def _run(namespace: str, name: str, command: Callable[[Desk], Awaitable[Shown]]) -> Shown:
    async with connected(namespace, os.environ) as (connection, place):
        return await command(Desk(connection, place, name, os.environ))


def complain(text: str, code: int = MISUSED) -> int:
    """Tells trouble on standard error; the exit status."""
    sys.stderr.write(f"{called()}: {text}\n")
    return code


def hint(command: str, namespace: str, name: str = "", more: str = "") -> str:
    """What to type next, in backquotes: as this program was called, and for where the answer holds."""
    return f"`{' '.join(each for each in (called(), command, name, '-n', namespace, more) if each)}`"


def bare(text: str) -> str:
    """The name of a ModelVersion, without the kind that kubectl users write before it. Raises Misused."""
    name = next((text.removeprefix(each) for each in _STORED if text.startswith(each)), text)
    if not _NAME.match(name):
        raise Misused("NAME is the name of a ModelVersion, such as fraud-detector-7")
    return name


def duration(flag: str, text: str) -> float:
    """Seconds of a duration that was typed behind a flag. Raises Misused."""
    try:
        return seconds(text)
    except ValueError as error:
        raise Misused(f'{flag}="{text}" cannot be used: write a duration such as 30s or 2m') from error


def one_line(flag: str, text: str) -> str:
    """What was typed behind a flag. Raises Misused where it is no line, or too long."""
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise Misused(f"{flag} takes one line of at most {_LONGEST} characters")
    return text
