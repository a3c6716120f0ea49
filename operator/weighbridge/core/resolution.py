"""From a name in a registry to a pin, and from a pin to lineage. A pin is made once and never replaced by other content."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from ..api.base import GROUP, seconds
from ..api.modelversion import ModelVersion
from ..api.references import Lineage, ModelPin
from ..api.versionstatus import DriftType
from .checks import refusal
from .conditions import Draft, find
from .election import reacts
from .facts import Absent, Failed, Known, ModelSnapshot, Pending
from .lineage import complete
from .situation import Drifts
from .stages import HOLDING, standing
from .versionfacts import VersionFacts

REJECTED_TAG = f"{GROUP}/rejected"
"""Tag by which people reject a version in its registry; its value says why."""
REJECTED_ALIAS = "rejected"
"""Alias (Hub: git tag) that does the same."""
_GONE = {
    "ModelNotFound",
    "VersionNotFound",
    "AliasNotFound",
    "RevisionNotFound",
    "Disabled",
    "ArtifactMissing",
    "ArtifactIncomplete",
    "ArtifactTooLarge",
    "ArtifactUnsupported",
}
"""A definite no that means the pinned content is not there any more."""


@dataclass(frozen=True)
class Resolution:
    """What is known of the version's identity and origin."""

    pin: ModelPin | None
    lineage: Lineage | None
    resolved: Draft
    complete: Draft
    """LineageComplete."""
    drift: Drifts = ()
    retry_after: float | None = None


def resolve(version: ModelVersion, facts: VersionFacts) -> Resolution:
    """Pin, lineage and their conditions; drift where the registry no longer says what was pinned."""
    pin, lineage = version.status.resolved, version.status.lineage
    drift: Drifts = ()
    retry_after: float | None = None
    if facts.registry is None:
        name = version.spec.source.registry_ref.name
        text = f"there is no ModelRegistry {name} in this namespace; create it or correct source.registryRef"
        resolved = _unasked(version, Draft("Resolved", pin is not None, "RegistryNotFound", text))
        drift = (("Unknown", text),) if pin else ()
        return Resolution(pin, lineage, resolved, complete(version, lineage, just_said=False), drift)
    match facts.snapshot:
        case Known(value=found) if (text := refusal(facts.registry.spec, found)) and not _holds(version):
            resolved = Draft("Resolved", False, "UnsafeFormat", text)
        case Known(value=found) if pin is None:
            pin, lineage = found.pin, found.lineage
            resolved, drift = _unless_rejected(version, found, _pinned(pin, found.notice), ())
        case Known(value=found):
            assert pin is not None
            lineage = _completed(lineage, found) if found.pin.digest == pin.digest else lineage
            resolved, drift = _unless_rejected(version, found, *_compare(version, pin, found))
            if text := refusal(facts.registry.spec, found):  # it serves, and goes on serving
                drift = (*drift, ("Registry", text))
        case Absent(reason=reason, message=message, at=at):
            resolved = Draft("Resolved", False, reason, message)
            if pin is not None:
                drift = (("Revoked" if reason in _GONE else "Unknown", message),)
                poll = timedelta(seconds=seconds(facts.registry.spec.poll_interval))
                resolved = resolved if reason in _GONE and _revoked(version, at, poll) else _unasked(version, _pinned(pin))
        case Failed(reason=reason, message=message, retry_after=wait):
            retry_after = wait
            resolved = _unasked(version, _pinned(pin)) if pin else Draft("Resolved", None, reason, message)
            drift = (*_last_drift(version, "Artifact", "Revoked"), ("Unknown", message)) if pin else ()
        case Pending():
            waiting = Draft("Resolved", None, "Checking", "waiting for the registry's answer")
            resolved = _unasked(version, _pinned(pin)) if pin else waiting
            drift = _last_drift(version, "Artifact", "Revoked", "Unknown")
    known = complete(version, lineage, just_said=isinstance(facts.snapshot, Known))
    return Resolution(pin, lineage, resolved, known, drift, retry_after)


def _unasked(version: ModelVersion, otherwise: Draft) -> Draft:
    """What holds while the registry says nothing: an outage or a restart gives nothing back that a definite no took away."""
    last = find(version.status.conditions, "Resolved")
    if version.status.resolved is not None and last is not None and last.status == "False":
        return Draft("Resolved", False, last.reason, last.message)
    return otherwise


def _last_drift(version: ModelVersion, *types: DriftType) -> Drifts:
    return tuple((each.type, each.message) for each in version.status.drift if each.type in types)


def _revoked(version: ModelVersion, at: datetime, poll: timedelta) -> bool:
    """Whether a definite no counts: at once for what does not hold a target; for what does, only where it is to react, and said
    again one poll later. By then every version that could take over was asked too: a registry that lost all takes nothing."""
    if not _holds(version):
        return True
    again = any(each.type == "Revoked" and at >= each.since + poll for each in version.status.drift)
    return again and reacts(version, "Revoked")


def _unless_rejected(version: ModelVersion, found: ModelSnapshot, resolved: Draft, drift: Drifts) -> tuple[Draft, Drifts]:
    """A person's own word in the registry, that the version must not serve."""
    word = found.tags.get(REJECTED_TAG, "").strip()
    if word.lower() in ("", "none", "false") and REJECTED_ALIAS not in found.aliases:
        return resolved, drift
    how = f"tag {REJECTED_TAG} says: {word}" if word else f"alias {REJECTED_ALIAS} points at it"
    message = f"{found.pin.name} {found.pin.version} is rejected in the registry: {how}"
    drift = (*drift, ("Revoked", message))
    if _holds(version) and not reacts(version, "Revoked"):
        return resolved, drift
    return Draft("Resolved", False, "Rejected", message), drift


def _completed(lineage: Lineage | None, found: ModelSnapshot) -> Lineage:
    """Lineage with what is known only now; what was known once is kept, also where the registry has forgotten it since."""
    if lineage is None:
        return found.lineage
    kept = {name: value for name in type(lineage).model_fields if (value := getattr(lineage, name))}
    return found.lineage.model_copy(update=kept)


def _compare(version: ModelVersion, pin: ModelPin, found: ModelSnapshot) -> tuple[Draft, Drifts]:
    if found.pin.digest == pin.digest:
        return _pinned(pin, found.notice), ()
    if _content(found.pin) == _content(pin):
        message = f"{pin.name} is called {found.pin.name} in the registry now; make a ModelVersion for the new name in time"
        return _pinned(pin), (("Registry", message),)
    if found.pin.created_at != pin.created_at or found.pin.version != pin.version:
        message = f"{pin.name} {pin.version} in the registry is another entry than the one pinned (it was deleted and created anew)"
    else:
        message = f"the files of {pin.name} {pin.version} in the registry are not the ones that were pinned"
    drift: Drifts = (("Artifact", message),)
    if _serves(version):
        return _pinned(pin), drift
    return Draft("Resolved", False, "ArtifactChanged", f"{message}; register it as a new version"), drift


def _content(pin: ModelPin) -> tuple[object, ...]:
    """What stays where only the name changes."""
    return pin.version, pin.created_at, pin.source, pin.run_id, pin.fingerprint


def _serves(version: ModelVersion) -> bool:
    return _stands(version, ("Serving",))


def _holds(version: ModelVersion) -> bool:
    return _stands(version, HOLDING)


def _stands(version: ModelVersion, states: tuple[str, ...]) -> bool:
    return any((state := standing(version, entry.target_ref)) and state.state in states for entry in version.spec.serving)


def _pinned(pin: ModelPin, notice: str = "") -> Draft:
    message = f"{pin.uri}, created {pin.created_at:%Y-%m-%d %H:%M:%S} UTC"
    return Draft("Resolved", True, "Pinned", f"{message}; {notice}" if notice else message)
