"""How a dataset is found in MLflow, which has two kinds of them. One is a (name, digest) that runs say they used, the other an
evaluation dataset (mlflow_evaluation_datasets.py).

A user makes one of the first kind that is found here with plain MLflow:

    with mlflow.start_run():
        frame.to_csv("holdout.csv", index=False)
        mlflow.log_artifact("holdout.csv", "datasets/holdout")  # the files: folder datasets/<name of the dataset>
        mlflow.log_input(mlflow.data.from_pandas(frame, name="holdout", targets="target"))

The files are found by that folder because MLflow accepts neither `runs:/…` nor `mlflow-artifacts:/…` as the `source` of a dataset
(`Could not find a source information resolver`). Where the recorded source is an address on this server all the same (`runs:/…`, or
below the run's artifact root, as with `s3://…` roots), that is used. MLflow's digest has 32 bits and covers a sample: it names a
state, the fingerprint over the files and the content of the small ones proves it.

Which kind a name means: an id (`d-…`) the evaluation dataset; with a revision, whichever is in that state, runs asked first;
without one, a name that both kinds have is ambiguous, as nobody could tell which of the two a score was made on. That a run used
an evaluation dataset (`mlflow.genai.evaluate` says so by itself) makes no dataset of the first kind.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from ..api.references import DatasetPin, DatasetReference
from ..core import tables
from ..core.pin import dataset_digest, fingerprint
from . import mlflow_evaluation_datasets as evaluation
from .base import RegistryAbsent, RegistryFailed
from .mlflow_answer import several
from .mlflow_artifacts import below_run, in_deleted_run, in_run, is_deleted, of_run
from .mlflow_files import Folder
from .mlflow_http import Inquiry
from .records import Record, each, inner, text

_EXPERIMENTS_PER_PAGE, _MOST_EXPERIMENT_PAGES = 1000, 10
_MOST_RUNS = 20
_SHOWN = 8
_SOURCES_OF_OTHERS = ("http", "https", "s3", "gs", "hugging_face", "delta_table", "spark", "dbfs", "wasbs", "abfss")


def find(inquiry: Inquiry, ref: DatasetReference) -> DatasetPin:
    """Pins the dataset down to its files or records.

    Without a revision the state is taken that the latest run logged. Of the runs that logged one state, the oldest that holds the
    files is pinned, so that later uses of the dataset do not move the pin. Raises RegistryAbsent (DatasetNotFound,
    DatasetAmbiguous, DatasetUnsupported, ReferenceUnsupported, ArtifactMissing, ArtifactIncomplete, AccessDenied, …) and
    RegistryFailed.
    """
    if (by_id := evaluation.by_id(inquiry, ref.path)) is not None:
        return evaluation.pin(inquiry, ref, [by_id])
    name = _quoted(ref.path)
    experiments = tuple(_experiments(inquiry))
    revision = ref.revision or _latest(inquiry, experiments, ref.path, name)
    uses = _uses(inquiry, experiments, ref.path, name, revision) if revision else []
    if uses and ref.revision:
        return _logged_pin(inquiry, ref, revision, uses)
    records = evaluation.by_name(inquiry, ref.path, f"name = {name}", experiments)
    if uses and records:
        raise RegistryAbsent(
            "DatasetAmbiguous",
            f"both runs and an evaluation dataset have the name {ref.path}; write revision {revision} for what runs logged last, "
            f"or as path the evaluation dataset's id {text(records[0], 'dataset_id', 64)}",
        )
    if records:
        return evaluation.pin(inquiry, ref, records)
    if not uses:
        state = f" in the state {ref.revision}" if ref.revision else ""
        raise RegistryAbsent(
            "DatasetNotFound",
            f"no run that these credentials can see has logged the dataset {ref.path}{state}, and there is no evaluation dataset "
            "of that name; log it with mlflow.log_input, or correct path and revision",
        )
    return _logged_pin(inquiry, ref, revision, uses)


def _logged_pin(inquiry: Inquiry, ref: DatasetReference, revision: str, uses: Iterable[tuple[Record, Record]]) -> DatasetPin:
    """Pins the files of the first run that has them."""
    what, kinds, seen, gone = f"the dataset {ref.path} {revision}", set[str](), dict[str, int](), ""
    for run, dataset in uses:
        kinds.add(text(dataset, "source_type", 32))
        here, agreed = text(inner(run, "info"), "run_id", 64), f"datasets/{ref.path}"
        run_id, path = _source(run, dataset) or (here, agreed)
        if run_id != here and is_deleted(inquiry, run_id):
            # MLflow keeps one source for all uses of a state, the first one's.
            gone, run_id, path = run_id, here, agreed
        folder, files = _files(inquiry, run_id, path, what)
        seen = seen or files
        if ref.file is not None:
            path, files = folder.root, {name: size for name, size in files.items() if name == ref.file}
        if files and all(files.values()):
            identity = fingerprint(files, folder.contents(files, {}))
            return _pin(ref, revision, f"runs:/{run_id}/{path}".rstrip("/"), identity, files)
    if gone and not seen:
        raise in_deleted_run(gone, what)
    if ref.file is not None and seen:
        there = ", ".join(f"{name} (empty)" if size == 0 else name for name, size in sorted(seen.items())[:_SHOWN])
        more = f" and {len(seen) - _SHOWN} more" if len(seen) > _SHOWN else ""
        raise RegistryAbsent("ArtifactMissing", f"{what} has no file {ref.file} with content; there is {there[:400]}{more}")
    log = f"mlflow.log_artifact(file, {f'datasets/{ref.path}'!r})"
    if kinds & set(_SOURCES_OF_OTHERS):
        raise RegistryAbsent(
            "DatasetUnsupported",
            f"{what} was logged with a source outside of this server ({', '.join(sorted(kinds))}); log its files in the same run "
            f"as well: {log}",
        )
    raise RegistryAbsent(
        "ArtifactMissing",
        f"{what} is known, but its files are not on the server or are empty; log them in the run that logs the dataset: {log}",
    )


def _source(run: Record, dataset: Record) -> tuple[str, str] | None:
    """Run and path of the dataset's files, where the source says so and is on this server."""
    try:
        source = json.loads(text(dataset, "source", 4096) or "{}")
    except ValueError:
        source = {}
    address = text(source, "uri", 1024) if isinstance(source, dict) else ""
    if all(in_run(address)):
        return in_run(address)
    below = below_run(run, address)
    return (text(inner(run, "info"), "run_id", 64), below) if below else None


def _files(inquiry: Inquiry, run_id: str, path: str, what: str) -> tuple[Folder, dict[str, int]]:
    """The folder and its files: all of them, or the one that `path` names."""
    folder = of_run(inquiry, run_id, path, what)
    if files := folder.files():
        return folder, files
    parent, _, file = path.rpartition("/")
    folder = of_run(inquiry, run_id, parent, what)
    size = folder.size(file)
    return folder, {} if size is None else {file: size}


def _pin(ref: DatasetReference, revision: str, uri: str, identity: str, files: Mapping[str, int]) -> DatasetPin:
    return DatasetPin(
        name=ref.name,
        registry=ref.registry_ref.name,
        path=ref.path,
        revision=revision,
        uri=uri,
        file=ref.file or "",
        size=sum(files.values()),
        tables=tables.count(files),
        fingerprint=identity,
        digest=dataset_digest(path=ref.path, revision=revision, uri=uri, fingerprint=identity),
    )


def _latest(inquiry: Inquiry, experiments: tuple[str, ...], path: str, name: str) -> str:
    """The state that was logged last; empty where there is none."""
    for most in (1, _MOST_RUNS):  # the latest runs may have used an evaluation dataset of that name
        runs = _runs(inquiry, experiments, f"dataset.name = {name}", "DESC", most)
        for run in runs:
            states = sorted({text(dataset, "digest", 128) for dataset in _logged(run, path)} - {""})
            if len(states) > 1:
                raise RegistryAbsent(
                    "DatasetAmbiguous",
                    f"the latest run with a dataset {path} has logged several states of it ({', '.join(states)[:200]}); name one "
                    "as revision",
                )
            if states:
                return states[0]
        if len(runs) < most:
            break
    return ""


def _uses(inquiry: Inquiry, experiments: tuple[str, ...], path: str, name: str, revision: str) -> list[tuple[Record, Record]]:
    """The oldest runs that logged the dataset in this state, each with what it said about it."""
    runs = _runs(inquiry, experiments, f"dataset.name = {name} AND dataset.digest = {_quoted(revision)}", "ASC", _MOST_RUNS)
    return [(run, dataset) for run in runs for dataset in _logged(run, path) if dataset.get("digest") == revision]


def _logged(run: Record, path: str) -> Iterator[Record]:
    """Datasets of this name that the run has logged. Compared here again: the server's comparison may ignore case."""
    for entry in each(inner(run, "inputs"), "dataset_inputs"):
        dataset = inner(entry, "dataset")
        if dataset.get("name") == path and dataset.get("source_type") != evaluation.SOURCE_TYPE:
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
        "dataset in; let the credentials see fewer",
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
    answer = inquiry.post(f"/api/2.0/mlflow/{what}/search", several(what), body)
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
