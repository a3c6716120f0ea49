"""Who else names what a ModelVersion names."""

from ..api.modelversion import ModelVersion
from ..core.stages import named_targets
from .ports import Store


def rivals(version: ModelVersion, store: Store) -> tuple[ModelVersion, ...]:
    """The other versions that name a target of this one."""
    namespace = version.metadata.namespace
    found = {each.metadata.name: each for target in named_targets(version) for each in store.claimants(namespace, *target)}
    return tuple(each for name, each in sorted(found.items()) if name != version.metadata.name)
