"""What a registry's JSON holds, read without trust: missing, wrong and oversized values become empty or bounded ones.

Exists so that no registry, however broken or hostile, can crash an adapter or put text without bounds into a status. Must not send
requests or judge.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Record: TypeAlias = Mapping[str, Any]
_MOST_VALUES = 600_000


def parsed(body: bytes) -> Any:
    """What JSON says; None where it is none, or holds so many values that these would take many times its size in memory."""
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def inner(record: Record, *keys: str) -> Record:
    """The object under a path of keys; empty where there is none."""
    found: Any = record
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def each(record: Record, key: str) -> Iterator[Record]:
    """The objects of a list."""
    found = record.get(key)
    yield from (entry for entry in (found if isinstance(found, list) else []) if isinstance(entry, Mapping))


def text(record: Record, key: str, longest: int) -> str:
    """A string, cut to `longest`, without control characters and lone surrogates, which a status cannot hold."""
    found = record.get(key)
    if not isinstance(found, str):
        return ""
    return "".join(char for char in found[: 2 * longest] if char.isprintable())[:longest]


def integer(record: Record, key: str) -> int | None:
    """An integer; MLflow writes 64-bit ones as numbers or as strings."""
    found = record.get(key)
    if isinstance(found, str) and found.isascii() and found.removeprefix("-").isdigit() and len(found) <= 20:
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def pairs(record: Record, key: str) -> dict[str, str]:
    """MLflow's lists of `{key, value}` as a dictionary, whole."""
    return {
        entry["key"]: entry["value"]
        for entry in each(record, key)
        if isinstance(entry.get("key"), str) and isinstance(entry.get("value"), str)
    }


def measure(value: Any) -> float | None:
    """A metric that is a number. MLflow says "NaN" for NaN and the largest float for Infinity; neither is a measurement."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) < sys.float_info.max else None


def without_secrets(address: str) -> str:
    """An address without user, password, query and fragment, which may carry tokens; what is no address stays as it is."""
    try:
        parts = urlsplit(address)
        if not parts.netloc:
            return address.partition("?")[0]
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        return ""
