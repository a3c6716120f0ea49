"""Every kind of target with every kind of pointer that it takes: how it looks, and what may be misspelt in it."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from weighbridge.api.serving import ConfigMapKey, Pointer, Serving, TargetRef

Body = dict[str, Any]
FIRST, SECOND = "models:/fraud/1", "models:/fraud/2"
IMAGE = "registry.example.com/fraud"
API = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Rollout": "argoproj.io/v1alpha1",
    "Service": "v1",
    "InferenceService": "serving.kserve.io/v1beta1",
    "Endpoint": "serving.example.com/v1",
}
PLURALS = {
    "Rollout": "rollouts",
    "InferenceService": "inferenceservices",
    "Endpoint": "endpoints",
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "Service": "services",
}


@dataclass(frozen=True)
class Bench:
    """A target that is pointed at `first`."""

    name: str
    kind: str
    pointer: Pointer
    spec: Body
    piece: tuple[str | int, ...]
    """What a manifest leaves out that does not own the pointer: the field, or the list or map that has one owner."""
    first: str = FIRST
    second: str = SECOND
    data: dict[str, str] | None = None
    """Of the ConfigMap `models`."""
    misspelt: tuple[tuple[Body, str, str], ...] = ()
    """Changes of the pointer, with the reason and words of the sentence."""
    lacks: bool = True
    """Whether an object can be there without that piece."""

    @property
    def api_version(self) -> str:
        return API[self.kind]

    @property
    def entry(self) -> Serving:
        target = TargetRef(api_version=self.api_version, kind=self.kind, name="server")
        return Serving(target_ref=target, pointer=self.pointer)

    def manifest(self, *, bare: bool = False) -> Body:
        """As somebody would apply it; `bare`: without the pointer."""
        spec = deepcopy(self.spec)
        if bare:
            node: Any = {"spec": spec}
            for step in self.piece[:-1]:
                node = node[step]
            node.pop(self.piece[-1], None)
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": "server"}, "spec": spec}


def _pod_spec(*arguments: str, in_command: bool = False) -> Body:
    command = ["serve", *arguments] if in_command else ["serve"]
    server: Body = {
        "name": "server",
        "image": f"{IMAGE}:1",
        "command": command,
        "env": [{"name": "BEFORE", "value": "a"}, {"name": "MODEL_URI", "value": FIRST}, {"name": "AFTER", "value": "b"}],
        "volumeMounts": [{"name": "model", "mountPath": "/model"}, {"name": "scratch", "mountPath": "/scratch"}],
    }
    if arguments and not in_command:
        server["args"] = list(arguments)
    return {
        "containers": [{"name": "proxy", "image": "proxy:1", "args": ["--model=other"]}, server],
        "initContainers": [{"name": "fetch", "image": "fetch:1", "env": [{"name": "SOURCE", "value": FIRST}]}],
        "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "model", "image": {"reference": f"{IMAGE}:1"}}],
    }


def _workload(kind: str, pod: Body) -> Body:
    labels = {"app": "server"}
    template = {"metadata": {"labels": labels, "annotations": {"team": "fraud"}}, "spec": pod}
    spec: Body = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    if kind == "StatefulSet":
        spec["serviceName"] = "server"
    if kind == "Rollout":
        spec["strategy"] = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
    return spec


_POD = ("spec", "template", "spec")
_SERVER = (*_POD, "containers", 1)
_NO_CONTAINER = ({"container": "srver"}, "ContainerNotFound", "no container srver, only proxy and server and fetch")


def _pods(kind: str) -> list[Bench]:
    def bench(name: str, pointer: Pointer, piece: tuple[str | int, ...], pod: Body | None = None, **more: Any) -> Bench:
        return Bench(f"{kind}-{name}", kind, pointer, _workload(kind, pod or _pod_spec("--port=80")), piece, **more)

    argument = Pointer(container="server", argument="--model")
    no_argument = ({"argument": "--modle"}, "PointerNotFound", "no argument --modle")
    images = {"first": f"{IMAGE}:1", "second": f"{IMAGE}:2"}
    return [
        bench(
            "env",
            Pointer(container="server", env="MODEL_URI"),
            (*_SERVER, "env", 1, "value"),
            misspelt=(_NO_CONTAINER, ({"env": "MODEL_URL"}, "PointerNotFound", "declares no MODEL_URL")),
        ),
        bench(
            "env of an init container", Pointer(container="fetch", env="SOURCE"), (*_POD, "initContainers", 0, "env", 0, "value")
        ),
        bench(
            "joined argument",
            argument,
            (*_SERVER, "args"),
            _pod_spec("--port=80", f"--model={FIRST}", "--log"),
            misspelt=(_NO_CONTAINER, no_argument),
        ),
        bench("split argument", argument, (*_SERVER, "args"), _pod_spec("--port", "80", "--model", FIRST, "--log")),
        bench("argument in the command", argument, (*_SERVER, "command"), _pod_spec("--model", FIRST, "--log", in_command=True)),
        bench(
            "image",
            Pointer(container="server", image=True, value=f"{IMAGE}:{{version}}"),
            (*_SERVER, "image"),
            **images,
            lacks=False,
            misspelt=(_NO_CONTAINER,),
        ),
        bench(
            "image volume",
            Pointer(image_volume="model", value=f"{IMAGE}:{{version}}"),
            (*_POD, "volumes") if kind == "Rollout" else (*_POD, "volumes", 1, "image", "reference"),
            **images,
            lacks=kind != "Rollout",
            misspelt=(
                ({"image_volume": "modle"}, "VolumeNotFound", "no volume modle, only scratch and model"),
                ({"image_volume": "scratch"}, "PointerHasOtherSource", "volume scratch of"),
            ),
        ),
        bench(
            "config map",
            Pointer(config_map=ConfigMapKey(name="models", key="model.uri")),
            (*_POD[:-1], "metadata", "annotations", "weighbridge.dev/pointer"),
            data={"model.uri": FIRST, "other": "x"},
            misspelt=(
                (
                    {"config_map": ConfigMapKey(name="model", key="model.uri")},
                    "ConfigMapNotFound",
                    "no ConfigMap model in this namespace",
                ),
                ({"config_map": ConfigMapKey(name="models", key="uri")}, "PointerNotFound", "ConfigMap models has no key uri"),
            ),
        ),
    ]


def _fields(kind: str, spec: Body, path: str, piece: tuple[str, ...], *misspelt: tuple[Body, str, str]) -> Bench:
    return Bench(f"{kind}-{path}", kind, Pointer(field_path=path), spec, piece, misspelt=misspelt)


def _model(value: str = FIRST) -> Body:
    return {"uri": value, "format": "mlflow", "replicas": 2}


BENCHES = [
    *(bench for kind in ("Deployment", "StatefulSet", "Rollout") for bench in _pods(kind)),
    Bench(
        "Service-selector",
        "Service",
        Pointer(selector="example.com/version", value="v{version}"),
        {"selector": {"app": "server", "example.com/version": "v1"}, "ports": [{"port": 80, "name": "http"}]},
        ("spec", "selector"),
        "v1",
        "v2",
        lacks=False,
        misspelt=(({"selector": "version"}, "PointerNotFound", "has no version, only app and example.com/version"),),
    ),
    _fields(
        "InferenceService",
        {
            "predictor": {
                "minReplicas": 1,
                "model": {"modelFormat": {"name": "mlflow"}, "protocolVersion": "v2", "storageUri": FIRST},
            }
        },
        "spec.predictor.model.storageUri",
        ("spec", "predictor", "model", "storageUri"),
        (
            {"field_path": "spec.predictor.modle.storageUri"},
            "PointerNotFound",
            "spec.predictor of InferenceService/server has no modle, only",
        ),
        ({"field_path": "spec.predictor.model"}, "PointerNotFound", "is no text"),
        ({"field_path": "spec.predictor.minReplicas.storageUri"}, "PointerNotFound", "has no fields"),
    ),
    _fields(
        "Endpoint",
        {"model": _model(), "pinned": _model("x")},
        "spec.model.uri",
        ("spec", "model", "uri"),
        ({"field_path": "spec.modle.uri"}, "PointerNotFound", "spec of Endpoint/server has no modle, only model, pinned"),
    ),
    _fields("Endpoint", {"model": _model("x"), "pinned": _model()}, "spec.pinned.uri", ("spec", "pinned")),
]
