"""Git's word, as a GitOps tool with self-heal keeps repeating it: server-side apply of a folder, by force, every two seconds."""

import subprocess
import threading
from pathlib import Path
from typing import Any

import yaml

from e2e.kube import KUBECTL

_PAUSE = 2.0
MANAGER = "argocd-controller"


class Git:
    """A folder of manifests, applied again and again while it is entered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over = threading.Event()
        self.rounds = 0
        """How often the whole folder was applied."""
        self.refusals: list[str] = []
        """What the API server refused."""

    def commit(self, name: str, *bodies: dict[str, Any]) -> None:
        """Puts manifests into the folder, in place of what had the name."""
        partial = self._folder / f"{name}.partial"
        partial.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
        partial.rename(self._folder / f"{name}.yaml")

    def __enter__(self) -> "Git":
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _repeat(self) -> None:
        apply = ("apply", "--server-side", "--force-conflicts", f"--field-manager={MANAGER}", f"--filename={self._folder}")
        while not self._over.wait(_PAUSE):
            if not any(self._folder.glob("*.yaml")):
                continue
            done = subprocess.run([str(KUBECTL), *apply], capture_output=True, text=True, check=False)
            if done.returncode:
                self.refusals.append(done.stderr)
            else:
                self.rounds += 1
