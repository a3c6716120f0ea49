"""What the operators, functions and macros of CEL do that `cel.py` reads."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ...api.base import seconds

MACROS = frozenset({"all", "exists", "exists_one"})
COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
    "in": lambda a, b: a in b,
}


class NoValue(Exception):
    """The rule asks for what is not there."""


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of Go's RE2 as Python writes it."""
    text = text.replace("[:cntrl:]", r"\x00-\x1f\x7f")
    return re.compile(re.sub(r"\$$", r"\\Z", text) if not text.endswith(r"\$") else text, re.ASCII)


def member(value: Any, key: Any) -> Any:
    """The field of an object or the item of a list. Raises NoValue."""
    try:
        return value[key]
    except (KeyError, IndexError, TypeError) as error:
        raise NoValue(str(key)) from error


def macro(name: str, answers: list[bool]) -> bool:
    """Whether so many answers are enough for `all`, `exists` or `exists_one`."""
    return all(answers) if name == "all" else any(answers) if name == "exists" else sum(answers) == 1


def _is_url(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return bool(found.scheme) and not re.search(r"[\s\x00-\x1f]", text)


def _port(text: str) -> str:
    return re.sub(r"^.*?(?::(\d*))?$", lambda found: found[1] or "", urlsplit(text).netloc.rpartition("]")[2])


FUNCTIONS: Mapping[str, Callable[..., Any]] = {"size": len, "duration": seconds, "int": int, "isURL": _is_url, "url": str}
METHODS: Mapping[str, Callable[..., Any]] = {
    "contains": lambda text, part: part in text,
    "matches": lambda text, wanted: pattern(wanted).search(text) is not None,
    "replace": lambda text, old, new: text.replace(old, new),
    "startsWith": lambda text, start: text.startswith(start),
    "getPort": _port,
}
