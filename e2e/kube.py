"""The cluster as a person at a terminal sees it: everything here goes through kubectl."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KUBECTL = ROOT / "e2e" / "cluster" / "kubectl"


class Late(AssertionError):
    """Something that had to happen did not happen in time."""


class Kube:
    """kubectl, in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """kubectl's standard output. Raises AssertionError with its error text where it fails and `check` is set."""
        command = [str(KUBECTL), "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout if check or not done.returncode else done.stderr

    def apply(self, path: Path) -> str:
        return self.run("apply", "--filename", str(path)).strip()

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.run("get", kind, name, "--output", "json", "--ignore-not-found")
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, *selector: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.run("get", kind, "--output", "json", *selector))["items"]
        return items

    def post(self, pod: str, url: str, body: Any) -> Any:
        """POST of JSON, asked from inside a pod that has Python: what a client in the cluster sees."""
        ask = (
            "import sys, urllib.request as u; "
            f"r = u.Request({url!r}, sys.stdin.buffer.read(), {{'Content-Type': 'application/json'}}); "
            "sys.stdout.write(u.urlopen(r, timeout=20).read().decode())"
        )
        return json.loads(self.run("exec", "--stdin", pod, "--", "python", "-c", ask, stdin=json.dumps(body)))

    def changes(self, kind: str, name: str, seconds: float, pause: float = 0.3) -> Iterator[dict[str, Any]]:
        """The object, each time it changed. Raises Late after `seconds`."""
        deadline, last = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            found = self.get(kind, name)
            version = found and found["metadata"]["resourceVersion"]
            if found is not None and version != last:
                last = version
                yield found
            time.sleep(pause)
        raise Late(f"{kind} {name}: nothing more happened within {seconds:.0f} s")

    def until(self, what: str, seconds: float, probe: Callable[[], Any], pause: float = 0.5) -> Any:
        """The first true answer of `probe`. Raises Late, naming `what`, after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if answer := probe():
                return answer
            time.sleep(pause)
        raise Late(f"{what}: not within {seconds:.0f} s")


def condition(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of that type; an empty one where it is not there yet."""
    conditions: list[dict[str, Any]] = body.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})
