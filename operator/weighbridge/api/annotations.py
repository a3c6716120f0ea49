"""Annotations by which people and tools ask for something without touching a spec that belongs to Git.

The operator never writes them but one: `ALERT`, when its receiver takes an alert in. Each value is followed once; another value is
another request.
"""

from .base import GROUP

ROLLBACK = f"{GROUP}/rollback"
"""Take every target away from this version, now; the value says why: `2026-01-31T02:10:00Z scores look wrong`."""
RETRY = f"{GROUP}/retry"
"""Forget that this version was seen to fail, and try again; any new value, best a time."""
RE_EVALUATE = f"{GROUP}/re-evaluate"
"""Make the evaluations of this version again; any new value, best why."""
ALERT = f"{GROUP}/alert"
"""The newest firing alert on this version: `<startsAt> <fingerprint> <name>`. One that names a target says so behind the
fingerprint: `<fingerprint>@Deployment/scores`."""
HOLD = f"{GROUP}/hold"
"""While it is there nothing is changed for this version, as with `spec.suspend`; the value says why."""
REASON = f"{GROUP}/reason"
"""Why the stage was lowered."""
REQUESTED_BY = f"{GROUP}/requested-by"
"""Who asks, by their own account; kept in status and Events."""
