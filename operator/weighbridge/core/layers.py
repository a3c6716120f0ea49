"""What each definite no says of a model or dataset: which layer of pre-flight it fails, and whether the thing is not there at all.

The layers are asked from the top: what does not exist is not asked for access, what may not be read is not looked through. So one
reason tells how every layer above it came out.
"""

from typing import Literal, TypeAlias

Layer: TypeAlias = Literal["Exists", "Access", "Complete", "Format"]
LAYERS: tuple[Layer, ...] = ("Exists", "Access", "Complete", "Format")

NOT_THERE = frozenset(
    {
        "ModelNotFound",
        "VersionNotFound",
        "AliasNotFound",
        "RevisionNotFound",
        "DatasetNotFound",
        "ArtifactMissing",
        "ArtifactIncomplete",
    }
)
"""A definite absence: the only reasons for which a fallback is used. What may be there, but not for us, is none of them."""

MAY_NOT_EXIST = frozenset({"AccessDenied"})
"""Registries answer so for what does not exist too, rather than tell strangers what does."""

_LAYER: dict[str, Layer] = {
    **dict.fromkeys(NOT_THERE, "Exists"),
    "ReferenceUnsupported": "Exists",
    "DatasetAmbiguous": "Exists",
    "AccessDenied": "Access",
    "Gated": "Access",
    "Disabled": "Access",
    "ArtifactMissing": "Complete",
    "ArtifactIncomplete": "Complete",
    "ArtifactTooLarge": "Complete",
    "ArtifactUnsupported": "Complete",
    "DatasetUnsupported": "Complete",
    "ModelNotReady": "Complete",
    "UnsafeFormat": "Format",
    "EngineUnsupported": "Format",
}


def layer(reason: str) -> Layer:
    """The layer a reason speaks of. What is not known could not even be asked: the first."""
    return _LAYER.get(reason, "Exists")


def is_definite(reason: str) -> bool:
    """Whether it is a definite no about one model or dataset: only a change of it, or of the rights to it, can mend that."""
    return reason in _LAYER and reason != "ModelNotReady"
