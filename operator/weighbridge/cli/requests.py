"""`weighbridge rollback`, `retry`, `re-evaluate`, `hold` and `release`: what a person wishes of a ModelVersion, asked from a
terminal.

Each sets one annotation with the rights of whoever types it, as `kubectl annotate` does; what comes of it is the operator's
decision. Must not write anything else.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..api.annotations import HOLD, RE_EVALUATE, REQUESTED_BY, RETRY, ROLLBACK
from ..api.modelversion import ModelVersion
from ..core.conditions import find
from ..core.election import claim, suspended, winner
from ..core.stages import HOLDING, standing, target_name
from ..runtime.clock import now
from . import answers
from .answers import DONE, ENDS, REFUSED, UNKNOWN, Answer, complain, duration, hint, one_line
from .desk import Desk
from .places import CannotTell, Misused
from .terminal import printable

_LOOK = 0.5
"""Seconds between two looks at what comes of a request."""
_DESCRIPTIONS: Mapping[str, str] = {
    "rollback": "Asks the operator to take every target away from a version and to give it to the newest other one that may serve, "
    "and tells what comes of it. It needs neither Git nor the registry. "
    f"{ENDS.replace('1 refused', '1 no other version may serve, or refused')}",
    "retry": f"Asks the operator to forget what was seen of a version, and to try it again. {ENDS}",
    "re-evaluate": "Asks the operator to make every evaluation of a version again. Until they are done the verdicts before count; "
    f"a failed one takes the version's targets away. {ENDS}",
    "hold": f"Stops every change for a version, rollbacks too. {ENDS}",
    "release": f"Ends a hold. {ENDS}",
}


@dataclass(frozen=True)
class Handback:
    """What became of a target that was to be taken away."""

    target: str
    state: str
    """Serving: the version it went back to is proved to serve. Progressing: its pods are on their way. NoEligibleClaim: no other
    version may serve, so what is set stays. Waiting: nothing has come of it yet."""
    to: str = ""
    """Name of the version it went back to."""
    value: str = ""
    """Value of the pointer that names it."""

    def shown(self) -> str:
        """One line for people."""
        match self.state:
            case "Serving":
                return f"{self.target}: {self.to} serves ({self.value})"
            case "Progressing":
                return f"{self.target}: given back to {self.to} ({self.value}), its pods are on their way"
            case "NoEligibleClaim":
                return f"{self.target}: no other version may serve, what is set stays"
        return f"{self.target}: nothing has come of it yet"


def add(parser: argparse.ArgumentParser, command: str) -> None:
    """What one of the commands takes."""
    parser.description = _DESCRIPTIONS[command]
    answers.add_version(parser)
    if command in {"rollback", "hold"}:
        parser.add_argument("--reason", metavar="TEXT", required=True, help="why; kept in status and Events")
        parser.add_argument("--by", metavar="WHO", help="who asks (default: the user the API server takes you for)")
    elif command in {"retry", "re-evaluate"}:
        parser.add_argument("--reason", metavar="TEXT", help="why")
    if command == "rollback":
        parser.add_argument("--timeout", metavar="TIME", default="60s", help="how long to wait for what comes of it (default: 60s)")


def main(options: argparse.Namespace) -> int:
    """Runs one of the commands; the exit code."""
    return answers.run(options, lambda desk: _wish(desk, options))


async def _wish(desk: Desk, options: argparse.Namespace) -> Answer:
    name, namespace, reason = desk.name, desk.namespace, one_line("--reason", getattr(options, "reason", None) or "")
    if not reason and options.command in {"rollback", "hold"}:
        raise Misused('say why, for those who read it later: --reason "scores look wrong"')
    who, patience = one_line("--by", getattr(options, "by", None) or ""), duration("--timeout", getattr(options, "timeout", "0s"))
    at = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    follow = f"`kubectl -n {namespace} get mver {name} -w` shows what comes of it"
    details: dict[str, Any] = {"modelVersion": name, "namespace": namespace}
    match options.command:
        case "rollback":
            value, who = f"{at} {reason}", who or await desk.user()
            version = await desk.annotate({ROLLBACK: value, REQUESTED_BY: who})
            shown = options.output == "text"
            if shown:
                _print(f"asked by {who}: every target is to be taken away from {name}")
            try:
                found = await _followed(desk, version, value, patience, shown=shown)
            except asyncio.CancelledError:  # somebody has seen enough, and may think that this takes the request back
                complain(f"the request is written and stays; {follow}")
                raise
            return replace(found, details={**details, "requestedBy": who, **found.details})
        case "retry":
            version = await desk.annotate({RETRY: f"{at} {reason}".strip()})
            then = f"; it is on hold, so not before {hint('release', namespace, name)}" if suspended(version) else ""
            return Answer(DONE, "Asked", f"{name} is to be tried again{then}; {follow}", details)
        case "re-evaluate":
            await desk.annotate({RE_EVALUATE: f"{at} {reason}".strip()})
            return Answer(DONE, "Asked", f"the evaluations of {name} are to be made again; {follow}", details)
        case "hold":
            await desk.annotate({HOLD: f"{reason} ({who or await desk.user()})"})
            text = f"nothing is changed for {name} until {hint('release', namespace, name)}; no rollback either"
            return Answer(DONE, "Held", text, details)
    version = await desk.annotate({HOLD: None})
    still = "; spec.suspend still stops every change" if version.spec.suspend else ""
    return Answer(DONE, "Released", f"{name} is not on hold (any more){still}", details)


async def _followed(desk: Desk, before: ModelVersion, value: str, patience: float, *, shown: bool) -> Answer:
    """Looks at what comes of a rollback until it is done or the patience is over."""
    held = [state.target for state in before.status.serving if state.state in HOLDING]
    name, until, said = desk.name, asyncio.get_running_loop().time() + patience, set[str]()
    if suspended(before):
        text = f"{name} is on hold, and so is the request: {hint('release', desk.namespace, name)}, or take spec.suspend away"
        return Answer(UNKNOWN, "Suspended", text, {"targets": []})
    while True:
        versions = await desk.versions()
        me = next((each for each in versions if each.metadata.name == name), None)
        if me is None or me.metadata.uid != before.metadata.uid:
            raise CannotTell("NotFound", f"ModelVersion {name} was deleted meanwhile, or cannot be read by this program")
        seen = me.status.requests.rollback == value
        found = handbacks(me, versions, held) if seen else [Handback(target, "Waiting") for target in held]
        for told in (each.shown() for each in found if shown and each.state in HOLDING):
            if told not in said:
                _print(told)
                said.add(told)
        done = seen and all(each.state in {"Serving", "NoEligibleClaim"} for each in found)
        if done or asyncio.get_running_loop().time() >= until:
            return _summary(me, found, seen=seen)
        await asyncio.sleep(_LOOK)


def handbacks(me: ModelVersion, versions: Sequence[ModelVersion], targets: Iterable[str]) -> list[Handback]:
    """What became of the targets, by the operator's own election over what all versions' status says."""
    found = []
    for target in targets:
        ref = next((entry.target_ref for entry in me.spec.serving if target_name(entry.target_ref) == target), None)
        claims = [made for each in versions if ref is not None and (made := claim(each, ref)) is not None]
        won = winner(claims)
        if ref is None or won is None:
            found.append(Handback(target, "Waiting" if ref is None else "NoEligibleClaim"))
            continue
        state = next((standing(each, ref) for each in versions if each.metadata.name == won.name), None)
        has = state is not None and state.state in HOLDING and won.name != me.metadata.name
        found.append(
            Handback(target, state.state if has and state else "Waiting", won.name if has else "", won.value if has else "")
        )
    return found


def _summary(me: ModelVersion, found: Sequence[Handback], *, seen: bool) -> Answer:
    name, namespace, states = me.metadata.name, me.metadata.namespace, {each.state for each in found}
    details = {"targets": [{"target": each.target, "state": each.state, "to": each.to, "value": each.value} for each in found]}
    again = f"until {hint('retry', namespace, name)} or another spec"
    if not seen or "Waiting" in states:
        ready = find(me.status.conditions, "Ready")
        says = f" ({ready.reason}: {printable(ready.message)})" if ready is not None else ""
        what = "the operator has taken the request and not finished" if seen else "the operator has not taken the request yet"
        return Answer(UNKNOWN, "Waiting", f"{what}{says}; the request stays", details)
    if "NoEligibleClaim" in states:
        stays = ", ".join(each.target for each in found if each.state == "NoEligibleClaim")
        others = f"see `kubectl -n {namespace} get mver` why the others may not"
        text = f"no other version may serve on {stays}: {name} stays there; {others}"
        return Answer(REFUSED, "NoEligibleClaim", text, details)
    if not found:
        return Answer(DONE, "Rejected", f"{name} has no target; it is given none {again}", details)
    return Answer(DONE, "RolledBack", f"rolled back; {name} is given no target {again}", details)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
