"""The lm-eval engine for real: the harness on a tiny model of a Hub, on a server of OpenAI's interface, and what it refuses."""

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation import language
from tests.evaluation.documents import DIGEST
from tests.evaluation.tasks import dataset, hub_identity, hub_task
from tests.registries.hubserver import DATASETS, MODELS, Hub, Server
from weighbridge.api.evaluationjob import Results
from weighbridge.evaluation import task
from weighbridge.evaluation.lm_eval_tasks import PinnedData, chosen_tasks
from weighbridge.evaluation.refusal import Refusal
from weighbridge.evaluation.result import read_result
from weighbridge.evaluation.samples import read_samples
from weighbridge.evaluation.task import EXIT_MISCONFIGURED, EXIT_SUBJECT_CHANGED, Task, TaskDataset

SOURCES = str(Path(task.__file__).parents[2])
NAME, DATA = "demo/next-word", "demo/questions"
Ask = Callable[..., Task]


@pytest.fixture
def asked(hub: Hub, hub_server: Server) -> Ask:
    """A task on the tiny model; files of the dataset may be given, and parameters."""
    hub.create_repo(MODELS, NAME)
    files = language.model()
    commit = hub.commit(MODELS, NAME, files)
    hub.create_repo(DATASETS, DATA)

    def ask(questions: dict[str, bytes] | None = None, **parameters: str) -> Task:
        content = language.questions() if questions is None else questions
        revision = hub.commit(DATASETS, DATA, content)
        pinned = dataset(f"hf://datasets/{DATA}@{revision}", hub_identity(content), path=DATA, revision=revision, name="questions")
        return hub_task(NAME, commit, hub_identity(files), pinned, **{"tasks": "next-word"} | parameters)

    return ask


def run(tmp_path: Path, what: Task) -> tuple[int, str, Results | None]:
    """Exit code, last words and result of the engine as its own process."""
    result = tmp_path / "result.json"
    environment = {key: os.environ[key] for key in ("PATH", "HF_ENDPOINT", "HF_TOKEN")}
    environment |= {"PYTHONPATH": SOURCES, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "HF_HOME": str(tmp_path / "hf")}
    environment |= {task.REPORT: str(tmp_path / "report"), task.PROGRESS: str(tmp_path / "progress.json")}
    environment |= {task.TASK: what.model_dump_json(by_alias=True), task.RESULT: str(result)}
    command = [sys.executable, "-m", "weighbridge.evaluation.lm_eval_engine"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if not result.exists():
        return ended.returncode, ended.stderr.strip().rsplit("\n", 1)[-1], None
    read = read_result(result.read_bytes(), DIGEST)
    assert isinstance(read, Results), read
    return ended.returncode, ended.stderr, read


def test_a_model_is_measured_in_process_on_a_task_of_the_pinned_dataset(tmp_path: Path, asked: Ask) -> None:
    code, said, results = run(tmp_path, asked())
    assert code == 0, said
    assert results is not None
    (accuracy,) = results.metrics
    assert (accuracy.name, accuracy.direction, accuracy.unit, accuracy.n) == ("next-word/acc", "maximize", "ratio", 8)
    assert accuracy.value in (0.875, 1.0)
    assert accuracy.stderr is not None
    samples = list(read_samples(tmp_path / "report" / "samples.jsonl"))
    assert {(each.metric, each.slice) for each in samples} == {("next-word/acc", None)}
    assert len({each.id for each in samples}) == 8
    assert sum(each.value for each in samples) == 8 * accuracy.value
    assert json.loads((tmp_path / "progress.json").read_text()) == {"done": 16, "total": 16}, "two answers to each question"


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"model.pretrained": "other/model"}, "parameters.model.pretrained cannot be set"),
        ({"model.trust_remote_code": "true"}, "parameters.model.trust_remote_code cannot be set"),
        ({"fewShots": "some"}, "fewShots must be a whole number"),
    ],
)
def test_what_cannot_be_carried_out_ends_with_one_line(tmp_path: Path, asked: Ask, parameters: dict[str, str], says: str) -> None:
    code, said, results = run(tmp_path, asked(**parameters))
    assert (code, results) == (EXIT_MISCONFIGURED, None), said
    assert says in said


@pytest.fixture
def folder(tmp_path: Path) -> tuple[TaskDataset, Path]:
    """The pinned dataset with the questions, on disk."""
    for name, content in language.questions().items():
        (tmp_path / name).write_bytes(content)
    return dataset(f"hf://datasets/{DATA}@abc", DIGEST, path=DATA), tmp_path


def load(folder: tuple[TaskDataset, Path], monkeypatch: pytest.MonkeyPatch, task: str) -> Any:
    monkeypatch.setattr("datasets.load_dataset", PinnedData([folder]))
    manager, names = chosen_tasks([folder], task)
    return manager.load(names)["tasks"][task]


def test_a_task_reads_the_pinned_file(folder: tuple[TaskDataset, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(load(folder, monkeypatch, "next-word").test_docs()) == len(language.QUESTIONS)


def test_the_datasets_of_the_harness_must_be_pinned(folder: tuple[TaskDataset, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal, match=r"Rowan/hellaswag, which is not among spec.datasets \(demo/questions\)"):
        load(folder, monkeypatch, "hellaswag")


def test_a_task_that_does_not_exist_is_said(folder: tuple[TaskDataset, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal, match="knows no task next-wrod"):
        load(folder, monkeypatch, "next-wrod")


@pytest.mark.parametrize(
    ("written", "instead", "says"),
    [
        ("doc_to_target: answer", "doc_to_target: !function utils.target", "runs Python of its own"),
        ("next-word.jsonl", "/etc/passwd", "which is in none of the pinned datasets"),
        ("next-word.jsonl", "../../etc/passwd", "which is in none of the pinned datasets"),
        ("next-word.jsonl", "https://example.com/x.jsonl", "which is in none of the pinned datasets"),
        ("dataset_path: json", "dataset_path: demo/other", "demo/other, which is not among spec.datasets"),
    ],
)
def test_a_task_reads_pinned_data_and_runs_no_code(
    folder: tuple[TaskDataset, Path], monkeypatch: pytest.MonkeyPatch, written: str, instead: str, says: str
) -> None:
    (folder[1] / "next-word.yaml").write_text(language.TASK.replace(written, instead))
    with pytest.raises(Refusal, match=says):
        load(folder, monkeypatch, "next-word")


class Completions(BaseHTTPRequestHandler):
    """A server of OpenAI's interface that answers every prompt with the last word the model has seen follow."""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": f"{NAME}@prod"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
        words = language.SENTENCES.split()
        follows = dict(itertools.pairwise(words))
        answers = [follows.get(prompt.split()[-1], "") for prompt in prompts]
        self._answer({"choices": [{"index": index, "text": text} for index, text in enumerate(answers)]})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


WRITTEN = {
    "written.yaml": b"""\
task: written
dataset_path: json
dataset_kwargs: {data_files: {test: written.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["."], max_gen_toks: 4}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
    "written.jsonl": b'{"question": "water is", "answer": "cold"}\n{"question": "the dog sat", "answer": "on"}\n',
}


def test_a_server_is_asked_under_the_name_it_lists(tmp_path: Path, asked: Ask, endpoint: str) -> None:
    parameters = {"backend": "local-completions", "endpoint": endpoint, "servedModel": "{name}@prod", "tasks": "written"}
    code, said, results = run(tmp_path, asked(WRITTEN, **parameters))
    assert code == 0, said
    assert results is not None
    assert [(each.name, each.value, each.n) for each in results.metrics] == [("written/exact_match", 1.0, 2)]


def test_a_server_that_serves_another_model_measures_nothing(tmp_path: Path, asked: Ask, endpoint: str) -> None:
    parameters = {"backend": "local-completions", "endpoint": endpoint, "tasks": "written"}
    code, said, results = run(tmp_path, asked(WRITTEN, **parameters))
    assert (code, results) == (EXIT_SUBJECT_CHANGED, None)
    assert "does not serve demo/next-word; it lists demo/next-word@prod" in said
