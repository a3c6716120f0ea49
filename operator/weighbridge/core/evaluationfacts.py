"""Everything that the decision on an EvaluationJob rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..api.evaluationjob import Champion, EvaluationJob
from ..api.modelregistry import ModelRegistry
from ..api.results import Results
from .facts import Failed
from .subjects import Answers


@dataclass(frozen=True)
class JobFacts:
    """The Kubernetes Job as it is now."""

    uid: str
    ours: bool
    """Whether it belongs to this very EvaluationJob."""
    state: Literal["Queued", "Waiting", "Running", "Complete", "Failed"]
    """Queued: suspended. Waiting: for a pod that runs."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    """When the engine started; None while it waits."""
    finished_at: datetime | None = None
    reason: str = ""
    """Why it failed, waits, or left no result: a stable word."""
    message: str = ""
    image: str = ""
    """Image of the engine that really ran, with its digest; empty while that is not known."""


@dataclass(frozen=True)
class Earlier:
    """What is left of the attempt before the one that is to begin."""

    uid: str = ""
    """Of its Job; empty where that is gone."""
    pods: tuple[str, ...] = ()
    """Names of its pods that have not ended."""


@dataclass(frozen=True)
class ResultProblem:
    """Why there is no result to judge."""

    reason: str
    message: str


@dataclass(frozen=True)
class Heard:
    """What an engine says of how far it is: 0 <= done <= total, total at least 1."""

    done: int
    total: int


@dataclass(frozen=True)
class EvaluationFacts:
    """Everything the decision rests on."""

    registries: Mapping[str, ModelRegistry]
    """Registries the spec names, as far as they exist."""
    answers: tuple[Answers, ...]
    """What they said of each of `subjects(spec)`."""
    job: JobFacts | None
    report: Results | ResultProblem | None
    """What the reporter handed over; only looked for once the Job is complete."""
    failure: Failed | None
    """The action that failed in the last pass."""
    earlier: Earlier = Earlier()
    """Only looked for while an attempt is to begin."""
    progress: Heard | None = None
    """What the running pod said last of how far it is."""
    incumbent: Champion | None = None
    """What it would be compared with now; only looked for before the Job is made, and where the gate asks."""
    reusable: tuple[EvaluationJob, ...] = ()
    """Evaluations whose results may be reused; only looked for where that is asked for."""
    image: str = ""
    """Reference of the image that the engine would run."""
    champion: EvaluationJob | None = None
    """The evaluation that status.champion names."""
