"""What lies behind the entry of a model version: the files, proved complete, and what they are.

Must not know what a version is called or how it was asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.pin import fingerprint
from .mlflow_artifacts import of_version
from .mlflow_declared import Declared, declared, listed_in
from .mlflow_files import DESCRIPTION
from .mlflow_flavors import check_complete, described, formats, unsafe
from .mlflow_http import Inquiry
from .records import Record, inner, pairs


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
    declared: Declared
    parameters: Mapping[str, str]
    """Those of the logged model; empty where there is none."""


def artifact(inquiry: Inquiry, entry: Record, what: str) -> Artifact:
    """Finds the files of a version and looks into them. Raises RegistryAbsent (ArtifactMissing, ArtifactIncomplete,
    ArtifactUnsupported, ArtifactTooLarge, AccessDenied) and RegistryFailed."""
    folder = of_version(inquiry, entry, what)
    files = folder.files()
    known = {DESCRIPTION: folder.description(files)}
    flavors, content = described(what, known[DESCRIPTION])
    check_complete(what, files, flavors)
    if dependencies := listed_in(files):
        known[dependencies] = folder.read(dependencies, files)
    return Artifact(
        fingerprint=fingerprint(files, folder.contents(files, known)),
        size=sum(files.values()),
        formats=formats(files, flavors),
        unsafe=unsafe(files, flavors),
        declared=declared(content, flavors, known.get(dependencies, b"")),
        parameters=pairs(inner(folder.logged, "data"), "params"),
    )
