"""The catalogue of reasons is complete: every reason the code can give is explained in docs/reasons.md."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORD = re.compile(r"[A-Z][a-z]+([A-Z][a-z]+)+")
OTHERS = set(
    """
    BackoffLimitExceeded BearerToken CrashLoopBackOff DeleteOptions DisruptionTarget ErrImageNeverPull EvaluationJob FailJob
    ErrImagePull PodScheduled
    IfNotPresent ImagePullBackOff InProgress ModelApproval ModelRegistry ModelVersion PodFailurePolicy PreparedRequest
    EntryNotFound FallbackUsed GatedRepo HfApi PullRequest RepoNotFound
    BaseModel BlockedByFailedLoad BlueGreenPause CanaryPauseStep ConfigMap FailedToLoad InconclusiveAnalysisRun
    InconclusiveExperiment InferenceService NotIn OnDelete OpenInference OrderedReady RawDeployment RollbackReady StatefulSet
    ProgressDeadlineExceeded RuntimeDefault InSync LineageComplete RegistrySynced PartEnded UnknownKind NotLeader
    ClopperPearson McNemar SignFlip QuotaReserved
    ModelVersions SpanExporter SpanExportResult
    """.split()
)
"""Words of Kubernetes, KServe, Kueue, Argo Rollouts, the Hub, OpenTelemetry and the code itself, of conditions, of statistics,
and errors that reach no status."""


def _given() -> set[str]:
    """All words in the code that look like reasons; the rest of the kinds' own vocabulary is in the schemas."""
    found: set[str] = set()
    for path in (ROOT / "operator" / "weighbridge").rglob("*.py"):
        if "api" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.fullmatch(node.value):
                found.add(node.value)
    return found - OTHERS


def _explained() -> set[str]:
    text = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    return {word for line in text.splitlines() if line.startswith("| `") for word in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_reason_is_explained() -> None:
    assert sorted(_given() - _explained()) == []


def test_nothing_is_explained_that_no_longer_exists() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "operator").rglob("*.py"))
    assert sorted(word for word in _explained() if f'"{word}"' not in code) == []
