"""What a Secret of a ModelRegistry holds, in a type that does not print.

Exists so that no log line, traceback or test report can show a token by accident. Must not know which keys a registry accepts: the
adapters do.
"""

from collections.abc import Iterator, Mapping
from typing import final


@final
class Credentials(Mapping[str, str]):
    """The keys and values of one Secret. Values come without the white space around them that `echo | base64` leaves behind."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {key: value.strip() for key, value in values.items()}

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "Credentials(hidden)"
