"""What a serving platform does with an object that names a model, without the platform: an object's field is carried over to a real
Deployment of the same name, and the object's status tells when its pods serve."""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from e2e.kube import Kube
from e2e.serving.watch import Body
from e2e.serving.workloads import container, workload

_PAUSE = 0.5
_MODEL = "example.com/model"


@dataclass(frozen=True)
class Platform:
    """One kind of object."""

    resource: str
    field: tuple[str, ...]
    """Path of the field that names the model."""
    labels: Callable[[str], dict[str, str]]
    """Of the pods it makes, from the object's name."""
    source: str = ""
    """Annotation of its pods with the model they were made for."""


KSERVE = Platform(
    "inferenceservices.serving.kserve.io",
    ("spec", "predictor", "model", "storageUri"),
    lambda name: {"serving.kserve.io/inferenceservice": name, "component": "predictor"},
    "internal.serving.kserve.io/storage-initializer-sourceuri",
)
ENDPOINT = Platform("endpoints.serving.example.com", ("spec", "model", "uri"), lambda _: {})


class StandIn:
    """Carries over and tells while it is entered."""

    def __init__(self, kube: Kube, objects: dict[str, Platform]) -> None:
        self._kube, self._objects = kube, objects
        self._over = threading.Event()

    def __enter__(self) -> "StandIn":
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._over.wait(_PAUSE):
            for name, platform in self._objects.items():
                try:
                    self._step(name, platform)
                except AssertionError as trouble:  # as a controller does: it is looked at again
                    sys.stdout.write(f"stand-in for {name}: {trouble}\n")

    def _step(self, name: str, platform: Platform) -> None:
        body = self._kube.get(platform.resource, name)
        if body is None:
            return
        model = _read(body, platform.field)
        deployment = self._kube.get("deployment", name)
        if deployment is None or deployment["metadata"]["annotations"].get(_MODEL) != model:
            self._kube.run("apply", "--filename", "-", stdin=json.dumps(_deployment(name, platform, model)))
        elif body.get("status") != (status := _status(body, deployment)):
            patch = ("--subresource=status", "--type=merge", "--patch", json.dumps({"status": status}))
            self._kube.run("patch", platform.resource, name, *patch)


def _read(body: Body, path: tuple[str, ...]) -> str:
    found: Any = body
    for step in path:
        found = found.get(step) or {}
    return found or ""


def _deployment(name: str, platform: Platform, model: str) -> Body:
    made = workload(name=name, server=container(env=[{"name": "MODEL", "value": model}]))
    made["metadata"]["annotations"] = {_MODEL: model}
    metadata = made["spec"]["template"]["metadata"]
    metadata["labels"] |= platform.labels(name)
    if platform.source:
        metadata["annotations"] = {platform.source: model}
    return made


def _status(body: Body, deployment: Body) -> Body:
    seen, generation = deployment.get("status", {}), body["metadata"]["generation"]
    counts = [seen.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    ready = seen.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [1, 1, 1]
    return {"observedGeneration": generation, "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]}
