"""Manifests: model servers of every kind that can serve, and the ModelVersions that claim them. Dictionaries, because they are many
and alike."""

from typing import Any

from weighbridge import __version__

Body = dict[str, Any]
OPERATOR_IMAGE = f"weighbridge/operator:{__version__}"
"""Has Python, and is in the cluster already."""
PORT = 8080
INPUT = '{"inputs": [[1.0, 2.0]]}'


def container(**changes: Any) -> Body:
    """The model server, its model named by MODEL, which has no value yet."""
    body = {
        "name": "server",
        "image": OPERATOR_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/programs/server.py"],
        "env": [{"name": "MODEL"}],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": "http"}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"memory": "96Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "programs", "mountPath": "/programs"}, {"name": "scratch", "mountPath": "/tmp"}],
    }
    return {key: value for key, value in (body | changes).items() if value is not None}


def template(labels: dict[str, str], server: Body | None = None, volumes: tuple[Body, ...] = ()) -> Body:
    """A pod template, fit for Pod Security `restricted`."""
    return {
        "metadata": {"labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 3,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [server or container()],
            "volumes": [{"name": "programs", "configMap": {"name": "programs"}}, {"name": "scratch", "emptyDir": {}}, *volumes],
        },
    }


def workload(kind: str = "Deployment", name: str = "server", replicas: int = 1, **pod: Any) -> Body:
    """A workload with pods of its own, selected by `app`."""
    labels = {"app": name}
    spec: Body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template(labels, **pod)}
    match kind:
        case "Deployment":
            # The version that serves goes on serving until the new one is ready.
            spec["strategy"] = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        case "StatefulSet":
            # One after the other, a pod that never gets ready would keep its own replacement away.
            spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
        case "Rollout":
            spec["strategy"] = {
                "canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": [{"setWeight": 50}, {"pause": {"duration": "2s"}}]}
            }
    api_version = "argoproj.io/v1alpha1" if kind == "Rollout" else "apps/v1"
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def service(name: str = "server", selector: dict[str, str] | None = None) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector or {"app": name}, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }


PROBE: Body = {
    "httpGet": {"path": "/ping", "port": PORT},
    "identity": {"protocol": "OpenAI", "port": PORT},
    "invariants": [{"name": "known-case", "port": PORT, "body": INPUT, "answer": "/predictions/0", "min": 0.2, "max": 0.3}],
    "period": "5s",
    "failureWindow": "3s",
}
"""Asks everything that can be asked."""


def version(model: str, number: int, *, name: str = "scale", fault: str = "", serving: Body | None = None, **spec: Any) -> Body:
    """A ModelVersion in Production that claims Deployment `server`; what it misbehaves in goes with the pointer's value."""
    claim: Body = {
        "stage": "Production",
        "targetRef": {"kind": "Deployment", "name": "server"},
        "pointer": {"container": "server", "env": "MODEL", "value": "{uri}"},
        "probe": PROBE,
        "progressDeadline": "2m",
    }
    claim |= serving or {}
    if fault:
        claim["pointer"] = claim["pointer"] | {"value": f"{claim['pointer'].get('value', '{uri}')}#{fault}"}
    body: Body = {
        "source": {"registryRef": {"name": "mlflow"}, "name": model, "version": str(number)},
        "stage": "Production",
        "serving": [claim],
        "rollback": {"triggers": ["RolloutFailed", "ProbeFailed", "Revoked", "EvaluationFailed", "Alert"]},
    }
    return {
        "apiVersion": "weighbridge.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{name}-{number}"},
        "spec": body | spec,
    }


def namespace(name: str, **labels: str) -> Body:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", **labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def registry(url: str, **write_back: Any) -> Body:
    """Asked often; by default its alias is written back, so that a rollback has something to tell it."""
    spec = {
        "mlflow": {"url": url},
        "pollInterval": "10s",
        "requestTimeout": "3s",
        "writeBack": write_back or {"aliases": {"Production": "champion"}},
    }
    return {"apiVersion": "weighbridge.dev/v1alpha1", "kind": "ModelRegistry", "metadata": {"name": "mlflow"}, "spec": spec}
