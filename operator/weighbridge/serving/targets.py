"""Which adapter knows which kind of target."""

from ..api.serving import TargetRef
from . import deployment, rollout, statefulset
from .base import Adapter
from .generic import FieldTarget
from .kserve import InferenceServiceTarget
from .service import ServiceTarget
from .workloads import Workload

_KNOWN: dict[tuple[str, str], Adapter] = {
    ("apps/v1", "Deployment"): Workload(deployment.judged),
    ("apps/v1", "StatefulSet"): Workload(statefulset.judged),
    # Up to version 1.8 no list of its schema merges by name.
    ("argoproj.io/v1alpha1", "Rollout"): Workload(rollout.judged, rollout.with_traffic, merges=False),
    ("v1", "Service"): ServiceTarget(),
    ("serving.kserve.io/v1beta1", "InferenceService"): InferenceServiceTarget(),
}
_OTHER = FieldTarget()


def adapter(target: TargetRef) -> Adapter:
    """The adapter of a kind; one that is not known is pointed at a model by the path of a field, and never treated as another."""
    return _KNOWN.get((target.api_version, target.kind), _OTHER)
