"""All objects of a kind in the cluster, each change with the time it was seen: what one `kubectl get --watch` tells."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from e2e.kube import KUBECTL, Late
from weighbridge.runtime.clock import now

Body = dict[str, Any]


class Watch:
    """One kind in all namespaces, from when it is entered until it is left."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._news = threading.Condition()
        self._story: dict[tuple[str, str], list[tuple[float, Body | None]]] = {}
        """By namespace and name: time and object, None where it was deleted."""

    def __enter__(self) -> "Watch":
        command = [str(KUBECTL), "get", self._kind, "--all-namespaces", "--watch", "--output-watch-events", "--output=json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            body: Body = event["object"]
            name = (body["metadata"]["namespace"], body["metadata"]["name"])
            with self._news:
                self._story.setdefault(name, []).append((now().timestamp(), None if event["type"] == "DELETED" else body))
                self._news.notify_all()

    def story(self, namespace: str, name: str, since: float = 0.0) -> list[tuple[float, Body | None]]:
        """Everything seen of it since a time, oldest first."""
        with self._news:
            return [(at, body) for at, body in self._story.get((namespace, name), []) if at >= since]

    def until(self, what: str, seconds: float, namespace: str, name: str, probe: Callable[[Body | None], Any]) -> Any:
        """The first true answer of `probe` on the object, now or later. Raises Late, naming `what`, after `seconds`."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                story = self._story.get((namespace, name))
                if answer := probe(story[-1][1] if story else None):
                    return answer
                left = deadline - time.monotonic()
                if self._process.poll() is not None:
                    raise AssertionError(f"kubectl get {self._kind} --watch has ended")
                if left <= 0:
                    raise Late(f"{what}: not within {seconds:.0f} s; last seen: {_shown(story[-1][1] if story else None)}")
                self._news.wait(min(left, 1.0))


def _shown(body: Body | None) -> str:
    """What a person would look at first."""
    if body is None:
        return "nothing"
    status = body.get("status", {})
    told = [f"{each['type']}={each['status']} {each['reason']}: {each['message']}" for each in status.get("conditions", [])]
    return "; ".join([status.get("phase", ""), *told])[:1500]
