"""The engines of this installation: those built in, and those that other packages bring by an entry point.

A package adds one with `[project.entry-points."weighbridge.engines"]`: a name, and where its `core.engines.Engine` is. The package
must be in the operator's image; what measures is the engine's own image.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points

from ..core.engines import BUILT_IN, Engine

GROUP = "weighbridge.engines"
"""The group of entry points."""


class EngineBroken(Exception):
    """An entry point gives no engine; the text says which and what is wrong."""


def installed() -> Mapping[str, Engine]:
    """All engines by name. Raises EngineBroken for an entry point that cannot be loaded, is none, or takes a name that is taken:
    better no operator than one that measures with something else than people think."""
    engines = dict(BUILT_IN)
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        try:
            engine = point.load()
        except Exception as error:
            raise EngineBroken(f"engine {point.name} ({point.value}) cannot be loaded: {type(error).__name__}") from error
        if not isinstance(engine, Engine) or engine.name != point.name:
            raise EngineBroken(f"engine {point.name} ({point.value}) must be a weighbridge.core.engines.Engine of that name")
        if point.name in engines:
            raise EngineBroken(f"engine {point.name} ({point.value}) takes a name that is taken")
        engines[point.name] = engine
    return engines
