"""How far a running evaluation is, as its status says it: seldom, and only where it says something new."""

from datetime import datetime, timedelta

from ..api.report import Progress
from .conditions import stamp
from .evaluationfacts import Heard

SELDOM = 30.0
"""Seconds between two writes of a status for the sake of progress, and between two questions to a pod."""
_LONGEST = timedelta(days=365)


def how_far(known: Progress | None, heard: Heard | None, started: datetime | None, now: datetime) -> Progress | None:
    """What the status says now. Where nothing was heard it says what it said: a pod that cannot be reached is no news."""
    if heard is None:
        return known
    percent = heard.done * 100 // heard.total
    if known is not None:
        if (now - known.at).total_seconds() < SELDOM:
            return known
        if known.percent == percent and known.total == heard.total:
            return known
    return Progress(
        done=heard.done, total=heard.total, percent=percent, word=f"{percent} %", eta=_eta(heard, started, now), at=stamp(now)
    )


def _eta(heard: Heard, started: datetime | None, now: datetime) -> datetime | None:
    if started is None or not heard.done or now <= started:
        return None
    seconds = (now - started).total_seconds() * ((heard.total - heard.done) / heard.done)
    return stamp(now + timedelta(seconds=seconds)) if seconds < _LONGEST.total_seconds() else None
