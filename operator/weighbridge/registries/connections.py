"""From a ModelRegistry's spec to the adapter that talks to it: the one place that knows all adapters. A new one joins here."""

from collections.abc import Callable

from ..api.base import seconds
from ..api.modelregistry import ModelRegistry
from .addresses import Network
from .base import Registry, RegistryFailed
from .credentials import Credentials
from .hub import HubRegistry
from .mlflow import MlflowRegistry


def connect(
    registry: ModelRegistry, credentials: Credentials | None, allow: tuple[Network, ...], may_write: Callable[[], bool]
) -> Registry:
    """A connection with these credentials. Takes time: call it in a thread. Raises RegistryFailed (SecretIncomplete, …)."""
    if registry.spec.mlflow is not None:
        return MlflowRegistry(
            registry.spec.mlflow.url,
            credentials,
            request_timeout=seconds(registry.spec.request_timeout),
            allow=allow,
            may_write=may_write,
        )
    if registry.spec.hugging_face is not None:
        return HubRegistry(
            registry.spec.hugging_face.url,
            credentials,
            request_timeout=seconds(registry.spec.request_timeout),
            allow=allow,
            may_write=may_write,
            results=registry.spec.write_back.evaluation_results == "PullRequest",
        )
    raise RegistryFailed(
        "RegistryMisconfigured", "the ModelRegistry names no registry this operator knows; set spec.mlflow or spec.huggingFace"
    )
