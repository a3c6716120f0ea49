"""`weighbridge status`: versions as a tree of evaluations, targets, registry and way back, as their status tells it. Must not write
anything, and must not conclude anything: that is `why`."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..api.evaluationjob import EvaluationJob
from ..api.modelversion import ModelVersion
from ..core.conditions import find
from ..core.policy import words
from ..core.weighing import shown as in_words
from . import answers
from .answers import DONE, View
from .desk import Desk
from .places import Misused
from .terminal import Colour, Page, called

_COLOURS: Mapping[str, Colour] = {
    **dict.fromkeys(("Passed", "Serving", "True"), "good"),
    **dict.fromkeys(("Failed", "Error", "RolledBack", "Blocked", "False"), "bad"),
    **dict.fromkeys(("Superseded",), "faint"),
}
_Say: TypeAlias = Callable[..., None]
"""Prints a text in a colour."""


def add(parser: argparse.ArgumentParser, _command: str) -> None:
    """What the command takes."""
    parser.description = (
        "Shows versions as the operator tells of them: in short for many, with all it tells for one. "
        "Exit status: 0 shown, 3 cannot be told now, 2 wrong usage."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of one ModelVersion; mver/NAME will do")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="versions of all namespaces")
    answers.add_form(parser)


def main(options: argparse.Namespace) -> int:
    """Runs the command; the exit code."""

    async def look(desk: Desk) -> View:
        if options.all_namespaces and (options.name or options.namespace):
            raise Misused("-A shows all namespaces: leave out NAME and -n")
        if not options.name:
            return _many(await (desk.everywhere() if options.all_namespaces else desk.versions()), desk.namespace, options)
        version = await desk.version()
        jobs, trouble = await desk.evaluations(state.job for state in version.status.evaluations)
        notes = [trouble] if trouble else []
        shown = [_version(version, jobs)]
        return View(DONE, {"versions": shown, "notes": notes}, lambda page: _print(page, shown, notes, full=True))

    return answers.run(options, look)


def _many(versions: Sequence[ModelVersion], namespace: str, options: argparse.Namespace) -> View:
    ordered = sorted(versions, key=lambda each: (each.metadata.namespace, each.spec.source.name, each.metadata.name))
    shown = [_version(each, {}) for each in ordered]
    everywhere = bool(options.all_namespaces)
    where = "in this cluster" if everywhere else f"in namespace {namespace}"

    def show(page: Page) -> None:
        if not ordered:
            hint = "" if everywhere or options.namespace else f"; `{called()} status -A` looks in all namespaces"
            page.line(f"there is no ModelVersion {where}{hint}")
        _print(page, shown, (), full=False, everywhere=everywhere)

    return View(DONE, {"versions": shown, "notes": []}, show)


def _version(version: ModelVersion, jobs: Mapping[str, EvaluationJob]) -> dict[str, Any]:
    """The stable form for programs."""
    spec, status = version.spec, version.status
    said = status.to_json()
    gates = {each.name: [words(rule) for rule in each.template.gate] for each in spec.evaluations}
    evaluations = {each["name"]: each for each in said["evaluations"]}
    return {
        "namespace": version.metadata.namespace,
        "name": version.metadata.name,
        "model": spec.source.name,
        "version": status.version or spec.source.wanted,
        "stage": spec.stage,
        "phase": status.phase,
        "ready": _condition(version, "Ready"),
        "resolved": {key: said["resolved"][key] for key in ("uri", "digest")} if status.resolved else None,
        "evaluations": [_evaluation(name, gate, evaluations.get(name, {}), jobs) for name, gate in gates.items()],
        "targets": [
            {key: each.get(key) for key in ("target", "state", "wished", "observed", "repointedAt", "since", "until", "rejection")}
            for each in said["serving"]
        ],
        "registry": {**said["registry"], **_condition(version, "RegistrySynced")},
        "drift": said["drift"],
        "wayBack": _condition(version, "RollbackReady"),
    }


def _evaluation(name: str, gate: list[str], state: Mapping[str, Any], jobs: Mapping[str, EvaluationJob]) -> dict[str, Any]:
    job = jobs.get(state.get("job", ""))
    lines = job.status.verdict.lines if job is not None and job.status.verdict is not None else ()
    return {
        "name": name,
        "job": state.get("job", ""),
        "verdict": state.get("verdict"),
        "score": state.get("score", ""),
        "bars": gate,
        "message": state.get("message", ""),
        "lines": [{**line.to_json(), "shown": in_words(line)} for line in lines],
    }


def _condition(version: ModelVersion, kind: str) -> dict[str, str]:
    said = find(version.status.conditions, kind)
    if said is None:
        return {"status": "Unknown", "reason": "", "message": ""}
    return {"status": said.status, "reason": said.reason, "message": said.message}


def _print(
    page: Page, versions: Sequence[Mapping[str, Any]], notes: Sequence[str], *, full: bool, everywhere: bool = False
) -> None:
    """One version whole, many as a table."""
    say = page.line if full else page.row
    for each in versions:
        name = f"{each['namespace']}/{each['name']}" if everywhere else each["name"]
        ready = each["ready"]
        head = f"{name}  {each['model']} {each['version']}  {each['stage']}  {each['phase'] or 'not looked at yet'}"
        say(
            head + (f"  {ready['reason']}" if ready["reason"] not in ("", each["phase"]) else ""),
            _COLOURS.get(ready["status"], "none"),
        )
        if ready["message"] and (full or ready["status"] != "True"):
            say(f"  {ready['message']}")
        if full and each["resolved"]:
            say(f"  pinned  {each['resolved']['uri']}  {each['resolved']['digest']}")
        _print_evaluations(say, each["evaluations"], full=full)
        _print_targets(say, each["targets"], full=full)
        _print_rest(say, each, full=full)
    for note in notes:
        page.line(f"note: {note}", "open")


def _said(what: Mapping[str, Any]) -> str:
    return f": {what['message']}" if what["message"] else ""


def _print_evaluations(say: _Say, evaluations: Sequence[Mapping[str, Any]], *, full: bool) -> None:
    for each in evaluations:
        verdict = each["verdict"] or ("running" if each["job"] else "not begun")
        bars = each["bars"] if full else each["bars"][:1]
        score = f"  {each['score']}" if each["score"] else ""
        say(f"  evaluation {each['name']}: {verdict}{score}  (bar: {'; '.join(bars)})", _COLOURS.get(verdict, "none"))
        if full:
            say(f"    EvaluationJob {each['job'] or 'none yet'}{_said(each)}")
        for line in each["lines"] if full else ():
            say(f"    {line['shown']}", _COLOURS.get(line["verdict"], "none"))


def _print_targets(say: _Say, targets: Sequence[Mapping[str, Any]], *, full: bool) -> None:
    for each in targets:
        since = f" since {each['since']}" if each["since"] else f" until {each['until']}" if each["until"] else ""
        say(f"  {each['target']}: {each['state']}{since}", _COLOURS.get(each["state"], "none"))
        if full or each["wished"] != each["observed"]:
            say(f"    wished {each['wished'] or 'nothing yet'}, observed {each['observed'] or 'nothing'}")
        if full and each["rejection"]:
            held = each["rejection"]
            say(f"    rejected {held['at']}: {held['reason']}: {held['message']}", "bad")


def _print_rest(say: _Say, version: Mapping[str, Any], *, full: bool) -> None:
    registry, back = version["registry"], version["wayBack"]
    if full:
        written = [
            *([f"alias {registry['alias']}"] if registry["alias"] else []),
            *(f"{key}={text}" for key, text in registry["tags"].items()),
        ]
        say(f"  registry: {registry['reason'] or 'not told yet'}{_said(registry)}")
        for text in written:
            say(f"    {text}")
    elif registry["status"] == "False":
        say(f"  registry: {registry['reason']}: {registry['message']}", "bad")
    for each in version["drift"]:
        say(f"  drift {each['type']} since {each['since']}: {each['message']}", "bad")
    if back["reason"] and (full or back["status"] == "False"):
        say(f"  way back: {back['reason']}: {back['message']}", _COLOURS.get(back["status"], "none"))
