"""What users write: the kinds, as pydantic models, and their CRDs."""

from .evaluationjob import EvaluationJob
from .modelregistry import ModelRegistry
from .modelversion import ModelVersion

KINDS = (ModelRegistry, EvaluationJob, ModelVersion)

__all__ = ["KINDS", "EvaluationJob", "ModelRegistry", "ModelVersion"]
