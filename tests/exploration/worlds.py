"""The worlds that are explored, each to its last state. Each has few kinds of events, so that all their orders can be had.

Where `most` is given, every life with at most that many events is; passes, writes, rollouts, evaluations and time are not counted.
"""

from datetime import timedelta
from typing import Any

from .model import Rules

_LONG = timedelta(seconds=30)
"""A step after which every deadline of the worlds has passed."""
_GIT = frozenset({"Git takes the pointer", "Git lets the pointer go"})
_EDITS = frozenset({"foreign edit", "edit to the oldest"})
_TARGET = frozenset({"the target is deleted", "the target is created"})


def _world(name: str, events: str, phrases: frozenset[str] = frozenset(), **kind: Any) -> Rules:
    return Rules(name, frozenset(events.split()) | phrases, **{"present": "12", **kind})


WORLDS = (
    # The way up, from nothing.
    _world("two are applied", "apply", present=""),
    _world("two are applied, one is weak", "apply jobgone", present="", weak="2", step=_LONG),
    _world("three are applied, the newest crashes", "apply", numbers="123", present="1", crash="3", step=_LONG),
    _world("one is not in the registry, which fails", "apply outage restart restore", present="", missing="2", step=_LONG, most=3),
    # What takes a target away, and gives it back.
    _world("pods crash, once and for good", "down crash mend"),
    _world("three of them crash", "crash", numbers="123", present="123", step=_LONG),
    _world("answers become wrong or silent", "wrong silent mend retry", probe=True, most=2),
    _world("alerts and wishes", "alert rollback", most=2),
    _world("rollback and retry", "rollback retry", step=_LONG, most=2),
    _world("three are rolled back", "rollback hold", numbers="123", present="123", step=_LONG, most=2),
    _world("revoked and rejected", "remove reject restore", step=_LONG, most=2),
    _world("other files, without the registry", "replace restore outage restart", step=_LONG, most=3),
    _world("gates change", "gate touch jobgone rollback", tight="2", step=_LONG, most=2),
    _world("stages", "lower explain archive promote", step=_LONG, most=2),
    _world("stages, crashes, deletions", "demote promote crash delete", step=_LONG, most=2),
    _world("deleted and applied again", "delete apply", numbers="12", present="12", step=_LONG, most=3),
    _world("three are deleted", "delete", numbers="123", present="123", step=_LONG),
    # What stops everything.
    _world("holds", "hold crash", step=_LONG),
    _world("the operator's hold", "Hold crash rollback", step=_LONG, most=3),
    # Others at the workload.
    _world("foreign edits", "", _EDITS, step=_LONG),
    _world("Git owns the pointer", "crash apply", _GIT, present="1", step=_LONG, most=2),
    _world("the target comes and goes", "rollback", _TARGET, step=_LONG, most=3),
    # Late views, lost answers, and events between the look and the write.
    _world("late: wishes", "rollback retry", lags=True, step=_LONG, most=2),
    _world("late: deletions", "delete apply crash", lags=True, step=_LONG, most=2),
    _world("late: stages and gates", "demote lower gate touch", tight="2", lags=True, step=_LONG, most=2),
    _world("late: the way up", "apply hold", present="1", lags=True, step=_LONG, most=2),
    _world("overtaken: wishes", "alert rollback demote", races=True, step=_LONG, most=2),
    _world("overtaken: deletions and crashes", "delete crash hold", races=True, step=_LONG, most=3),
    _world("overtaken: the registry", "remove outage restart", races=True, step=_LONG),
    _world("overtaken: others at the workload", "", _EDITS | _GIT | _TARGET, races=True, step=_LONG, most=2),
)
