"""The kinds of objects whose changes are heard of, and which of them are watched together."""

from collections.abc import Collection
from dataclasses import dataclass

from ..api import KINDS
from ..api.base import GROUP, VERSION


@dataclass(frozen=True)
class Watched:
    """One kind of object to hear of."""

    group: str
    version: str
    plural: str
    kind: str
    labels: str = ""
    """Label selector, applied by the server."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


_OWN = (
    *(Watched(GROUP, VERSION, kind.info.plural, kind.info.kind) for kind in KINDS),
    Watched("batch", "v1", "jobs", "Job", "app.kubernetes.io/managed-by=weighbridge"),
)
_BUILT_IN = (
    Watched("apps", "v1", "deployments", "Deployment"),
    Watched("apps", "v1", "statefulsets", "StatefulSet"),
    Watched("", "v1", "services", "Service"),
)
_INSTALLED = (
    Watched("argoproj.io", "v1alpha1", "rollouts", "Rollout"),
    Watched("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService"),
)
"""Kinds of others that may not be there, or not yet."""


@dataclass(frozen=True)
class Group:
    """Kinds that one kopf hears of."""

    kinds: tuple[Watched, ...]
    optional: bool = False
    """That they are not there is nothing to warn of."""


def watched(targets: Collection[str]) -> tuple[Group, ...]:
    """What is watched, with these kinds of serving targets: our own; apart from them what is always there, since news of a workload
    must not wait while thousands of versions are listed; and, each for itself, what may come."""
    built_in = tuple(each for each in _BUILT_IN if each.kind in targets)
    installed = (Group((each,), optional=True) for each in _INSTALLED if each.kind in targets)
    return (Group(_OWN), *([Group(built_in)] if built_in else []), *installed)
