"""From a name in a registry to a pin, and from a pin to lineage. A pin is made once and never replaced by other content."""

from dataclasses import dataclass

from ..api.modelversion import DriftType, ModelVersion
from ..api.references import Lineage, ModelPin
from .checks import refusal
from .conditions import Draft
from .election import standing
from .facts import Absent, Failed, Known, ModelSnapshot, Pending
from .versionfacts import VersionFacts

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
    drift: tuple[tuple[DriftType, str], ...] = ()
    retry_after: float | None = None


def resolve(version: ModelVersion, facts: VersionFacts) -> Resolution:
    """Pin, lineage and their conditions; drift where the registry no longer says what was pinned."""
    pin, lineage = version.status.resolved, version.status.lineage
    drift: tuple[tuple[DriftType, str], ...] = ()
    retry_after: float | None = None
    if facts.registry is None:
        name = version.spec.source.registry_ref.name
        resolved = Draft(
            "Resolved",
            pin is not None,
            "RegistryNotFound",
            f"there is no ModelRegistry {name} in this namespace; create it or correct source.registryRef",
        )
        drift = (("Unknown", resolved.message),) if pin else ()
        return Resolution(pin, lineage, resolved, _complete(version, lineage), drift)
    match facts.snapshot:
        case Known(value=found) if (text := refusal(facts.registry.spec, found)) and not _serves(version):
            resolved = Draft("Resolved", False, "UnsafeFormat", text)
        case Known(value=found) if pin is None:
            pin, lineage = found.pin, found.lineage
            resolved = _pinned(pin, found.notice)
        case Known(value=found):
            assert pin is not None
            resolved, drift = _compare(version, pin, found)
            if text := refusal(facts.registry.spec, found):  # it serves, and goes on serving
                drift = (*drift, ("Registry", text))
        case Absent(reason=reason, message=message):
            serves = _serves(version)
            gone = pin is None or (reason in _GONE and not serves)
            resolved = Draft("Resolved", False, reason, message) if pin is None or gone else _pinned(pin)
            if pin is not None:
                drift = (("Revoked" if reason in _GONE else "Unknown", message),)
        case Failed(reason=reason, message=message, retry_after=wait):
            retry_after = wait
            resolved = _pinned(pin) if pin else Draft("Resolved", None, reason, message)
            drift = (("Unknown", message),) if pin else ()
        case Pending():
            resolved = _pinned(pin) if pin else Draft("Resolved", None, "Checking", "waiting for the registry's answer")
            last = tuple((each.type, each.message) for each in version.status.drift)
            drift = tuple(each for each in last if each[0] in ("Artifact", "Revoked", "Unknown"))
    return Resolution(pin, lineage, resolved, _complete(version, lineage), drift, retry_after)


def _compare(version: ModelVersion, pin: ModelPin, found: ModelSnapshot) -> tuple[Draft, tuple[tuple[DriftType, str], ...]]:
    if found.pin.digest == pin.digest:
        return _pinned(pin, found.notice), ()
    if _content(found.pin) == _content(pin):
        message = f"{pin.name} is called {found.pin.name} in the registry now; make a ModelVersion for the new name in time"
        return _pinned(pin), (("Registry", message),)
    if found.pin.created_at != pin.created_at or found.pin.version != pin.version:
        message = f"{pin.name} {pin.version} in the registry is another entry than the one pinned (it was deleted and created anew)"
    else:
        message = f"the files of {pin.name} {pin.version} in the registry are not the ones that were pinned"
    drift: tuple[tuple[DriftType, str], ...] = (("Artifact", message),)
    if _serves(version):
        return _pinned(pin), drift
    return Draft("Resolved", False, "ArtifactChanged", f"{message}; register it as a new version"), drift


def _content(pin: ModelPin) -> tuple[object, ...]:
    """What stays where only the name changes."""
    return pin.version, pin.created_at, pin.source, pin.run_id, pin.fingerprint


def _serves(version: ModelVersion) -> bool:
    return any((state := standing(version, entry.target_ref)) and state.state == "Serving" for entry in version.spec.serving)


def _pinned(pin: ModelPin, notice: str = "") -> Draft:
    message = f"{pin.uri}, created {pin.created_at:%Y-%m-%d %H:%M:%S} UTC"
    return Draft("Resolved", True, "Pinned", f"{message}; {notice}" if notice else message)


def _complete(version: ModelVersion, lineage: Lineage | None) -> Draft:
    required = version.spec.lineage.require
    if not required:
        return Draft("LineageComplete", True, "NothingRequired", "no lineage is required")
    if lineage is None:
        return Draft("LineageComplete", None, "NotResolved", "lineage is read with the version")
    known = {
        "Code": bool(lineage.code_commit),
        "Data": bool(lineage.datasets),
        "Run": bool(lineage.run_id),
        "Parameters": bool(lineage.parameters),
        "Metrics": bool(lineage.metrics),
    }
    missing = [part for part in required if not known[part]]
    if missing:
        text = f"the registry does not know {', '.join(missing)} of this version; log it with the training run and register anew"
        return Draft("LineageComplete", False, "LineageMissing", text)
    return Draft("LineageComplete", True, "Known", f"{', '.join(required)} known to the registry")
