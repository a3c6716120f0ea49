"""Secrets from a real API server."""

import base64

from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.secrets import Secrets


async def test_values_come_decoded_and_what_is_no_text_is_left_out(cluster: Cluster, namespace: str) -> None:
    data = {
        "MLFLOW_TRACKING_TOKEN": base64.b64encode("tökén".encode()).decode(),
        "keystore": base64.b64encode(b"\xff\xfe").decode(),
    }
    await cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": namespace}, "data": data})
    assert await Secrets(cluster)(namespace, "s") == {"MLFLOW_TRACKING_TOKEN": "tökén"}


async def test_a_missing_and_an_empty_secret_are_told_apart(cluster: Cluster, namespace: str) -> None:
    await cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "empty", "namespace": namespace}})
    assert await Secrets(cluster)(namespace, "empty") == {}
    assert await Secrets(cluster)(namespace, "nobody") is None
