"""How a dataset is found in MLflow, which has no registry of datasets: one is a (name, digest) that runs say they used.

A user makes one that is found here with plain MLflow:

    with mlflow.start_run():
        frame.to_csv("holdout.csv", index=False)
        mlflow.log_artifact("holdout.csv", "datasets/holdout")  # the files: folder datasets/<name of the dataset>
        mlflow.log_input(mlflow.data.from_pandas(frame, name="holdout", targets="target"))

The files are found by that folder because MLflow accepts neither `runs:/…` nor `mlflow-artifacts:/…` as the `source` of a dataset
(`Could not find a source information resolver`). Where the recorded source is an address on this server all the same (`runs:/…`, or
below the run's artifact root, as with `s3://…` roots), that is used. MLflow's digest has 32 bits and covers a sample: it names a
state, the fingerprint over the files proves it.
"""

import json
from collections.abc import Iterator

from ..api.references import DatasetPin, DatasetReference
from ..core.pin import dataset_digest, fingerprint
from .base import RegistryAbsent, RegistryFailed
from .mlflow_artifacts import below_run, in_run, of_run
from .mlflow_http import Inquiry
from .mlflow_records import Record, each, inner, text

_EXPERIMENTS_PER_PAGE, _MOST_EXPERIMENT_PAGES = 1000, 10
_MOST_RUNS = 20
_SOURCES_OF_OTHERS = ("http", "https", "s3", "gs", "hugging_face", "delta_table", "spark", "dbfs", "wasbs", "abfss")


def find(inquiry: Inquiry, ref: DatasetReference) -> DatasetPin:
    """Pins the dataset down to its files.

    Without a revision the state is taken that the latest run logged. Of the runs that logged one state, the oldest that holds the
    files is pinned, so that later uses of the dataset do not move the pin. Raises RegistryAbsent (DatasetNotFound,
    DatasetAmbiguous, DatasetUnsupported, ArtifactMissing, AccessDenied) and RegistryFailed.
    """
    name = _quoted(ref.path)
    experiments = tuple(_experiments(inquiry))
    revision = ref.revision or _latest(inquiry, experiments, ref.path, name)
    runs = _runs(inquiry, experiments, f"dataset.name = {name} AND dataset.digest = {_quoted(revision)}", "ASC", _MOST_RUNS)
    uses = [(run, dataset) for run in runs for dataset in _logged(run, ref.path) if dataset.get("digest") == revision]
    if not uses:
        raise RegistryAbsent(
            "DatasetNotFound",
            f"no run that these credentials can see has logged the dataset {ref.path} in the state {revision}; log it with "
            "mlflow.log_input, or correct path and revision",
        )
    for run, dataset in uses:
        what = f"the dataset {ref.path} {revision}"
        run_id, folder = _place(run, dataset, ref.path)
        files = _files(inquiry, run_id, folder, what)
        if files:
            return _pin(ref, revision, f"runs:/{run_id}/{folder}", files)
    kinds = {text(dataset, "source_type", 32) for _, dataset in uses}
    folder = f"datasets/{ref.path}"
    if kinds & set(_SOURCES_OF_OTHERS):
        raise RegistryAbsent(
            "DatasetUnsupported",
            f"the dataset {ref.path} {revision} was logged with a source outside of this server ({', '.join(sorted(kinds))}); log "
            "its files "
            f"in the same run as well: mlflow.log_artifact(file, {folder!r})",
        )
    raise RegistryAbsent(
        "ArtifactMissing",
        f"the dataset {ref.path} {revision} is known, but its files are not on the server or are empty; log them in the run that "
        "logs the "
        f"dataset: mlflow.log_artifact(file, {folder!r})",
    )


def _place(run: Record, dataset: Record, path: str) -> tuple[str, str]:
    """Run and path of the dataset's files: what the source says where it is on this server, else the agreed folder."""
    here = text(inner(run, "info"), "run_id", 64)
    try:
        source = json.loads(text(dataset, "source", 4096) or "{}")
    except ValueError:
        source = {}
    address = text(source, "uri", 1024) if isinstance(source, dict) else ""
    if all(in_run(address)):
        return in_run(address)
    return here, below_run(run, address) or f"datasets/{path}"


def _files(inquiry: Inquiry, run_id: str, path: str, what: str) -> dict[str, int]:
    """Files of a folder, or the one file that `path` names; empty where there is none, or where one has no content."""
    files = of_run(inquiry, run_id, path, what).files()
    if not files:
        parent, _, file = path.rpartition("/")
        size = of_run(inquiry, run_id, parent, what).files().get(file, 0)
        files = {file: size} if size else {}
    return files if all(files.values()) else {}


def _pin(ref: DatasetReference, revision: str, uri: str, files: dict[str, int]) -> DatasetPin:
    identity = fingerprint(files)
    return DatasetPin(
        name=ref.name,
        registry=ref.registry_ref.name,
        path=ref.path,
        revision=revision,
        uri=uri,
        fingerprint=identity,
        digest=dataset_digest(path=ref.path, revision=revision, uri=uri, fingerprint=identity),
    )


def _latest(inquiry: Inquiry, experiments: tuple[str, ...], path: str, name: str) -> str:
    runs = _runs(inquiry, experiments, f"dataset.name = {name}", "DESC", 1)
    states = sorted({text(dataset, "digest", 128) for run in runs for dataset in _logged(run, path)} - {""})
    if not states:
        raise RegistryAbsent(
            "DatasetNotFound",
            f"no run that these credentials can see has logged a dataset {path}; log it with mlflow.log_input, or correct the path",
        )
    if len(states) > 1:
        raise RegistryAbsent(
            "DatasetAmbiguous",
            f"the latest run with a dataset {path} has logged several states of it ({', '.join(states)[:200]}); name one as "
            "revision",
        )
    return states[0]


def _logged(run: Record, path: str) -> Iterator[Record]:
    """Datasets of this name that the run has logged. Compared here again: the server's comparison may ignore case."""
    for entry in each(inner(run, "inputs"), "dataset_inputs"):
        dataset = inner(entry, "dataset")
        if dataset.get("name") == path:
            yield dataset


def _experiments(inquiry: Inquiry) -> Iterator[str]:
    token = ""
    for _ in range(_MOST_EXPERIMENT_PAGES):
        body = {"max_results": _EXPERIMENTS_PER_PAGE, "view_type": "ACTIVE_ONLY"} | ({"page_token": token} if token else {})
        record = _search(inquiry, "experiments", body)
        yield from (text(entry, "experiment_id", 64) for entry in each(record, "experiments"))
        token = text(record, "next_page_token", 1024)
        if not token:
            return
    raise RegistryFailed(
        "RegistryMisconfigured",
        f"{inquiry.host} has more than {_EXPERIMENTS_PER_PAGE * _MOST_EXPERIMENT_PAGES} experiments, too many to look for a "
        "dataset in; "
        "let the credentials see fewer",
    )


def _runs(inquiry: Inquiry, experiments: tuple[str, ...], condition: str, order: str, most: int) -> list[Record]:
    """Active runs that fulfil a condition, by start time, at most `most`."""
    found: list[Record] = []
    for start in range(0, len(experiments), _EXPERIMENTS_PER_PAGE):
        body = {
            "experiment_ids": list(experiments[start : start + _EXPERIMENTS_PER_PAGE]),
            "filter": condition,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": most,
            "order_by": [f"attributes.start_time {order}"],
        }
        found += each(_search(inquiry, "runs", body), "runs")
    found.sort(key=_started, reverse=order == "DESC")
    return found[:most]


def _started(run: Record) -> int:
    start = inner(run, "info").get("start_time")
    return start if isinstance(start, int) else 0


def _search(inquiry: Inquiry, what: str, body: Record) -> Record:
    answer = inquiry.post(f"/api/2.0/mlflow/{what}/search", body)
    if answer.status == 403:
        raise RegistryAbsent(
            "AccessDenied", f"the credentials may not search {what} for the dataset; grant them READ on its experiment"
        )
    if answer.status != 200:
        raise RegistryFailed(
            "RegistryMisconfigured", f"{inquiry.host} does not understand a search for a dataset; is it MLflow 2.4 or later?"
        )
    return answer.record


def _quoted(value: str) -> str:
    """A string of MLflow's search language, which has two kinds of quotes and no way to escape them."""
    for quote in "'\"":
        if quote not in value and value.isprintable():
            return f"{quote}{value}{quote}"
    raise RegistryAbsent(
        "DatasetNotFound",
        "MLflow cannot search for a dataset whose name has both kinds of quotes or control characters; log it under another name",
    )
