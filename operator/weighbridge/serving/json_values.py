"""Values in answers of strangers: read as JSON, found by JSON pointer, held against bounds, shown to people."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

_LONGEST_SHOWN = 64
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ESCAPE = re.compile(r"~(?![01])")
_VERSION = re.compile(rb'\s*"?[0-9]+\.[0-9]+[-+.0-9A-Za-z]{0,58}"?\s*')


@dataclass(frozen=True)
class Odd:
    """There is no value."""

    why: str
    """The rest of a sentence that begins with `the answer`."""


def read(body: bytes) -> Any:
    """The JSON document, or `Odd`. NaN and Infinity are read, since servers write them; no bound lets them pass."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # ValueError also for digits without end and for what is not UTF-8
        return Odd("is not JSON")


def at(document: Any, pointer: str) -> Any:
    """The value a JSON pointer (RFC 6901) points at, or `Odd`."""
    missing = Odd(f"has nothing at {cut(pointer) or 'its root'}")
    if pointer and (not pointer.startswith("/") or _ESCAPE.search(pointer)):
        return missing
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return missing
    return value


def misses(value: Any, *, least: float | None, most: float | None, text: str | None) -> str:
    """What was wanted of the value, where it is something else; empty where it passes. No bound at all lets nothing pass."""
    if text is not None:
        return "" if isinstance(value, str) and value == text else shown(text)
    bounds = [f"at least {least}"] if least is not None else []
    bounds += [f"at most {most}"] if most is not None else []
    inside = _is_number(value) and (least is None or value >= least) and (most is None or value <= most)
    return "" if inside and bounds else f"a number, {' and '.join(bounds) or 'with a bound'}"


def _is_number(value: Any) -> bool:
    """Whether it is a finite number. Booleans are integers in Python and truth values in JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and (isinstance(value, int) or math.isfinite(value))


def is_version(body: bytes) -> bool:
    """Whether this is a version number and nothing else."""
    return _VERSION.fullmatch(body) is not None


def shown(value: Any) -> str:
    """A finite number or a text for a message, cut and without control characters; of anything else, what it is."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{cut(value)}"'
        case int() | float():
            return cut(str(value)) if _is_number(value) else "not a finite number"
        case None:
            return "null"
        case list():
            return "a list"
        case _:
            return "an object"


def cut(text: str) -> str:
    """A short text without what cannot be printed."""
    head = "".join(each if each.isprintable() else "�" for each in text[:_LONGEST_SHOWN])
    return f"{head}…" if len(text) > _LONGEST_SHOWN else head
