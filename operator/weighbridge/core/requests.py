"""Requests by annotation: a person's rollback or retry, and an alert. Each is followed once, and status keeps which were.

They need nothing but the object itself: no registry, no webhook that must be up, no change of a spec that belongs to Git.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..api.annotations import ALERT, RE_EVALUATE, REQUESTED_BY, RETRY, ROLLBACK
from ..api.base import seconds
from ..api.modelversion import ModelVersion
from ..api.versionstatus import Rejection, Requests, ServingState
from .conditions import stamp
from .election import reacts
from .stages import HOLDING, entries, standing, target_name

_LONGEST = 1024
_REMEMBERED = 64
"""Requests of one version; a manifest that brings an older one back is followed again."""


def follow(version: ModelVersion, now: datetime) -> ModelVersion:
    """The version as the requests leave it. A retry clears first, so that a rollback asked for at the same time wins."""
    annotations, done = version.metadata.annotations, version.status.requests
    if version.status.resolved is None:
        return version  # to be followed once there is content to reject
    asked = {kind: value for kind, value in _asked(annotations).items() if not _done(done, kind, value)}
    if not asked:
        return version
    states = version.status.serving
    if "retry" in asked:
        states = tuple(_fresh(state) for state in states)
    if (alert := asked.get("alert")) and reacts(version, "Alert"):
        began, where = began_at(alert), _where(alert)
        meant = {each.target for each in states if began and where in ("", each.target) and counts(version, each, began)}
        states = _rejected(version, states, "Alert", _spoken(alert), now=now, concerned=meant)
    if rollback := asked.get("rollback"):
        who = annotations.get(REQUESTED_BY, "").strip()
        states, text = _all(version, states), f"{rollback} ({who})" if who else rollback
        states = _rejected(version, states, "Requested", text, now=now, concerned={each.target for each in states})
    evaluations = version.status.evaluations
    if why := asked.get("re_evaluate"):
        again = f"asked for: {why}"[:_LONGEST]
        evaluations = tuple(each if each.verdict is None else each.model_copy(update={"again": again}) for each in evaluations)
    followed = (*done.followed, *(_digest(kind, value) for kind, value in asked.items()))[-_REMEMBERED:]
    requests = done.model_copy(update={**asked, "followed": followed})
    status = version.status.model_copy(update={"serving": states, "evaluations": evaluations, "requests": requests})
    return version.model_copy(update={"status": status})


def _asked(annotations: Mapping[str, str]) -> dict[str, str]:
    found = {"rollback": ROLLBACK, "retry": RETRY, "alert": ALERT, "re_evaluate": RE_EVALUATE}
    return {kind: value for kind, name in found.items() if (value := annotations.get(name, "")[:_LONGEST])}


def _done(done: Requests, kind: str, value: str) -> bool:
    return _digest(kind, value) in done.followed or value == getattr(done, kind)


def _digest(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind} {value}".encode()).hexdigest()[:16]


def counts(version: ModelVersion, state: ServingState, began: datetime) -> bool:
    """Whether an alert that began then speaks of this version: it held the target already, and what the version before left behind
    had time to fade."""
    if state.state not in HOLDING or state.repointed_at is None:
        return False
    fading = timedelta(seconds=seconds(version.spec.rollback.cooldown)) if state.rollback else timedelta()
    return began >= state.repointed_at + fading


def _fresh(state: ServingState) -> ServingState:
    again: dict[str, Any] = {"rejection": None, "taken": (), "restored": 0, "failing_since": None}
    if state.state == "RolledBack" or (state.state == "Blocked" and state.repointed_at is not None):
        again["state"] = "Waiting"
    return state.model_copy(update=again)


def _all(version: ModelVersion, states: tuple[ServingState, ...]) -> tuple[ServingState, ...]:
    """The states, and one for each claimed target that has none yet."""
    missing = [entry for entry in entries(version) if standing(version, entry.target_ref) is None]
    return (*states, *(ServingState(target=target_name(entry.target_ref), state="Waiting") for entry in missing))


def _rejected(
    version: ModelVersion,
    states: Iterable[ServingState],
    reason: str,
    message: str,
    *,
    now: datetime,
    concerned: Collection[str],
) -> tuple[ServingState, ...]:
    assert version.status.resolved is not None
    rejection = Rejection(
        reason=reason,
        message=message[:_LONGEST],
        at=stamp(now),
        generation=version.metadata.generation,
        digest=version.status.resolved.digest,
    )
    return tuple(state.model_copy(update={"rejection": rejection}) if state.target in concerned else state for state in states)


def began_at(alert: str) -> datetime | None:
    """When a written alert began; None where its value is not one of the receiver's: then it counts for nothing."""
    try:
        began = datetime.fromisoformat(alert.split(" ", 1)[0])
    except ValueError:
        return None
    return began if began.tzinfo is not None else None


def _where(alert: str) -> str:
    """The one target the alert speaks of; empty where it names none."""
    return "".join(alert.split(" ", 2)[1:2]).partition("@")[2]


def _spoken(alert: str) -> str:
    """The alert's name, or all of it where it has none."""
    words = alert.split(" ", 2)
    return f"alert {words[2]} is firing" if len(words) == 3 else alert
