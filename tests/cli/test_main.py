"""The command line: CRDs that are what the models say, small commands that stay small, starts that fail with a sentence."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from weighbridge.api import KINDS
from weighbridge.api.crd import crd
from weighbridge.cli import main

HEAVY = ("kopf", "kubernetes", "mlflow", "aiohttp", "prometheus_client")


def test_written_crds_are_the_models_and_pass_their_own_check(tmp_path: Path) -> None:
    assert main(["crds", "--write", str(tmp_path)]) == 0
    files = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert files.keys() == {f"{kind.info.plural}.weighbridge.dev.yaml" for kind in KINDS}
    for kind in KINDS:
        text = files[f"{kind.info.plural}.weighbridge.dev.yaml"]
        assert text.startswith("# Generated")
        assert yaml.safe_load(text) == crd(kind)
        assert "&id" not in text
        assert len(text) < 200_000
    assert main(["crds", "--check", str(tmp_path)]) == 0


@pytest.mark.parametrize("what", ["changed", "missing", "strange"])
def test_the_check_names_the_file_that_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    main(["crds", "--write", str(tmp_path)])
    file = tmp_path / "modelversions.weighbridge.dev.yaml"
    if what == "changed":
        file.write_text(file.read_text(encoding="utf-8").replace("mver", "mv"), encoding="utf-8")
    elif what == "missing":
        file.unlink()
    else:
        file = tmp_path / "left-over.yaml"
        file.write_text("{}", encoding="utf-8")
    assert main(["crds", "--check", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert file.name in told
    assert "crds --write" in told


def test_without_options_crds_go_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert documents == [crd(kind) for kind in KINDS]


@pytest.mark.parametrize("command", ["crds", "report", "preflight", "release mver/", "why ../x", "at never", "lint /none"])
def test_small_commands_load_nothing_heavy(command: str) -> None:
    """The reporter runs beside every evaluation. Without its environment it ends at once, after its imports."""
    loaded = f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    code = f"import sys; from weighbridge.cli import main; main({command.split()!r}); {loaded}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIGHBRIDGE_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**clean, "PYTHONPATH": _source()}, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("name", "said"), [("/usr/bin/kubectl-weighbridge", "usage: kubectl weighbridge why"), ("cli.py", "usage: weighbridge why")]
)
def test_usage_says_what_it_was_called(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "why", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.startswith(said)


def test_a_mistyped_command_is_told_what_may_have_been_meant(capsys: pytest.CaptureFixture[str]) -> None:
    for typed, said in (("statu", "there is no command statu; did you mean status?"), ("xyz", "`weighbridge --help` lists them")):
        with pytest.raises(SystemExit) as ended:
            main([typed])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_help_lists_the_commands_of_programs_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    people, apart, programs = capsys.readouterr().out.partition("commands of programs:")
    assert apart
    assert [name for name in ("run", "report", "crds") if f"\n  {name} " in programs and f"\n    {name} " not in people] == [
        "run",
        "report",
        "crds",
    ]
    assert "\n    status " in people


def test_a_misspelt_setting_stops_the_start_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--log-level", "loud"]) == 1
    assert '--log-level="loud" cannot be used: write debug, info, warning or error' in capsys.readouterr().err


def test_no_cluster_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "nowhere"), "PYTHONPATH": _source()}
    ports = ["--metrics-address", ":0", "--health-address", ":0"]
    code = "from weighbridge.cli import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *ports], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "weighbridge: the kubeconfig does not tell how to reach the API server: check KUBECONFIG"


def test_people_without_a_cluster_get_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "nowhere"), "PYTHONPATH": _source()}
    code = "from weighbridge.cli import main; raise SystemExit(main(['status']))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "weighbridge: the kubeconfig does not tell how to reach the API server: check KUBECONFIG\n"


def test_a_broken_engine_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    information = tmp_path / "theirs-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text("[weighbridge.engines]\nguidellm = no_such_module:x\n", encoding="utf-8")
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "nowhere"), "PYTHONPATH": f"{_source()}:{tmp_path}"}
    code = "from weighbridge.cli import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--metrics-address", ":0", "--health-address", ":0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = "weighbridge: engine guidellm (no_such_module:x) cannot be loaded: ModuleNotFoundError; "
    assert done.returncode == 1
    assert done.stderr.strip() == f"{said}correct or take out the package of the operator's image that brings it"


@pytest.mark.parametrize("arguments", [["lint", "-"], ["crds"]])
def test_a_reader_that_has_seen_enough_is_no_trouble(arguments: list[str]) -> None:
    """As `head -1` has. What lint says here goes out at the end, and all CRDs are more than one write."""
    read, write = os.pipe()
    os.close(read)
    code = "from weighbridge.cli import main; raise SystemExit(main())"
    environment = {**os.environ, "PYTHONPATH": _source()}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupted_command_ends_without_a_traceback() -> None:
    handled = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{handled}; from weighbridge.cli import main; raise SystemExit(main(['lint', '-']))"
    environment = {**os.environ, "PYTHONPATH": _source()}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as running:
        assert running.stdin is not None
        running.stdin.write(b"#" * 1_000_000)  # more than a pipe holds: when this is written, the command reads
        running.stdin.flush()
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=30)
    assert (running.returncode, *told) == (130, b"", b"")


def _source() -> str:
    return str(Path(__file__).parents[2] / "operator")
