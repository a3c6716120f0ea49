"""Where tests of serving take place: a registry that can be switched off for each namespace alone, an operator that can be killed,
and a watch that forgets nothing."""

import copy
import json
import subprocess
import uuid
from contextlib import ExitStack
from typing import Any

from e2e.demo.stage import OPERATOR_NAMESPACE
from e2e.helm import CHART, helm
from e2e.kube import ROOT, Kube
from e2e.serving.watch import Body, Watch
from e2e.serving.workloads import PORT, namespace, registry, version

HERE = ROOT / "e2e" / "serving"
NAMESPACE = "weighbridge-serving"
_WORKBENCH = f"/api/v1/namespaces/{NAMESPACE}/services/workbench:8000/proxy"
_FIRST_PORT = 5100
PATIENCE = 180.0
"""Seconds after which what has to happen has not happened; most of it takes a few, on a machine with nothing else to do."""
LABEL = {"weighbridge-e2e": "serving"}
"""Of the namespaces of stages."""
ALERTS = "http://weighbridge-webhooks.weighbridge-system.svc:8082/alerts"
"""Where Alertmanager would send them, for each namespace."""


class Scene:
    """What all stages share. Enter it to watch; `set_up` before anything else."""

    def __init__(self) -> None:
        self.kube, self.operator = Kube(NAMESPACE), Kube(OPERATOR_NAMESPACE)
        self.versions, self.deployments = Watch("modelversions"), Watch("deployments")
        self.kills = 0
        self._stack = ExitStack()

    def __enter__(self) -> "Scene":
        self.set_up()
        for watch in (self.versions, self.deployments):
            self._stack.enter_context(watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        # The operator lets go of what it may still see.
        self.kube.run("delete", "namespaces", "--selector=weighbridge-e2e=serving", f"--timeout={PATIENCE:.0f}s")
        self._install(str(ROOT / "manifests" / "install.yaml"))

    def set_up(self) -> None:
        """The operator with these tests' settings, MLflow and the workbench. Stages of an earlier run go."""
        self.kube.run("delete", "namespaces", "--selector=weighbridge-e2e=serving", "--wait=false")
        self.operator.run("apply", "--server-side", "--filename", "-", stdin=json.dumps(namespace(OPERATOR_NAMESPACE)))
        self._install("-", stdin=self._rendered())
        self.operator.run("rollout", "restart", "deployment/weighbridge")  # its image may be another one
        self.operator.run("rollout", "status", "deployment/weighbridge", "--timeout=180s")
        self.apply(namespace(NAMESPACE))
        self.apply(programs("workbench.py"))
        self.kube.apply(HERE / "manifests" / "scene.yaml")
        self.kube.run("rollout", "restart", "deployment/workbench")  # its program may be another one
        for name in ("mlflow", "workbench"):
            self.kube.run("rollout", "status", f"deployment/{name}", "--timeout=240s")
        self.kube.run("wait", "namespaces", "--selector=weighbridge-e2e=serving", "--for=delete", "--timeout=120s")

    def _install(self, filename: str, stdin: str | None = None) -> None:
        self.operator.run("apply", "--server-side", "--force-conflicts", "--filename", filename, stdin=stdin)

    def _rendered(self) -> str:
        """The chart with these tests' values."""
        values = str(HERE / "manifests" / "operator.yaml")
        return helm("template", "weighbridge", str(CHART), "--no-hooks", "--values", values, namespace=OPERATOR_NAMESPACE)

    def apply(self, *bodies: Body) -> None:
        self.kube.run("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))

    def stages(self, names: list[str], versions: int) -> dict[str, "Stage"]:
        """A namespace for each name, with a registry of its own that knows a model in so many versions."""
        stages = {name: Stage(self, name, _FIRST_PORT + number) for number, name in enumerate(names)}
        seed = (HERE / "seed.py").read_text(encoding="utf-8")
        wish = json.dumps({stage.model: versions for stage in stages.values()})
        self.kube.run("exec", "--stdin", "deployment/mlflow", "--", "python", "-c", seed, stdin=wish)
        self.apply(*(namespace(stage.namespace, **LABEL) for stage in stages.values()))
        for stage in stages.values():
            stage.registry(reachable=True)
            stage.apply(programs("server.py"), registry(stage.registry_url))
        for stage in stages.values():
            stage.kube.run("wait", "modelregistry/mlflow", "--for=condition=Ready", "--timeout=60s")
        return stages

    def ask(self, what: str, **wish: Any) -> Any:
        """Tells the workbench to do something, and waits for it."""
        said = self.kube.run("create", "--raw", f"{_WORKBENCH}/{what}", "--filename=-", stdin=json.dumps(wish))
        return json.loads(said) if said.strip() else None

    def kill_operator(self) -> None:
        """Ends the operator's process without a word, as a node that fails does; a new pod takes its place."""
        find = "crictl stop --timeout 0 $(crictl ps --quiet --label io.kubernetes.container.name=operator)"
        self.kills += 1
        (node,) = (each["metadata"]["name"] for each in self.operator.list("nodes"))
        subprocess.run([str(ROOT / "e2e" / "cluster" / "docker"), "exec", node, "sh", "-c", find], capture_output=True, check=True)
        self.operator.run(
            "delete",
            "pod",
            "--selector=app.kubernetes.io/name=weighbridge",
            "--force",
            "--grace-period=0",
            "--wait=false",
            check=False,
        )

    def operator_is_back(self) -> None:
        self.operator.run("rollout", "status", "deployment/weighbridge", f"--timeout={PATIENCE:.0f}s")


class Stage:
    """One namespace with a registry of its own."""

    def __init__(self, scene: Scene, name: str, port: int) -> None:
        self.namespace, self.model = f"serving-{name}", f"{name}-{uuid.uuid4().hex[:6]}"
        self.kube, self._scene, self._port = Kube(self.namespace), scene, port
        self.registry_url = f"http://workbench.{NAMESPACE}.svc:{port}"
        self.service = f"http://server.{self.namespace}.svc:{PORT}/"

    def apply(self, *bodies: Body) -> None:
        self.kube.run("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))

    def version(self, number: int, **changes: Any) -> Body:
        """A ModelVersion of this stage's model."""
        return version(self.model, number, **changes)

    def registry(self, *, reachable: bool) -> None:
        """Opens or closes the way to the registry: connections break, and new ones are refused."""
        self._scene.ask("gate", port=self._port, open=reachable)

    def mlflow(self, path: str, body: Body, method: str = "POST") -> None:
        """What a person does in the registry; works also while its gate is closed."""
        program = (
            "import sys, urllib.request as u; u.urlopen(u.Request(sys.argv[1], sys.stdin.buffer.read(),"
            " {'Content-Type': 'application/json'}, method=sys.argv[2]), timeout=20)"
        )
        where = f"http://localhost:5000/api/2.0/mlflow/{path}"
        command = ("exec", "--stdin", "deployment/mlflow", "--", "python", "-c", program, where, method)
        self._scene.kube.run(*command, stdin=json.dumps(body))

    def watch_service(self) -> None:
        self._scene.ask("watch", url=self.service)

    def until_service(self, model: str) -> list[tuple[float, str, bool]]:
        """Waits until the Service answers well, with this model; gives each change since it is watched: time, model, whether the
        answer was good."""
        what = f"{self.namespace}: {model} answers"
        seen = self.kube.until(what, PATIENCE, lambda: self._scene.ask("settled", url=self.service, model=model))
        return [(at, told, good) for at, told, good in seen]

    def post(self, url: str, headers: dict[str, str], body: Any) -> None:
        """POST of JSON from inside the cluster, again and again until it is taken."""

        def taken() -> bool:
            return bool(self._scene.ask("post", url=url, headers=headers, body=body) == 200)

        self.kube.until(f"{url} takes it", PATIENCE, taken)

    def turn(self, value: str) -> None:
        """Lets every pod that was told to serve `value` begin to misbehave."""
        for pod in self.kube.list("pods"):
            told = [each.get("value") for each in pod["spec"]["containers"][0].get("env", ())]
            if value in told and pod["status"].get("podIP"):
                self.post(f"http://{pod['status']['podIP']}:{PORT}/turn", {}, None)

    def get(self, url: str) -> Any:
        """GET of JSON from inside the cluster."""
        return self._scene.ask("get", url=url)

    def until(self, number: int, what: str, probe: Any, seconds: float = PATIENCE) -> Any:
        """The first true answer of `probe` on a ModelVersion (None: there is none)."""
        return self._scene.versions.until(
            f"{self.namespace}/scale-{number} {what}", seconds, self.namespace, f"scale-{number}", probe
        )

    def until_phase(self, number: int, *phases: str, seconds: float = PATIENCE) -> Body:
        body: Body = self.until(number, f"is {' or '.join(phases)}", lambda b: b if b and _phase(b) in phases else None, seconds)
        return body

    def until_pointer(self, value: str, seconds: float = PATIENCE) -> None:
        self._scene.deployments.until(
            f"{self.namespace}: told to serve {value}",
            seconds,
            self.namespace,
            "server",
            lambda body: body and pointer(body) == value,
        )

    def pointers(self, since: float, until: float) -> list[tuple[float, str]]:
        """Each value the pointer was given between these times, with the time it was seen."""
        found: list[tuple[float, str]] = []
        for at, body in self._scene.deployments.story(self.namespace, "server"):
            if body is not None and (not found or found[-1][1] != pointer(body)):
                found.append((at, pointer(body)))
        return [each for each in found if since <= each[0] <= until]

    def shapes(self) -> set[str]:
        """What the workload was, the pointer apart, as far back as it was seen."""
        bodies = (body for _, body in self._scene.deployments.story(self.namespace, "server") if body is not None)
        return {_shape(body) for body in bodies}

    def story(self, number: int) -> list[tuple[float, Body | None]]:
        """Everything seen of a ModelVersion."""
        return self._scene.versions.story(self.namespace, f"scale-{number}")

    def last(self, number: int) -> Body:
        """A ModelVersion as last seen, also when it is gone."""
        return next(body for _, body in reversed(self.story(number)) if body is not None)


def programs(*names: str) -> Body:
    """What pods run, as a ConfigMap."""
    data = {name: (HERE / name).read_text(encoding="utf-8") for name in names}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "programs"}, "data": data}


def pointer(deployment: Body) -> str:
    """What a Deployment is told to serve: by the variable MODEL, or by its image where there is none."""
    where, key = _pointed(deployment)
    value: str = where.get(key, "")
    return value


def _pointed(deployment: Body) -> tuple[Body, str]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    variables: list[Body] = [each for each in container.get("env", ()) if each["name"] == "MODEL"]
    return (variables[0], "value") if variables else (container, "image")


def _shape(deployment: Body) -> str:
    copied = copy.deepcopy(deployment)
    where, key = _pointed(copied)
    where[key] = "the pointer"
    return json.dumps(copied["spec"], sort_keys=True)


def _phase(body: Body) -> str:
    return str(body.get("status", {}).get("phase", ""))
