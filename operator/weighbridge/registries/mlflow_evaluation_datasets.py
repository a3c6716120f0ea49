"""Evaluation datasets of MLflow (`mlflow.genai.datasets`, since MLflow 3.4): named records in the tracking server, without files.

Names are not unique, the id (`d-…`) is the identity. MLflow's digest of one is made of its name and the time of its last change: it
changes with every record that is added or changed, but not where one is deleted, so the number of records is part of the
fingerprint too. Must not decide between these and datasets that runs logged (mlflow_datasets.py).
"""

import json
import re
from collections.abc import Sequence

from ..api.references import DatasetPin, DatasetReference
from ..core.pin import dataset_digest, records_fingerprint
from .base import RegistryAbsent, RegistryFailed
from .mlflow_answer import one, several
from .mlflow_http import Inquiry
from .records import Record, each, inner, integer, text

SOURCE_TYPE = "mlflow_evaluation_dataset"
"""What MLflow writes where a run used an evaluation dataset: a use, no dataset of its own."""
_DATASETS = "/api/3.0/mlflow/datasets"
_ID = re.compile(r"^d-[0-9a-f]{32}$")
_MOST, _NAMED = 200, 5
_SINCE = (3, 4)


def by_id(inquiry: Inquiry, path: str) -> Record | None:
    """The dataset of this id; None where `path` is no id or the server has none. Raises RegistryAbsent(AccessDenied)."""
    if not _ID.match(path):
        return None
    answer = inquiry.get(f"{_DATASETS}/{path}", one("dataset", optional=True))
    if answer.status == 403:
        raise RegistryAbsent(
            "AccessDenied",
            f"{inquiry.host} does not let these credentials see the evaluation dataset {path}: it does not exist, or they need "
            "READ on its experiments",
        )
    return inner(answer.record, "dataset") or None


def by_name(inquiry: Inquiry, path: str, condition: str, experiments: Sequence[str]) -> tuple[Record, ...]:
    """The datasets of this name that the credentials can see; none where the server is too old to have any. With access control
    MLflow lets only `experiments` be searched, not everything."""
    body = {"filter_string": condition, "max_results": _MOST}
    answer = inquiry.post(f"{_DATASETS}/search", several("datasets", optional=True), body)
    if answer.status == 403 and experiments:
        answer = inquiry.post(
            f"{_DATASETS}/search", several("datasets", optional=True), body | {"experiment_ids": list(experiments)}
        )
    if answer.status == 400 or (answer.status == 404 and _should_know(inquiry)):
        raise RegistryFailed(
            "RegistryMisconfigured",
            f"{inquiry.host} does not understand a search for evaluation datasets; let {_DATASETS} through to MLflow",
        )
    # Compared here again: the server's comparison may ignore case.
    return tuple(entry for entry in each(answer.record, "datasets") if entry.get("name") == path)


def pin(inquiry: Inquiry, ref: DatasetReference, found: Sequence[Record]) -> DatasetPin:
    """Pins the one of `found`, which are of one name or id, that is meant. Raises RegistryAbsent (DatasetNotFound,
    DatasetAmbiguous, ReferenceUnsupported, ArtifactMissing, AccessDenied) and RegistryFailed."""
    meant = [each for each in found if ref.revision in (None, each.get("digest"))]
    if not meant:
        states = ", ".join(sorted({text(each, "digest", 64) for each in found}))
        raise RegistryAbsent(
            "DatasetNotFound",
            f"the evaluation dataset {ref.path} is not in the state {ref.revision} but in {states[:200]}, and MLflow keeps no "
            "former states; correct the revision",
        )
    if len(meant) > 1:
        ids = ", ".join(sorted(text(each, "dataset_id", 64) for each in meant)[:_NAMED])
        raise RegistryAbsent(
            "DatasetAmbiguous",
            f"{len(meant)} evaluation datasets are called {ref.path}; write the id of one as path, e.g. of {ids}",
        )
    if ref.file is not None:
        raise RegistryAbsent(
            "ReferenceUnsupported", f"the evaluation dataset {ref.path} has records and no files; leave file out of its reference"
        )
    return _pin(inquiry, ref, meant[0])


def _pin(inquiry: Inquiry, ref: DatasetReference, dataset: Record) -> DatasetPin:
    dataset_id, digest = text(dataset, "dataset_id", 64), text(dataset, "digest", 128)
    if not _ID.match(dataset_id) or not digest:
        raise RegistryFailed("RegistryMisconfigured", f"{inquiry.host} describes an evaluation dataset in a way MLflow does not")
    records, uri = _count(inquiry, ref.path, dataset_id, dataset), f"mlflow-datasets:/{dataset_id}"
    identity = records_fingerprint(dataset_id=dataset_id, digest=digest, records=records)
    return DatasetPin(
        name=ref.name,
        registry=ref.registry_ref.name,
        path=ref.path,
        revision=digest,
        uri=uri,
        tables=1,
        fingerprint=identity,
        digest=dataset_digest(path=ref.path, revision=digest, uri=uri, fingerprint=identity),
    )


def _count(inquiry: Inquiry, path: str, dataset_id: str, dataset: Record) -> int:
    """How many records there are, as the server says; that there is one was seen."""
    answer = inquiry.get(f"{_DATASETS}/{dataset_id}/records", one("records"), max_results="1")
    if answer.status == 403:
        raise RegistryAbsent(
            "AccessDenied",
            f"the credentials may not read the records of the evaluation dataset {path}; grant them READ on its experiments",
        )
    if answer.status == 404 or (answer.status == 200 and not _list(answer.record)):
        raise RegistryAbsent(
            "ArtifactMissing", f"the evaluation dataset {path} ({dataset_id}) has no records; add some with merge_records"
        )
    records = integer(_profile(dataset), "num_records")
    if answer.status != 200 or records is None or records < 1:
        raise RegistryFailed(
            "RegistryMisconfigured", f"{inquiry.host} does not tell how many records the evaluation dataset {path} has"
        )
    return records


def _should_know(inquiry: Inquiry) -> bool:
    """Whether the server may be new enough to have evaluation datasets, so that a 404 comes from something in front of it."""
    answer = inquiry.bytes("/version", 64)
    found = re.match(rb"(\d{1,4})\.(\d{1,4})", answer.body) if answer.status == 200 else None
    return found is None or (int(found[1]), int(found[2])) >= _SINCE


def _list(record: Record) -> bool:
    try:
        found = json.loads(text(record, "records", 16))
    except ValueError:
        return True  # cut off: there is something
    return bool(found)


def _profile(dataset: Record) -> Record:
    try:
        found = json.loads(text(dataset, "profile", 4096))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
