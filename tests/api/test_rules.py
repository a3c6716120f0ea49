"""Every rule of the schemas on a real API server: one object it takes, one it refuses with a sentence that helps."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from weighbridge.api import KINDS
from weighbridge.api.base import API_VERSION
from weighbridge.api.crd import crd
from weighbridge.runtime.cluster import Cluster
from weighbridge.runtime.refusal import Invalid

MLFLOW = {"mlflow": {"url": "https://mlflow.example.com/path"}}
MODEL = {"registryRef": {"name": "mlflow"}, "name": "fraud", "version": "7"}
ONE_REFERENCE = "exactly one of version, alias (MLflow) and revision"
RULE = {"metric": "accuracy", "min": 0.9}
EVERY_SLICE = {**RULE, "direction": "maximize", "slices": "Every", "standardErrors": 2, "minSamples": 200}
REGRESSION = {"metric": "accuracy", "maxRegression": 0.01}
OF_METRICS: list[dict[str, Any]] = [
    {"min": 0.9}, {"max": 0.9}, {"maxRegression": 0}, {"slice": "new"}, {"slices": "Every"}, {"direction": "maximize"},
    {"standardErrors": 2}, {"unit": "ratio"}, {"maxRegression": 0, "confidence": 0.95},
]  # fmt: skip
DATASET = {"name": "holdout", "registryRef": {"name": "mlflow"}, "path": "fraud-holdout"}
INSTEAD = {**DATASET, "fallback": [{"registryRef": {"name": "mlflow"}, "path": "older"}]}
EVALUATOR = {"parameters": {"targets": "is_fraud"}}
EVALUATION: dict[str, Any] = {"name": "holdout", "template": {"gate": [RULE], "datasets": [DATASET], "evaluator": EVALUATOR}}
CONTAINER = {"engine": "container", "image": "engine:1"}
SERVING = {"targetRef": {"name": "server"}, "pointer": {"container": "server", "env": "MODEL_URI"}}
VERSION = {"source": MODEL, "stage": "Production", "evaluations": [EVALUATION], "serving": [SERVING]}
KSERVE = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "server"}
ROLLOUT = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "server"}
SERVICE = {"apiVersion": "v1", "kind": "Service", "name": "server"}
OTHER = {"apiVersion": "example.com/v1", "kind": "Endpoint", "name": "server"}
COLOUR = {"selector": "version", "value": "v{version}"}
IMAGE = {"container": "server", "image": True, "value": "registry.example.com/fraud:{version}"}
FIELD = {"fieldPath": "spec.predictor.model.storageUri"}
CASE = {"name": "case", "port": 8080, "body": "{}", "min": 0.1, "max": 0.2}
PROBES = {
    "httpGet": {"port": 8080},
    "expect": "ok",
    "identity": {"protocol": "OpenInference", "port": 8080, "model": "fraud"},
    "invariants": [CASE, {"name": "text", "port": 8080, "body": "{}", "equals": "yes"}],
    "period": "5s",
}


def pointed(pointer: dict[str, Any], target: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"targetRef": target or {"name": "server"}, "pointer": pointer, **more}


def probed(**probe: Any) -> dict[str, Any]:
    return {**SERVING, "probe": probe}


GOOD_SERVING = [
    pointed({"container": "server", "argument": "--model"}, {"kind": "StatefulSet", "name": "server"}),
    pointed(IMAGE, ROLLOUT),
    pointed({"imageVolume": "model", "value": "registry.example.com/fraud@{digest}"}),
    pointed({"configMap": {"name": "models", "key": "fraud.uri"}}),
    pointed({"container": "server", "argument": "--config", "value": '{"model": "{uri}", "a": {}}'}),
    pointed(COLOUR, SERVICE),
    pointed(FIELD, KSERVE, probe=PROBES),
    pointed(FIELD, OTHER, readyCondition="example.com/Available"),
]
BAD_SERVING: list[tuple[dict[str, Any], str]] = [
    (pointed({"container": "server", "env": "MODEL", "argument": "--model"}), "name exactly one field"),
    (pointed({"container": "server"}), "name exactly one field"),
    (pointed({"env": "MODEL"}), "name the container for env, argument and image"),
    (pointed({**COLOUR, "container": "server"}, SERVICE), "name the container for env, argument and image"),
    (pointed({"container": "server", "image": True}), "a registry's address is no image"),
    (pointed({"imageVolume": "model"}), "a registry's address is no image"),
    (pointed({"selector": "version"}, SERVICE), "a label takes no registry address and no digest"),
    (pointed({"selector": "version", "value": "{digest}"}, SERVICE), "a label takes no registry address and no digest"),
    (pointed({"container": "server", "image": False, "value": "x:{version}"}), "spec.serving[0].pointer.image"),
    (pointed({"container": "server", "argument": "--model=x"}), "spec.serving[0].pointer.argument"),
    (pointed({"container": "server", "env": "MODEL", "value": "{uri}-{ver}"}), "none of {uri}, {name}, {version} and {digest}"),
    (pointed({"fieldPath": "metadata.name"}, OTHER), "spec.serving[0].pointer.fieldPath"),
    (pointed({"container": "server", "env": "MODEL"}, OTHER), "this kind is not known: name the field"),
    (pointed({"container": "server", "env": "MODEL"}, KSERVE), "this kind is not known: name the field"),
    (pointed(FIELD), "this kind is pointed at a model by env"),
    (pointed(COLOUR), "this kind is pointed at a model by env"),
    (pointed(FIELD, SERVICE), "a Service is pointed at pods by selector"),
    (pointed({"container": "server", "env": "MODEL"}, {**SERVICE}), "a Service is pointed at pods by selector"),
    (pointed(COLOUR, {"kind": "Service", "name": "server"}), "this kind is known with another apiVersion"),
    (pointed({"container": "server", "env": "MODEL"}, {"apiVersion": "v1", "name": "server"}), "this kind is known with another"),
    (pointed(FIELD, {**OTHER, "apiVersion": "weighbridge.dev/v1alpha1"}), "a target is a workload"),
    (probed(), "a probe asks something"),
    (probed(invariants=[]), "a probe asks something"),
    (probed(identity=PROBES["identity"], expect="ok"), "expect goes with httpGet"),
    (probed(identity={"protocol": "OpenInference", "port": 8080}), "OpenInference asks for one model"),
    (probed(invariants=[{"name": "case", "port": 8080, "body": "{}"}]), "an invariant needs a bound"),
    (probed(invariants=[{**CASE, "min": 1}]), "min is above max"),
    (probed(invariants=[{**CASE, "equals": "yes"}]), "equals goes without min and max"),
    (probed(invariants=[CASE, CASE]), "spec.serving[0].probe.invariants[1]"),
    (probed(httpGet={"port": 8080}, period="1s"), "probe every 5s at the most"),
]
HUB_MODEL = {"registryRef": {"name": "hub"}, "name": "org/model", "revision": "main"}
GATES: list[tuple[list[dict[str, Any]], str]] = [
    ([{"metric": "accuracy"}], "set min, max or maxRegression"),
    ([{"min": 0.9}], "name exactly one: a metric or an invariant"),
    ([{**RULE, "invariant": "no-leak"}], "name exactly one: a metric or an invariant"),
    *(([{"invariant": "no-leak", **more}], "an invariant holds or it does not: leave out the bars") for more in OF_METRICS),
    ([{**REGRESSION, "maxRegression": -0.01}], "spec.gate[0].maxRegression"),
    ([{**RULE, "confidence": 0.95}], "confidence goes with maxRegression"),
    ([{**REGRESSION, "confidence": 0.5}], "confidence must be above 0.5 and below 1"),
    ([{**REGRESSION, "confidence": 1}], "confidence must be above 0.5 and below 1"),
    ([{**REGRESSION, "confidence": 95}], "spec.gate[0].confidence"),
    ([{**REGRESSION, "confidence": 0.95, "standardErrors": 2}], "without one of those, leave out standardErrors"),
    ([{**REGRESSION, "max": 0.9, "direction": "maximize"}], "the bar contradicts the direction"),
    ([{**RULE, "max": 0.1}], "min must not be above max"),
    ([{"metric": "accuracy", "direction": "maximize", "max": 0.9}], "the bar contradicts the direction"),
    ([{**RULE, "direction": "minimize"}], "the bar contradicts the direction"),
    ([{**RULE, "direction": "up"}], "spec.gate[0].direction"),
    ([{**RULE, "slice": "new", "slices": "Every"}], "slice names one slice, slices means every one"),
    ([{**RULE, "slices": "*"}], "spec.gate[0].slices"),
    ([{**RULE, "standardErrors": 0}], "standardErrors must be above 0"),
    ([{**RULE, "standardErrors": 11}], "spec.gate[0].standardErrors"),
    ([{"metric": "accuracy", "max": 0.8}, RULE], "two rules on one metric and slice can never both hold"),
    ([RULE, {"metric": "accuracy", "max": 0.8}], "two rules on one metric and slice can never both hold"),
    ([EVERY_SLICE, {"metric": "accuracy", "slice": "new", "max": 0.8}], "two rules on one metric and slice can never both hold"),
    ([{**RULE, "slice": "new"}, {"metric": "accuracy", "slices": "Every", "max": 0.8}], "two rules on one metric and slice"),
    ([{**RULE, "slice": "new"}, {"metric": "accuracy", "slice": "new", "max": 0.8}], "two rules on one metric and slice"),
]
NO_CONTRADICTION = [
    RULE,
    EVERY_SLICE,
    {**RULE, "max": 0.9, "direction": "minimize"},
    {"metric": "loss", "max": 0.2, "direction": "minimize", "standardErrors": 0.5},
    {"metric": "recall", "max": 0.8, "slice": "new"},
    {"metric": "recall", "min": 0.9, "slice": "old"},
    {"metric": "recall", "min": 0.9},
    {"metric": "f1", "max": 0.5},
    {"metric": "f1", "min": 0.9, "slices": "Every"},
    REGRESSION,
    {**REGRESSION, "maxRegression": 0, "direction": "minimize", "slices": "Every", "confidence": 0.95, "minSamples": 200},
    {**REGRESSION, "min": 0.9, "confidence": 0.95, "standardErrors": 2},
    {**REGRESSION, "standardErrors": 2},
    {"invariant": "no-leak"},
    {"invariant": "no-leak", "minSamples": 50},
]
# As many rules as there may be, each pair compared to the end: admission has a budget.
LARGEST_GATE = [{"metric": "m" * 128, "slice": f"{each:0128}", "min" if each % 2 else "max": each % 2} for each in range(64)]
LARGEST = [{**EVALUATION, "name": f"e{each}", "template": {**EVALUATION["template"], "gate": LARGEST_GATE}} for each in range(8)]
APPROVAL = {
    "modelVersionRef": {"name": "fraud-7"},
    "stage": "Production",
    "decision": "Approve",
    "subjectHash": f"sha256:{'0' * 64}",
    "approver": "ann@example.com",
}
GOOD = {
    "ModelRegistry": {**MLFLOW, "writeBack": {"aliases": {"Production": "champion"}}, "pollInterval": "1m30s"},
    "EvaluationJob": {"model": MODEL, "gate": [RULE], "evaluator": CONTAINER},
    "ModelVersion": VERSION,
    "ModelApproval": APPROVAL,
}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("ModelRegistry", {}, "name exactly one registry"),
    ("ModelRegistry", {**MLFLOW, "huggingFace": {}}, "name exactly one registry"),
    ("ModelRegistry", {"huggingFace": {"url": "hub:8080"}}, "spec.huggingFace.url"),
    ("ModelRegistry", {"huggingFace": {}, "unsafeFormats": "Maybe"}, "spec.unsafeFormats"),
    ("ModelRegistry", {"huggingFace": {}, "writeBack": {"evaluationResults": "Comment"}}, "spec.writeBack.evaluationResults"),
    ("ModelRegistry", {"mlflow": {"url": "mlflow:5000/x"}}, "spec.mlflow.url"),
    ("ModelRegistry", {"mlflow": {"url": "https://user:password@mlflow"}}, "spec.mlflow.url"),
    ("ModelRegistry", {"mlflow": {"url": "https://mlflow?token=1"}}, "spec.mlflow.url"),
    ("ModelRegistry", {"mlflow": {"url": "https://[::1"}}, "write the server's address as"),
    ("ModelRegistry", {**MLFLOW, "writeBack": {"aliases": {"Candidate": "x"}}}, "Staging and Production"),
    ("ModelRegistry", {**MLFLOW, "pollInterval": ""}, "write a duration such as"),
    ("ModelRegistry", {"mlflow": {"url": "https://mlflow:99999"}}, "write the server's address as"),
    ("ModelRegistry", {**MLFLOW, "pollInterval": "1s"}, "poll every 10s at the most"),
    ("ModelRegistry", {**MLFLOW, "pollInterval": "0s"}, "write a duration such as"),
    ("ModelRegistry", {**MLFLOW, "pollInterval": "99999999999h"}, "spec.pollInterval"),
    ("ModelRegistry", {**MLFLOW, "pollInterval": "5 minutes"}, "spec.pollInterval"),
    ("EvaluationJob", {"model": MODEL, "evaluator": EVALUATOR}, "name one in datasets"),
    ("EvaluationJob", {"model": MODEL, "datasets": [DATASET]}, "set evaluator.parameters.targets"),
    ("EvaluationJob", {"model": {**MODEL, "alias": "champion"}}, ONE_REFERENCE),
    ("EvaluationJob", {"model": {"registryRef": {"name": "mlflow"}, "name": "fraud"}}, ONE_REFERENCE),
    ("EvaluationJob", {"model": {**MODEL, "revision": "main"}}, ONE_REFERENCE),
    ("EvaluationJob", {"model": MODEL, "datasets": [{**DATASET, "file": "/etc/passwd"}]}, "file"),
    ("EvaluationJob", {"model": MODEL, "fallback": {"models": [MODEL] * 5}}, "spec.fallback.models"),
    ("EvaluationJob", {"model": MODEL, "evaluator": {"engine": "container"}}, "set evaluator.image"),
    ("EvaluationJob", {"model": MODEL, "evaluator": {"engine": "Guess!"}}, "spec.evaluator.engine"),
    ("EvaluationJob", {"model": MODEL, "evaluator": {"engine": "lm-eval", "parameters": {"tasks": "a"}}}, "name in datasets"),
    (
        "EvaluationJob",
        {"model": MODEL, "datasets": [DATASET], "evaluator": {"engine": "lm-eval"}},
        "set evaluator.parameters.tasks",
    ),
    (
        "EvaluationJob",
        {"model": MODEL, "gate": [{**REGRESSION, "confidence": 0.95}], "evaluator": CONTAINER},
        "set report, so that they can be found",
    ),
    *(("EvaluationJob", {"model": MODEL, "gate": gate, "evaluator": CONTAINER}, message) for gate, message in GATES),
    ("EvaluationJob", {"model": MODEL, "resources": {"limits": {"cpu": "lots"}}}, "spec.resources.limits"),
    ("EvaluationJob", {"model": MODEL, "resources": {"limits": {"nvidia.com/gpu": "500m"}}}, "devices such as nvidia.com/gpu"),
    ("EvaluationJob", {"model": MODEL, "resources": {"limits": {"ephemeral-storage": "1Gi"}}}, "follows from scratch"),
    ("EvaluationJob", {"model": MODEL, "evaluator": CONTAINER, "scheduling": {"queueName": "gpu"}}, "set resources.requests"),
    (
        "EvaluationJob",
        {"model": MODEL, "evaluator": CONTAINER, "scheduling": {"queuePriorityClassName": "low"}},
        "set queueName too",
    ),
    ("EvaluationJob", {"model": MODEL, "evaluator": CONTAINER, "scheduling": {"queueName": "q" * 64}}, "spec.scheduling.queueName"),
    (
        "EvaluationJob",
        {"model": MODEL, "datasets": [DATASET], "evaluator": {**EVALUATOR, "args": ["x"]}},
        "are for engine container",
    ),
    ("EvaluationJob", {"model": MODEL, "evaluator": CONTAINER, "queueDeadline": "0s"}, "write a duration such as"),
    ("EvaluationJob", {"model": MODEL, "evaluator": CONTAINER, "sharedMemory": "8"}, "spec.sharedMemory"),
    ("EvaluationJob", {"model": {**MODEL, "name": "two\nlines"}}, "spec.model.name"),
    ("ModelVersion", {**VERSION, "evaluations": [{"name": "x", "template": {}}]}, "at least one gate rule"),
    ("ModelVersion", {**VERSION, "evaluations": [{**EVALUATION, "maxAge": "59m"}]}, "set maxAge to 1h or more"),
    (
        "ModelVersion",
        {**VERSION, "evaluations": [{**EVALUATION, "template": {**EVALUATION["template"], "datasets": [INSTEAD]}}]},
        "a version is promoted on its own evidence alone",
    ),
    ("ModelVersion", {**VERSION, "serving": [SERVING, SERVING]}, "the same workload twice"),
    (
        "ModelVersion",
        {**VERSION, "serving": [{**SERVING, "pointer": {"container": "c", "env": "E", "value": "fixed"}}]},
        "must name the version",
    ),
    *(("ModelVersion", {**VERSION, "serving": [serving]}, message) for serving, message in BAD_SERVING),
    ("ModelVersion", {**VERSION, "stage": "Live"}, "spec.stage"),
    ("ModelVersion", {**VERSION, "approvals": {"required": 0}}, "spec.approvals.required"),
    ("ModelVersion", {**VERSION, "approvals": {"required": 6}}, "spec.approvals.required"),
    ("ModelVersion", {**VERSION, "approvals": {"stages": []}}, "spec.approvals.stages"),
    ("ModelVersion", {**VERSION, "approvals": {"stages": ["Candidate"]}}, "spec.approvals.stages"),
    ("ModelApproval", {**APPROVAL, "subjectHash": "latest"}, "spec.subjectHash"),
    ("ModelApproval", {**APPROVAL, "approver": ""}, "spec.approver"),
    ("ModelApproval", {**APPROVAL, "decision": "Maybe"}, "spec.decision"),
    ("ModelApproval", {**APPROVAL, "stage": "Candidate"}, "spec.stage"),
    ("ModelApproval", {**APPROVAL, "comment": "x" * 1025}, "spec.comment"),
]
IMMUTABLE = [
    ("EvaluationJob", {"gate": [{"metric": "accuracy", "min": 0.1}]}, "an EvaluationJob is immutable"),
    ("ModelVersion", {"source": {"version": "8"}}, "the source is immutable"),
    ("ModelApproval", {"decision": "Reject"}, "a decision is immutable"),
    ("ModelApproval", {"comment": "later"}, "a decision is immutable"),
]


def body(kind: str, spec: dict[str, Any], namespace: str, name: str = "it") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": deepcopy(spec)}


ALSO_GOOD = [
    (
        "EvaluationJob",
        {
            "model": MODEL,
            "evaluator": {**CONTAINER, "command": ["python"], "args": ["-m", "weigh"]},
            "scheduling": {"queueName": "gpu", "queuePriorityClassName": "low"},
            "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"ephemeral-storage": "10Gi"}},
            "sharedMemory": "8Gi",
            "queueDeadline": "12h",
            "ttlAfterFailed": "1h",
        },
    ),
    ("ModelVersion", {**VERSION, "evaluations": LARGEST}),
    ("ModelVersion", {**VERSION, "approvals": {}}),
    ("ModelVersion", {**VERSION, "approvals": {"required": 5, "stages": ["Staging", "Production"]}}),
    ("ModelVersion", {**VERSION, "evaluations": [{**EVALUATION, "maxAge": "720h"}]}),
    (
        "EvaluationJob",
        {"model": MODEL, "gate": NO_CONTRADICTION, "evaluator": CONTAINER, "report": {"registryRef": {"name": "mlflow"}}},
    ),
    ("EvaluationJob", {"model": MODEL, "evaluator": {"engine": "guidellm"}}),
    *(("ModelVersion", {**VERSION, "serving": [serving]}) for serving in GOOD_SERVING),
    ("ModelRegistry", {"huggingFace": {}, "unsafeFormats": "Refuse", "webhookSecretRef": {"name": "hook"}}),
    (
        "EvaluationJob",
        {"model": HUB_MODEL, "fallback": {"models": [MODEL]}, "datasets": [INSTEAD | {"file": "test.csv"}], "evaluator": CONTAINER},
    ),
]


@pytest.mark.parametrize(("kind", "spec"), [*GOOD.items(), *ALSO_GOOD])
async def test_a_good_object_is_taken_and_reads_back_as_our_models_read_it(
    kind: str, spec: dict[str, Any], cluster: Cluster, namespace: str
) -> None:
    created = await cluster.create(body(kind, spec, namespace))
    model = next(each for each in KINDS if each.info.kind == kind)
    stored, ours = model.model_validate(created), model.model_validate(body(kind, spec, namespace))
    assert stored.spec == ours.spec, "the server's defaults are the models' defaults"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "spec", "message"), BAD)
async def test_a_bad_object_is_refused_with_a_sentence_that_helps(
    kind: str, spec: dict[str, Any], message: str, cluster: Cluster, namespace: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await cluster.create(body(kind, spec, namespace))
    assert message in str(refusal.value)


@pytest.mark.parametrize(("kind", "change", "message"), IMMUTABLE)
async def test_what_must_not_change_does_not(
    kind: str, change: dict[str, Any], message: str, cluster: Cluster, namespace: str
) -> None:
    await cluster.create(body(kind, GOOD[kind], namespace))
    with pytest.raises(Invalid) as refusal:
        await cluster.merge(API_VERSION, kind, namespace, "it", {"spec": change})
    assert message in str(refusal.value)


def test_every_rule_has_an_object_that_breaks_it() -> None:
    messages = [message for kind in KINDS for message in _messages(crd(kind)["spec"]["versions"][0]["schema"])]
    tried = [expected for *_, expected in [*BAD, *IMMUTABLE]]
    assert messages
    assert not [message for message in messages if not any(expected in message for expected in tried)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_bounded_and_described(kind: Any) -> None:
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, node in _nodes(schema["properties"]["spec"], "spec"):
        if node.get("type") == "string" and "enum" not in node:
            assert "maxLength" in node or node.get("format") == "date-time", path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        assert "description" in node or path.endswith(("[]", "{}")) or ".tolerations[]." in path, path


def _messages(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
        for child in node.values():
            yield from _messages(child)
    if isinstance(node, list):
        for child in node:
            yield from _messages(child)


def _nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    if "items" in node:
        yield from _nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _nodes(node["additionalProperties"], f"{path}{{}}")
