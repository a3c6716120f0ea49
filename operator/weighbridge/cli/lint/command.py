"""`weighbridge lint`: reads files, checks every object of ours in them, and prints what was found. Asks nobody: no cluster, no
registry."""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from ...api import KINDS
from ...api.base import API_VERSION, GROUP, Resource
from ...api.crd import crd
from ...core.engines import BUILT_IN, Engine
from ...evaluation.engines import EngineBroken, installed
from ..answers import DONE, REFUSED, complain
from ..terminal import Colour, Page, printable
from .files import Unreadable, texts
from .meaning import annotated, meant
from .schema import check, nearest
from .source import Document, Finding, Path, documents
from .together import identity, references, workloads

_KINDS = {kind.info.kind: kind for kind in KINDS}
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_COLOURS: Mapping[str, Colour] = {"Error": "bad", "Warning": "open", "Note": "faint"}


@dataclass
class _Object:
    """One document, and the object of ours it holds."""

    document: Document
    findings: list[Finding]
    made: Resource | None = None

    @property
    def title(self) -> str:
        body = self.document.value if isinstance(self.document.value, dict) else {}
        metadata = body.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        return f"{body.get('kind', '')} {name}".strip()


def add(parser: argparse.ArgumentParser, _command: str) -> None:
    """What the command takes."""
    parser.description = (
        "Checks ModelRegistries, ModelVersions, EvaluationJobs and ModelApprovals in files without a cluster: fields, rules, "
        "engines, references among the files, and what is likely not meant. Exit status: 0 nothing found, 1 found, 2 wrong usage."
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="YAML or JSON, any number of documents, or a folder with such files; - reads standard input",
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as findings")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form of the answer (default: text)")


def main(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""
    try:
        found = _objects(options.files, _engines())
    except (Unreadable, EngineBroken) as error:
        return complain(printable(str(error)))
    said = [(each, finding) for each in found for finding in sorted(each.findings, key=lambda finding: finding.line)]
    count = Counter(finding.severity for _, finding in said)
    failed = bool(count["Error"] or (options.strict and count["Warning"]))
    checked = sum(each.made is not None or _ours(each.document.value) for each in found)
    if options.output == "json":
        document = {"ok": not failed, "checked": checked, "findings": [_json(each, finding) for each, finding in said]}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        page = Page()
        for each, finding in said:
            where = f"{each.document.file}:{finding.line}"
            field = f"{shown(finding.path)}: " if finding.path else ""
            title = f"{each.title}: " if each.title else ""
            page.line(
                f"{where}: {finding.severity.lower()}: {title}{field}{finding.message} [{finding.rule}]", _COLOURS[finding.severity]
            )
        page.line(f"{checked} checked: {count['Error']} errors, {count['Warning']} warnings")
    return REFUSED if failed else DONE


def shown(path: Path) -> str:
    """The path as people write it."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).removeprefix(".")


def _engines() -> Mapping[str, Engine]:
    return installed() or BUILT_IN


def _objects(files: Sequence[str], engines: Mapping[str, Engine]) -> list[_Object]:
    found: list[_Object] = []
    for file, text in texts(files):
        found += [_object(each) for each in documents(file, text)]
    bodies = [each.document.value for each in found if isinstance(each.document.value, dict)]
    ours = [each for each in bodies if str(each.get("kind")) in _KINDS]
    names = Counter(identity(each) for each in ours)
    for each in found:
        body = each.document.value
        if not isinstance(body, dict) or str(body.get("kind")) not in _KINDS:
            continue
        more = [*references(body, ours), *workloads(body, bodies)]
        if each.made is not None:
            more += meant(each.made, engines)
        if names[identity(body)] > 1:
            more.append(Finding(("metadata", "name"), "Error", "reference", f"there are two of {each.title} in these files"))
        each.findings += [_placed(finding, each.document) for finding in more]
    return found


def _object(document: Document) -> _Object:
    body = document.value
    findings = list(document.findings)
    if isinstance(body, dict) and _ours(body):
        findings += _checked(document, body)
    elif isinstance(body, dict):
        kind, hint = str(body.get("kind", "")), nearest(str(body.get("kind", "")), _KINDS)
        if not kind:
            findings.append(Finding((), "Note", "ignored", "this has no kind and is not checked"))
        else:
            findings.append(Finding(("kind",), "Note", "ignored", f"{kind} is no kind of ours and not checked{hint}"))
    elif body is not None:
        findings.append(Finding((), "Error", "schema", "this is no Kubernetes object"))
    found = _Object(document, [_placed(each, document) for each in findings])
    if isinstance(body, dict) and _ours(body) and not any(each.severity == "Error" for each in findings):
        metadata = {"namespace": "", **{key: each for key, each in body["metadata"].items() if each is not None}}
        try:
            found.made = _KINDS[body["kind"]].model_validate({"metadata": metadata, "spec": body.get("spec")})
        except ValidationError:
            found.findings.append(Finding((), "Error", "schema", "the operator could not read it", document.line(())))
    return found


def _ours(body: Any) -> bool:
    return isinstance(body, dict) and (str(body.get("kind")) in _KINDS or str(body.get("apiVersion", "")).startswith(f"{GROUP}/"))


def _checked(document: Document, body: Mapping[str, Any]) -> Iterator[Finding]:
    kind = str(body.get("kind"))
    if kind not in _KINDS:
        yield Finding(("kind",), "Error", "schema", f"there is no kind {kind} of {GROUP}{nearest(kind, _KINDS)}")
        return
    if body.get("apiVersion") != API_VERSION:
        yield Finding(("apiVersion",), "Error", "schema", f"apiVersion of {kind} must be {API_VERSION}")
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or name is None:
        yield Finding(("metadata",), "Error", "schema", "metadata.name is missing")
    elif not isinstance(name, str) or not _NAME.match(name):
        yield Finding(("metadata", "name"), "Error", "schema", "a name has lower-case letters, digits, - and . alone, and is text")
    if isinstance(metadata, dict) and not isinstance(metadata.get("namespace", ""), str):
        yield Finding(("metadata", "namespace"), "Error", "schema", "a namespace is text: write it in quotes")
    if isinstance(metadata, dict) and isinstance(metadata.get("annotations"), dict):
        yield from annotated(body)
        for key, text in metadata["annotations"].items():
            if not isinstance(text, str):
                yield Finding(("metadata", "annotations", key), "Error", "schema", "an annotation is text: write it in quotes")
    if "status" in body:
        yield Finding(("status",), "Warning", "advice", "status is the operator's: what is written here is ignored")
    for strange in sorted(set(map(str, body)) - {"apiVersion", "kind", "metadata", "spec", "status"}):
        yield Finding((strange,), "Error", "unknown-field", f"there is no field {strange}{nearest(strange, ['metadata', 'spec'])}")
    if "spec" not in body:
        yield Finding((), "Error", "schema", "spec is missing")
        return
    yield from check(document, body["spec"], _schema(kind), ("spec",))[1]


@cache
def _schema(kind: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = crd(_KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def _placed(finding: Finding, document: Document) -> Finding:
    line = finding.line or document.line(finding.path)
    return Finding(finding.path, finding.severity, finding.rule, finding.message, line)


def _json(each: _Object, finding: Finding) -> dict[str, Any]:
    return {
        "file": each.document.file,
        "line": finding.line,
        "object": each.title,
        "path": shown(finding.path),
        "severity": finding.severity,
        "rule": finding.rule,
        "message": finding.message,
    }
