"""How much memory a process took at its most."""

import subprocess
import time
from pathlib import Path
from typing import Any


def peak_of(process: "subprocess.Popen[Any]", pause: float) -> int:
    """Kibibytes, looked up every `pause` seconds until the process ends."""
    peak = 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(pause)
    return peak
