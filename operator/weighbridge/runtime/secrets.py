"""Secrets, read when they are asked for. They are never listed, watched or kept here: the operator's role has `get` alone, and who
opens connections remembers credentials as long as it wants to.

Values are plain text; they must not reach logs, status or errors.
"""

import base64
import binascii
from collections.abc import Mapping

from ..controllers.ports import Cluster


class Secrets:
    """Reads Secrets of the namespaces the operator serves."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def __call__(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """The Secret's keys and values; None where there is no such Secret. A value that is no text is left out. Raises
        ClusterError where it cannot be told."""
        body = await self._cluster.get("v1", "Secret", namespace, name)
        return None if body is None else _decoded(body.get("data") or {})


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for key, encoded in data.items():
        try:
            values[key] = base64.b64decode(encoded, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            continue
    return values
