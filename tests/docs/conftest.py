"""One ground for all pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.conftest import programs

from .ground import Ground

__all__ = ["ground", "programs"]


@pytest.fixture(scope="package")
def ground(programs: Path) -> Iterator[Ground]:
    """The operator's manifests on an API server, and what the pages speak of."""
    with Ground(programs) as ground:
        ground.install()
        yield ground
