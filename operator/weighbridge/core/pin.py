"""The identity of content: how fingerprints and digests of pins are computed.

Exists so that everyone who needs the same identity (registry adapters that read lists of files, engines that hold the downloaded
files) computes it with the same code. Must not read anything: files come in as names and sizes.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime


def fingerprint(files: Mapping[str, int], description: bytes = b"") -> str:
    """Identity of a folder as `sha256:<hex>`, from what every store can tell: its files and their sizes in bytes.

    `files` holds paths relative to the folder, with `/`. `description` is the content of the model description file (MLflow:
    `MLmodel`), which names flavours, signature and training run; empty for datasets. The order of `files` does not matter.
    """
    lines = "".join(f"{json.dumps(path)} {size}\n" for path, size in sorted(files.items()))
    return _sha256(f"{lines}{hashlib.sha256(description).hexdigest()}\n".encode())


def model_digest(*, name: str, version: str, created_at: datetime, source: str, run_id: str, fingerprint: str) -> str:
    """`ModelPin.digest`. Neither the alias that was asked for nor the name of the ModelRegistry is part of it, so the same content
    found on two ways has one digest; the address follows from name and version. `created_at` counts in milliseconds, the
    resolution registries keep."""
    return _canonical(
        {
            "name": name,
            "version": version,
            "createdAt": created_at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "source": source,
            "runId": run_id,
            "fingerprint": fingerprint,
        }
    )


def dataset_digest(*, path: str, revision: str, uri: str, fingerprint: str) -> str:
    """`DatasetPin.digest`. What the evaluation calls the dataset is not part of it."""
    return _canonical({"path": path, "revision": revision, "uri": uri, "fingerprint": fingerprint})


def _canonical(value: Mapping[str, str]) -> str:
    return _sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
