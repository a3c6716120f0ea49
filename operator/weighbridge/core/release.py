"""Deletion of a ModelVersion: what it serves goes to another claim first; a target that is going away holds nothing back."""

from datetime import datetime

from ..api.base import Key
from ..api.modelversion import FINALIZER, ModelVersion
from .conditions import Draft, Summary, settle
from .election import claim, may_hand_over, pointer_value, suspended, winner
from .facts import Absent, Failed
from .plan import Action, Plan, Repoint, SetFinalizer, Wake
from .proof import LOOK_AGAIN
from .stages import target_name
from .versionfacts import VersionFacts
from .writeback import retract


def release(version: ModelVersion, facts: VersionFacts, now: datetime) -> Plan:
    """Hands each target over, then lets go."""
    if FINALIZER not in version.metadata.finalizers:
        return Plan(status=version.status)
    actions: list[Action] = []
    waiting: list[str] = []
    pin = version.status.resolved
    for entry in version.spec.serving:
        fact = facts.targets.get(entry.target_ref)
        if pin is None or isinstance(fact, Absent) or (isinstance(fact, Failed) and fact.reason == "TargetForbidden"):
            continue  # nothing there that could be handed over, or nothing the operator may ever write
        where = target_name(entry.target_ref)
        if fact is None or isinstance(fact, Failed):
            waiting.append(f"cannot see {where}")
            continue
        won = winner(found for each in facts.siblings if (found := claim(each, entry.target_ref)) is not None)
        target = fact.value
        if target.other_applier is not None:
            continue  # not ours to hand over
        if target.pointer == pointer_value(entry, pin) and (won is None or won.value != target.pointer):
            if won is None:
                text = f"{where} serves this version and no other is eligible"
                waiting.append(f"{text}; add a version, delete {where}, or take its entry out of spec.serving to leave it as it is")
            else:
                value = won.value
                if may_hand_over(entry, won) and not facts.hold and not suspended(version):
                    uid, seen = target.uid, target.resource_version
                    actions.append(Repoint(entry.target_ref, entry.pointer, value, uid, seen, "Rollback", target.basis))
                actions.append(Wake((Key("ModelVersion", version.metadata.namespace, won.name),)))
                waiting.append(facts.hold or f"giving {where} to {value}")
        elif won is not None and not won.serves and won.value == target.pointer and target.serving.get(pointer_value(entry, pin)):
            waiting.append(f"{where} is still rolling to {won.value}")
    if not waiting:
        return Plan(status=version.status, actions=(*actions, *retract(version, facts), SetFinalizer(present=False)))
    summary = Summary("InProgress", "Deleting", "; ".join(waiting))
    generation = version.metadata.generation
    kept = [
        Draft(each.type, {"True": True, "False": False}.get(each.status), each.reason, each.message)
        for each in version.status.conditions
        if each.type not in ("Ready", "Reconciling", "Stalled")
    ]
    conditions = settle(version.status.conditions, (*kept, *summary.drafts()), generation, now)
    status = version.status.model_copy(update={"phase": "Deleting", "conditions": conditions, "observed_generation": generation})
    return Plan(status=status, actions=tuple(actions), requeue_after=LOOK_AGAIN)
