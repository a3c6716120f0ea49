"""A model server as small as can be. Runs in pods, with nothing but Python.

What it serves is told by `--model VALUE`, by the variable MODEL, or by the file that MODEL_FILE names; without, it waits and is not
ready. Behind a `#` the value says how it misbehaves: `models:/scale/3#crash`. What begins with `late-` begins when somebody
posts to /turn, and outlives the container.
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TURNED = Path("/tmp/turned")
GOOD, WRONG = 0.25, 0.75
NAME = "scale"


def model() -> str:
    """The value that names the model; empty where there is none yet."""
    parser = argparse.ArgumentParser(description="Serves a model of a few lines")
    parser.add_argument("--model")
    if given := parser.parse_args().model:
        return str(given)
    if file := os.environ.get("MODEL_FILE"):
        path = Path(file)
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return os.environ.get("MODEL", "")


MODEL = model()
FAULT = MODEL.partition("#")[2]
VERSION = (re.findall(r"\d+", MODEL.partition("#")[0]) or [""])[-1]


def fault() -> str:
    """How it misbehaves now."""
    if not FAULT.startswith("late-"):
        return FAULT
    return FAULT.removeprefix("late-") if TURNED.exists() else ""


def predictions() -> list[float]:
    return [WRONG if fault() == "wrong-answer" else GOOD]


def identity() -> str:
    return f"models:/{NAME}/another" if fault() == "wrong-identity" else MODEL


class Handler(BaseHTTPRequestHandler):
    """MLflow's scoring server, an OpenAI-style server and one of the Open Inference Protocol in one."""

    def do_GET(self) -> None:
        match self.path:
            case "/":
                self._answer({"model": MODEL, "good": not fault()})
            case "/ping" | "/health":
                self._answer("", status=200 if MODEL and fault() != "unready" else 503)
            case "/version":
                self._answer("3.17.2")
            case "/v1/models":
                self._answer({"object": "list", "data": [{"id": NAME, "object": "model", "root": identity()}]})
            case path if path in (f"/v2/models/{NAME}", f"/v2/models/{NAME}/versions/{VERSION}"):
                versions = ["0"] if fault() == "wrong-identity" else [VERSION]
                self._answer({"name": NAME, "versions": versions, "platform": "test", "inputs": [], "outputs": []})
            case path if path in (f"/v2/models/{NAME}/ready", f"/v2/models/{NAME}/versions/{VERSION}/ready"):
                self._answer({"name": NAME, "ready": True})
            case _:
                self._answer("", status=404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.path:
            case "/invocations":
                self._answer({"predictions": predictions()})
            case "/turn":
                TURNED.touch()
                self._answer("")
                if fault() == "crash":
                    self.wfile.flush()
                    os._exit(1)
            case _:
                self._answer("", status=404)

    def _answer(self, body: Any, status: int = 200) -> None:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if fault() == "crash":
        sys.exit("this model crashes")
    if fault() == "oom":
        hoard = [b"x" * 2**24 for _ in range(2**10)]
        sys.exit(f"{len(hoard)} blocks, and still here")
    server = ThreadingHTTPServer(("", 8080), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
