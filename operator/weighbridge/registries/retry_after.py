"""When a server says to come back: the header Retry-After, in seconds or as a date. Must not wait."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

_LONGEST = 3600.0


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds, an hour at most; None where the server did not say, or not in a way that can be trusted. A date is held against the
    server's own `Date`, so that neither clock needs to be right. `headers` ignores case."""
    found = headers.get("Retry-After", "").strip()
    if found.isascii() and found.isdigit():
        return min(float(found[:8]), _LONGEST)
    until, now = _time(found), _time(headers.get("Date", ""))
    if until is None or now is None or until < now:
        return None
    return min((until - now).total_seconds(), _LONGEST)


def _time(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo is not None else None
