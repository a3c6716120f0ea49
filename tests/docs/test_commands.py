"""Every command of every page runs: on a real API server, through the real parser, or in the test that is named for it."""

import re
import shlex
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest

from weighbridge.cli.program import _parser

from .elsewhere import ELSEWHERE, elsewhere
from .ground import INSTALL, Ground
from .pages import ROOT, Block, blocks, pages

BESIDE = {"awk", "base64", "cat", "cut", "date", "echo", "grep", "head", "jq", "openssl", "sort", "tail", "timeout", "tr", "wc"}
"""What stands in a pipeline beside kubectl."""
REQUESTS = {"rollback": "--timeout 1s", **dict.fromkeys(("retry", "re-evaluate", "hold", "release", "approve", "reject"), "")}
"""Commands that an operator follows, with what keeps them from waiting for one that is not there."""
ALONE = {"status": "", "why": "", "at": "", "lint": "", "let-go": "--settle 1s"}
"""Commands that need none. `preflight` asks registries, which are not there: its words are parsed."""
INSTALLING = re.compile(
    rf"helm (install|upgrade|uninstall)\b|kubectl (apply|delete)\b.*({re.escape(INSTALL)}|-f crds/)|kubectl delete crd", re.DOTALL
)
CHART = "helm install weighbridge charts/weighbridge --namespace weighbridge-system --create-namespace"
WITH_COMMANDS = [page for page in pages() if any(block.commands for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_page_runs(page: Path, ground: Ground, programs: Path) -> None:
    ground.furnish()
    problems, installed, variables = list[str](), dict[str, Ground](), list[str]()
    with ExitStack() as stack:
        for block in blocks(page):
            first = next((command for command in block.commands if INSTALLING.match(command)), None)
            if first is None:
                problems += _tried(block, ground, variables)
                continue
            tool, upgrading = first.split()[0], first.startswith("helm upgrade")
            if tool not in installed or not upgrading:  # what is installed anew wants a server that has nothing of it
                installed[tool] = _prepared(stack.enter_context(Ground(programs)), first)
            problems += _tried(block, installed[tool], variables)
    assert not problems, "\n\n".join(problems)


@pytest.mark.parametrize(
    "text",
    [
        "kubectl get modelverzions",
        "$ kubectl get modelregistries\nNAME   ADDRESS   READY",
        "weighbridge rolback fraud-detector-7",
        "weighbridge retry no-such-version -n fraud",
        "weighbridge approve no-such-version -n fraud",
        "weighbridge why no-such-version -n fraud",
        "weighbridge preflight hf://a/b --no-such-flag",
        "frobnicate --all",
        "kubectl get modelversions | frobnicate",
        "helm template weighbridge charts/weighbridge --set nonsense=1",
        "make nothing",
        "docker build --target nothing .",
        "e2e/tools/nothing",
    ],
)
def test_what_does_not_run_is_found(text: str, ground: Ground) -> None:
    ground.furnish()
    assert _tried(Block(ROOT / "README.md", "", 1, "", text), ground, [])


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_an_annotation_that_is_set_may_be_there_already(page: Path) -> None:
    """The operator never takes a request away, so without --overwrite the second one fails."""
    text = page.read_text(encoding="utf-8")
    fenced = [command for block in blocks(page) for command in block.commands]
    inline = [f"kubectl {code}" if code.startswith("annotate ") else code for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    setting = [each for each in (*fenced, *inline) if re.match(r"kubectl\b.*\bannotate\b.*=", each, re.DOTALL)]
    assert [each for each in setting if "--overwrite" not in each] == []


def test_the_rights_that_a_page_asks_for_are_granted(ground: Ground) -> None:
    """Else whoever looks for the trouble is led to rights that were never the trouble."""
    asked = {code for page in pages() for code in re.findall(r"`(kubectl auth can-i [^`]+)`", page.read_text(encoding="utf-8"))}
    assert asked
    answers = {command: ground.run(command).stdout for command in asked}
    assert set(answers.values()) == {"yes\n"}, answers


def test_what_cannot_run_here_is_shown_by_a_test_that_exists() -> None:
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), place


def test_nothing_is_excused_that_no_page_says() -> None:
    said = [command for page in pages() for block in blocks(page) for command in block.commands]
    assert [pattern for pattern in ELSEWHERE if not any(re.match(pattern, command) for command in said)] == []


def _prepared(empty: Ground, first: str) -> Ground:
    """A server on which this command finds what it wants to upgrade or remove."""
    if first.startswith("kubectl delete"):
        empty.install()
        return empty
    empty.prepare()
    if first.startswith(("helm upgrade", "helm uninstall")) and "--install" not in first:
        empty.must(CHART)
    return empty


def _tried(block: Block, ground: Ground, variables: list[str]) -> list[str]:
    """What does not work; `variables` are those that the page has set so far."""
    problems = []
    for command, told in block.steps if block.commands else ():
        if re.match(r"(export )?[A-Z_]+=\S*$", command):
            variables.append(f"{command}\n")
        elif problem := _problem(command, told, "".join(variables), ground):
            problems.append(f"{block.place}: {command}\n{problem}")
    return problems


def _problem(command: str, told: list[str], before: str, ground: Ground) -> str | None:
    if elsewhere(command):
        return None
    first, *others = _programs(command)
    if unknown := set(others) - BESIDE - set(PROGRAMS):
        return f"unknown: {', '.join(sorted(unknown))}"
    if "/" in first:
        return None if (ROOT / first).is_file() and (ROOT / first).stat().st_mode & 0o100 else "no such program in the tree"
    if first not in PROGRAMS:
        return (
            f"nothing tests {first!r}: give its block the language `text` if it is no command, "
            "else say in test_commands.py or elsewhere.py how it is tested"
        )
    return PROGRAMS[first](command, told, before, ground)


def _programs(command: str) -> list[str]:
    """The program of each part of a pipeline."""
    words = shlex.shlex(command.partition("<<")[0], posix=True, punctuation_chars=True)
    found, fresh = [], True
    for word in words:
        if fresh and not re.match(r"[A-Z_]+=", word):
            found.append(word)
            fresh = False
        fresh = fresh or set(word) <= set("|&;")
    return found


def _kubectl(command: str, told: list[str], before: str, ground: Ground) -> str | None:
    watching = re.search(r" (-w|--watch)\b", command) is not None
    if command.startswith("kubectl delete") and "--wait" not in command:
        command += " --wait=false"  # no controller is here that would end a namespace
    done = ground.run(before + command, seconds=5 if watching else 180)
    if done.returncode != (124 if watching else 0):
        return f"exit status {done.returncode}: {done.stdout[-500:]}{done.stderr[-1500:]}"
    if told and told[0].isupper() and told[0].split() != done.stdout.splitlines()[0].split():
        return f"has other columns: {done.stdout.splitlines()[0]}"
    return None


def _helm(command: str, told: list[str], before: str, ground: Ground) -> str | None:
    if command.startswith("helm uninstall"):
        command = command.partition("#")[0] + " --no-hooks"  # they are Jobs, and nobody runs those here
    return _kubectl(command, told, before, ground)


def _weighbridge(command: str, told: list[str], before: str, ground: Ground) -> str | None:
    words = shlex.split(command.partition("|")[0], comments=True)
    for word in ("NAMESPACE", "NAME"):
        words = [word.lower() if each == word else each for each in words]
    said = StringIO()
    try:
        with redirect_stderr(said):
            if words[1] not in REQUESTS | ALONE:  # those run
                _parser(words[1]).parse_args(words[1:])
    except SystemExit as exit_:
        return None if exit_.code == 0 else said.getvalue()
    if words[1] not in REQUESTS | ALONE:
        return None
    done = ground.run(before + f"{command.partition(' #')[0].rstrip()} {(REQUESTS | ALONE)[words[1]]}")
    # 3: nobody is there to follow the request. What is known is told with a status of its own, and nothing on standard error.
    expected = {0, 3} if words[1] in REQUESTS else {0, 1, 3} if words[1] in {"why", "at"} and not done.stderr else {0}
    return None if done.returncode in expected else f"exit status {done.returncode}: {done.stdout}{done.stderr}"


def _make(command: str, told: list[str], before: str, ground: Ground) -> str | None:
    targets = [word for word in shlex.split(command, comments=True)[1:] if "=" not in word]
    known = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return None if set(targets) <= set(known) else f"the Makefile has {', '.join(known)}"


def _docker(command: str, told: list[str], before: str, ground: Ground) -> str | None:
    words = shlex.split(command, comments=True)
    if words[1] == "push":
        return None
    if words[1] != "build" or words[-1] != ".":
        return "only `docker build … .` and `docker push` are known here"
    file = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    targets = [after for word, after in pairwise(words) if word == "--target"]
    arguments = [after.partition("=")[0] for word, after in pairwise(words) if word == "--build-arg"]
    missing = [each for each in targets if f" AS {each}\n" not in file] + [each for each in arguments if f"ARG {each}" not in file]
    return f"the Dockerfile has no {', '.join(missing)}" if missing else None


PROGRAMS: dict[str, Callable[[str, list[str], str, Ground], str | None]] = {
    "kubectl": _kubectl,
    "helm": _helm,
    "weighbridge": _weighbridge,
    "make": _make,
    "docker": _docker,
}
"""What may stand at the beginning of a command, and how it is tried."""
