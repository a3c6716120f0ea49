"""The files a command line names: single ones, standard input, and all of a folder that may hold objects. Must not know what is in
them."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_ENDINGS = frozenset({".yaml", ".yml", ".json"})


class Unreadable(Exception):
    """What was named cannot be read. The text says what, and why."""


def texts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each file; of a folder, those in it and below, in order. Raises Unreadable."""
    for name in names:
        if name == "-":
            yield "<stdin>", sys.stdin.read()
        else:
            yield from ((file, _text(file)) for file in _files(name))


def _files(name: str) -> list[str]:
    if not Path(name).is_dir():
        return [name]
    found = sorted(str(each) for each in Path(name).rglob("*") if each.suffix in _ENDINGS and each.is_file())
    if not found:
        raise Unreadable(f"{name} holds no file that ends with {', '.join(sorted(_ENDINGS))}")
    return found


def _text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Unreadable(f"{name} is not there") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} cannot be read: it is no UTF-8 text") from error
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror}") from error
