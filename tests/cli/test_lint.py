"""`weighbridge lint` as people type it: what the API server refuses is refused with the same words, what it takes is taken,
and what it cannot see is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.api.test_rules import ALSO_GOOD, BAD, CONTAINER, EVALUATION, GOOD, MODEL, RULE, SERVING, VERSION, body
from tests.cli.said import Said as Told
from tests.cli.terminal import on_terminal
from weighbridge.api import KINDS
from weighbridge.api.crd import crd
from weighbridge.cli import main
from weighbridge.cli.lint.cel import _compiled
from weighbridge.core.ratios import _OF_MLFLOW
from weighbridge.evaluation.mlflow_engine import _METRICS


class Said(Told):
    @property
    def found(self) -> list[tuple[str, str, str]]:
        """Severity, rule and path of all but notes and advice."""
        said = self.document["findings"]
        return [(each["severity"], each["rule"], each["path"]) for each in said if each["rule"] not in ("advice", "ignored")]


Lint = Callable[..., Said]


@pytest.fixture
def lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lint:
    def lint(*files: str | dict[str, Any], arguments: tuple[str, ...] = ("-o", "json")) -> Said:
        names = []
        for index, each in enumerate(files):
            file = tmp_path / f"{index}.yaml"
            file.write_text(each if isinstance(each, str) else yaml.safe_dump(each), encoding="utf-8")
            names.append(str(file))
        capsys.readouterr()
        code = main(["lint", *arguments, *names])
        told = capsys.readouterr()
        return Said(code, told.out, told.err)

    return lint


@pytest.mark.parametrize(("kind", "spec"), [*GOOD.items(), *ALSO_GOOD])
def test_what_the_api_server_takes_is_taken(kind: str, spec: dict[str, Any], lint: Lint) -> None:
    said = lint(body(kind, spec, "ns"))
    assert [each for each in said.document["findings"] if each["severity"] == "Error"] == []
    assert said.code == 0


def test_an_approval_is_one_of_ours(lint: Lint) -> None:
    approval = body("ModelApproval", GOOD["ModelApproval"], "ns")
    approval["metadata"]["annotations"] = {"weighbridge.dev/requestd-by": "ann"}
    said = lint(approval, {**approval, "kind": "ModelAproval"})
    assert said.document["checked"] == 2
    kind, annotation = sorted(said.document["findings"], key=lambda each: each["rule"] == "annotation")
    assert kind["message"] == "there is no kind ModelAproval of weighbridge.dev; did you mean ModelApproval?"
    assert annotation["message"].endswith("did you mean weighbridge.dev/requested-by?")


@pytest.mark.parametrize(("kind", "spec", "message"), BAD)
def test_what_the_api_server_refuses_is_refused_in_the_same_words(
    kind: str, spec: dict[str, Any], message: str, lint: Lint
) -> None:
    said = lint(body(kind, spec, "ns"))
    told = [f"{each['path']}: {each['message']}" for each in said.document["findings"] if each["severity"] == "Error"]
    assert said.code == 1
    assert any(message in each for each in told), told


def test_every_rule_of_the_schemas_can_be_read() -> None:
    rules = [each for kind in KINDS for each in _rules(crd(kind)) if "oldSelf" not in each]
    assert len(rules) > 40
    for rule in rules:
        _compiled(rule)


def _rules(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [each["rule"] for each in node.get("x-kubernetes-validations", ())]
        return [*own, *(rule for child in node.values() for rule in _rules(child))]
    return [rule for child in node for rule in _rules(child)] if isinstance(node, list) else []


TRAPS = """\
apiVersion: weighbridge.dev/v1alpha1
kind: ModelVersion
metadata:
  name: fraud-7
  annotations:
    weighbridge.dev/rolback: now
spec:
  source:
    registryRef: {name: mlflow}
    name: fraud
    version: 7
  stage: production
  servng: []
  rollback:
    automatic: "yes"
---
apiVersion: weighbridge.dev/v1alpha1
kind: EvaluationJob
metadata: {name: weigh}
spec:
  model: {registryRef: {name: mlflow}, name: on, version: "7"}
  evaluator: {engine: container, image: "e:1", parameters: {fewShots: 5, chat: y}}
  gate:
  - {metric: accuracy, min: 0.9}
  - {metric: accuracy, min: .nan}
"""


def test_traps_are_named_with_their_lines(lint: Lint) -> None:
    said = lint(TRAPS)
    found = {(each["line"], each["path"]): each["message"] for each in said.document["findings"]}
    assert found[6, "metadata.annotations.weighbridge.dev/rolback"].endswith("did you mean weighbridge.dev/rollback?")
    assert found[11, "spec.source.version"] == 'must be text, and YAML reads 7 as a number: write it in quotes: "7"'
    assert found[12, "spec.stage"].endswith("did you mean Production?")
    assert found[13, "spec.servng"] == "there is no field servng; did you mean serving?"
    assert found[15, "spec.rollback.automatic"] == "must be true or false, not text"
    assert found[21, "spec.model.name"] == 'must be text, and YAML reads on as true: write it in quotes: "on"'
    assert '"5"' in found[22, "spec.evaluator.parameters.fewShots"]
    assert '"y"' in found[22, "spec.evaluator.parameters.chat"]
    assert found[25, "spec.gate[1].min"] == "must be a finite number"
    assert said.code == 1


def bomb(before: str, after: str) -> str:
    """Ten lines whose aliases unfold into a billion values."""
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{each}: &a{each} {before}[{', '.join([f'*a{each - 1}'] * 9)}]{after}" for each in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: b: c\n", 1, "this is no YAML"),
        ("a: 1\nb: {{ .Values.x }}\n", 2, "if this is a template, render it first"),
        ("kind: ModelVersion\nkind: ModelVersion\n", 2, "kind is there twice"),
        ("kind: ModelVersion\nno: 1\n", 2, "write it in quotes"),
        ("- a\n", 1, "this is no Kubernetes object"),
        ("apiVersion: weighbridge.dev/v1alpha1\nkind: ModelVersoin\n", 2, "did you mean ModelVersion?"),
        ("apiVersion: weighbridge.dev/v1\nkind: ModelVersion\n", 1, "must be weighbridge.dev/v1alpha1"),
        ("kind: [1]\napiVersion: weighbridge.dev/v1alpha1\n", 1, "there is no kind [1]"),
        ("a: \x00\n", 1, "this is no YAML"),
        ("a: 1\nb: !!timestamp x\n", 2, "cannot be read as timestamp"),
        ("a: 1\nb: !!bool x\n", 2, "cannot be read as bool"),
        (f"a: 1\nb: {'9' * 5000}\n", 2, "cannot be read as int"),
        (f"a: {'[' * 5000}{']' * 5000}\n", 1, "this is no YAML"),
        ("a: &a [*a]\n", 1, "this is no YAML"),
        (bomb("", ""), 1, "its aliases unfold into too much"),
        (bomb("{<<: ", "}"), 1, "its aliases unfold into too much"),
    ],
)
def test_files_that_are_wrong_as_a_whole(lint: Lint, text: str, line: int, says: str) -> None:
    said = lint(text)
    told = [(each["line"], each["message"]) for each in said.document["findings"]]
    assert said.code == 1
    assert any(each[0] == line and says in each[1] for each in told), told


DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "server"},
    "spec": {"template": {"spec": {"containers": [{"name": "server", "env": [{"name": "MODEL_URI"}]}]}}},
}


def deployment(**env: Any) -> dict[str, Any]:
    made = json.loads(json.dumps(DEPLOYMENT))
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [env] if env else []
    return dict(made)


def test_a_workload_that_names_the_model_itself_is_a_trap(lint: Lint) -> None:
    version = body("ModelVersion", VERSION, "ns")
    assert lint(version, DEPLOYMENT).found == []
    owned = lint(version, deployment(name="MODEL_URI", value="models:/fraud/6"))
    assert (owned.code, owned.found) == (1, [("Error", "gitops", "spec.serving[0].pointer")])
    missing = lint(version, deployment(name="MODEL_URL"))
    assert missing.found == [("Error", "workload", "spec.serving[0].pointer.env")]
    assert "did you mean MODEL_URL?" in missing.out
    other = {**SERVING, "pointer": {"container": "sever", "env": "MODEL_URI"}}
    assert lint(body("ModelVersion", {**VERSION, "serving": [other]}, "ns"), DEPLOYMENT).found[0][1] == "workload"


def test_references_among_the_files(lint: Lint) -> None:
    registry = body("ModelRegistry", GOOD["ModelRegistry"], "ns", "mlfow")
    said = lint(body("ModelVersion", VERSION, "ns"), registry)
    assert said.found == [
        ("Warning", "reference", "spec.evaluations[0].template.datasets[0].registryRef"),
        ("Warning", "reference", "spec.source.registryRef"),
    ]
    assert "did you mean mlfow?" in said.out
    assert said.code == 0
    assert lint(body("ModelVersion", VERSION, "ns"), registry, arguments=("-o", "json", "--strict")).code == 1
    assert lint(body("ModelVersion", VERSION, "other"), registry).found == [], "another namespace"
    hub = body("ModelRegistry", {"huggingFace": {}}, "ns", "mlflow")
    reports = {"model": MODEL, "gate": [RULE], "evaluator": CONTAINER, "report": {"registryRef": {"name": "mlflow"}}}
    assert lint(body("EvaluationJob", reports, "ns"), hub).found == [("Error", "reference", "spec.report.registryRef")]


def test_the_samples_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--strict", str(Path(__file__).parents[2] / "manifests" / "samples")]) == 0
    assert capsys.readouterr().out.endswith("0 errors, 0 warnings\n")


def test_one_round_finds_references_beside_errors_of_the_schema(lint: Lint) -> None:
    version = body("ModelVersion", {**VERSION, "stage": "Live", "serving": [*VERSION["serving"], {"targetRef": 7}, "x"]}, "ns")
    said = lint(version, body("ModelRegistry", {**GOOD["ModelRegistry"], "unsafeFormats": "Maybe"}, "ns", "mlfow"), deployment())
    rules = [rule for _, rule, _ in said.found]
    assert ("Warning", "reference", "spec.source.registryRef") in said.found
    assert ("Error", "workload", "spec.serving[0].pointer.env") in said.found
    assert ("Error", "schema", "spec.stage") in said.found
    assert rules.count("reference") == 2
    torn = body("ModelVersion", {"source": "mlflow", "evaluations": [7, {"template": []}], "serving": {}}, "ns")
    spare = {**torn, "metadata": {"name": "spare"}, "spec": 7}
    assert {rule for _, rule, _ in lint({**torn, "metadata": []}, torn, spare).found} == {"schema"}


def test_bars_of_ratios_in_percent_are_warned_of(lint: Lint) -> None:
    def told(engine: str, **rule: Any) -> list[str]:
        evaluator = {"container": CONTAINER, "mlflow": EVALUATION["template"]["evaluator"]}.get(engine)
        evaluator = evaluator or {"engine": engine, "parameters": {"tasks": "gsm8k"}}
        spec = {"model": MODEL, "datasets": EVALUATION["template"]["datasets"], "evaluator": evaluator, "gate": [rule]}
        said = lint(body("EvaluationJob", spec, "ns"))
        assert "Error" not in said.out
        found = said.document["findings"]
        return [f"{each['path']}: {each['message']}" for each in found if each["rule"] == "advice"]

    assert told("container", metric="accuracy", min=93) == ["spec.gate[0].min: accuracy lies between 0 and 1; 93 % is 0.93"]
    assert told("mlflow", metric="roc_auc", max=101) == ["spec.gate[0].max: roc_auc lies between 0 and 1"]
    assert told("lm-eval", metric="gsm8k/exact_match/strict", min=60)[0].endswith("60 % is 0.6")
    assert told("container", metric="latency", unit="ratio", max=2) != []
    for good in (
        {"metric": "accuracy", "min": 1},
        {"metric": "accuracy", "min": 93, "unit": "percent"},
        {"metric": "p99", "max": 2},
    ):
        assert told("container", **good) == []


def test_ratios_are_those_the_engine_reports() -> None:
    assert {ours for ours, _, unit in _METRICS.values() if unit == "ratio"} == _OF_MLFLOW


def test_white_space_around_a_version_is_warned_of(lint: Lint) -> None:
    said = lint(body("ModelVersion", {**VERSION, "source": {**MODEL, "version": "7 "}}, "ns"))
    assert any(
        each["path"] == "spec.source.version" and each["message"].startswith('"7 " has white space around it')
        for each in said.document["findings"]
    )


def test_engines_are_asked_and_unknown_ones_are_a_note(lint: Lint) -> None:
    def job(engine: str, **parameters: str) -> dict[str, Any]:
        evaluator = {"engine": engine, "parameters": parameters}
        return body(
            "EvaluationJob",
            {"model": MODEL, "gate": [RULE], "datasets": EVALUATION["template"]["datasets"], "evaluator": evaluator},
            "ns",
        )

    unknown = lint(job("guidellm"))
    assert (unknown.code, unknown.found) == (0, [("Note", "engine", "spec.evaluator.engine")])
    assert "the operator may know it" in unknown.out
    strange = lint(job("mlflow", targets="truth", modelTyp="classifier"))
    assert strange.found == [("Error", "engine", "spec.evaluator.parameters")]
    assert "has no parameter modelTyp" in strange.out
    unversioned = lint(job("lm-eval", tasks="a", backend="local-completions", endpoint="http://x", servedModel="{nam}@{version}"))
    assert unversioned.found == [("Error", "placeholder", "spec.evaluator.parameters.servedModel")]
    assert "backend vlm is none" in lint(job("lm-eval", tasks="a", backend="vlm")).out


def test_a_production_version_without_safeguards_is_warned_of(lint: Lint) -> None:
    bare = {"source": MODEL, "stage": "Production", "rollback": {"automatic": False}}
    said = lint(body("ModelVersion", bare, "ns"))
    told = [each["message"] for each in said.document["findings"]]
    assert said.code == 0
    assert any("without any evaluation" in each for each in told)
    assert any("it serves nowhere" in each for each in told)
    assert any("failures are only told" in each for each in told)


def test_for_people(lint: Lint, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = lint(TRAPS, arguments=())
    lines = said.out.splitlines()
    assert (
        f"{tmp_path}/0.yaml:13: error: ModelVersion fraud-7: spec.servng: "
        "there is no field servng; did you mean serving? [unknown-field]" in lines
    )
    assert lines[-1].startswith("2 checked: ")
    assert "\x1b" not in said.out


def test_findings_are_whole_in_a_narrow_window(tmp_path: Path) -> None:
    file = tmp_path / "traps.yaml"
    file.write_text(TRAPS, encoding="utf-8")
    code, lines = on_terminal(["lint", str(file)])
    finding = "error: ModelVersion fraud-7: spec.servng: there is no field servng; did you mean serving? [unknown-field]"
    assert (code, f"{file}:13: {finding}" in lines) == (1, True), lines


def test_what_cannot_be_read_is_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"kind: \xe9")
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("none.yaml", "is not there"),
        ("latin.yaml", "is no UTF-8 text"),
        ("empty", "holds no file that ends with"),
    ):
        assert main(["lint", str(tmp_path / name)]) == 2
        told = capsys.readouterr().err
        assert f"{tmp_path / name} " in told
        assert says in told


def test_a_folder_is_read_with_all_below_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "below").mkdir()
    wrong = {**VERSION, "stage": "Live"}
    for name in ("b.yaml", "a.yml", "below/c.json", "README.md"):
        (tmp_path / name).write_text(json.dumps(body("ModelVersion", wrong, "ns", Path(name).stem.lower())), encoding="utf-8")
    assert main(["lint", str(tmp_path), "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    errors = [each["file"] for each in document["findings"] if each["severity"] == "Error"]
    assert errors == [str(tmp_path / name) for name in ("a.yml", "b.yaml", "below/c.json")]
    assert document["checked"] == 3


def test_lists_and_json_are_read(lint: Lint) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [body("ModelVersion", {**VERSION, "stage": "Live"}, "ns")]}
    said = lint(json.dumps(listed, indent=2))
    assert said.found == [("Error", "schema", "spec.stage")]
    assert said.document["findings"][0]["line"] > 10
