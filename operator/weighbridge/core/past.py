"""What served at a time that is over, from what the versions that are still there remember.

Status keeps the last standing on each target with its times, and the last twenty changes; versions that are gone remember nothing.
So an answer says what it rests on, and where nothing covers the time, that is the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from ..api.base import seconds
from ..api.modelversion import ModelVersion
from ..api.versionstatus import HistoryEntry, ServingState
from .stages import HOLDING, target_name

Known = Literal["Proved", "Told", "Remembered", "Progressing"]
"""Proved: between the proof and its end, by the standing on this target. Told: the pointer was given to it before and taken later;
when it was proved is forgotten. Remembered: by the history of the version, which names no target. Progressing: given to it and not
proved yet."""
_FULL = 20


@dataclass(frozen=True)
class Served:
    """One version that served a target then, as far as is known."""

    version: str
    value: str
    known: Known
    since: datetime | None
    until: datetime | None
    why: str


@dataclass(frozen=True)
class Answer:
    """What is known of one target."""

    target: str
    served: tuple[Served, ...]
    """One, none, or several where what is remembered does not tell them apart."""
    gaps: tuple[str, ...]
    """What is not known any more."""


def served_at(time: datetime, versions: Sequence[ModelVersion]) -> tuple[Answer, ...]:
    """For every target that is or was claimed, by its name."""
    targets = {target_name(entry.target_ref) for each in versions for entry in each.spec.serving}
    targets |= {state.target for each in versions for state in each.status.serving}
    return tuple(_target(target, time, versions) for target in sorted(targets))


def _target(target: str, time: datetime, versions: Sequence[ModelVersion]) -> Answer:
    found = [each for version in versions if (each := _served(version, target, time)) is not None]
    sure = [each for each in found if each.known in ("Proved", "Progressing")]
    gaps = [gap for each in versions if (gap := _forgotten(each, target, time))] if not sure else []
    if not found:
        gaps.append("no version that is still there says that it served then; versions deleted since are not known any more")
        if hint := _before(target, time, versions):
            gaps.append(hint)
    elif not sure:
        gaps.append("versions deleted since are not known any more: one of them may have served then")
    if sure:  # a target is given to one at a time, and who lost it may have noticed a moment later
        found = [max(sure, key=lambda each: each.since or time)]
    return Answer(target, tuple(found), tuple(gaps))


def _served(version: ModelVersion, target: str, time: datetime) -> Served | None:
    state = next((each for each in version.status.serving if each.target == target), None)
    made = version.metadata.creation_timestamp
    if state is None or (made is not None and time < made):
        return None
    entry = _last(version.status.history, time)
    why = f"{entry.event} {entry.at:%Y-%m-%dT%H:%M:%SZ}: {entry.message}" if entry is not None else ""
    given, since, until = state.repointed_at, state.since, state.until
    name, value = version.metadata.name, state.wished
    if since is not None and since <= time and state.state == "Serving":
        return Served(name, value, "Proved", since, None, why)
    if state.state in HOLDING and given is not None and given <= time:
        return Served(name, value, "Progressing", given, since, why)
    if until is not None and given is not None and given <= time < until and state.state not in HOLDING:
        proved = _proof(version.status.history, given, until)
        if proved is not None and proved <= time:
            return Served(name, value, "Proved", proved, until, why)
        return Served(name, value, "Told", given, until, why)
    if entry is not None and entry.event == "Serving" and (given is None or time < given):
        after = next((each.at for each in version.status.history if each.at > time), None)
        return Served(name, value, "Remembered", entry.at, after, why)
    return None


def _proof(history: Sequence[HistoryEntry], given: datetime, until: datetime) -> datetime | None:
    return next((each.at for each in history if each.event == "Serving" and given <= each.at < until), None)


def _last(history: Sequence[HistoryEntry], time: datetime) -> HistoryEntry | None:
    return next((each for each in reversed(history) if each.at <= time), None)


def _forgotten(version: ModelVersion, target: str, time: datetime) -> str:
    """Why nothing is known of a version that was there; empty where something is."""
    made, history, name = version.metadata.creation_timestamp, version.status.history, version.metadata.name
    named = any(target_name(entry.target_ref) == target for entry in version.spec.serving)
    if not named or (made is not None and time < made) or _last(history, time) is not None:
        return ""
    if len(history) >= _FULL:
        return f"{name} remembers its last {_FULL} changes, back to {history[0].at:%Y-%m-%dT%H:%M:%SZ}: not what it was then"
    return ""


def _before(target: str, time: datetime, versions: Sequence[ModelVersion]) -> str:
    """What the pointer said when it was next given to somebody."""
    later: list[tuple[datetime, str, ServingState]] = [
        (state.repointed_at, version.metadata.name, state)
        for version in versions
        for state in version.status.serving
        if state.target == target and state.repointed_at is not None and state.repointed_at > time and state.previous
    ]
    if not later:
        return ""
    given, name, state = min(later, key=lambda each: each[0])
    return f"when {target} was next given to a version ({name}, {given:%Y-%m-%dT%H:%M:%SZ}), its pointer was {state.previous}"


def when(text: str, now: datetime) -> datetime:
    """A time as people write it: ISO 8601 (without a zone: UTC), or how long ago: `-2h`, `90m ago`. Raises ValueError."""
    words = text.strip()
    ago = words.removesuffix("ago").strip()
    if ago != words or words.startswith("-"):
        return now - _length(ago.removeprefix("-"))
    found = datetime.fromisoformat(words)
    return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _length(text: str) -> timedelta:
    days, day, rest = text.partition("d")
    if not day:
        days, rest = "0", text
    if not text or len(days) > 5:
        raise ValueError("how long ago is written as 90m, 2h or 3d")
    return timedelta(days=int(days), seconds=seconds(rest) if rest else 0)
