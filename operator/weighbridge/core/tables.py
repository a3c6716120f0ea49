"""What the `mlflow` engine can read as a table. Known to pre-flight too, so that no pod is made for a dataset that holds none, or
several and no word which.
"""

from collections.abc import Iterable

SUFFIXES = (".csv", ".parquet", ".jsonl")


def count(paths: Iterable[str]) -> int:
    """How many of the files are tables."""
    return sum(path.endswith(SUFFIXES) for path in paths)
