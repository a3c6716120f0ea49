"""Registers versions of models over MLflow's REST interface: no training, files just good enough to be a model. Runs in MLflow's
own pod; reads {"model": number of versions} from standard input."""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

SERVER = "http://localhost:5000"
DESCRIPTION = "flavors:\n  python_function:\n    loader_module: some.module\n    data: data.bin\nmlflow_version: 3.17.2\n"


def ask(method: str, path: str, body: Any) -> dict[str, Any]:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = urllib.request.Request(f"{SERVER}/api/2.0/{path}", data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        said: dict[str, Any] = json.loads(answer.read() or b"{}")
    return said


def register(name: str) -> str:
    """One more version. Gives its number."""
    logged = ask("POST", "mlflow/logged-models", {"experiment_id": "0", "name": "model"})["model"]["info"]
    folder = logged["artifact_uri"].split(":", 1)[1].lstrip("/")
    for file, content in {"MLmodel": DESCRIPTION, "data.bin": logged["model_id"]}.items():
        ask("PUT", f"mlflow-artifacts/artifacts/{folder}/{file}", content)
    model_id = logged["model_id"]
    ask("PATCH", f"mlflow/logged-models/{model_id}", {"model_id": model_id, "status": "LOGGED_MODEL_READY"})
    entry = {"name": name, "source": f"models:/{model_id}", "model_id": model_id}
    return str(ask("POST", "mlflow/model-versions/create", entry)["model_version"]["version"])


for model, versions in json.load(sys.stdin).items():
    try:
        ask("POST", "mlflow/registered-models/create", {"name": model})
    except urllib.error.HTTPError as error:
        sys.exit(f"{model}: {error.read().decode()}")
    for _ in range(versions):
        register(model)
    sys.stdout.write(f"{model}: {versions} versions\n")
