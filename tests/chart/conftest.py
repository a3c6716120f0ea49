"""Helm and kubectl as fixtures, the chart as Helm renders it, and an API server of its own to install it into."""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

from tests.apiserver import ApiServer

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "weighbridge"
Program: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
Object: TypeAlias = dict[str, Any]


class Rendered(list[Object]):
    """The objects of one `helm template`."""

    def of(self, *kinds: str) -> list[Object]:
        """Those of the kinds."""
        return [each for each in self if each["kind"] in kinds]

    def one(self, kind: str) -> Object:
        """The only one of the kind."""
        (found,) = self.of(kind)
        return found


@pytest.fixture(scope="session")
def helm() -> Program:
    """`helm ARGUMENTS…`, with its output and exit status. Compiled on first use where the machine has none."""
    program = ROOT / "e2e" / "tools" / "helm"
    subprocess.run([program, "version"], check=True, stdout=subprocess.DEVNULL)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture(scope="session")
def template(helm: Program) -> Callable[..., Rendered]:
    """Renders the chart with `--set` values and arguments of Helm, as release `weighbridge` in the namespace `operators`, without
    its hooks."""

    def render(*values: str, arguments: Iterable[str | Path] = ("--no-hooks",)) -> Rendered:
        settings = [part for value in values for part in ("--set", value)]
        done = helm("template", "weighbridge", CHART, "--namespace", "operators", *settings, *arguments)
        assert done.returncode == 0, done.stderr
        return Rendered(each for each in yaml.safe_load_all(done.stdout) if each)

    return render


class Api:
    """An empty API server, and the programs to use it as an administrator would."""

    def __init__(self, kubeconfig: Path, programs: Path) -> None:
        self.environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """`kubectl ARGUMENTS…`, with its output and exit status."""
        return self.run("kubectl", *arguments, stdin=stdin)

    def helm(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """`helm ARGUMENTS…`, with its output and exit status."""
        return self.run(ROOT / "e2e" / "tools" / "helm", *arguments)

    def run(self, *command: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, check=False, input=stdin, capture_output=True, text=True, timeout=60, env=self.environment)

    def create(self, *manifests: Object) -> None:
        done = self.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(manifests))
        assert done.returncode == 0, done.stderr

    def namespaces(self, *names: str) -> None:
        self.create(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))


@pytest.fixture(scope="session")
def hooks(template: Callable[..., Rendered]) -> Callable[..., Rendered]:
    """Only the objects that come after the release is gone."""
    return lambda *values: template(*values, arguments=("--show-only", "templates/let-go.yaml"))


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with kubectl, beside the API server's own programs."""
    folder = os.environ.get("WEIGHBRIDGE_APISERVER_BINARIES")
    if folder is None:
        finder = ROOT / "e2e" / "cluster" / "apiserver-binaries"
        folder = subprocess.run([finder], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return Path(folder)


@pytest.fixture(scope="module")
def api(helm: Program, programs: Path) -> Iterator[Api]:
    """One for each module: installing is what is tested, so nothing of ours may be there before."""
    with ApiServer() as server:
        yield Api(server.kubeconfig(), programs)
