"""Every kind of serving target on the real cluster: pointed at a version, at the next one, and back at the first on request, and
proved each time by the pods' own answers. Argo Rollouts runs with its real controller; what KServe and a kind that nobody knows do
is done by a stand-in, with real pods."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.kube import ROOT, Kube
from e2e.serving import argo_rollouts
from e2e.serving.stage import NAMESPACE, PATIENCE, Scene, Stage
from e2e.serving.standin import ENDPOINT, KSERVE, StandIn
from e2e.serving.watch import Body
from e2e.serving.workloads import PORT, PROBE, container, registry, service, version, workload

CRDS = ROOT / "tests" / "serving" / "crds"
IMAGE = "weighbridge/scale:{version}"
Objects = Callable[[str, str], tuple[Body, ...]]
"""The workload and what belongs to it, from its name and the model's."""
ENV: Body = {"container": "server", "env": "MODEL"}
SETTLED = 15.0
"""Seconds within which the node's network follows the pods."""


@dataclass(frozen=True)
class Target:
    """A workload in one of the ways to name its model."""

    name: str
    ref: Body
    pointer: Body
    objects: Objects
    probe: Body = field(default_factory=dict)
    """What is asked otherwise than usual."""

    def version(self, model: str, number: int, fault: str = "") -> Body:
        serving = {"targetRef": self.ref | {"name": self.name}, "pointer": self.pointer, "probe": PROBE | self.probe}
        return version(model, number, name=self.name, fault=fault, serving=serving)


def _plain(kind: str = "Deployment", **server: Any) -> Objects:
    return lambda name, _: (workload(kind, name, replicas=2, server=container(**server) if server else None), service(name))


def _mounted(path: str, volume: Body) -> Objects:
    """The model is named by a file of this volume."""

    def objects(name: str, _: str) -> tuple[Body, ...]:
        mounts = [*container()["volumeMounts"], {"name": "model", "mountPath": "/model"}]
        server = container(env=[{"name": "MODEL_FILE", "value": path}], volumeMounts=mounts)
        return workload(name=name, replicas=2, server=server, volumes=({"name": "model", **volume},)), service(name)

    return objects


def _with_config_map(name: str, model: str) -> tuple[Body, ...]:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"model": ""}}
    return config, *_mounted("/model/model", {"configMap": {"name": name}})(name, model)


def _blue_green(name: str, model: str) -> tuple[Body, ...]:
    """Both versions run all the time; the Service picks."""
    pods: list[Body] = []
    for number in ("1", "2"):
        server = container(env=[{"name": "MODEL", "value": f"models:/{model}/{number}"}])
        body = workload(name=f"{name}-{number}", server=server)
        body["spec"]["template"]["metadata"]["labels"] |= {"part-of": name, "version": number}
        pods.append(body)
    return *pods, service(name, {"part-of": name, "version": "none"})


def _carried_over(body: Body) -> Objects:
    """An object of a platform whose stand-in runs a Deployment for it."""
    return lambda name, _: (body | {"metadata": {"name": name}}, service(name))


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment"}
STATEFUL_SET = {"apiVersion": "apps/v1", "kind": "StatefulSet"}
SERVICE = {"apiVersion": "v1", "kind": "Service"}
ROLLOUT = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
INFERENCE_SERVICE = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
GENERIC = {"apiVersion": "serving.example.com/v1", "kind": "Endpoint"}
EMPTY: Body = {"spec": {"model": {}}}
BY_URI = {"identity": {"protocol": "OpenAI", "port": PORT, "value": "{uri}"}}
TARGETS = (
    Target("env", DEPLOYMENT, ENV, _plain()),
    Target("argument", DEPLOYMENT, {"container": "server", "argument": "--model"}, _plain(env=None, args=["--model="])),
    Target("image", DEPLOYMENT, {"container": "server", "image": True, "value": IMAGE}, _plain(env=None)),
    Target(
        "image-volume",
        DEPLOYMENT,
        {"imageVolume": "model", "value": IMAGE},
        _mounted("/model/model", {"image": {"reference": IMAGE.format(version=0), "pullPolicy": "IfNotPresent"}}),
    ),
    Target("config-map", DEPLOYMENT, {"configMap": {"name": "config-map", "key": "model"}}, _with_config_map),
    Target("stateful-set", STATEFUL_SET, ENV, _plain("StatefulSet")),
    Target("blue-green", SERVICE, {"selector": "version", "value": "{version}"}, _blue_green, BY_URI),
    Target("rollout", ROLLOUT, ENV, _plain("Rollout")),
    Target(
        "inference-service",
        INFERENCE_SERVICE,
        {"fieldPath": "spec.predictor.model.storageUri"},
        _carried_over(INFERENCE_SERVICE | {"spec": {"predictor": {"model": {"modelFormat": {"name": "mlflow"}}}}}),
    ),
    Target("generic", GENERIC, {"fieldPath": "spec.model.uri"}, _carried_over(GENERIC | EMPTY), {"service": "generic"}),
)
NAMES = [target.name for target in TARGETS]


class Tour:
    """All targets, led through the same steps at once; what goes wrong on the way of one is told by its test."""

    def __init__(self, scene: Scene, stage: Stage) -> None:
        self._scene, self._stage = scene, stage
        self.failures: dict[str, Exception] = {}
        (node,) = scene.kube.list("nodes")
        self.runtime: str = node["status"]["nodeInfo"]["containerRuntimeVersion"]
        self.targets = [each for each in TARGETS if each.name != "image-volume" or self.knows_image_volumes]

    @property
    def knows_image_volumes(self) -> bool:
        """Whether the node's container runtime mounts images: containerd from 2.1."""
        name, _, version = self.runtime.partition("://")
        return name == "containerd" and tuple(int(part) for part in version.split(".")[:2]) >= (2, 1)

    def set_up(self) -> None:
        # Many ModelVersions of one version would write over each other's tags.
        self._stage.apply(registry(self._stage.registry_url, enabled=False))
        for target in self.targets:
            self._stage.apply(*target.objects(target.name, self._stage.model))

    def give(self, number: int) -> None:
        """Every target to this version."""
        for target in self.targets:
            self._try(target, lambda each: self._stage.apply(each.version(self._stage.model, number)))
        self._all("Serving", number)

    def ask_back(self, number: int) -> None:
        """Every target away from this version, on request."""
        names = [f"{target.name}-{number}" for target in self.targets if target.name not in self.failures]
        self._stage.kube.run("annotate", "modelversion", *names, "weighbridge.dev/rollback=the tour goes back")
        self._all("RolledBack", number)
        self._all("Serving", 1)

    def abort(self, number: int) -> None:
        """A person aborts the Rollout on its way to a version that does not get ready."""
        (target,) = (each for each in self.targets if each.ref == ROLLOUT)
        self._try(target, lambda each: self._stage.apply(each.version(self._stage.model, number, fault="unready")))
        self._try(target, self._abort)
        self._try(target, lambda each: self._reached(each, "RolledBack", number))
        self._try(target, lambda each: self._reached(each, "Serving", 1))

    def _abort(self, target: Target) -> None:
        kube = self._stage.kube

        def on_its_way() -> bool:
            status = (kube.get("rollout", target.name) or {}).get("status", {})
            return bool(status.get("phase") == "Progressing" and status.get("updatedReplicas"))

        kube.until("the Rollout is on its way", PATIENCE, on_its_way)
        kube.run("patch", "rollout", target.name, "--subresource=status", "--type=merge", "--patch", '{"status": {"abort": true}}')

    def _all(self, phase: str, number: int) -> None:
        for target in self.targets:
            self._try(target, lambda each: self._reached(each, phase, number))

    def _reached(self, target: Target, phase: str, number: int) -> None:
        name = f"{target.name}-{number}"

        def there(body: Body | None) -> bool:
            return bool(body and body.get("status", {}).get("phase") == phase)

        self._scene.versions.until(f"{name} is {phase}", PATIENCE, self._stage.namespace, name, there)
        if phase == "Serving":
            value = IMAGE.format(version=number) if "image" in target.name else f"models:/{self._stage.model}/{number}"
            url = f"http://{target.name}.{self._stage.namespace}.svc:{PORT}/"
            # A pod that has just gone may be behind the Service for a moment more: then nobody answers, and who answers is right.
            said = self._stage.kube.until(f"{target.name} answers", SETTLED, lambda: self._stage.get(url))
            assert said == {"model": value, "good": True}, f"{target.name} answers as {said}"

    def _try(self, target: Target, step: Callable[[Target], None]) -> None:
        if target.name in self.failures:
            return
        try:
            step(target)
        except (AssertionError, OSError) as failure:
            self.failures[target.name] = failure


@pytest.fixture(scope="module")
def tour() -> Iterator[Tour]:
    subprocess.run([str(ROOT / "e2e" / "serving" / "images")], check=True)
    argo_rollouts.install()
    kube = Kube(NAMESPACE)
    for name in ("inferenceservice.yaml", "endpoint.yaml"):
        kube.apply(CRDS / name)
    with Scene() as scene:
        stage = scene.stages(["targets"], versions=3)["targets"]
        tour = Tour(scene, stage)
        tour.set_up()
        with StandIn(stage.kube, {"inference-service": KSERVE, "generic": ENDPOINT}):
            tour.give(1)
            tour.give(2)
            tour.ask_back(2)
            tour.abort(3)
        yield tour


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_pointed_at_each_version_and_back(name: str, tour: Tour) -> None:
    if name == "image-volume" and not tour.knows_image_volumes:
        pytest.skip(f"{tour.runtime} mounts no images")
    if name in tour.failures:
        raise tour.failures[name]
