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

import aiohttp
import pytest
import requests
import tenacity

from tests.evaluation import language
from tests.evaluation.documents import DIGEST
from tests.evaluation.tasks import dataset, hub_identity, hub_task
from tests.registries.hubserver import DATASETS, MODELS, Hub, Server
from weighbridge.api.results import Results
from weighbridge.evaluation import lm_eval_result, task
from weighbridge.evaluation.lm_eval_engine import measure
from weighbridge.evaluation.lm_eval_tasks import chosen_tasks, held
from weighbridge.evaluation.refusal import Refusal
from weighbridge.evaluation.result import read_result
from weighbridge.evaluation.samples import read_samples
from weighbridge.evaluation.task import EXIT_MISCONFIGURED, EXIT_REGISTRY_FAILED, EXIT_SUBJECT_CHANGED, Task, TaskDataset

SOURCES = str(Path(task.__file__).parents[2])
NAME, DATA = "demo/next-word", "demo/questions"
Ask = Callable[..., Task]
Folder = tuple[TaskDataset, Path]


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


def test_a_model_ismeasured_in_process_on_a_task_of_the_pinned_dataset(tmp_path: Path, asked: Ask) -> None:
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
        ({"model.subfolder": "../dataset-questions"}, "parameters.model.subfolder cannot be set"),
        ({"generation.model": "somebody/else"}, "parameters.generation.model is not offered"),
        ({"fewShots": "some"}, "fewShots must be a whole number"),
    ],
)
def test_what_cannot_be_carried_out_ends_with_one_line(tmp_path: Path, asked: Ask, parameters: dict[str, str], says: str) -> None:
    with pytest.raises(Refusal, match=says) as found:
        measure(asked(**parameters), tmp_path)
    assert found.value.code == EXIT_MISCONFIGURED


def test_a_refusal_is_the_last_line_of_the_log(tmp_path: Path, asked: Ask) -> None:
    code, said, results = run(tmp_path, asked(fewShots="some"))
    assert (code, results) == (EXIT_MISCONFIGURED, None), said
    assert "fewShots must be a whole number" in said


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The pinned dataset with the questions, on disk."""
    for name, content in language.questions().items():
        (tmp_path / name).write_bytes(content)
    return dataset(f"hf://datasets/{DATA}@abc", DIGEST, path=DATA), tmp_path


def load(folder: Folder, task: str) -> Any:
    with held([folder]):
        manager, names = chosen_tasks([folder], task)
        return manager.load(names)["tasks"][task]


def test_a_task_reads_the_pinned_file(folder: Folder) -> None:
    assert len(load(folder, "next-word").test_docs()) == len(language.QUESTIONS)


def test_the_datasets_of_the_harness_must_be_pinned(folder: Folder) -> None:
    with pytest.raises(Refusal, match=r"Rowan/hellaswag, which is not among spec.datasets \(demo/questions\)"):
        load(folder, "hellaswag")


def test_a_task_that_does_not_exist_is_said(folder: Folder) -> None:
    with pytest.raises(Refusal, match="knows no task next-wrod"):
        load(folder, "next-wrod")


@pytest.mark.parametrize("pattern", ["next-*", "next-wor?", "next-wor[d]"])
def test_tasks_are_named_not_matched(folder: Folder, pattern: str) -> None:
    with pytest.raises(Refusal, match="has the pattern next-"):
        load(folder, pattern)


FILES = "dataset_path: json\ndataset_kwargs:\n  data_files: {test: next-word.jsonl}"
TARGET, TEXT = "doc_to_target: answer", "{{question}}"
OWN = f"dataset_path: {DATA}\ndataset_kwargs: "


@pytest.mark.parametrize(
    ("written", "instead", "says"),
    [
        (TARGET, "doc_to_target: !function utils.target", "runs Python of its own"),
        (TARGET, "doc_to_target: !functio%6E utils.target", "runs Python of its own"),
        (TARGET, "doc_to_target: !<!functio%6e> utils.target", "runs Python of its own"),
        (TARGET, "doc_to_target: !!python/name:os.system", "runs Python of its own"),
        (TARGET, "include: base.txt", "sets include"),
        (TARGET, "class: utils.Task", "sets class"),
        (TARGET, "metadata: &a [*a]", "no YAML|knows|cannot evaluate"),
        (TARGET, "doc_to_target: [", "is no YAML file"),
        ("metric: acc,", "metric: ./utils,", "a metric that the harness does not bring"),
        ("metric: acc,", "metric: acc, hf_evaluate: true,", "sets hf_evaluate"),
        (TARGET, f"{TARGET}\ngeneration_kwargs: {{model: other}}", "generation_kwargs beyond"),
        (TARGET, f"{TARGET}\nx: &x {{model: other}}\ngeneration_kwargs: {{<<: *x}}", "generation_kwargs beyond"),
        (TEXT, "{{ cycler.__init__.__globals__.os.system('exit 1') }}", "reaches for Python"),
        (TEXT, "{{ choices.append(1) }}", "reaches for Python"),
        (TEXT, "{{ nothing.there }}", r"cannot evaluate these tasks like this \(UndefinedError\)"),
        ("test_split: test", "test_split: other", r"cannot evaluate these tasks like this \(KeyError\)"),
        ("next-word.jsonl", "/etc/passwd", "which is in none of the pinned datasets"),
        ("next-word.jsonl", "../../etc/passwd", "which is in none of the pinned datasets"),
        ("next-word.jsonl", "https://example.com/x.jsonl", "which is in none of the pinned datasets"),
        ("dataset_path: json", "dataset_path: demo/other", "demo/other, which is not among spec.datasets"),
        (FILES, OWN + "{data_files: {test: /etc/passwd}}", "which is in none of the pinned datasets"),
        (FILES, OWN + "{data_files: {test: 'https://example.com/x.jsonl'}}", "which is in none of the pinned datasets"),
        (FILES, OWN + "{data_dir: ..}", "which is not in dataset demo/questions"),
        (FILES, "dataset_path: json\ndataset_kwargs: {data_dir: /etc}", "reads a whole folder"),
        (FILES, OWN + "{storage_options: {}}", "with storage_options, which is not offered"),
    ],
)
def test_a_task_reads_pinned_data_and_runs_no_code(folder: Folder, written: str, instead: str, says: str) -> None:
    assert written in language.TASK
    (folder[1] / "next-word.yaml").write_text(language.TASK.replace(written, instead))
    with pytest.raises(Refusal, match=says) as refused:
        load(folder, "next-word")
    assert refused.value.code == EXIT_MISCONFIGURED


@pytest.mark.parametrize("name", [".yaml", "deep/down/other.yaml", ".hidden/a.yaml"])
def test_every_task_file_is_checked(folder: Folder, name: str) -> None:
    (folder[1] / name).parent.mkdir(parents=True, exist_ok=True)
    (folder[1] / name).write_text(language.TASK.replace(TARGET, "doc_to_target: !function utils.target"))
    with pytest.raises(Refusal, match="runs Python of its own"):
        load(folder, "next-word")


def test_a_task_file_is_utf_8(folder: Folder) -> None:
    (folder[1] / "next-word.yaml").write_bytes(language.TASK.encode("utf-16"))
    with pytest.raises(Refusal, match="is no YAML file in UTF-8"):
        load(folder, "next-word")


@pytest.mark.parametrize("files", ["next-word.jsonl", "*.jsonl"])
def test_a_task_may_name_files_of_its_dataset(folder: Folder, files: str) -> None:
    (folder[1] / "next-word.yaml").write_text(language.TASK.replace(FILES, OWN + f"{{data_files: {{test: '{files}'}}}}"))
    assert len(load(folder, "next-word").test_docs()) == len(language.QUESTIONS)


@pytest.mark.parametrize("outside", ["{outside}", "https://example.com/x.jsonl", "../outside.jsonl"])
def test_the_description_of_a_dataset_names_its_own_files(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory, outside: str
) -> None:
    other = tmp_path_factory.mktemp("other") / "outside.jsonl"
    other.write_bytes(language.questions()["next-word.jsonl"])
    (folder[1].parent / "outside.jsonl").write_bytes(other.read_bytes())
    configs = f"---\nconfigs:\n- config_name: default\n  data_files: '{outside.format(outside=other)}'\n---\n"
    (folder[1] / "README.md").write_text(configs)
    (folder[1] / "next-word.yaml").write_text(language.TASK.replace(FILES, f"dataset_path: {DATA}"))
    with pytest.raises(Refusal, match="leads out of the pinned datasets"):
        load(folder, "next-word")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyError("secret"), EXIT_MISCONFIGURED, "(KeyError)"),
        (TypeError("secret"), EXIT_MISCONFIGURED, "(TypeError)"),
        (MemoryError(), EXIT_REGISTRY_FAILED, "out of memory"),
        (requests.ConnectionError("secret"), EXIT_REGISTRY_FAILED, "(ConnectionError)"),
        (aiohttp.ServerDisconnectedError("secret"), EXIT_REGISTRY_FAILED, "(ServerDisconnectedError)"),
        (tenacity.RetryError(tenacity.Future(1)), EXIT_REGISTRY_FAILED, "(RetryError)"),
    ],
)
def test_what_breaks_the_harness_is_one_line_without_its_words(folder: Folder, error: Exception, code: int, says: str) -> None:
    with pytest.raises(Refusal) as refused, held([folder]):
        raise error
    assert refused.value.code == code
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_ratio_in_percent_is_left_out() -> None:
    values = {"alias": "squadv2", "f1,none": 35.0, "f1_stderr,none": "N/A", "acc,none": 0.5, "bleu,none": 35.0}
    better = {"squadv2": {"f1": True, "acc": True, "bleu": True}}
    results = {"results": {"squadv2": values}, "higher_is_better": better, "n-samples": {"squadv2": {"effective": 4}}}
    metrics = lm_eval_result.metrics(results)
    assert [(each["name"], each.get("unit")) for each in metrics] == [("squadv2/acc", "ratio"), ("squadv2/bleu", None)]
    assert lm_eval_result.out_of_range(results) == ["squadv2/f1"]


class Completions(BaseHTTPRequestHandler):
    """A server of OpenAI's interface that answers every prompt with the last word the model has seen follow."""

    listed = f"{NAME}@prod"

    def do_GET(self) -> None:
        self._answer({"data": [{"id": self.listed}]})

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


def test_a_server_is_asked_under_the_name_it_lists(
    tmp_path: Path, asked: Ask, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = asked(WRITTEN, backend="local-completions", endpoint=endpoint, servedModel="{name}@{version}", tasks="written")
    monkeypatch.setattr(Completions, "listed", f"{NAME}@{what.model.version}")
    code, said, results = run(tmp_path, what)
    assert code == 0, said
    assert results is not None
    assert [(each.name, each.value, each.n) for each in results.metrics] == [("written/exact_match", 1.0, 2)]


def refused(asked: Ask, scratch: Path, **parameters: str) -> Refusal:
    """How the engine ends, in this process: before it loads the harness."""
    with pytest.raises(Refusal) as found:
        measure(asked(WRITTEN, tasks="written", **parameters), scratch)
    return found.value


def test_a_server_that_serves_another_versionmeasures_nothing(tmp_path: Path, asked: Ask, endpoint: str) -> None:
    found = refused(asked, tmp_path, backend="local-completions", endpoint=endpoint, servedModel="{name}@{version}")
    assert found.code == EXIT_SUBJECT_CHANGED
    assert "it lists demo/next-word@prod" in str(found)


@pytest.mark.parametrize("called", [{}, {"servedModel": "{name}"}, {"servedModel": "prod"}])
def test_the_name_a_server_knows_says_the_version(tmp_path: Path, asked: Ask, endpoint: str, called: dict[str, str]) -> None:
    found = refused(asked, tmp_path, backend="local-completions", endpoint=endpoint, **called)
    assert found.code == EXIT_MISCONFIGURED
    assert "servedModel must hold {version} or {digest}" in str(found)
