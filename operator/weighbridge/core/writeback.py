"""What the registry should say about a version: observed state only, own keys only. Others' edits are reported, not taken back."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ..api.evaluationjob import EvaluationJob
from ..api.modelregistry import Stage
from ..api.modelversion import DriftType, EvaluationState, ModelVersion, RegistryState, ServingState
from ..api.references import ModelPin
from .conditions import Draft, stamp
from .facts import EvaluationResult, Failed, Known, Pending, WriteOrder
from .plan import Action, WriteRegistry
from .versionfacts import VersionFacts

PREFIX = "weighbridge.dev/"
RESULTS_TAG = f"{PREFIX}results"
"""Own tag that stands for the evaluation results offered to the model's owners; in a snapshot, all that were, by blanks."""
_UNSUPPORTED = "WriteBackUnsupported"
_NONE = "none"
"""Value of an own tag that says nothing any more: to delete a tag takes more rights than to write one."""
_LONGEST_TAG = 500


@dataclass(frozen=True)
class WriteBackOutcome:
    """What is to be said and done about the registry."""

    state: RegistryState
    draft: Draft
    """RegistrySynced."""
    actions: tuple[Action, ...] = ()
    drift: tuple[tuple[DriftType, str], ...] = ()
    retry_after: float | None = None


def write_back(
    version: ModelVersion,
    pin: ModelPin | None,
    evaluations: tuple[EvaluationState, ...],
    serving: tuple[ServingState, ...],
    *,
    facts: VersionFacts,
    now: datetime,
) -> WriteBackOutcome:
    """Orders a write where the wish changed; waits through outages; reports what somebody else changed."""
    last = version.status.registry
    if facts.registry is None or pin is None:
        return WriteBackOutcome(last, Draft("RegistrySynced", None, "NotResolved", "written once the version is pinned"))
    settings = facts.registry.spec.write_back
    if not settings.enabled:
        return WriteBackOutcome(RegistryState(), Draft("RegistrySynced", True, "Disabled", "write-back is switched off"))
    order = _ordered(version, pin, evaluations, serving, facts)
    if not order.tags and order.alias is None:
        if facts.registry.spec.kind == "huggingFace" and not settings.aliases:
            text = "the Hub keeps no state of a commit; name a git tag in writeBack.aliases to mark what serves"
            return WriteBackOutcome(last, Draft("RegistrySynced", True, _UNSUPPORTED, text))
        return WriteBackOutcome(last, Draft("RegistrySynced", True, "NothingToWrite", "nothing to tell yet"))
    told = last.tags == dict(order.tags) and last.alias == (order.alias or "")
    if isinstance(facts.snapshot, Pending) and told:  # just started: what was read back last still counts
        return WriteBackOutcome(last, Draft("RegistrySynced", True, "Synced", "the registry says what is observed"))
    if not isinstance(facts.snapshot, Known):
        return WriteBackOutcome(last, Draft("RegistrySynced", None, "RegistryUnavailable", "waiting for the registry"))
    snapshot = facts.snapshot.value
    kept = {key: snapshot.tags.get(key, "") for key in order.tags}
    if offers := order.tags.get(RESULTS_TAG):  # of all that were offered; one that was is not offered again, whatever became of it
        kept[RESULTS_TAG] = offers if offers in (*kept[RESULTS_TAG].split(), last.tags.get(RESULTS_TAG)) else ""
    tags_said, alias_said = kept == dict(order.tags), order.alias is None or order.alias in snapshot.aliases
    if tags_said and alias_said:
        state = last if told else RegistryState(alias=order.alias or "", tags=dict(order.tags), written_at=stamp(now))
        return WriteBackOutcome(state, Draft("RegistrySynced", True, "Synced", "the registry says what is observed"))
    if told:
        if not alias_said:
            message = f"alias {order.alias} was moved in the registry; move it back, or promote the version it points at"
        else:
            message = "own tags were overwritten in the registry, by a person or by another ModelVersion of the same version"
        return WriteBackOutcome(last, Draft("RegistrySynced", False, "ChangedInRegistry", message), (), (("Registry", message),))
    action: tuple[Action, ...] = (WriteRegistry(facts.registry.metadata.name, order),)
    failed = facts.last_write
    if isinstance(failed, Failed):
        # What the registry lets nobody write is no fault of anybody.
        draft = Draft("RegistrySynced", failed.reason == _UNSUPPORTED, failed.reason, failed.message)
        waiting = (now - failed.at).total_seconds() < failed.retry_after
        return WriteBackOutcome(last, draft, () if waiting else action, (), failed.retry_after)
    return WriteBackOutcome(last, Draft("RegistrySynced", None, "Writing", "writing the observed state"), action)


def _ordered(
    version: ModelVersion,
    pin: ModelPin,
    evaluations: tuple[EvaluationState, ...],
    serving: tuple[ServingState, ...],
    facts: VersionFacts,
) -> WriteOrder:
    """What this registry can be told."""
    assert facts.registry is not None
    settings, last = facts.registry.spec.write_back, version.status.registry
    order = wanted(version, pin, evaluations, serving, settings.aliases)
    if facts.registry.spec.kind == "huggingFace":
        offered = results(facts.evaluations.values(), pin) if settings.evaluation_results == "PullRequest" else ()
        return replace(order, tags={RESULTS_TAG: _told_apart(offered)} if offered else {}, results=offered)
    outdated = {key: _NONE for key in last.tags if key not in order.tags}  # what this object itself once wrote
    return replace(order, tags={**order.tags, **outdated})


def results(jobs: Iterable[EvaluationJob], pin: ModelPin) -> tuple[EvaluationResult, ...]:
    """What passed evaluations measured of exactly this content on datasets of the same registry. With several datasets the slice of
    a metric names its dataset."""
    return tuple(
        EvaluationResult(dataset.path, dataset.revision, metric.name, metric.value)
        for job in sorted(jobs, key=lambda each: each.metadata.name)
        if _counts(job, pin) and job.status.resolved is not None and job.status.results is not None
        for dataset in job.status.resolved.datasets
        if dataset.registry == pin.registry
        for metric in job.status.results.metrics
        if metric.slice == (dataset.name if len(job.status.resolved.datasets) > 1 else None)
    )


def _counts(job: EvaluationJob, pin: ModelPin) -> bool:
    status = job.status
    passed = status.verdict is not None and status.verdict.result == "Passed"
    return passed and status.resolved is not None and status.resolved.model.digest == pin.digest and not status.resolved.fallback


def _told_apart(offered: tuple[EvaluationResult, ...]) -> str:
    return hashlib.sha256(repr(offered).encode()).hexdigest()[:12]


def wanted(
    version: ModelVersion,
    pin: ModelPin,
    evaluations: tuple[EvaluationState, ...],
    serving: tuple[ServingState, ...],
    aliases: Mapping[Stage, str],
) -> WriteOrder:
    """The entry as it should be. Nothing is told before there is a verdict or a standing on a target."""
    tags: dict[str, str] = {}
    verdicts = [f"{state.name}: {state.verdict}" for state in evaluations if state.verdict is not None]
    if verdicts:
        tags["verdict"] = ", ".join(verdicts)
    standings = [state for state in serving if state.state in ("Serving", "Superseded", "RolledBack")]
    if standings:
        first = standings[0]
        tags["state"] = first.state
        tags["target"] = f"{version.metadata.namespace}/{first.target}"
        if first.since is not None:
            tags["since"] = first.since.isoformat()
        if first.rejection is not None:
            tags["reason"] = f"{first.rejection.reason}: {first.rejection.message}"
    if tags:
        tags["digest"] = pin.digest
    serves = any(state.state == "Serving" for state in serving)
    alias = aliases.get(version.spec.stage) if serves else None
    return WriteOrder(pin=pin, tags={f"{PREFIX}{key}": text[:_LONGEST_TAG] for key, text in sorted(tags.items())}, alias=alias)
