"""Opens files that code under evaluation wrote: a link, a pipe or a device is a problem, not a trap."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


class NotPlain(Exception):
    """What lies there is no plain file."""


@contextlib.contextmanager
def opened(path: Path | str, within: int | None = None) -> Iterator[BinaryIO]:
    """The plain file, to read; `within` is an open folder that `path` is relative to. Raises NotPlain and OSError."""
    # NOFOLLOW and NONBLOCK: neither a link nor a pipe may lead or hold the reader.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotPlain
        yield file
