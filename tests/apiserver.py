"""A real API server for tests: etcd and kube-apiserver on loopback ports, up in seconds, without root.

Why: CRD validation, CEL, RBAC, status isolation and conflicts are Kubernetes' own behaviour; tests ask Kubernetes, never a
mock of it. No controllers and no kubelets run here: nothing happens to an object that a test does not do.

Must not: know anything of the product, or of the test runner.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ADMIN = "admin"
START_ATTEMPTS = 5
STOP_SECONDS = 10

# Kills the server when our end of its standard input closes: on stop(), and also when this process is killed itself.
# Nothing is lost by it (the data goes too), and kube-apiserver would wait long for an etcd that went first.
GUARD = 'exec 3<&0 </dev/null; (read -r line <&3; kill -KILL $$) & exec 3<&-; exec "$@"'

# Every request is logged before it is worked on: who has an answer finds it in the log.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


class StartError(RuntimeError):
    """The servers did not come up; the message holds the end of their logs."""


@dataclass(frozen=True)
class Identity:
    """Somebody the API server knows by a token."""

    name: str
    groups: tuple[str, ...] = ()

    @classmethod
    def service_account(cls, namespace: str, name: str) -> Self:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
        return cls(f"system:serviceaccount:{namespace}:{name}", groups)


@dataclass(frozen=True)
class Request:
    """A request as the audit log has it."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    uri: str
    status: int | None  # None until it is answered: only requests(answered=True) knows it


class ApiServer:
    """`with ApiServer([Identity("jane")]) as server:` gives a server that knows `admin` (cluster-admin) and jane (nothing yet)."""

    def __init__(
        self,
        identities: Iterable[Identity] = (),
        *,
        binaries: Path | None = None,
        flags: Iterable[str] = (),
        start_seconds: float = 60,
    ) -> None:
        self._binaries = binaries
        self._flags = tuple(flags)
        self._start_seconds = start_seconds
        self._identities = (Identity(ADMIN, ("system:masters",)), *identities)
        self._tokens = {identity.name: secrets.token_hex(16) for identity in self._identities}
        if len(self._tokens) != len(self._identities):
            raise ValueError("two identities have the same name")
        self._stack = ExitStack()
        self._folder = Path()
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca_file(self) -> Path:
        return self._folder / "certificates" / "apiserver.crt"

    @property
    def kubectl(self) -> Path:
        return self._programs() / "kubectl"

    def token(self, user: str = ADMIN) -> str:
        return self._tokens[user]

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """A kubeconfig for one of the identities, removed with the server."""
        path = self._folder / f"{user.replace(':', '_')}.kubeconfig"
        if not path.exists():
            content = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}}],
                "users": [{"name": user, "user": {"token": self.token(user)}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
                "current-context": "test",
            }
            path.touch(mode=0o600)
            path.write_text(json.dumps(content))  # JSON is YAML
        return path

    def requests(self, user: str | None = None, *, answered: bool = False) -> list[Request]:
        """The requests so far, of one user or of all of them (the API server's own ones to itself left out).

        With `answered`, only requests whose answer is in the log, with its status; that may lag behind the client a little.
        """
        return [
            request
            for request in _read_audit_log(self._folder / "audit.log", "ResponseComplete" if answered else "RequestReceived")
            if (request.user == user if user else request.user not in {"system:apiserver", "system:anonymous"})
        ]

    def start(self) -> None:
        """Starts both servers and returns when the API answers `ready`."""
        self._folder = Path(tempfile.mkdtemp(prefix="apiserver-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        atexit.register(self.stop)
        try:
            self._write_inputs()
            self._start_servers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops both servers and removes what they wrote."""
        atexit.unregister(self.stop)
        self._stack.close()

    def _write_inputs(self) -> None:
        lines = (
            f'{self._tokens[identity.name]},{identity.name},{identity.name},"{",".join(identity.groups)}"\n'
            for identity in self._identities
        )
        (self._folder / "tokens.csv").write_text("".join(lines))
        (self._folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))

    def _start_servers(self) -> None:
        programs = self._programs()
        deadline = time.monotonic() + self._start_seconds
        for _ in range(START_ATTEMPTS):  # another process may take a free port before our server binds it
            attempt = ExitStack()
            etcd_port, peer_port, self._port = _free_ports(3)
            etcd = self._spawn(attempt, programs / "etcd", self._etcd_flags(etcd_port, peer_port))
            apiserver = self._spawn(attempt, programs / "kube-apiserver", self._apiserver_flags(etcd_port))
            try:
                if self._becomes_ready((etcd, apiserver), deadline):
                    self._stack.push(attempt)
                    return
                logs = self._log_tails()
            except BaseException:
                attempt.close()
                raise
            attempt.close()
            if "address already in use" not in logs:
                break
            shutil.rmtree(self._folder / "etcd", ignore_errors=True)
        raise StartError(f"the API server did not become ready\n{logs}")

    def _becomes_ready(self, servers: tuple[subprocess.Popen[bytes], ...], deadline: float) -> bool:
        while time.monotonic() < deadline:
            if any(server.poll() is not None for server in servers):
                return False
            if self._is_ready():
                return True
            threading.Event().wait(0.05)
        return False

    def _is_ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.token()}"})
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            with urllib.request.urlopen(request, timeout=2, context=context) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _programs(self) -> Path:
        if self._binaries is None:
            from_environment = os.environ.get("WEIGHBRIDGE_APISERVER_BINARIES")
            self._binaries = Path(from_environment) if from_environment else _project_binaries()
        return self._binaries

    def _etcd_flags(self, port: int, peer_port: int) -> list[str]:
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        return [
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _apiserver_flags(self, etcd_port: int) -> list[str]:
        key = self.ca_file.with_suffix(".key")  # made by the server itself on its start; it also signs tokens
        return [
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={self.ca_file.parent}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",  # nobody makes the default ones
            f"--audit-policy-file={self._folder / 'audit-policy.json'}",
            f"--audit-log-path={self._folder / 'audit.log'}",
            "--audit-log-mode=blocking",
            *self._flags,
        ]

    def _spawn(self, attempt: ExitStack, program: Path, flags: list[str]) -> subprocess.Popen[bytes]:
        log = attempt.enter_context((self._folder / f"{program.name}.log").open("wb"))
        command = ["/bin/sh", "-c", GUARD, program.name, str(program), *flags]
        # A session of its own: Ctrl-C in the terminal is for the tests, which then stop their server.
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        attempt.callback(_stop, server)
        return server

    def _log_tails(self) -> str:
        logs = (self._folder / "etcd.log", self._folder / "kube-apiserver.log")
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.stdin is not None:
        server.stdin.close()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _project_binaries() -> Path:
    command = Path(__file__).resolve().parents[1] / "e2e" / "cluster" / "apiserver-binaries"
    return Path(subprocess.run([str(command)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def _read_audit_log(path: Path, stage: str) -> Iterator[Request]:
    with path.open() as lines:
        for line in lines:
            if not line.endswith("\n"):
                return  # still being written
            event = json.loads(line)
            if event["stage"] == stage:
                target = event.get("objectRef", {})
                yield Request(
                    user=event["user"].get("username", ""),
                    verb=event["verb"],
                    resource=target.get("resource", ""),
                    subresource=target.get("subresource", ""),
                    namespace=target.get("namespace", ""),
                    name=target.get("name", ""),
                    uri=event["requestURI"],
                    status=event.get("responseStatus", {}).get("code"),
                )
