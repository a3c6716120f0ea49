"""The terminal somebody types at: what the program was called, and text that is safe and fits there.

Must not know what is printed.
"""

import os
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

_PLUGIN = "kubectl-weighbridge"
Colour = Literal["good", "bad", "open", "faint", "none"]
_CODES: Mapping[Colour, str] = {"good": "32", "bad": "31", "open": "33", "faint": "2"}


def called() -> str:
    """What people type to call this program: `weighbridge`, or `kubectl weighbridge` as a plugin of kubectl."""
    return _PLUGIN.replace("-", " ", 1) if Path(sys.argv[0]).stem == _PLUGIN else "weighbridge"


def printable(text: str) -> str:
    """The text without characters that move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def fit(text: str, width: int) -> str:
    """The text in at most so many columns; what does not fit is left out, with an ellipsis in its place."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""


class Page:
    """Where an answer is printed: colours and the window's width count on a terminal alone. Lines are whole, rows are cut."""

    def __init__(self, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream or sys.stdout
        terminal = self._stream.isatty()
        self._colours = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        self._width = os.get_terminal_size(self._stream.fileno()).columns if terminal else 0

    def paragraph(self, text: str) -> None:
        """A text that nothing is cut from; the caller made it printable."""
        self._stream.write(f"{text}\n")

    def line(self, text: str, colour: Colour = "none") -> None:
        """One line, however long; what others wrote into it cannot move the cursor."""
        self._write(printable(text), colour)

    def row(self, text: str, colour: Colour = "none") -> None:
        """One line of a table of many things: what does not fit into the window is left out."""
        text = printable(text)
        self._write(fit(text, self._width) if self._width else text, colour)

    def _write(self, text: str, colour: Colour) -> None:
        code = _CODES.get(colour) if self._colours else None
        self._stream.write(f"\x1b[{code}m{text}\x1b[0m\n" if code else f"{text}\n")
