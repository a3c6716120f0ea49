"""What `status`, `why` and `at` have in common: where they look, with whose rights, and how trouble is told.

Must not write anything to the cluster.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .api.base import GROUP
from .desk import PLURAL, Desk, Refused
from .places import CannotTell, Misused, connected
from .terminal import Page, called

DONE, NO, MISUSED, UNKNOWN = 0, 1, 2, 3
NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
_STORED = tuple(f"{each}/" for each in ("mver", "modelversion", PLURAL, f"{PLURAL}.{GROUP}"))


@dataclass(frozen=True)
class View:
    """What was found, for programs and for people."""

    code: int
    document: Mapping[str, Any]
    print: Callable[[Page], None] = field(repr=False)


Look = Callable[[Desk, str], Awaitable[View]]
"""Looks with a desk and a namespace."""


def add(parser: argparse.ArgumentParser) -> None:
    """What all of them take."""
    parser.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: the kubeconfig's)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form of the answer (default: text)")


def bare(text: str) -> str:
    """The name of a ModelVersion, written with or without its kind. Raises Misused."""
    name = next((text.removeprefix(each) for each in _STORED if text.startswith(each)), text)
    if name and not NAME.match(name):
        raise Misused("NAME is the name of a ModelVersion, such as fraud-detector-7")
    return name


def run(options: argparse.Namespace, name: str, look: Look) -> int:
    """Looks and prints; the exit code."""
    try:
        view = asyncio.run(_look(options.namespace or "", bare(name), look))
    except Misused as error:
        sys.stderr.write(f"{called()}: {error}\n")
        return MISUSED
    except (CannotTell, Refused) as error:
        reason = error.reason if isinstance(error, CannotTell) else "Forbidden"
        if options.output == "json":
            sys.stdout.write(json.dumps({"reason": reason, "message": str(error)}, indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stderr.write(f"{called()}: {error}\n")
        return UNKNOWN
    if options.output == "json":
        sys.stdout.write(json.dumps(view.document, indent=2, ensure_ascii=False) + "\n")
    else:
        view.print(Page())
    return view.code


async def _look(namespace: str, name: str, look: Look) -> View:
    async with connected(namespace, os.environ) as (connection, place):
        return await look(Desk(connection, place, name, os.environ), place)
