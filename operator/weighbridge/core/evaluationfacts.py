"""Everything that the decision on an EvaluationJob rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..api.evaluationjob import Results
from ..api.modelregistry import ModelRegistry
from .facts import Failed
from .subjects import Answers


@dataclass(frozen=True)
class JobFacts:
    """The Kubernetes Job as it is now."""

    uid: str
    ours: bool
    """Whether it belongs to this very EvaluationJob."""
    state: Literal["Waiting", "Running", "Complete", "Failed"]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str = ""
    """Why it failed: a stable word."""
    message: str = ""


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
    progress: Heard | None = None
    """What the running pod said last of how far it is."""
