"""ModelVersion: the steps of its life one by one, each from facts to plan."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.api.base import Key
from weighbridge.api.evaluationjob import EvaluationJobStatus
from weighbridge.api.gate import Verdict
from weighbridge.api.modelversion import FINALIZER
from weighbridge.api.serving import TargetRef
from weighbridge.core.conditions import find
from weighbridge.core.facts import Absent, Failed, Known, Misfit, ModelSnapshot, Pending, ProbeOutcome, RolloutState
from weighbridge.core.modelversion import decide
from weighbridge.core.names import evaluation_name
from weighbridge.core.plan import Create, Plan, Repoint, SetFinalizer, Wake, WriteRegistry
from weighbridge.core.versionfacts import VersionFacts

from .things import START, TARGET, model_version, pin, registry, resolved, snapshot, target

REF = TargetRef.model_validate(TARGET)
MISFIT = Misfit("ContainerNotFound", "Deployment/server has no container nosuch")
OUTAGE = Failed("RegistryUnavailable", "the registry does not answer", START, 5.0)


def verdict(version: ModelVersion, result: str, content: str = "") -> EvaluationJob:
    number = version.spec.source.version or ""
    name = evaluation_name(version, version.spec.evaluations[0], pin(number).digest)
    job = EvaluationJob.model_validate(
        {
            "metadata": {"name": name, "namespace": "ns", "ownerReferences": [{"uid": version.metadata.uid}]},
            "spec": version.spec.evaluations[0].template.to_json() | {"model": version.spec.source.to_json()},
        }
    )
    status = EvaluationJobStatus(resolved=resolved(number, content=content), verdict=Verdict(result=result))  # type: ignore[arg-type]
    return job.model_copy(update={"status": status})


def facts(version: ModelVersion, **change: Any) -> VersionFacts:
    number = version.spec.source.version or "1"
    passed = {job.metadata.name: job for job in [verdict(version, "Passed")]} if version.spec.evaluations else {}
    fields: dict[str, Any] = {
        "registry": registry(),
        "snapshot": Known(snapshot(number), START),
        "evaluations": passed,
        "targets": {REF: Known(target("models:/model/0"), START)},
    }
    return VersionFacts(**(fields | change))


def look(version: ModelVersion, *, at: float = 0, **change: Any) -> Plan:
    return decide(version, facts(version, **change), START + timedelta(seconds=at))


def after(version: ModelVersion, **change: Any) -> ModelVersion:
    plan = look(version, **change)
    metadata = version.metadata
    if SetFinalizer(present=True) in plan.actions:
        metadata = metadata.model_copy(update={"finalizers": (FINALIZER,)})
    return version.model_copy(update={"status": plan.status, "metadata": metadata})


def on(pointer: str | None, **kind: Any) -> dict[TargetRef, Any]:
    return {REF: Known(target(pointer, **kind), START)}


def serving(number: str) -> ModelVersion:
    """A version that was promoted and is proved to serve."""
    promoted = after(model_version(number))
    served = after(promoted, targets=on(f"models:/model/{number}"))
    assert served.status.phase == "Serving"
    return served


def condition(plan: Plan, kind: str) -> tuple[str, str]:
    found = find(plan.status.conditions, kind)
    assert found is not None
    return found.status, found.reason


def repoints(plan: Plan) -> list[tuple[str, str]]:
    return [(action.value, action.cause) for action in plan.actions if isinstance(action, Repoint)]


@pytest.mark.parametrize(
    ("answer", "phase", "resolved"),
    [
        (Pending(), "Resolving", ("Unknown", "Checking")),
        (OUTAGE, "Waiting", ("Unknown", "RegistryUnavailable")),
        (Absent("VersionNotFound", "no version 1", START), "Refused", ("False", "VersionNotFound")),
    ],
)
def test_what_is_not_there_is_refused_and_an_outage_waits(answer: Any, phase: str, resolved: tuple[str, str]) -> None:
    plan = look(model_version("1"), snapshot=answer, evaluations={})
    assert (plan.status.phase, condition(plan, "Resolved")) == (phase, resolved)
    assert plan.actions == ()
    assert condition(plan, "Stalled")[0] == ("True" if phase == "Refused" else "False")


def test_a_registry_that_does_not_exist_is_named() -> None:
    plan = look(model_version("1"), registry=None, snapshot=Pending(), evaluations={})
    assert condition(plan, "Ready") == ("False", "RegistryNotFound")


def test_a_pinned_version_is_evaluated_first() -> None:
    plan = look(model_version("1"), evaluations={})
    (create,) = plan.actions
    assert isinstance(create, Create)
    made = EvaluationJob.model_validate(create.manifest)
    assert made.spec.model.version == "1"
    assert made.metadata.owner_references[0].uid == "uid-1"
    assert plan.status.phase == "Evaluating"


@pytest.mark.parametrize(
    ("result", "reason"), [("Failed", "GateFailed"), ("Inconclusive", "Inconclusive"), ("Error", "EvaluationError")]
)
def test_nothing_but_passed_lets_it_serve(result: str, reason: str) -> None:
    version = model_version("1")
    job = verdict(version, result)
    plan = look(version, evaluations={job.metadata.name: job})
    assert condition(plan, "Ready") == ("False", reason)
    assert repoints(plan) == []


def test_a_verdict_on_other_content_does_not_count() -> None:
    version = model_version("1")
    job = verdict(version, "Passed", content="swapped")
    plan = look(version, evaluations={job.metadata.name: job})
    assert condition(plan, "Evaluated") == ("False", "EvaluationError")


def test_missing_lineage_is_named_and_blocks() -> None:
    plan = look(model_version("1", lineage={"require": ["Code", "Data", "Parameters"]}))
    assert condition(plan, "Ready") == ("False", "LineageMissing")
    found = find(plan.status.conditions, "LineageComplete")
    assert found is not None
    assert "Data" in found.message
    assert "Parameters" in found.message
    assert "Code" not in found.message
    assert repoints(plan) == []


def test_promotion_takes_the_finalizer_then_the_pointer_then_proves() -> None:
    version = model_version("1")
    plan = look(version)
    assert plan.actions[0] == SetFinalizer(present=True)
    assert repoints(plan) == [("models:/model/1", "Promotion")]
    assert plan.status.serving[0].previous == "models:/model/0"
    promoted = after(version)
    rolling = look(promoted, targets=on("models:/model/1", state="Progressing", serving={"models:/model/0": 1}))
    assert condition(rolling, "Serving") == ("Unknown", "Progressing")
    mixed = look(promoted, targets=on("models:/model/1", serving={"models:/model/0": 1, "models:/model/1": 1}))
    assert mixed.status.phase == "Promoting"
    proved = look(promoted, targets=on("models:/model/1"))
    assert condition(proved, "Ready") == ("True", "Serving")


def test_a_pointer_that_says_the_right_thing_already_becomes_our_own() -> None:
    version = model_version("1")
    plan = look(version, targets=on("models:/model/1"))
    assert plan.actions[0] == SetFinalizer(present=True)
    assert repoints(plan) == [("models:/model/1", "Adoption")]
    held = version.model_copy(update={"metadata": version.metadata.model_copy(update={"finalizers": (FINALIZER,)})})
    assert repoints(look(held, targets=on("models:/model/1"))) == []
    assert repoints(look(version, targets=on("models:/model/1", other_applier="argocd-controller"))) == []


def test_the_probe_must_be_answered_by_every_new_pod() -> None:
    probe = {"httpGet": {"path": "/ping", "port": 8080}}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe, "progressDeadline": "1m"}
    promoted = after(model_version("1", serving=[entry]))
    there = on("models:/model/1")
    for outcome in (None, ProbeOutcome(0, 0), ProbeOutcome(2, 1, "pod 10.0.0.1 answered 500")):
        probes = {} if outcome is None else {REF: outcome}
        assert look(promoted, targets=there, probes=probes).status.phase == "Promoting"
    assert look(promoted, targets=there, probes={REF: ProbeOutcome(2, 2)}).status.phase == "Serving"
    late = look(promoted, targets=there, probes={REF: ProbeOutcome(2, 1, "pod 10.0.0.1 answered 500")}, at=61)
    assert late.status.serving[0].rejection is not None
    assert late.status.serving[0].rejection.reason == "ProbeFailed"


def test_a_failed_rollout_gives_the_target_back_in_the_same_pass_without_the_registry() -> None:
    good = after(serving("1"), targets=on("models:/model/2"), siblings=(after(model_version("2")),))
    assert good.status.phase == "Superseded"
    bad = after(model_version("2"), siblings=(good,))
    failed = on("models:/model/2", state="Failed", serving={"models:/model/1": 1})
    plan = look(bad, siblings=(good,), targets=failed, snapshot=OUTAGE)
    assert repoints(plan) == [("models:/model/1", "Rollback")]
    assert Wake((Key("ModelVersion", "ns", "v1"),)) in plan.actions
    assert plan.status.phase == "RolledBack"
    assert condition(plan, "Ready") == ("False", "RolledBack")
    rejected = bad.model_copy(update={"status": plan.status})
    lost = look(rejected, siblings=(good,), targets=failed, snapshot=OUTAGE)
    assert repoints(lost) == [("models:/model/1", "Rollback")], "the patch was lost: it is made again"
    back = look(good, siblings=(rejected,), targets=on("models:/model/1"))
    assert back.status.phase == "Serving"
    retried = rejected.model_copy(update={"metadata": rejected.metadata.model_copy(update={"generation": 2})})
    again = look(retried, siblings=(good,), targets=on("models:/model/1"))
    assert repoints(again) == [("models:/model/2", "Promotion")], "a new commit clears the rejection"


def test_what_serves_is_not_given_away_before_the_winner_takes_it() -> None:
    good, newer = serving("1"), after(model_version("2", serving=[]))
    misfit = after(model_version("2"), targets=on("models:/model/1", misfit=MISFIT))
    plan = look(good, targets=on("models:/model/1"), siblings=(misfit,))
    assert repoints(plan) == []
    assert condition(plan, "Ready") == ("True", "Serving"), "what never fitted the target does not outrank it"
    assert look(deleted(good), targets=on("models:/model/1"), siblings=(misfit,)).actions == (), "nor inherits it"
    mended = look(misfit, targets=on("models:/model/1"), siblings=(good,))
    after_mending = misfit.model_copy(update={"status": mended.status})
    held = after(after_mending, targets=on("models:/model/1"), siblings=(good,))
    said = {"snapshot": Known(snapshot("2"), START + timedelta(seconds=2)), "targets": on("models:/model/1"), "siblings": (good,)}
    assert repoints(look(held, at=2, **said)) == [("models:/model/2", "Promotion")]
    rival = after(model_version("2", serving=[]))
    rival = model_version("2").model_copy(update={"status": rival.status})
    outranked = look(good, targets=on("models:/model/1"), siblings=(rival,))
    assert condition(outranked, "Ready") == ("True", "Outranked")
    assert look(good, targets=on("models:/model/1"), siblings=(newer,)).status.phase == "Serving"


def test_a_version_whose_evidence_is_gone_hands_its_target_over() -> None:
    standby, version = after(model_version("1")), serving("2")
    job = verdict(version, "Failed")
    plan = look(version, targets=on("models:/model/2"), siblings=(standby,), evaluations={job.metadata.name: job})
    assert repoints(plan) == [("models:/model/1", "Rollback")]


def test_a_rollout_that_never_ends_has_failed_at_its_deadline() -> None:
    promoted = after(model_version("1"))
    slow = on("models:/model/1", state="Progressing", serving={})
    assert look(promoted, targets=slow, at=599).status.phase == "Promoting"
    late = look(promoted, targets=slow, at=601)
    assert late.status.phase == "RolledBack"
    assert condition(late, "Serving") == ("False", "NoEligibleClaim")
    assert repoints(late) == [], "nothing to go back to: the pointer is never emptied"


def test_no_deadline_runs_while_the_workload_is_at_rest() -> None:
    promoted = after(model_version("1"))
    paused = {REF: Known(replace(target("models:/model/1", serving={}), rollout=RolloutState("Progressing", "Paused", "p")), START)}
    late = look(promoted, targets=paused, at=3600)
    assert condition(late, "Serving") == ("Unknown", "Paused")
    resting = promoted.model_copy(update={"status": late.status})
    slow = on("models:/model/1", state="Progressing", serving={})
    resumed = look(resting, targets=slow, at=3605)
    assert resumed.status.phase == "Promoting"
    going = resting.model_copy(update={"status": resumed.status})
    assert look(going, targets=slow, at=4200).status.phase == "Promoting"
    assert look(going, targets=slow, at=4206).status.phase == "RolledBack"


def test_a_crash_soon_after_the_proof_counts_at_once() -> None:
    crashed = on("models:/model/1", state="Failed", serving={})
    soon = look(serving("1"), targets=crashed, at=60)
    assert soon.status.serving[0].rejection is not None, "it crashed before its deadline was over: the proof came too early"


def test_automatic_rollback_can_be_switched_off() -> None:
    promoted = after(model_version("1", rollback={"automatic": False}))
    plan = look(promoted, targets=on("models:/model/1", state="Failed", serving={}))
    assert repoints(plan) == []
    assert condition(plan, "Ready") == ("False", "RolloutFailed")


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({REF: Absent("TargetNotFound", "no Deployment", START)}, "TargetNotFound"),
        (on("x", misfit=MISFIT), "ContainerNotFound"),
        (on("x", misfit=Misfit("PointerHasOtherSource", "valueFrom")), "PointerHasOtherSource"),
        (on("x", other_applier="argocd-controller"), "FieldOwnedByOther"),
        (on(None, undeclared=Misfit("PointerNotFound", "declares no MODEL_URI")), "PointerNotFound"),
    ],
)
def test_a_target_that_does_not_fit_is_left_alone(seen: Any, reason: str) -> None:
    plan = look(model_version("1"), targets=seen)
    assert condition(plan, "Ready") == ("False", reason)
    assert repoints(plan) == []


def test_a_patch_that_got_lost_is_made_again_and_nobody_is_blamed() -> None:
    version = model_version("1")
    for _ in range(5):
        plan = look(version)
        assert repoints(plan) == [("models:/model/1", "Promotion")]
        assert plan.status.drift == ()
        version = version.model_copy(update={"status": plan.status})


def test_a_proved_version_that_stops_answering_its_probe_is_told() -> None:
    probe = {"httpGet": {"path": "/ping", "port": 8080}}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe}
    there = on("models:/model/1")
    version = after(after(model_version("1", serving=[entry])), targets=there, probes={REF: ProbeOutcome(1, 1)})
    assert version.status.phase == "Serving"
    plan = look(version, targets=there, probes={REF: ProbeOutcome(1, 0, "pod 10.0.0.1 answered 500")})
    assert condition(plan, "Ready") == ("False", "ProbeFailed")
    assert [each.type for each in plan.status.drift] == ["Serving"]
    assert repoints(plan) == []


def test_somebody_elses_change_is_put_back_twice_and_then_reported() -> None:
    version = serving("1")
    for _ in range(2):
        plan = look(version, targets=on("models:/model/other"))
        assert repoints(plan) == [("models:/model/1", "Restore")]
        assert condition(plan, "InSync") == ("False", "Pointer")
        version = after(version, targets=on("models:/model/other"))
        version = after(version, targets=on("models:/model/1"))
    plan = look(version, targets=on("models:/model/other"))
    assert repoints(plan) == []
    assert condition(plan, "Ready") == ("False", "FieldOwnedByOther")
    stuck = version.model_copy(update={"status": plan.status})
    assert repoints(look(stuck, targets=on("models:/model/other"))) == []
    freed = {REF: Known(target(None, serving={}), START)}
    assert repoints(look(stuck, targets=freed)) == [("models:/model/1", "Promotion")], "the field is free again"
    changed = stuck.model_copy(update={"metadata": stuck.metadata.model_copy(update={"generation": 2})})
    assert repoints(look(changed, targets=on("models:/model/other"))) == [("models:/model/1", "Promotion")], "a new commit"


@pytest.mark.parametrize(
    ("answer", "drift"),
    [
        (Absent("VersionNotFound", "deleted", START), "Revoked"),
        (Absent("AccessDenied", "not any more", START), "Unknown"),
        (OUTAGE, "Unknown"),
        (Known(snapshot("1", content="overwritten"), START), "Artifact"),
        (Known(snapshot("1", created=START + timedelta(days=9)), START), "Artifact"),
    ],
)
def test_what_serves_goes_on_serving_whatever_the_registry_says(answer: Any, drift: str) -> None:
    version = serving("1")
    plan = look(version, snapshot=answer, targets=on("models:/model/1"))
    assert plan.status.phase == "Serving"
    assert plan.status.resolved == version.status.resolved
    assert [each.type for each in plan.status.drift] == [drift]
    assert condition(plan, "InSync")[0] == ("Unknown" if drift == "Unknown" else "False")


def test_a_deleted_or_changed_version_that_does_not_serve_loses_its_claim() -> None:
    pinned = after(model_version("1"), evaluations={})
    for answer in (Absent("VersionNotFound", "deleted", START), Known(snapshot("1", content="overwritten"), START)):
        plan = look(pinned, snapshot=answer)
        assert repoints(plan) == []
        assert plan.status.phase == "Refused"


def test_a_lost_evaluation_object_takes_no_verdict_away() -> None:
    version = serving("1")
    plan = look(version, evaluations={}, targets=on("models:/model/1"))
    assert plan.status.phase == "Serving"
    assert not [action for action in plan.actions if isinstance(action, Create)]


def test_deleting_an_evaluation_that_ended_in_error_runs_it_again() -> None:
    version = model_version("1")
    job = verdict(version, "Error")
    failed = after(version, evaluations={job.metadata.name: job})
    assert failed.status.phase == "Refused"
    assert [type(action) for action in look(failed, evaluations={}).actions] == [Create]


def test_a_changed_gate_is_evaluated_while_the_version_serves_on() -> None:
    version = serving("1")
    other = model_version("1", evaluations=[{"name": "holdout", "template": {"gate": [{"metric": "accuracy", "min": 0.99}]}}])
    changed = other.model_copy(update={"status": version.status, "metadata": version.metadata})
    plan = look(changed, evaluations={}, targets=on("models:/model/1"))
    assert [type(action) for action in plan.actions if not isinstance(action, WriteRegistry)] == [Create]
    assert plan.status.serving[0].state == "Serving"


def test_the_observed_state_is_written_once_and_read_back() -> None:
    version = serving("1")
    first = look(version, targets=on("models:/model/1"))
    (write,) = [action for action in first.actions if isinstance(action, WriteRegistry)]
    assert write.order.alias == "champion"
    assert write.order.tags["weighbridge.dev/state"] == "Serving"
    told = Known(snapshot("1", tags=dict(write.order.tags), aliases=frozenset({"champion"})), START)
    version = after(version, targets=on("models:/model/1"), snapshot=told)
    again = look(version, targets=on("models:/model/1"), snapshot=told)
    assert again.actions == ()
    assert again.status == version.status
    assert condition(again, "RegistrySynced") == ("True", "Synced")
    moved = look(version, targets=on("models:/model/1"), snapshot=Known(snapshot("1", tags=dict(write.order.tags)), START))
    assert moved.actions == (), "an alias somebody moved is reported, not taken back"
    assert condition(moved, "RegistrySynced") == ("False", "ChangedInRegistry")
    assert [each.type for each in moved.status.drift] == ["Registry"]


def test_a_failed_write_is_told_and_tried_again_later() -> None:
    version = serving("1")
    failed = Failed("WriteForbidden", "the credentials may not write", START, 30.0)
    early = look(version, targets=on("models:/model/1"), last_write=failed, at=5)
    assert early.actions == ()
    assert condition(early, "RegistrySynced") == ("False", "WriteForbidden")
    late = look(version, targets=on("models:/model/1"), last_write=failed, at=31)
    assert isinstance(late.actions[0], WriteRegistry)


def test_write_back_can_be_switched_off() -> None:
    silent = registry(writeBack={"enabled": False})
    plan = look(serving("1"), targets=on("models:/model/1"), registry=silent)
    assert plan.actions == ()
    assert condition(plan, "RegistrySynced") == ("True", "Disabled")


def test_suspend_stops_every_change() -> None:
    plan = look(model_version("1", suspend=True))
    assert plan.actions == ()
    assert condition(plan, "Ready") == ("False", "Suspended")


def test_a_suspended_version_keeps_what_it_holds_and_says_nothing_it_does_not_do() -> None:
    older = after(model_version("1"), targets=on("models:/model/2"), siblings=())
    for state in ("Serving", "Progressing"):
        held = serving("2") if state == "Serving" else after(model_version("2"))
        frozen = held.model_copy(update={"spec": held.spec.model_copy(update={"suspend": True})})
        edited = after(frozen, targets=on("models:/model/by-hand"), siblings=(older,))
        assert edited.status.serving[0].state == state
        assert look(frozen, targets=on("models:/model/by-hand")).actions == ()
        taken = look(older, targets=on("models:/model/by-hand"), siblings=(edited,))
        assert repoints(taken) == [], "the suspended version still has its claim"
        assert [each.type for each in edited.status.drift] == (["Pointer"] if state == "Serving" else [])


def test_a_target_without_ready_pods_is_not_ready() -> None:
    scaled = on("models:/model/1", state="Progressing", serving={})
    plan = look(serving("1"), targets=scaled)
    assert condition(plan, "Ready") == ("False", "NoReadyPods")
    assert plan.status.serving[0].state == "Serving"
    assert repoints(plan) == []


def test_a_candidate_is_weighed_and_claims_nothing() -> None:
    plan = look(model_version("1", stage="Candidate"))
    assert condition(plan, "Ready") == ("True", "Weighed")
    assert repoints(plan) == []


def deleted(version: ModelVersion) -> ModelVersion:
    change = {"deletion_timestamp": START, "finalizers": ("weighbridge.dev/serving",)}
    return version.model_copy(update={"metadata": version.metadata.model_copy(update=change)})


def test_deletion_hands_the_target_over_first() -> None:
    standby = after(model_version("1"))
    version = deleted(serving("2"))
    there = on("models:/model/2")
    alone = look(version, targets=there)
    assert alone.actions == ()
    assert condition(alone, "Ready") == ("False", "Deleting")
    handed = look(version, targets=there, siblings=(standby,))
    assert repoints(handed) == [("models:/model/1", "Rollback")]
    assert SetFinalizer(present=False) not in handed.actions
    old_pods = on("models:/model/1", state="Progressing", serving={"models:/model/2": 1})
    assert look(version, targets=old_pods, siblings=(standby,)).actions == ()
    freed = look(version, targets=on("models:/model/1"), siblings=(serving("1"),))
    assert freed.actions == (SetFinalizer(present=False),)
    demoted = version.model_copy(update={"spec": version.spec.model_copy(update={"stage": "Candidate"})})
    assert look(demoted, targets=there).actions == (), "it still serves, whatever its stage"
    gone = look(version, targets={REF: Absent("TargetNotFound", "gone", START)})
    assert gone.actions == (SetFinalizer(present=False),)


def test_deletion_of_one_of_two_versions_that_are_the_same_thing_ends() -> None:
    twin = serving("1").model_copy(update={"metadata": model_version("1", metadata={"name": "twin"}).metadata})
    version, there = deleted(serving("1")), on("models:/model/1")
    assert look(version, targets=there, siblings=(twin,)).actions == (SetFinalizer(present=False),)


def test_an_operator_that_just_started_decides_nothing_new_before_the_registry_answers() -> None:
    version = serving("1")
    fresh: Known[ModelSnapshot] = Known(snapshot("1"), START)
    known = after(version, targets=on("models:/model/1"), snapshot=fresh)
    plan = look(known, targets=on("models:/model/1"), snapshot=Pending())
    assert plan.status.phase == "Serving"
    assert plan.status.drift == ()
    assert repoints(plan) == []
