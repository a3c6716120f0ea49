"""EvaluationJob: one run of an engine on one pinned model, immutable, with a verdict at its end."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, Column, Conditions, Duration, KindInfo, LocalRef, ObjectMeta, Resource, Text, rules
from .evaluationpod import JobState, Resources, Scheduling, Space
from .gate import Gate, Verdict
from .references import DatasetPin, DatasetReference, ModelPin, ModelReference
from .report import Progress, Report, ReportTo
from .results import Results

_NO_DATASET = "engine mlflow evaluates on a dataset: name one in datasets"
_NO_TARGETS = "engine mlflow must know the truth: set evaluator.parameters.targets to the dataset's column that holds it"
_NO_TASKS = "engine lm-eval must know what to ask: set evaluator.parameters.tasks to names of tasks, separated by commas"
_NO_QUESTIONS = "engine lm-eval asks from pinned datasets alone: name in datasets what its tasks read"
_NO_CONTAINER_IMAGE = "engine container needs an image that keeps the result contract: set evaluator.image"
_NO_REPORT = "a rule with confidence compares single samples: set report, so that they can be found"
_OWN_COMMAND = "command and args are for engine container: the others are started as they must be"
_NO_REQUESTS = "a queue admits by what is asked for: set resources.requests or resources.limits"
_Words = Annotated[tuple[Annotated[str, Field(max_length=4096)], ...], Field(max_length=64)]


class Evaluator(ApiModel):
    """The engine that measures the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("self.engine != 'container' || has(self.image)", _NO_CONTAINER_IMAGE),
            Cel("self.engine == 'container' || size(self.command) + size(self.args) == 0", _OWN_COMMAND),
        )
    )

    engine: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = "mlflow"
    """`mlflow`: `mlflow.models.evaluate` on model and dataset. `lm-eval`: EleutherAI's harness on tasks of the pinned datasets.
    `container`: any image that keeps the result contract. An operator may bring more; a name it does not know is refused."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image of the engine. Default for `mlflow` and `lm-eval`: the evaluator image the operator was installed with."""
    command: _Words = ()
    """What engine `container` runs in place of its image's entry point. The task is in the environment."""
    args: _Words = ()
    """Arguments of engine `container`."""
    parameters: Annotated[dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=32)] = {}
    """Parameters of the engine (docs/engines.md). mlflow: `targets` (column of the truth), `modelType` (classifier, regressor, …).
    lm-eval: `tasks` (names, separated by commas), `backend`, `endpoint`, `fewShots`, …"""


Datasets = Annotated[
    tuple[DatasetReference, ...],
    Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]


class EvaluationTemplate(ApiModel):
    """How to evaluate: everything but the model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("self.evaluator.engine != 'mlflow' || size(self.datasets) > 0", _NO_DATASET),
            Cel("self.evaluator.engine != 'mlflow' || 'targets' in self.evaluator.parameters", _NO_TARGETS),
            Cel("self.evaluator.engine != 'lm-eval' || size(self.datasets) > 0", _NO_QUESTIONS),
            Cel("self.evaluator.engine != 'lm-eval' || 'tasks' in self.evaluator.parameters", _NO_TASKS),
            Cel("has(self.report) || self.gate.all(rule, !has(rule.confidence))", _NO_REPORT),
            Cel("!has(self.scheduling.queueName) || size(self.resources.limits) + size(self.resources.requests) > 0", _NO_REQUESTS),
        )
    )

    datasets: Datasets = ()
    """Datasets to evaluate on; each must be available before anything is scheduled."""
    evaluator: Evaluator = Evaluator()
    """The engine that measures the model."""
    resources: Resources = Resources()
    """Resources of the engine's container."""
    scheduling: Scheduling = Scheduling()
    """Where the pod may run."""
    scratch: Space = "20Gi"
    """Space on the node's disk for model and datasets: whole Mi, Gi or Ti. The limit on ephemeral-storage follows from it."""
    shared_memory: Space | None = None
    """Size of /dev/shm: whole Mi, Gi or Ti. PyTorch's workers and vLLM need it. It counts against the engine's memory limit."""
    report: ReportTo | None = None
    """Where the engine's full report goes; without it, only the numbers are kept."""
    reuse: bool = False
    """Takes the result of an earlier evaluation in this namespace where there is one of the same model, datasets, engine,
    parameters and image, and judges it by this gate. The image must be named by its digest."""
    gate: Gate = ()
    """Bars to clear; all of them. Without any rule the verdict is Inconclusive."""
    queue_deadline: Duration = "24h"
    """Longest time it may wait for its queue, a node and its image; each wait counts for itself."""
    active_deadline: Duration = "2h"
    """Longest time the evaluation may run, from when a node took its pod. Waiting for a queue or a node does not count."""
    backoff_limit: Annotated[int, Field(ge=0, le=10)] = 1
    """How often an evaluation that broke (not: a bad score) is attempted again. A pod that was preempted or drained is replaced
    without counting."""
    ttl_after_finished: Duration = "24h"
    """How long the Job is kept after a Passed verdict was recorded."""
    ttl_after_failed: Duration = "72h"
    """How long the Job is kept, with its log, after any other verdict was recorded."""


class Fallback(ApiModel):
    """What is evaluated instead of a model that does not exist."""

    models: Annotated[tuple[ModelReference, ...], Field(max_length=4)] = ()
    """Models to evaluate instead, in this order, where the wanted one definitely does not exist; never in an outage."""


class EvaluationJobSpec(EvaluationTemplate):
    """One evaluation of one model. Immutable: a new question is a new object."""

    model: ModelReference
    """The model to weigh."""
    champion: LocalRef | None = None
    """EvaluationJob to compare with, for rules with maxRegression. Default: that of the version that serves where the owning
    ModelVersion is to serve."""
    fallback: Fallback = Fallback()
    """What is evaluated instead where the model definitely does not exist. Said loudly; the score is never the missing model's."""


class Check(ApiModel):
    """One pre-flight check."""

    name: Annotated[str, Field(max_length=128)]
    """What was checked: subject and layer, e.g. `Model/Exists`, `Model/Access`, `Model/Complete`, `Model/Format`,
    `Dataset/holdout/Exists`, `Model/Fallback-1/Exists`, `Registry/hub`, `Engine`."""
    result: Literal["Passed", "Failed", "Waiting"]
    """Failed is a definite no; Waiting could not be told yet."""
    reason: Annotated[str, Field(max_length=64)]
    """One stable word."""
    message: Text = ""
    """One sentence for people."""


class ResolvedModel(ModelPin):
    """The pinned model."""

    fallback: bool = False
    """Whether it is a fallback: another one than was asked for."""


class ResolvedDataset(DatasetPin):
    """A pinned dataset."""

    fallback: bool = False
    """Whether it is a fallback: another one than was asked for."""


class Resolved(ApiModel):
    """What the names in the spec meant when they were checked."""

    model: ResolvedModel
    """The pinned model."""
    datasets: Annotated[tuple[ResolvedDataset, ...], Field(max_length=8)] = ()
    """The pinned datasets."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Identities of the datasets' content, by the dataset's name within the evaluation."""
        return {each.name: each.fingerprint for each in self.datasets}

    @property
    def fallback(self) -> bool:
        """Whether anything else than what was asked for is evaluated."""
        return self.model.fallback or any(each.fallback for each in self.datasets)


class Champion(ApiModel):
    """What this evaluation is compared with; empty where nothing serves yet."""

    evaluation: Annotated[str, Field(max_length=253)] = ""
    """Name of the EvaluationJob of the version that served when the Job was made."""
    uid: Annotated[str, Field(max_length=64)] = ""
    """Its uid."""
    report: Report | None = None
    """Where its full report lies."""
    problem: Text = ""
    """Why there is nothing to compare with."""


class EvaluationJobStatus(ApiModel):
    """What the operator found."""

    observed_generation: int = 0
    """The generation of the spec this status speaks of."""
    phase: Annotated[str, Field(max_length=32)] = ""
    """One word for people: Checking, Waiting, Refused, Queued, Scheduled, Running, Passed, Failed, Inconclusive, Error."""
    version: Annotated[str, Field(max_length=64)] = ""
    """Version that is evaluated, or else the one that was asked for, for `kubectl get`."""
    preflight: Annotated[tuple[Check, ...], Field(max_length=128)] = ()
    """Each check made before anything was scheduled, in order. Behind a check that failed, no more of its subject are
    listed; of more than 128, those that passed are left out first."""
    resolved: Resolved | None = None
    """Pins of model and datasets."""
    champion: Champion | None = None
    """What it is compared with; only where a gate rule asks for it."""
    job: JobState | None = None
    """The Kubernetes Job."""
    progress: Progress | None = None
    """How far it is while it runs, where the engine tells."""
    results: Results | None = None
    """What the engine measured."""
    verdict: Verdict | None = None
    """The outcome."""
    score: Annotated[str, Field(max_length=64)] = ""
    """The first gate metric, for `kubectl get`."""
    conditions: Conditions = ()
    """`Validated`, `FallbackUsed`, `Scheduled`, `Complete`, `Ready`, `Reconciling`, `Stalled`."""


class EvaluationJob(Resource):
    """One evaluation of one model version."""

    info = KindInfo(
        kind="EvaluationJob",
        plural="evaluationjobs",
        short_name="evaljob",
        columns=(
            Column("Model", ".spec.model.name"),
            Column("Version", ".status.version"),
            Column("Phase", ".status.phase"),
            Column("Progress", ".status.progress.word"),
            Column("Score", ".status.score"),
            Column("Verdict", ".status.verdict.result"),
            Column("Fallback", ".status.conditions[?(@.type=='FallbackUsed')].status"),
            Column("Evaluated", ".status.resolved.model.uri", priority=1),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Message", ".status.conditions[?(@.type=='Ready')].message", priority=1),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )
    metadata: ObjectMeta
    spec: Annotated[
        EvaluationJobSpec,
        Cel("self == oldSelf", "an EvaluationJob is immutable: create a new one with another name"),
    ]
    """What to evaluate, on what, how, and what it must reach."""
    status: EvaluationJobStatus = EvaluationJobStatus()
    """What the operator found; written by the operator alone."""
