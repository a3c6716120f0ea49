"""The pages that people read, and what stands in them: headings, links, fenced blocks, and the commands in those.

    python -m tests.docs.pages [PAGE…]     prints every command, page by page, as a shell would take it

Must not: run anything.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```+(\w*)\s*$")
_HEADING = re.compile(r"^#{1,6} +(.*?)\s*$")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")
_CODE = re.compile(r"`[^`]*`")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language (empty where it has none), its text without the indentation."""

    page: Path
    heading: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """File and line, as compilers write it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def session(self) -> bool:
        """Whether commands stand behind `$`, with what they say below."""
        return self.language in {"", "console"} and self.text.startswith("$ ")

    @property
    def commands(self) -> list[str]:
        """Each command as a shell takes it. A block without a language, and one of `sh`, holds commands or is a session."""
        if self.language not in {"", "sh", "console"}:
            return []
        return [command for command, _ in self.steps]

    @property
    def steps(self) -> list[tuple[str, list[str]]]:
        """Each command, and the lines that stand below it as what it says (in a session)."""
        steps: list[tuple[str, list[str]]] = []
        lines = iter(self.text.splitlines())
        for line in lines:
            if self.session and not line.startswith("$ "):
                steps[-1][1].append(line)
            elif (first := line.removeprefix("$ ")).strip() and not first.lstrip().startswith("#"):
                steps.append((_whole(first, lines), []))
        return steps


@dataclass(frozen=True)
class Link:
    """A link that is no address: a path, an anchor, or both."""

    page: Path
    line: int
    target: str


def pages() -> list[Path]:
    """Every page that is published."""
    several = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("manifests/**/*.md"), *ROOT.glob("charts/**/*.md")]
    return [ROOT / "README.md", ROOT / "AGENTS.md", ROOT / "e2e" / "cluster" / "README.md", *sorted(several)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    heading, opened, start, inside = "", None, 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, start, inside = fence, number, []
        elif opened is not None and fence and not fence[2]:
            text = "\n".join(each.removeprefix(opened[1]) for each in inside)
            found.append(Block(page, heading, start, opened[2], text))
            opened = None
        elif opened is not None:
            inside.append(line)
        elif title := _HEADING.match(line):
            heading = title[1]
    if opened is not None:
        raise ValueError(f"{page}:{start}: a block that is never closed")
    return found


def anchors(page: Path) -> set[str]:
    """What `#…` may name on a page: its headings, as GitHub writes them."""
    found: list[str] = []
    for line in _prose(page):
        if title := _HEADING.match(line[1]):
            text = re.sub(r"\]\([^)]*\)", "", title[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found.append(f"{slug}-{again}" if (again := sum(each == slug for each in found)) else slug)
    return set(found)


def links(page: Path) -> list[Link]:
    """The links of a page that lead into the tree."""
    return [
        Link(page, number, target)
        for number, line in _prose(page)
        for target in _LINK.findall(_CODE.sub(lambda code: "`" * len(code[0]), line))
        if not re.match(r"[a-z]+:", target)
    ]


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    fenced = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def _whole(first: str, following: Iterator[str]) -> str:
    """The command that begins with this line: with what is continued, what stands between quotes, and a here-document."""
    command = first
    while command.endswith(("\\", "|", "&&")) or _open(command):
        command += "\n" + next(following)
    if here := _HERE.search(command):
        for line in following:
            command += "\n" + line
            if line.strip() == here[1]:
                break
    return command


def _open(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def main(names: list[str]) -> None:
    """Prints the commands of the pages named, or of all."""
    for page in [Path(name).resolve() for name in names] or pages():
        for block in blocks(page):
            if commands := block.commands:
                sys.stdout.write(f"# {block.place} {block.heading}\n" + "\n".join(commands) + "\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
