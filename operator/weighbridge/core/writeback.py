"""Bringing a version's entry in its registry to what is observed: own keys only, read back, and nothing where nothing changed.

Alias and tags are compared, written and told apart from each other: what somebody did to the one holds up nothing of the other.
What was read back once and says something else now was changed by somebody: that is drift, and set again only where the
ModelRegistry asks for it (`onConflict: Enforce`), twice at the most. docs/write-back.md says it for people.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from ..api.modelregistry import ModelRegistry
from ..api.modelversion import ModelVersion
from ..api.references import ModelPin
from ..api.versionstatus import DriftType, EvaluationState, RegistryState, ServingState
from .conditions import Draft, stamp
from .election import suspended
from .entry import NONE, PREFIX, left_alias, other_server, other_writer, stages_served, wanted
from .facts import Failed, Known, ModelSnapshot, Pending, WriteOrder
from .offers import RESULTS_TAG, results, told_apart
from .plan import Action, WriteRegistry
from .versionfacts import VersionFacts

_UNSUPPORTED = "WriteBackUnsupported"
_MOST_ENFORCED = 2
"""How often in a row what somebody changed is set again before the operator stops and says so."""


@dataclass(frozen=True)
class WriteBackOutcome:
    """What is to be said and done about the registry."""

    state: RegistryState
    draft: Draft
    """RegistrySynced."""
    actions: tuple[Action, ...] = ()
    drift: tuple[tuple[DriftType, str], ...] = ()
    retry_after: float | None = None


@dataclass(frozen=True)
class _Part:
    """The alias, or the tags: what is to be done about them."""

    last: RegistryState
    """With this part as it is to be remembered."""
    write: bool = False
    enforced: bool = False
    drift: str = ""


@dataclass(frozen=True)
class _Case:
    """One version's wish and what the registry says."""

    version: ModelVersion
    registry: ModelRegistry
    pin: ModelPin
    serving: tuple[ServingState, ...]
    order: WriteOrder
    last: RegistryState
    facts: VersionFacts
    now: datetime
    said: ModelSnapshot = field(repr=False)

    @property
    def frozen(self) -> bool:
        """Whether nothing is to be changed."""
        return bool(self.facts.hold) or suspended(self.version)

    @property
    def waiting(self) -> bool:
        """Whether the last write failed so lately that the next one has to wait."""
        failed = self.facts.last_write
        return isinstance(failed, Failed) and (self.now - failed.at).total_seconds() < failed.retry_after

    @property
    def serves(self) -> bool:
        """Whether it is proved to serve."""
        return any(state.state == "Serving" for state in self.serving)

    def conflict(self, what: str, to_do: str, forgotten: RegistryState, *, true_now: bool = True) -> _Part:
        """Somebody changed what was read back. `forgotten`: the state without it, so that it is written like something new.
        `true_now`: whether it is observed at this moment; what was proved last is kept, but not set again."""
        if self.registry.spec.write_back.on_conflict == "Report":
            return _Part(self.last, drift=f"{what} in the registry; {to_do}")
        if self.last.enforced >= _MOST_ENFORCED:
            again = f"again after it was set back {_MOST_ENFORCED} times; find who does that, then {to_do}"
            return _Part(self.last, drift=f"{what} in the registry {again}")
        if self.frozen or self.waiting or not true_now:
            return _Part(self.last, drift=f"{what} in the registry; it is to be set back")
        return _Part(forgotten, write=True, enforced=True, drift=f"{what} in the registry; setting it back")


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
    if last.alias and last.alias != order.alias:
        # Forgotten at once, and not only when the registry answers: wished again later, it is a new wish.
        last = last.model_copy(update={"alias": "", "enforced": 0})
    if any(last.tags.get(key, text) != text for key, text in order.tags.items()):
        last = last.model_copy(update={"enforced": 0})
    told = last.tags == dict(order.tags) and last.alias == (order.alias or "")
    if isinstance(facts.snapshot, Pending) and told and (order.tags or order.alias):
        # Just started: what was read back last still counts.
        return WriteBackOutcome(last, Draft("RegistrySynced", True, "Synced", "the registry says what is observed"))
    left = _left(version, pin, serving, facts)
    if not order.tags and order.alias is None:
        if facts.registry.spec.kind == "huggingFace" and not settings.aliases:
            text = "the Hub keeps no state of a commit; name a git tag in writeBack.aliases to mark what serves"
            return WriteBackOutcome(last, Draft("RegistrySynced", True, _UNSUPPORTED, text))
        return WriteBackOutcome(last, Draft("RegistrySynced", True, "NothingToWrite", left or "nothing to tell yet"))
    if not isinstance(facts.snapshot, Known):
        return WriteBackOutcome(last, Draft("RegistrySynced", None, "RegistryUnavailable", "waiting for the registry"))
    case = _Case(version, facts.registry, pin, serving, order, last, facts, now, facts.snapshot.value)
    return _settled(case, _tags(case), _alias(case), left)


def retract(version: ModelVersion, facts: VersionFacts) -> tuple[Action, ...]:
    """The last word of a version that is let go: its tags say nothing of a standing any more, and are nobody's. Once, and nobody
    waits for it; the alias is the next version's business."""
    pin, last = version.status.resolved, version.status.registry
    if facts.registry is None or pin is None or not facts.registry.spec.write_back.enabled or suspended(version):
        return ()
    kept = {f"{PREFIX}verdict", f"{PREFIX}digest", RESULTS_TAG}
    tags = {key: NONE for key, text in last.tags.items() if key not in kept and text != NONE}
    said = facts.snapshot.value.tags if isinstance(facts.snapshot, Known) else {}
    if not tags or other_writer(version, pin, said, facts.siblings, serves=False):
        return ()
    return (WriteRegistry(facts.registry.metadata.name, WriteOrder(pin=pin, tags=tags, alias=None)),)


def _settled(case: _Case, tags: _Part, alias: _Part, left: str) -> WriteBackOutcome:
    enforced = case.last.enforced + (1 if tags.enforced or alias.enforced else 0)
    remembered = {"alias": alias.last.alias, "tags": tags.last.tags, "enforced": enforced}
    state = case.last.model_copy(update=remembered)
    read_back = (state.alias and state.alias != case.last.alias) or (not tags.write and state.tags and state.tags != case.last.tags)
    if read_back:
        state = state.model_copy(update={"written_at": stamp(case.now)})
    drift: tuple[tuple[DriftType, str], ...] = tuple(("Registry", part.drift) for part in (alias, tags) if part.drift)
    draft = Draft("RegistrySynced", True, "Synced", left or "the registry says what is observed")
    if drift:
        draft = Draft("RegistrySynced", False, "ChangedInRegistry", "; ".join(message for _, message in drift))
    if not tags.write and not alias.write:
        return WriteBackOutcome(state, draft, (), drift)
    wished = case.order.alias if alias.write else None
    order = replace(case.order, alias=wished) if tags.write else WriteOrder(pin=case.pin, tags={}, alias=wished)
    action: tuple[Action, ...] = (WriteRegistry(case.registry.metadata.name, order),)
    failed = case.facts.last_write
    if isinstance(failed, Failed):
        # What the registry lets nobody write is no fault of anybody.
        draft = Draft("RegistrySynced", failed.reason == _UNSUPPORTED, failed.reason, failed.message)
        return WriteBackOutcome(state, draft, () if case.waiting else action, drift, failed.retry_after)
    if not drift:
        writing = Draft("RegistrySynced", None, "Writing", "writing the observed state")
        held = Draft("RegistrySynced", None, "Suspended", "the observed state is written once changes are allowed again")
        draft = held if case.frozen else writing
    return WriteBackOutcome(state, draft, action, drift)


def _tags(case: _Case) -> _Part:
    order, last = case.order, case.last
    if other := other_writer(case.version, case.pin, case.said.tags, case.facts.siblings, serves=case.serves):
        whose = f"the tags of {case.pin.name} {case.pin.version} are written by {other}"
        text = f"{whose}, which keeps the same version: they do not speak of this one; if it is gone, delete the tag {PREFIX}by"
        return _Part(last.model_copy(update={"tags": {}}), drift=text)
    kept = {key: case.said.tags.get(key, "") for key in order.tags}
    if offers := order.tags.get(RESULTS_TAG):  # of all that were offered; one that was is not offered again, whatever became of it
        kept[RESULTS_TAG] = offers if offers in (*kept[RESULTS_TAG].split(), last.tags.get(RESULTS_TAG)) else ""
    wrong = [key for key, text in order.tags.items() if kept[key] != text]
    if not wrong:
        return _Part(last.model_copy(update={"tags": dict(order.tags)}))
    if last.tags != dict(order.tags):
        return _Part(last, write=True)
    what = f"own tags ({', '.join(key.removeprefix(PREFIX) for key in wrong)}) were overwritten"
    forgotten = last.model_copy(update={"tags": {key: text for key, text in last.tags.items() if key not in wrong}})
    return case.conflict(what, "restore them", forgotten)


def _alias(case: _Case) -> _Part:
    wish, last = case.order.alias, case.last
    if wish is None or wish in case.said.aliases:
        return _Part(last.model_copy(update={"alias": wish or ""}))
    if last.alias != wish:
        return _Part(last, write=True)
    for stage in sorted(stages_served(case.version, case.serving)):
        if other := other_server(case.pin, stage, case.facts.siblings):
            text = f"alias {wish} was given to {other}, which serves in {stage} too; one alias cannot mark both"
            return _Part(last, drift=f"{text}: connect one of them by a ModelRegistry with another alias")
    to_do = "move it back, or promote the version it points at"
    return case.conflict(f"alias {wish} was moved", to_do, last.model_copy(update={"alias": ""}), true_now=case.serves)


def _left(version: ModelVersion, pin: ModelPin, serving: tuple[ServingState, ...], facts: VersionFacts) -> str:
    if facts.registry is None or not isinstance(facts.snapshot, Known):
        return ""
    aliases, pointing = facts.registry.spec.write_back.aliases, facts.snapshot.value.aliases
    return left_alias(version, pin, serving, aliases, pointing=pointing, siblings=facts.siblings)


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
        return replace(order, tags={RESULTS_TAG: told_apart(offered)} if offered else {}, results=offered)
    outdated = {key: NONE for key in last.tags if key not in order.tags}  # what this object itself once wrote
    return replace(order, tags={**order.tags, **outdated})
