"""Which adapter knows which kind of target."""

from ..api.serving import TargetRef
from .base import Adapter


def adapter(target: TargetRef) -> Adapter:
    """The adapter of a kind; one that is not known is pointed at a model by the path of a field, and never treated as another."""
    raise NotImplementedError(target.kind)
