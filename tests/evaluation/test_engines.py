"""Which engines there are: those built in and those of other packages, found as Python finds them."""

import sys
from pathlib import Path

import pytest

from weighbridge.core.engines import BUILT_IN
from weighbridge.evaluation.engines import EngineBroken, installed

ENGINE = "from weighbridge.core.engines import Engine\nguidellm = Engine('guidellm', image='example.com/guidellm:1')\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of an installed package on Python's path; its entry points are the test's."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_engines", raising=False)
    information = tmp_path / "theirs-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (tmp_path / "their_engines.py").write_text(ENGINE)
    return information / "entry_points.txt"


def test_the_built_in_engines_are_there() -> None:
    assert installed() == BUILT_IN
    assert set(BUILT_IN) == {"mlflow", "lm-eval", "container"}


def test_a_package_brings_an_engine(package: Path) -> None:
    package.write_text("[weighbridge.engines]\nguidellm = their_engines:guidellm\n")
    engines = installed()
    assert set(engines) == {*BUILT_IN, "guidellm"}
    assert engines["guidellm"].image == "example.com/guidellm:1"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("guidellm = their_engines:nothing", "cannot be loaded: AttributeError"),
        ("guidellm = no_such_module:x", "cannot be loaded: ModuleNotFoundError"),
        ("other = their_engines:guidellm", "must be a weighbridge.core.engines.Engine of that name"),
        ("guidellm = their_engines:ENGINE", "must be a weighbridge.core.engines.Engine of that name"),
    ],
)
def test_a_broken_engine_is_said_by_name_and_stops_the_operator(package: Path, line: str, says: str) -> None:
    package.write_text(f"[weighbridge.engines]\n{line}\n")
    if "ENGINE" in line:
        (package.parents[1] / "their_engines.py").write_text(ENGINE + "ENGINE = 'x'\n")
    with pytest.raises(EngineBroken, match=line.split(" ", 1)[0]) as broken:
        installed()
    assert says in str(broken.value)


def test_a_name_that_is_taken_is_not_given_away(package: Path) -> None:
    package.write_text("[weighbridge.engines]\nmlflow = their_engines:mlflow\n")
    (package.parents[1] / "their_engines.py").write_text(ENGINE + "mlflow = Engine('mlflow')\n")
    with pytest.raises(EngineBroken, match="takes a name that is taken"):
        installed()
