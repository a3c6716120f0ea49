"""The images, as far as their sources tell: what is in the lock files, and what the stages of the Dockerfile do with them.

What a built image is like (its size, its users) is looked at where images are built."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("mlflow", "mlflow-tracing", "pandas", "numpy", "scipy", "pyarrow", "scikit-learn", "torch", "transformers", "onnxruntime"),
    *("lm-eval", "datasets", "flask", "gunicorn", "sqlalchemy", "alembic", "docker", "matplotlib"),
}
"""What the operator and its reporter do without: servers, and what computes with models."""


def locked(name: str) -> dict[str, str]:
    """Names in a lock file, each with all that is said of it."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    return {line.split("==")[0].strip().lower(): line for line in text.splitlines() if line and not line.startswith("#")}


def stages() -> dict[str, tuple[str, list[str]]]:
    """Stages of the Dockerfile: on what each stands, and its instructions."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, tuple[str, list[str]]] = {}
    lines: list[str] = []
    for line in filter(None, (re.sub(r"\s+", " ", each).strip() for each in text.splitlines())):
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            lines = []
            found[match[2]] = (match[1], lines)
        else:
            lines.append(line)
    return found


def all_of(name: str) -> list[str]:
    """Instructions of a stage and of those it stands on."""
    base, lines = stages()[name]
    return [*(all_of(base) if base in stages() else []), *lines]


@pytest.mark.parametrize("name", ["build", "operator", "evaluator", "dev"])
def test_everything_is_pinned_with_hashes(name: str) -> None:
    packages = locked(name)
    assert packages
    for package, line in packages.items():
        assert re.match(r"[\w.\[\]-]+==[\w.]+( |$)", line), f"{package} has no exact version"
        assert "--hash=sha256:" in line, f"{package} has no hash"


def test_the_operator_is_small() -> None:
    packages = locked("operator")
    assert {"kopf", "kubernetes", "mlflow-skinny", "opentelemetry-exporter-otlp-proto-http"} <= packages.keys()
    assert HEAVY & packages.keys() == set()
    assert not [name for name in packages if name.startswith(("nvidia-", "cuda"))]


def test_the_search_for_heavy_packages_finds_them_where_they_are() -> None:
    assert {"mlflow", "pandas", "numpy", "scikit-learn", "flask"} <= HEAVY & locked("evaluator").keys()


@pytest.mark.parametrize("name", ["operator", "evaluator"])
def test_nothing_that_builds_is_in_an_image(name: str) -> None:
    packages = locked(name)
    assert {"pip", "setuptools", "wheel", "cyclonedx-bom"} & packages.keys() <= ({"setuptools"} if name == "evaluator" else set())
    lines = all_of(name)
    assert not [line for line in lines if line.startswith(("RUN", "ADD"))], "a final image only copies"
    copies = [line for line in lines if line.startswith("COPY")]
    assert all(f"--from={name}-build " in line for line in copies)
    assert not [line for line in copies if "/build" in line.removeprefix(f"COPY --from={name}-build")]
    assert "python3 -m venv --without-pip /opt/venv" in " ".join(all_of(f"{name}-build"))


@pytest.mark.parametrize("name", ["operator", "evaluator"])
def test_every_image_runs_as_nobody_says_what_it_is_and_lists_what_is_in_it(name: str) -> None:
    lines = all_of(name)
    assert [line for line in lines if line.startswith("USER")] == ["USER 65532:65532"]
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", " ".join(lines)))
    assert labels >= {"title", "description", "vendor", "licenses", "version", "revision"}
    assert f"COPY --from={name}-build /sbom /usr/share/sbom" in lines
    build = all_of(f"{name}-build")
    listed = [number for number, line in enumerate(build) if "cyclonedx-py environment" in line]
    assert listed == [len(build) - 1] or "install" not in " ".join(build[listed[0] + 1 :]), "listed once all is installed"
    assert "-o /sbom/weighbridge.cdx.json /opt/venv/bin/python3" in build[listed[0]]


def test_every_install_checks_hashes_or_is_our_own_wheel() -> None:
    installs = [line for _, lines in stages().values() for line in lines if " install " in line]
    assert len(installs) == 5
    assert all("--require-hashes --no-deps" in line or line.endswith("install --no-deps -q /wheel/*.whl") for line in installs)


def test_the_version_is_the_packages() -> None:
    version = re.search(r'__version__ = "(.*)"', (ROOT / "operator/weighbridge/__init__.py").read_text(encoding="utf-8"))
    assert version
    assert f"ARG VERSION={version[1]}" in all_of("operator")


def test_the_build_sees_nothing_but_what_it_needs() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    sources = {
        each
        for _, instructions in stages().values()
        for line in instructions
        if line.startswith("COPY ") and "--from" not in line
        for each in line.split()[1:-1]
    }
    assert sources
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert {source for source in sources if not {source, source.split("/")[0]} & allowed} == set()
