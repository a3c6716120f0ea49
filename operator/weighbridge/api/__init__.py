"""What users write: the kinds, as pydantic models, and their CRDs."""

from .evaluationjob import EvaluationJob
from .modelapproval import ModelApproval
from .modelregistry import ModelRegistry
from .modelversion import ModelVersion

KINDS = (ModelRegistry, EvaluationJob, ModelVersion, ModelApproval)

__all__ = ["KINDS", "EvaluationJob", "ModelApproval", "ModelRegistry", "ModelVersion"]
