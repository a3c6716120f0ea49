"""Whole evaluations as a pod makes them: the manifest's environment, the engine's process, a real registry and model, a score."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.core.things import evaluation_job, registry
from tests.evaluation.tasks import REGISTERED, dataset, hub_identity, hub_task, mlflow_task, read_identity
from tests.registries.hubserver import DATASETS, MODELS, Asked, Hub, Server
from tests.registries.mlflowserver import MlflowServer
from weighbridge.api import ModelRegistry
from weighbridge.api.evaluationjob import Resolved, ResolvedDataset, ResolvedModel
from weighbridge.api.gate import Verdict
from weighbridge.api.results import Results
from weighbridge.core.evaluationfacts import Heard
from weighbridge.core.gate import judge
from weighbridge.core.pin import records_fingerprint
from weighbridge.evaluation import task as task_module
from weighbridge.evaluation.manifest import job_manifest
from weighbridge.evaluation.progress import progress_in
from weighbridge.evaluation.result import read_result
from weighbridge.evaluation.samples import SAMPLES_FILE, read_samples
from weighbridge.evaluation.task import EXIT_MISCONFIGURED, EXIT_SUBJECT_CHANGED, PROGRESS, REPORT, RESULT, Task

SOURCES = str(Path(task_module.__file__).parents[2])
GATE = [{"metric": "accuracy", "min": 0.9, "minSamples": 50}]


@dataclass
class Iris:
    """A classifier as MLflow keeps it, and data to weigh it on."""

    model: dict[str, bytes]
    columns: list[str]
    rows: list[list[float]]
    truth: list[int]

    @property
    def csv(self) -> bytes:
        rows = (",".join(map(str, [*row, truth])) for row, truth in zip(self.rows, self.truth, strict=True))
        return "\n".join([",".join([*self.columns, "species"]), *rows, ""]).encode()


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iris:
    import mlflow
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    frame = load_iris(as_frame=True).frame.sample(frac=1, random_state=0)
    features, truth = frame.drop(columns="target"), frame["target"]
    trained = LogisticRegression(max_iter=500).fit(features[:90], truth[:90])
    folder = tmp_path_factory.mktemp("iris") / "model"
    mlflow.sklearn.save_model(
        trained, str(folder), pip_requirements=["scikit-learn"], input_example=features[:2], pyfunc_predict_fn="predict_proba"
    )
    # As a registry writes it: an id that only the registry knows.
    with (folder / "MLmodel").open("a", encoding="utf-8") as description:
        description.write("model_id: m-0123456789abcdef0123456789abcdef\n")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return Iris(files, list(features.columns), features[90:].to_numpy().tolist(), truth[90:].tolist())


@dataclass
class Ended:
    """What is left of the engine."""

    code: int
    says: str
    results: Results | None

    @property
    def verdict(self) -> Verdict:
        assert self.results is not None, self.says
        return judge(evaluation_job(gate=GATE).spec.gate, self.results.metrics)


def weigh(task: Task, folder: Path, **parameters: str) -> Ended:
    """Runs the engine with what the operator's manifest gives it; only the pod's folders are elsewhere."""
    registries = {
        "mlflow": registry(mlflow={"url": os.environ.get("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")}),
        "huggingFace": hub_registry(os.environ.get("HF_ENDPOINT", "http://127.0.0.1:1")),
    }
    job = evaluation_job(evaluator={"parameters": {"targets": "species"} | parameters}, gate=GATE)
    manifest = job_manifest(job, resolved(task), registries, name="e", evaluator_image="e", reporter_image="r")
    (engine,) = manifest["spec"]["template"]["spec"]["containers"]
    secret = {"HF_TOKEN": os.environ.get("HF_TOKEN", "")}
    environment = {each["name"]: each.get("value", secret.get(each["name"], "")) for each in engine["env"]}
    result = folder / "result.json"
    environment |= {
        RESULT: str(result),
        REPORT: str(folder / "report"),
        PROGRESS: str(folder / "progress.json"),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": SOURCES,
        "PATH": os.environ["PATH"],
    }
    environment |= {"HF_HOME": str(folder / "huggingface")} if "HF_HOME" in environment else {}
    command = [sys.executable, *engine["command"][1:]]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    read = read_result(result.read_bytes(), task.subject.digest) if result.exists() else None
    assert read is None or isinstance(read, Results)
    return Ended(done.returncode, done.stderr, read)


def hub_registry(url: str) -> ModelRegistry:
    body: dict[str, Any] = {"metadata": {"name": "huggingFace", "namespace": "ns", "uid": "hub", "generation": 1}}
    return ModelRegistry.model_validate(
        body | {"spec": {"huggingFace": {"url": url}, "credentialsSecretRef": {"name": "hub-token"}}}
    )


def resolved(task: Task) -> Resolved:
    """The pins behind a task; its registries are called as their kinds."""
    model = task.model.to_json() | {"fingerprint": task.subject.fingerprint, "digest": task.subject.digest}
    pins = [each.to_json() | {"digest": task.subject.digest} for each in task.datasets]
    return Resolved(
        model=ResolvedModel.model_validate(model), datasets=tuple(ResolvedDataset.model_validate(each) for each in pins)
    )


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def test_a_version_of_mlflow_is_weighed_on_an_evaluation_dataset(tmp_path: Path, mlflow_here: MlflowServer, iris: Iris) -> None:
    from mlflow.genai.datasets import create_dataset

    made = create_dataset(name="iris")
    rows = [dict(zip(iris.columns, row, strict=True)) for row in iris.rows]
    made.merge_records([{"inputs": row, "expectations": {"species": truth}} for row, truth in zip(rows, iris.truth, strict=True)])
    kept = len({tuple(row) for row in iris.rows})  # MLflow keeps one record for the same inputs
    digest = mlflow_here.client.get_dataset(made.dataset_id).digest
    identity = records_fingerprint(dataset_id=made.dataset_id, digest=digest, records=kept)
    wanted = dataset(f"mlflow-datasets:/{made.dataset_id}", identity, revision=digest)
    name, files = mlflow_here.new_name(), REGISTERED | iris.model
    task = mlflow_task(mlflow_here, name, mlflow_here.register(name, iris.model), read_identity(files), wanted)
    ended = weigh(task, tmp_path)
    assert ended.verdict.result == "Passed", ended.says
    assert {metric.n for metric in ended.results.metrics} == {kept} if ended.results else False


def test_a_version_whose_file_was_overwritten_gets_no_score(tmp_path: Path, mlflow_here: MlflowServer, iris: Iris) -> None:
    files = {"holdout.csv": iris.csv}
    run = mlflow_here.run(files, "datasets/holdout")
    name = mlflow_here.new_name()
    wanted = dataset(f"runs:/{run}/datasets/holdout", read_identity(files))
    task = mlflow_task(mlflow_here, name, mlflow_here.register(name, iris.model), read_identity(REGISTERED | iris.model), wanted)
    (mlflow_here.model_folder(name, "1") / "data.bin").write_bytes(b"WEIGHTS")
    ended = weigh(task, tmp_path)
    assert (ended.code, ended.results) == (EXIT_SUBJECT_CHANGED, None)
    assert "no longer those that were pinned" in one_line(ended.says)


def said_by(asked: Asked) -> str:
    return next((value for name, value in asked.headers.items() if name.lower() == "authorization"), "")


def hub_evaluation(hub: Hub, files: dict[str, bytes], data: dict[str, bytes], file: str = "") -> Task:
    hub.create_repo(MODELS, "demo/classifier")
    hub.create_repo(DATASETS, "demo/iris")
    commit, revision = hub.commit(MODELS, "demo/classifier", files), hub.commit(DATASETS, "demo/iris", data)
    identity = hub_identity({file: data[file]} if file else data)
    wanted = dataset(f"hf://datasets/demo/iris@{revision}", identity, path="demo/iris", revision=revision, file=file)
    return hub_task("demo/classifier", commit, hub_identity(files), wanted)


def test_a_model_of_the_hub_is_weighed_on_a_file_of_a_dataset_of_the_hub(
    tmp_path: Path, hub: Hub, hub_server: Server, iris: Iris
) -> None:
    files = iris.model | {"README.md": b"---\n{}\n---\n"}
    task = hub_evaluation(hub, files, {"data/test.csv": iris.csv, "data/train.csv": b"other\n"}, file="data/test.csv")
    ended = weigh(task, tmp_path)
    assert ended.verdict.result == "Passed", ended.says
    assert {said_by(asked) for asked in hub_server.asked if "/resolve/" in asked.path} == {"Bearer hf_reader"}


def test_a_model_of_the_hub_is_weighed_on_a_dataset_of_mlflow(
    tmp_path: Path, hub: Hub, hub_server: Server, mlflow_here: MlflowServer, iris: Iris
) -> None:
    files = {"holdout.csv": iris.csv}
    run = mlflow_here.run(files, "datasets/holdout")
    hub.create_repo(MODELS, "demo/classifier")
    commit = hub.commit(MODELS, "demo/classifier", iris.model)
    wanted = dataset(f"runs:/{run}/datasets/holdout", read_identity(files))
    ended = weigh(hub_task("demo/classifier", commit, hub_identity(iris.model), wanted), tmp_path)
    assert ended.verdict.result == "Passed", ended.says


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        ("model.safetensors", {"test.csv": b"x,species\n1,0\n"}, "no file MLmodel"),
        ("MLmodel", {"test.csv": b"x,species\n1,0\n", "train.csv": b"x\n"}, "it holds 2: name one with file"),
        ("MLmodel", {"test.csv": b"x,y\n1,0\n"}, "no column 'species'"),
        ("MLmodel", {"test.jsonl": b'{"x": 1\n'}, "cannot be read as a table"),
    ],
)
@pytest.mark.usefixtures("hub_server")
def test_what_the_engine_cannot_weigh_says_what_is_wrong(
    tmp_path: Path, hub: Hub, model: str, data: dict[str, bytes], says: str
) -> None:
    ended = weigh(hub_evaluation(hub, {model: b"flavors: {}\n"}, data), tmp_path)
    assert (ended.code, ended.results) == (EXIT_MISCONFIGURED, None)
    assert says in one_line(ended.says)


def reported(folder: Path) -> list[tuple[str, str | None, str, float]]:
    """The samples of the report."""
    return [(each.metric, each.slice, each.id, each.value) for each in read_samples(folder / "report" / SAMPLES_FILE)]


def task_on(server: MlflowServer, model: dict[str, bytes], **tables: bytes) -> Task:
    wanted = []
    for name, content in tables.items():
        files = {"holdout.csv": content}
        wanted.append(dataset(f"runs:/{server.run(files, 'd')}/d", read_identity(files), name=name))
    called = server.new_name()
    return mlflow_task(server, called, server.register(called, model), read_identity(REGISTERED | model), *wanted)


def test_the_report_holds_each_row_and_what_mlflow_draws(tmp_path: Path, mlflow_here: MlflowServer, iris: Iris) -> None:
    header, *rows = iris.csv.decode().splitlines()
    marked = [f"{header},must", *(f"{row},{'setosa-is-setosa' if row.endswith(',0') else ''}" for row in rows)]
    setosa = [row for row in rows if row.endswith(",0")][:2]
    never = [f"{header},must", *(f"{row[:-1]}2, impossible " if row in setosa else f"{row}," for row in rows)]
    tables = {"all": "\n".join(marked).encode(), "odd": "\n".join(never).encode()}
    ended = weigh(task_on(mlflow_here, iris.model, **tables), tmp_path, invariants="must")
    assert ended.results is not None, ended.says
    told = {each.name: (each.holds, each.n, each.broken) for each in ended.results.invariants}
    assert told == {"setosa-is-setosa": (True, iris.truth.count(0), 0), "impossible": (False, 2, 2)}
    found = reported(tmp_path)
    for part in ("all", "odd"):
        values = [value for metric, place, _, value in found if (metric, place) == ("accuracy", part)]
        (accuracy,) = [each.value for each in ended.results.metrics if (each.name, each.slice) == ("accuracy", part)]
        assert len(values) == len(rows)
        assert sum(values) / len(rows) == pytest.approx(accuracy)
    assert [place for _, _, place, _ in found[:3]] == ["0", "1", "2"]
    assert list((tmp_path / "report" / "mlflow" / "all").rglob("*confusion_matrix*.png"))
    assert progress_in(tmp_path / "progress.json") == Heard(2, 2)


REGRESSOR, TEXTS = "regressor", "texts"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """A regressor, and a model that answers in text."""
    import mlflow
    import pandas
    from sklearn.linear_model import LinearRegression

    class Capitals(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> list[str]:
            return [{"France": "Paris", "Italy": "Rome"}.get(country, "") for country in model_input["country"]]

    folder = tmp_path_factory.mktemp("models")
    mlflow.sklearn.save_model(LinearRegression().fit(pandas.DataFrame({"x": [0.0, 1.0]}), [0.0, 2.0]), str(folder / REGRESSOR))
    mlflow.pyfunc.save_model(str(folder / TEXTS), python_model=Capitals())

    def files(of: Path) -> dict[str, bytes]:
        return {path.relative_to(of).as_posix(): path.read_bytes() for path in of.rglob("*") if path.is_file()}

    return {name: files(folder / name) for name in (REGRESSOR, TEXTS)}


def test_a_regressor_reports_its_errors_row_by_row(
    tmp_path: Path, mlflow_here: MlflowServer, models: dict[str, dict[str, bytes]]
) -> None:
    table = b"x,species\n0.0,0.5\n1.0,2.0\n2.0,4.0\n3.0,5.0\n"
    ended = weigh(task_on(mlflow_here, models[REGRESSOR], holdout=table), tmp_path, modelType="regressor")
    assert ended.results is not None, ended.says
    values = {each.name: each.value for each in ended.results.metrics}
    found = reported(tmp_path)
    for metric in ("mean_absolute_error", "mean_squared_error"):
        mine = [value for name, _, _, value in found if name == metric]
        assert mine == pytest.approx([0.5, 0, 0, 1.0] if "absolute" in metric else [0.25, 0, 0, 1.0])
        assert sum(mine) / 4 == pytest.approx(values[metric])


@pytest.mark.parametrize("kind", ["question-answering", "text-summarization"])
def test_a_model_of_texts_is_weighed_without_any_download(
    tmp_path: Path, mlflow_here: MlflowServer, models: dict[str, dict[str, bytes]], kind: str
) -> None:
    table = b"country,species,must\nFrance,Paris,never-wrong\nItaly,Milan,\nSpain,Madrid,\nItaly,Rome,never-wrong\n"
    ended = weigh(task_on(mlflow_here, models[TEXTS], holdout=table), tmp_path, modelType=kind, invariants="must")
    assert ended.results is not None, ended.says
    found = [(each.name, each.value, each.n, each.unit, each.direction) for each in ended.results.metrics]
    assert found == [(name, 0.5, 4, "ratio", "maximize") for name in ("exact_match", "rougeL")]
    assert [(name, value) for name, _, _, value in reported(tmp_path)] == [
        (name, each) for name in ("exact_match", "rougeL") for each in (1, 0, 0, 1)
    ]
    assert [(each.name, each.holds, each.n) for each in ended.results.invariants] == [("never-wrong", True, 2)]
