"""Samples: what an engine measured on each single case, one JSON object a line in `report/samples.jsonl`.

Read with distrust and line by line, in the memory of one line. No text of the file is ever repeated in a problem.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field, TypeAdapter, ValidationError

from .files import NotPlain, opened
from .result import Name, Strict, strict_json

SAMPLES_FILE = "samples.jsonl"
"""Name of the file within the report."""
MAX_LINES = 200_000
MAX_BYTES = 64 << 20
MAX_LINE = 4096
"""Bytes of one line."""


class Sample(Strict):
    """The value of one metric on one case."""

    metric: Name
    """Name of the metric, as in the result."""
    id: Name
    """Which case it was: the same in each evaluation on the same data, so that models can be compared case by case."""
    value: Annotated[float, Field(allow_inf_nan=False)]
    """A finite number; 0 or 1 where the case is right or wrong."""
    slice: Name | None = None
    """Part of the data, as in the result."""


_SAMPLE: TypeAdapter[Sample] = TypeAdapter(Sample)


class SamplesInvalid(Exception):
    """The samples break their contract; the text is one line for people: which line, and how."""


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of the file, in its order. Raises SamplesInvalid on the way, also where the file cannot be opened; whoever uses
    the samples before the end must be able to take that back."""
    try:
        with opened(path) as file:
            yield from samples_in(file)
    except (NotPlain, OSError) as error:
        raise SamplesInvalid(f"{SAMPLES_FILE} must be a plain file that others may read") from error


def samples_in(file: BinaryIO) -> Iterator[Sample]:
    """The samples of an open file. Raises SamplesInvalid."""
    seen: set[int] = set()
    size = 0
    for number in range(1, MAX_LINES + 2):
        line = file.readline(MAX_LINE + 1)
        size += len(line)
        if not line:
            return
        if number > MAX_LINES or size > MAX_BYTES:
            raise SamplesInvalid(f"{SAMPLES_FILE} has more than {MAX_LINES} lines or {MAX_BYTES >> 20} MiB: leave some cases out")
        if len(line) > MAX_LINE:
            raise SamplesInvalid(f"line {number} of {SAMPLES_FILE} is longer than {MAX_LINE} bytes")
        sample = _sample(line, number)
        # Of the whole key only 64 bits: two hundred thousand of them take 15 MB, and two alike by chance are one in a billion.
        key = hash((sample.metric, sample.slice, sample.id))
        if key in seen:
            raise SamplesInvalid(f"line {number} of {SAMPLES_FILE} has the metric, slice and id of an earlier one")
        seen.add(key)
        yield sample


def _sample(line: bytes, number: int) -> Sample:
    try:
        return _SAMPLE.validate_python(strict_json(line))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        known = [str(part) for part in first["loc"] if part in Sample.model_fields]
        where = f"{known[0]} of it" if known else "it"
        raise SamplesInvalid(
            f"line {number} of {SAMPLES_FILE} breaks the contract: {where} is missing or not as it must be"
        ) from None
    except (ValueError, RecursionError):
        raise SamplesInvalid(f"line {number} of {SAMPLES_FILE} is not one JSON object (UTF-8, no NaN, no key twice)") from None
