"""Gauges over objects, computed from the store when they are asked for: they cannot go stale, and vanish with their objects.

Every replica of the operator has the store, so every replica tells them: one that loses the lease must not take a drift with it.
Queries take `max by (…)` over replicas. Written as text at once: a scrape over ten thousand objects has a hundred thousand lines.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Protocol, TypeAlias

from ..api import EvaluationJob, ModelRegistry, ModelVersion
from ..api.base import Key, Resource
from ..core.conditions import find
from .series import Series, label

Sample: TypeAlias = tuple[Series, str, float]
"""Of one object: the metric, its labels beside name and namespace, the value."""

_WHO = ("namespace", "name")
_CONDITIONS = ("Ready", "Approved", "Evaluated", "RegistrySynced")
_VALUE = {"True": 1.0, "False": 0.0, "Unknown": -1.0}
_NOT_WAITING = frozenset({"NotResolved", "ChangedInRegistry", "Suspended"})
"""Reasons of RegistrySynced under which no write waits."""
_RULES = 8
"""Gate rules of an evaluation whose scores are told: the first ones."""


def _gauge(name: str, text: str, *labels: str) -> Series:
    return Series(f"weighbridge_{name}", "gauge", text, labels, objects=True)


RESOURCES = _gauge("resources", "Objects by their Ready condition.", "kind", "ready", "reason")
EVALUATIONS = _gauge("evaluationjobs", "EvaluationJobs by phase.", "phase")
FALLBACK = _gauge(
    "evaluationjob_fallback",
    "EvaluationJobs that were run on a fallback, since what they ask for does not exist.",
    *("namespace", "reason"),
)
INFO = _gauge("modelversion_info", "Always 1: what the version is, to join with.", *_WHO, "model", "version", "registry", "stage")
PHASE = _gauge("modelversion_phase", "1 for the phase a ModelVersion is in.", *_WHO, "phase")
CONDITION = _gauge(
    "modelversion_condition",
    f"{', '.join(_CONDITIONS)} with their reasons: 1 True, 0 False, -1 Unknown.",
    *(*_WHO, "type", "reason"),
)
TARGET = _gauge("modelversion_target", "1 for the state of a version on a workload it claims.", *_WHO, "target", "state")
CHECKED = _gauge(
    "modelversion_last_check_timestamp_seconds",
    "Seconds since 1970 at which a pass last came to a decision on a ModelVersion. Only the leader tells it.",
    *_WHO,
)
WAY_BACK = _gauge(
    "modelversion_rollback_ready",
    "Whether there is a way back: for what serves, a version behind it; for what was replaced, itself. Absent: unknown.",
    *_WHO,
)
DRIFT = _gauge("modelversion_drift", "1 while a difference is seen, by type.", *_WHO, "type")
UNWRITTEN = _gauge(
    "modelversion_write_back_waiting_since_timestamp_seconds",
    "Since when the registry could not be brought up to date about a version. Absent: nothing waits.",
    *_WHO,
)
WAITING = _gauge(
    "evaluationjob_waiting_since_timestamp_seconds",
    "Since when an evaluation's Job waits for its queue, a node or its image. Absent: it does not wait.",
    *_WHO,
)
_SCORED = (*_WHO, "modelversion", "metric", "slice")
SCORE = _gauge("evaluation_score", f"Values that the first {_RULES} rules of an evaluation's gate were held against.", *_SCORED)
THRESHOLD = _gauge("evaluation_threshold", "Bars of these rules: min or max.", *_SCORED, "bound")
CHAMPION = _gauge("evaluation_champion_score", "The champion's values that these were compared with.", *_SCORED)
REACHABLE = _gauge(
    "modelregistry_ready",
    "Whether a registry answers and takes the credentials. Absent: not told yet.",
    *(*_WHO, "registry", "reason"),
)
GAUGES = (
    *(RESOURCES, EVALUATIONS, FALLBACK, INFO, PHASE, CONDITION, TARGET, CHECKED, WAY_BACK, DRIFT, UNWRITTEN, WAITING),
    *(SCORE, THRESHOLD, CHAMPION, REACHABLE),
)


class Inventory(Protocol):
    """The store, as far as it is measured. It is read in another thread than it is filled in."""

    def resources(self) -> Iterable[Resource]: ...


class ObjectGauges:
    """What the store holds at the moment of asking, which is called on each scrape."""

    def __init__(self, inventory: Inventory, checked: Callable[[Key], datetime | None]) -> None:
        """`checked`: when the last pass over an object came to a decision."""
        self._inventory, self._checked = inventory, checked

    def text(self) -> str:
        """All of them, in Prometheus' text format."""
        pages: dict[str, list[str]] = {each.name: [each.head()] for each in GAUGES}
        states: Tally[tuple[str, str, str]] = Tally()
        phases: Tally[str] = Tally()
        fallbacks: Tally[tuple[str, str]] = Tally()
        for resource in self._inventory.resources():
            states[(resource.info.kind, *_ready(resource))] += 1
            who = f'name="{resource.metadata.name}",namespace="{resource.metadata.namespace}"'
            for series, labels, value in self._told(resource):
                pages[series.name].append(f"{series.name}{{{who}{labels}}} {value!r}\n")
            if isinstance(resource, EvaluationJob):
                phases[resource.status.phase] += 1
                if (used := find(resource.status.conditions, "FallbackUsed")) and used.status == "True":
                    fallbacks[resource.metadata.namespace, used.reason] += 1
        for (kind, ready, reason), count in sorted(states.items()):
            labels = f'kind="{kind}",ready="{ready}",{label("reason", reason)}'
            pages[RESOURCES.name].append(f"{RESOURCES.name}{{{labels}}} {float(count)}\n")
        for phase, count in sorted(phases.items()):
            pages[EVALUATIONS.name].append(f"{EVALUATIONS.name}{{{label('phase', phase)}}} {float(count)}\n")
        for (namespace, reason), count in sorted(fallbacks.items()):
            labels = f'namespace="{namespace}",{label("reason", reason)}'
            pages[FALLBACK.name].append(f"{FALLBACK.name}{{{labels}}} {float(count)}\n")
        return "".join(line for lines in pages.values() for line in lines)

    def _told(self, resource: Resource) -> Iterator[Sample]:
        if isinstance(resource, ModelVersion):
            yield from _of_version(resource)
            if (at := self._checked(resource.key)) is not None:
                yield CHECKED, "", at.timestamp()
        elif isinstance(resource, EvaluationJob):
            yield from _of_evaluation(resource)
        elif isinstance(resource, ModelRegistry):
            yield from _of_registry(resource)


def _of_version(version: ModelVersion) -> Iterator[Sample]:
    spec, status = version.spec, version.status
    names = (("model", spec.source.name), ("version", status.version), ("registry", spec.source.registry_ref.name))
    yield INFO, f',{",".join(label(*each) for each in names)},stage="{spec.stage}"', 1.0
    yield PHASE, f",{label('phase', status.phase)}", 1.0
    for condition in status.conditions:
        if condition.type in _CONDITIONS:
            labels = f',type="{condition.type}",{label("reason", condition.reason)}'
            yield CONDITION, labels, _VALUE[condition.status]
        if condition.type == "RollbackReady" and condition.status != "Unknown":
            yield WAY_BACK, "", _VALUE[condition.status]
        if condition.type == "RegistrySynced" and condition.status != "True" and condition.reason not in _NOT_WAITING:
            yield UNWRITTEN, "", condition.last_transition_time.timestamp()
    for state in status.serving:
        yield TARGET, f',{label("target", state.target)},state="{state.state}"', 1.0
    for drift in {each.type for each in status.drift}:
        yield DRIFT, f',type="{drift}"', 1.0


def _of_evaluation(job: EvaluationJob) -> Iterator[Sample]:
    status = job.status
    if status.verdict is None:
        if status.job is not None and status.job.waiting_since is not None:
            yield WAITING, "", status.job.waiting_since.timestamp()
        return
    owner = next((each.name for each in job.metadata.owner_references if each.kind == "ModelVersion"), "")
    seen: set[str] = set()
    for rule, line in zip(job.spec.gate[:_RULES], status.verdict.lines, strict=False):
        if rule.metric is None or line.value is None:
            continue
        names = (("modelversion", owner), ("metric", rule.metric), ("slice", rule.slice or rule.slices or ""))
        labels = f",{','.join(label(*each) for each in names)}"
        if labels not in seen:  # several rules may be on one metric
            yield SCORE, labels, line.value
        bars = {"min": rule.min, "max": rule.max}
        for bound, bar in bars.items():
            if bar is not None and (where := f'{labels},bound="{bound}"') not in seen:
                seen.add(where)
                yield THRESHOLD, where, bar
        if line.champion is not None and (where := f"{labels},champion") not in seen:
            seen.add(where)
            yield CHAMPION, labels, line.champion
        seen.add(labels)


def _of_registry(registry: ModelRegistry) -> Iterator[Sample]:
    ready = find(registry.status.conditions, "Ready")
    if ready is not None and ready.reason != "Checking":
        labels = f',registry="{registry.spec.kind}",{label("reason", ready.reason)}'
        yield REACHABLE, labels, float(ready.status == "True")


def _ready(resource: Resource) -> tuple[str, str]:
    ready = find(getattr(getattr(resource, "status", None), "conditions", ()), "Ready")
    return (ready.status, ready.reason) if ready is not None else ("Unknown", "")
