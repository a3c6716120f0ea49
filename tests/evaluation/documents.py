"""Builders of result documents for tests."""

import json
from typing import Any

DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64


def metric(name: str = "accuracy", **fields: Any) -> dict[str, Any]:
    return {"name": name, "value": 0.95, "direction": "maximize", "n": 171} | fields


def document(*metrics: dict[str, Any], digest: str = DIGEST, **fields: Any) -> dict[str, Any]:
    return {"schemaVersion": "v1", "subject": {"digest": digest}, "metrics": list(metrics) or [metric()]} | fields


def encoded(*metrics: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(document(*metrics, **fields)).encode()
