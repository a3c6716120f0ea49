"""A key of a ConfigMap as pointer. Two objects hold it: the ConfigMap, and an annotation of the pod template that lets pods start
anew with each change. They are written one after the other, so that every state between must show that something is left to do.

Pods that started while somebody else's value stood in the ConfigMap may serve that one, whatever their annotation says. When it is
put back they start anew: both objects get a new *edition*, the resourceVersion of the ConfigMap with the foreign value.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ..api.base import GROUP
from ..api.serving import ConfigMapKey
from ..core.facts import Misfit
from ..core.plan import Repoint
from . import paths
from .base import ObjectName, Patch
from .patches import HOLE, filled, unchanged

POINTER = f"{GROUP}/pointer"
"""Annotation of the pod template: the value that its pods were started for."""
EDITION = f"{GROUP}/pointer-edition"
"""Annotation of the pod template: which edition of the value its pods read."""
Body = Mapping[str, Any]


def name_of(where: ConfigMapKey) -> ObjectName:
    return ("v1", "ConfigMap", where.name)


def misfit(where: ConfigMapKey, config_map: Body | None) -> Misfit | None:
    if config_map is None:
        text = f"there is no ConfigMap {where.name} in this namespace; create it or correct serving.pointer.configMap"
        return Misfit("ConfigMapNotFound", text)
    if config_map.get("immutable"):
        text = f"ConfigMap {where.name} is immutable; make it anew without `immutable`"
        return Misfit("PointerHasOtherSource", text)
    return None


def undeclared(where: ConfigMapKey, config_map: Body) -> Misfit | None:
    if _value(where, config_map) is not None:
        return None
    text = f"ConfigMap {where.name} has no key {where.key}; correct serving.pointer.configMap, or write the key with an empty value"
    return Misfit("PointerNotFound", text)


def pointer(where: ConfigMapKey, config_map: Body, template: Body, wished: str) -> str | None:
    """What the target counts as pointed at. The wished value only where nothing is left to do."""
    value, told = _value(where, config_map), _told(template)
    done = value == told and _edition(where, config_map) == paths.read(template, ("metadata", "annotations", EDITION))
    if done or value is None:
        return value
    if told is None or value == told:
        # Pods were never started for it, or have to start anew.
        return None if value == wished else value
    # Where the template says what is wished, the ConfigMap was changed by somebody else; else the operator has not finished.
    return value if told == wished or not wished else told


def basis(where: ConfigMapKey, config_map: Body, template: Body) -> dict[str, Any]:
    """What the patches are built from."""
    metadata = config_map["metadata"]
    return {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
        "value": _value(where, config_map),
        "told": _told(template),
        "edition": _edition(where, config_map),
        "setValue": paths.operation(config_map, ("data", where.key), HOLE),
        "setEdition": paths.operation(config_map, ("metadata", "annotations", _marker(where)), HOLE),
    }


def edition(seen: Body, value: str) -> str | None:
    """The edition that goes with `value`: a new one where the template says it already and the ConfigMap something else."""
    foreign = seen["told"] == value != seen["value"]
    number: str | None = seen["resourceVersion"] if foreign else seen["edition"]
    return number


def patch(where: ConfigMapKey, seen: Body, action: Repoint) -> Patch:
    """Writes the key; by JSON patch, since others of its keys may be the operator's too."""
    operations = [*unchanged(seen["uid"], seen["resourceVersion"]), filled(seen["setValue"], action.value)]
    if (number := edition(seen, action.value)) is not None:
        operations.append(filled(seen["setEdition"], number))
    return Patch("v1", "ConfigMap", where.name, "Json", operations)


def applier(where: ConfigMapKey, config_map: Body) -> str | None:
    return paths.applier(config_map, ("data", where.key))


def _value(where: ConfigMapKey, config_map: Body) -> str | None:
    found = paths.read(config_map, ("data", where.key))
    return found if isinstance(found, str) else None


def _told(template: Body) -> str | None:
    found = paths.read(template, ("metadata", "annotations", POINTER))
    return found if isinstance(found, str) else None


def _edition(where: ConfigMapKey, config_map: Body) -> str | None:
    found = paths.read(config_map, ("metadata", "annotations", _marker(where)))
    return found if isinstance(found, str) else None


def _marker(where: ConfigMapKey) -> str:
    """Annotation of the ConfigMap with the edition of this key."""
    return f"{EDITION}-{sha256(where.key.encode()).hexdigest()[:8]}"
