"""What lies behind the entry of a model version: the files, proved complete, and what they are.

Must not know what a version is called or how it was asked for.
"""

from dataclasses import dataclass

from ..core.pin import fingerprint
from .mlflow_artifacts import of_version
from .mlflow_files import DESCRIPTION
from .mlflow_flavors import check_complete, flavors_of, formats, unsafe
from .mlflow_http import Inquiry
from .records import Record


@dataclass(frozen=True)
class Artifact:
    """Complete files of a version."""

    fingerprint: str
    """Identity of the files, as a `ModelPin` has it."""
    size: int
    """Bytes of them together."""
    formats: frozenset[str]
    unsafe: str
    """As a `ModelSnapshot` has them."""


def artifact(inquiry: Inquiry, entry: Record, what: str) -> Artifact:
    """Finds the files of a version and looks into them. Raises RegistryAbsent (ArtifactMissing, ArtifactIncomplete,
    ArtifactUnsupported, ArtifactTooLarge, AccessDenied) and RegistryFailed."""
    folder = of_version(inquiry, entry, what)
    files = folder.files()
    description = folder.description(files)
    flavors = flavors_of(what, description)
    check_complete(what, files, flavors)
    contents = folder.contents(files, {DESCRIPTION: description})
    return Artifact(fingerprint(files, contents), sum(files.values()), formats(files, flavors), unsafe(files, flavors))
