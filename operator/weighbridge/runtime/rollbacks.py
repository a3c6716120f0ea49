"""Why a target was taken away from a version, in one word for metrics and the log."""

from ..api.base import Resource
from ..api.modelversion import ModelVersion
from ..controllers.ports import Store
from ..core.conditions import find
from ..core.plan import Repoint
from ..core.stages import leaves, standing

_EVIDENCE = (("Resolved", "Revoked"), ("Evaluated", "EvaluationFailed"))
REASONS = ("RolloutFailed", "ProbeFailed", "Alert", "Requested", "Revoked", "EvaluationFailed", "Demoted", "Deleted", "Unknown")
"""The words there are."""


def reason(action: Repoint, by: Resource, store: Store) -> str:
    """The word: a rejection's own (RolloutFailed, ProbeFailed, Alert, Requested), Revoked, EvaluationFailed, Demoted, Deleted, or
    Unknown. `by` is the version that changes the pointer: the one that loses the target, or the one that takes it."""
    if not isinstance(by, ModelVersion):
        return "Unknown"
    loser, mine = by, standing(by, action.target)
    if mine is not None and mine.wished == action.value:
        rivals = store.claimants(by.metadata.namespace, action.target.kind, action.target.name)
        held = ((each, standing(each, action.target)) for each in rivals)
        loser = next((each for each, state in held if state is not None and state.wished == mine.previous), by)
    return _lost(loser, action)


def _lost(version: ModelVersion, action: Repoint) -> str:
    state = standing(version, action.target)
    if state is not None and state.rejection is not None:
        return state.rejection.reason
    if version.metadata.deletion_timestamp is not None:
        return "Deleted"
    for kind, word in _EVIDENCE:
        condition = find(version.status.conditions, kind)
        if condition is not None and condition.status == "False":
            return word
    entry = next((each for each in version.spec.serving if each.target_ref == action.target), None)
    return "Demoted" if entry is not None and (leaves(version, entry) or entry.stage != version.spec.stage) else "Unknown"
