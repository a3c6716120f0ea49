"""A real terminal, 80 columns wide, at which a command is typed."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

COLUMNS = 80
_SOURCE = str(Path(__file__).parents[2] / "operator")


def on_terminal(arguments: list[str], **environment: str) -> tuple[int, list[str]]:
    """Exit status and lines of a command, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    code = "from weighbridge.cli import main; raise SystemExit(main())"
    variables = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": _SOURCE, **environment}
    with subprocess.Popen([sys.executable, "-c", code, *arguments], env=variables, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the end, when nobody has the other side open any more
            while part := os.read(ours, 4096):
                said += part
        os.close(ours)
    return running.returncode, said.decode().splitlines()
