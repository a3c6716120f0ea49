"""Files as kubectl reads them: YAML 1.1 with its traps, several documents, and the line of every value."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]
Severity = Literal["Error", "Warning", "Note"]


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    path: Path
    severity: Severity
    rule: str
    """One stable word; docs/cli.md lists them."""
    message: str
    line: int = 0


@dataclass
class Document:
    """One document: its value as JSON has it, and where each part of it stands."""

    file: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    """Scalars as they are written, without quotes; those in quotes are not here."""
    findings: list[Finding] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of the value, or of the nearest that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


_BY_ALIASES = 100_000
"""How many values aliases may add."""


class _Unfolds(Exception):
    """Aliases of aliases make more of the text than anybody could have meant."""


class _Loader(yaml.SafeLoader):
    """As the YAML reader of Kubernetes: no times, no numbers to base sixty, y and n are booleans; and no bombs of aliases."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._left = 2 * len(text) + _BY_ALIASES

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self.spend(len(node.value))

    def spend(self, values: int) -> None:
        """Takes note of what was unfolded; without aliases that is never more than the text has characters."""
        self._left -= values
        if self._left < 0:
            raise _Unfolds


_Loader.yaml_implicit_resolvers = {
    first: [(tag, found) for tag, found in resolvers if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^[yYnN]$"), list("yYnN"))
_Loader.bool_values = {**yaml.SafeLoader.bool_values, "y": True, "n": False}


def documents(file: str, text: str) -> Iterator[Document]:
    """All documents of a file; the items of a List are documents of their own. What cannot be read is a finding."""
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            found = Document(file)
            found.value = _value(loader, node, (), found)
            if found.value is not None:
                yield from _items(found)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = "; it looks like a template: render it first (`helm template`)" if "{{" in text else ""
        yield Document(file, findings=[Finding((), "Error", "yaml", f"this is no YAML: {error.problem}{hint}", line)])
    except _Unfolds:
        yield Document(file, findings=[Finding((), "Error", "yaml", "its aliases unfold into too much to read: write it out", 1)])
    except (yaml.YAMLError, RecursionError):
        yield Document(file, findings=[Finding((), "Error", "yaml", "this is no YAML", 1)])
    finally:
        if loader is not None:
            loader.dispose()


def _items(document: Document) -> Iterator[Document]:
    body = document.value
    if not isinstance(body, dict) or body.get("kind") != "List" or not isinstance(body.get("items"), list):
        yield document
        return
    for index, item in enumerate(body["items"]):
        below: Path = ("items", index)
        yield Document(
            document.file,
            item,
            {path[2:]: line for path, line in document.lines.items() if path[:2] == below},
            {path[2:]: text for path, text in document.written.items() if path[:2] == below},
            document.findings if index == 0 else [],
        )


def _value(loader: _Loader, node: Any, path: Path, document: Document) -> Any:
    loader.spend(1)
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, each, (*path, index), document) for index, each in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        if node.style is None:
            document.written[path] = node.value
        return _scalar(loader, node, path, document)
    own = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    merged = any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value)
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            text = "a key is text; if this is a template, render it first (`helm template`)"
            document.findings.append(Finding(path, "Error", "yaml", text, line))
        elif key.tag != "tag:yaml.org,2002:str":
            text = f"YAML reads the key {name} as {key.tag.rpartition(':')[2]}: write it in quotes"
            document.findings.append(Finding((*path, name), "Error", "yaml", text, line))
        if name in found and name in own and not merged:
            document.findings.append(Finding((*path, name), "Error", "yaml", f"{name} is there twice", line))
        document.lines[*path, name] = line
        found[name] = _value(loader, value, (*path, name), document)
    return found


def _scalar(loader: _Loader, node: yaml.ScalarNode, path: Path, document: Document) -> Any:
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError, AttributeError):  # PyYAML's own, where a tag and its text do not go together
        text = f"this cannot be read as {node.tag.rpartition(':')[2]}"
        document.findings.append(Finding(path, "Error", "yaml", text, node.start_mark.line + 1))
        return node.value
