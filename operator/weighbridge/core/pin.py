"""The identity of content: how fingerprints and digests of pins are computed.

Exists so that everyone who needs the same identity (registry adapters that read lists of files, engines that hold the downloaded
files) computes it with the same code. Must not read anything: files come in as names and sizes.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

MOST_READ_FILES, MOST_READ_BYTES = 32, 8 * 1024 * 1024
"""How much of an artifact is read to prove content where the registry keeps no digests of files."""
_DESCRIPTION = "MLmodel"
"""What an MLflow model says of itself: how it is loaded, and by which code."""


def read_for_proof(files: Mapping[str, int]) -> tuple[str, ...]:
    """The files whose content belongs to the identity where the registry keeps no digests: the description of the model, then the
    smallest first, as many as fit into 32 files and 8 MiB altogether. Of larger ones only the size counts. Empty files need not be
    read and are left out."""
    chosen, total = list[str](), 0
    for path, size in sorted(files.items(), key=lambda each: (each[0] != _DESCRIPTION, each[1], each[0])):
        if size == 0:
            continue
        total += size
        if total > MOST_READ_BYTES or len(chosen) == MOST_READ_FILES:
            break
        chosen.append(path)
    return tuple(chosen)


def fingerprint(files: Mapping[str, int], contents: Mapping[str, str]) -> str:
    """Identity of a folder as `sha256:<hex>`: its files, their sizes in bytes, and what is known of their content.

    `files` holds paths relative to the folder, with `/`. `contents` holds digests of files, by path: where the registry keeps
    digests of all files, those (Hugging Face Hub: SHA-256 of large files, git's blob id of others), else the SHA-256 in hex of the
    files that `read_for_proof` names. The order does not matter.
    """
    lines = "".join(f"{json.dumps(path)} {size} {contents.get(path, '-')}\n" for path, size in sorted(files.items()))
    return _sha256(lines.encode())


def records_fingerprint(*, dataset_id: str, digest: str, records: int) -> str:
    """Identity of a dataset that is records in the registry and no files (MLflow's evaluation datasets): its id, the registry's
    digest of its state, and the number of records."""
    return _canonical({"datasetId": dataset_id, "digest": digest, "records": str(records)})


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
