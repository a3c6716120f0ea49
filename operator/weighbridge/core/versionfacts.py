"""Everything that the decision on a ModelVersion rests on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..api.evaluationjob import EvaluationJob
from ..api.modelapproval import ModelApproval
from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.references import DatasetPin
from ..api.serving import TargetRef
from .facts import Absent, Fact, Failed, Known, ModelSnapshot, Pending, ProbeOutcome, TargetState


@dataclass(frozen=True)
class VersionFacts:
    """Gathered at one moment; failures are facts too."""

    registry: ModelRegistry | None = None
    snapshot: Fact[ModelSnapshot] = field(default_factory=Pending)
    """What the registry says about the version now."""
    evaluations: Mapping[str, EvaluationJob] = field(default_factory=dict)
    """EvaluationJobs of this version, by object name."""
    datasets: Mapping[str, tuple[Fact[DatasetPin], ...]] = field(default_factory=dict)
    """What registries say now of the datasets of decided evaluations, by the evaluation's name."""
    approvals: tuple[ModelApproval, ...] = ()
    """ModelApprovals that name this version."""
    siblings: tuple[ModelVersion, ...] = ()
    """Other ModelVersions of the namespace."""
    targets: Mapping[TargetRef, Known[TargetState] | Absent | Failed] = field(default_factory=dict)
    probes: Mapping[TargetRef, ProbeOutcome] = field(default_factory=dict)
    """Asked of the newest pods where the rollout is complete."""
    last_write: Failed | None = None
    """The registry write that failed last."""
    failure: Failed | None = None
    """The action that failed in the last pass."""
    hold: str = ""
    """Why the operator changes nothing at all just now; empty where that is not so."""
