"""What a container gets of a registry: where it is, the manners of its client, and single known keys of a Secret."""

from typing import Any

from ..api.base import LocalRef
from ..api.modelregistry import ModelRegistry, RegistryKind

ADDRESS: dict[RegistryKind, str] = {"mlflow": "MLFLOW_TRACKING_URI", "huggingFace": "HF_ENDPOINT"}
"""Environment variable that tells a registry's own client where it is."""
CREDENTIALS: dict[RegistryKind, tuple[str, ...]] = {
    "mlflow": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "huggingFace": ("HF_TOKEN",),
}
"""Keys of its Secret, and the environment variables they become."""
_MANNERS: dict[RegistryKind, dict[str, str]] = {
    "mlflow": {"MLFLOW_DISABLE_TELEMETRY": "true"},
    "huggingFace": {"HF_HOME": "/tmp/huggingface", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"},  # noqa: S108
}
"""What its client needs on a read-only root; no reports to vendors. Xet takes memory without bound and has been seen to hang."""


def access(registry: ModelRegistry) -> list[dict[str, Any]]:
    """Where the registry is, and the workload's credentials for it: single known keys, never a whole Secret."""
    spec = registry.spec
    variables: list[dict[str, Any]] = [{"name": ADDRESS[spec.kind], "value": spec.url}]
    variables += [{"name": key, "value": value} for key, value in _MANNERS[spec.kind].items()]
    return variables + credentials(spec.kind, spec.workload_credentials_secret_ref or spec.credentials_secret_ref)


def credentials(kind: RegistryKind, ref: LocalRef | None) -> list[dict[str, Any]]:
    if ref is None:
        return []
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": key, "optional": True}}} for key in CREDENTIALS[kind]
    ]
