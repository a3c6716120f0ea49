"""What takes a target away from a version that serves, long after its promotion; and what never does."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from weighbridge.api import ModelVersion
from weighbridge.api.modelversion import FINALIZER
from weighbridge.api.serving import TargetRef
from weighbridge.api.versionstatus import ServingState
from weighbridge.core.facts import Absent, Failed, Known, ModelSnapshot, ProbeOutcome, RolloutState
from weighbridge.core.plan import Plan, SetFinalizer, Wake, WriteRegistry

from .test_modelversion import OUTAGE, REF, after, condition, look, on, repoints, serving, verdict
from .things import START, TARGET, model_version, snapshot, target

LATER = 3600.0
"""Seconds after the proof, well beyond the progress deadline."""
ALL = ["RolloutFailed", "ProbeFailed", "Revoked", "EvaluationFailed", "Alert"]


def annotated(version: ModelVersion, **annotations: str) -> ModelVersion:
    said = {f"weighbridge.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    return version.model_copy(update={"metadata": version.metadata.model_copy(update={"annotations": said})})


def staged(version: ModelVersion, stage: str, **annotations: str) -> ModelVersion:
    moved = version.model_copy(update={"spec": version.spec.model_copy(update={"stage": stage})})
    return annotated(moved, **annotations)


def standby() -> ModelVersion:
    """Version 1, replaced by version 2."""
    newer = serving("2")
    replaced = after(serving("1"), targets=on("models:/model/2"), siblings=(newer,))
    assert replaced.status.phase == "Superseded"
    return replaced


def step(version: ModelVersion, at: float, **change: Any) -> ModelVersion:
    plan = look(version, at=at, **change)
    return version.model_copy(update={"status": plan.status})


def rejection(plan: Plan) -> str:
    found = plan.status.serving[0].rejection
    return found.reason if found else ""


# --- crashes, long after the proof


def crashing(crashed_at: float, **kind: Any) -> dict[Any, Any]:
    rollout = RolloutState("Failed", "CrashLoop", "pod crashed", START + timedelta(seconds=crashed_at))
    return {REF: Known(replace(target("models:/model/2", serving={}), rollout=rollout, **kind), START)}


def test_a_late_crash_loop_that_goes_on_is_rolled_back_without_the_registry() -> None:
    old, version = standby(), serving("2")
    version = step(version, LATER, targets=crashing(LATER - 1), siblings=(old,), snapshot=OUTAGE)
    assert version.status.serving[0].rejection is None
    early = look(version, at=LATER + 29, targets=crashing(LATER + 5), siblings=(old,), snapshot=OUTAGE)
    assert repoints(early) == []
    late = look(version, at=LATER + 30, targets=crashing(LATER + 5), siblings=(old,), snapshot=OUTAGE)
    assert repoints(late) == [("models:/model/1", "Rollback")]
    assert rejection(late) == "RolloutFailed"


def spec_of(version: ModelVersion, **spec: Any) -> ModelVersion:
    return version.model_copy(update={"spec": model_version("2", **spec).spec})


@pytest.mark.parametrize(
    ("version", "seen", "reason"),
    [
        (serving("2"), on("models:/model/2", state="Progressing", serving={}), "NoReadyPods"),
        (spec_of(serving("2"), rollback={"automatic": False}), crashing(LATER + 5000), "RolloutFailed"),
        (spec_of(serving("2"), suspend=True), on("models:/model/2", state="Failed", serving={}), "Suspended"),
    ],
    ids=["silence", "rollback is off", "on hold"],
)
def test_that_nothing_serves_is_told_for_as_long_as_it_is_so(version: ModelVersion, seen: Any, reason: str) -> None:
    for at in (LATER, LATER + 60, LATER + 7200):
        plan = look(version, at=at, targets=seen)
        assert repoints(plan) == []
        assert condition(plan, "Serving") == ("False", reason if at > LATER or reason != "RolloutFailed" else "NoReadyPods")
        assert [each.type for each in plan.status.drift] == ["Serving"]
        version = version.model_copy(update={"status": plan.status})


def test_that_nothing_serves_is_as_it_should_be_where_somebody_wants_no_pods() -> None:
    rollout = RolloutState("Progressing", "ScaledToZero", "no replicas", None)
    none = {REF: Known(replace(target("models:/model/2", serving={}), rollout=rollout), START)}
    assert look(serving("2"), at=LATER, targets=none).status.drift == ()


def test_pods_that_crashed_once_and_come_back_slowly_take_nothing_away() -> None:
    version = step(serving("2"), LATER, targets=crashing(LATER - 1), siblings=(standby(),))
    plan = look(version, at=LATER + 600, targets=crashing(LATER - 1), siblings=(standby(),))
    assert repoints(plan) == []
    assert condition(plan, "Ready") == ("False", "NoReadyPods")
    well = look(version, at=LATER + 601, targets=on("models:/model/2"), siblings=(standby(),))
    assert well.status.serving[0].failing_since is None
    assert condition(well, "Ready") == ("True", "Serving")


def test_a_missing_image_is_evidence_only_where_the_image_is_the_model() -> None:
    missing = {
        REF: Known(
            replace(target("models:/model/2", serving={}), rollout=RolloutState("Failed", "ImageUnavailable", "no image")), START
        )
    }
    version = step(serving("2"), LATER, targets=missing, siblings=(standby(),))
    assert repoints(look(version, at=LATER + 99, targets=missing, siblings=(standby(),))) == []
    pointer = {"container": "server", "image": True, "value": "models:/model/{version}"}
    named = version.model_copy(
        update={"spec": model_version("2", serving=[{"targetRef": TARGET, "pointer": pointer}]).spec},
    )
    behind = standby().model_copy(update={"spec": model_version("1", serving=[{"targetRef": TARGET, "pointer": pointer}]).spec})
    named = step(named, LATER, targets=missing, siblings=(behind,))
    assert repoints(look(named, at=LATER + 99, targets=missing, siblings=(behind,))) == [("models:/model/1", "Rollback")]


def test_what_serves_when_somebody_looks_again_is_proved_however_late() -> None:
    promoted, there = after(model_version("2")), on("models:/model/2")
    assert look(promoted, at=LATER, targets=there).status.phase == "Serving"
    probe = {"httpGet": {"path": "/ping", "port": 8080}}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe}
    asked = after(model_version("2", serving=[entry]))
    waiting = look(asked, at=LATER, targets=there)
    assert waiting.status.serving[0].rejection is None, "nobody has asked it yet"
    wrong = look(asked, at=LATER, targets=there, probes={REF: ProbeOutcome(1, 0, "no")})
    assert rejection(wrong) == "ProbeFailed"


# --- answers, long after the proof


def probed(**rollback: Any) -> ModelVersion:
    probe = {"httpGet": {"path": "/ping", "port": 8080}, "failureWindow": "20s", "period": "15s"}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe}
    version = after(model_version("2", serving=[entry], rollback=rollback))
    served = after(version, targets=on("models:/model/2"), probes={REF: ProbeOutcome(2, 2)})
    assert served.status.phase == "Serving"
    return served


@pytest.mark.parametrize(
    ("outcome", "back"),
    [
        (ProbeOutcome(2, 0, "0.2 is below 0.9", wrong=2), True),
        (ProbeOutcome(2, 0, "one wrong, one silent", wrong=1), True),
        (ProbeOutcome(2, 0, "did not answer"), False),
        (ProbeOutcome(2, 1, "0.2 is below 0.9", wrong=1), False),
        (ProbeOutcome(0, 0), False),
    ],
)
def test_wrong_answers_that_last_are_evidence_and_silence_is_not(outcome: ProbeOutcome, back: bool) -> None:
    old, there = standby(), on("models:/model/2")
    version = step(probed(), LATER, targets=there, probes={REF: outcome}, siblings=(old,))
    assert repoints(look(version, at=LATER + 19, targets=there, probes={REF: outcome}, siblings=(old,), snapshot=OUTAGE)) == []
    late = look(version, at=LATER + 20, targets=there, probes={REF: outcome}, siblings=(old,), snapshot=OUTAGE)
    assert repoints(late) == ([("models:/model/1", "Rollback")] if back else [])
    assert rejection(late) == ("ProbeFailed" if back else "")


def test_what_pods_answer_is_written_once() -> None:
    there = on("models:/model/2")
    version = step(probed(), LATER, targets=there, probes={REF: ProbeOutcome(1, 0, "0.21 is below 0.9", wrong=1)})
    plan = look(version, at=LATER + 4, targets=there, probes={REF: ProbeOutcome(1, 0, "0.22 is below 0.9", wrong=1)})
    assert plan.status == version.status


def test_an_invariant_that_is_no_json_is_named_before_anything_is_promoted() -> None:
    probe = {"invariants": [{"name": "known", "port": 8080, "body": "{inputs: 1}", "min": 0.5}]}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe}
    plan = look(model_version("2", serving=[entry]))
    assert condition(plan, "Ready") == ("False", "ProbeInvalid")
    assert repoints(plan) == []


def test_one_right_answer_between_begins_the_window_anew() -> None:
    there, wrong = on("models:/model/2"), {REF: ProbeOutcome(1, 0, "wrong", wrong=1)}
    version = step(probed(), LATER, targets=there, probes=wrong)
    version = step(version, LATER + 10, targets=there, probes={REF: ProbeOutcome(1, 1)})
    version = step(version, LATER + 15, targets=there, probes=wrong)
    assert rejection(look(version, at=LATER + 25, targets=there, probes=wrong, siblings=(standby(),))) == ""


def test_a_proved_version_is_asked_again_after_its_period() -> None:
    plan = look(probed(), targets=on("models:/model/2"), probes={REF: ProbeOutcome(2, 2)})
    assert plan.requeue_after == 15.0


# --- the registry's word


def revoked(at: float) -> Absent:
    return Absent("VersionNotFound", "it was deleted", START + timedelta(seconds=at))


def test_a_version_deleted_in_the_registry_is_rolled_back_once_every_other_was_asked_too() -> None:
    there, old = on("models:/model/2"), standby()
    first = look(serving("2"), at=LATER, snapshot=revoked(LATER), targets=there, siblings=(old,))
    assert repoints(first) == []
    doubted = serving("2").model_copy(update={"status": first.status})
    same = look(doubted, at=LATER + 900, snapshot=revoked(LATER), targets=there, siblings=(old,))
    assert repoints(same) == [], "one answer is one answer, however old it gets"
    soon = look(doubted, at=LATER + 299, snapshot=revoked(LATER + 299), targets=there, siblings=(old,))
    assert repoints(soon) == []
    second = look(doubted, at=LATER + 301, snapshot=revoked(LATER + 300), targets=there, siblings=(old,))
    assert repoints(second) == [("models:/model/1", "Rollback")]
    lost = doubted.model_copy(update={"status": second.status})
    for silent in (OUTAGE, Failed("RegistryUnavailable", "no answer", START, 5.0)):
        assert repoints(look(lost, at=LATER + 360, snapshot=silent, targets=on("models:/model/1"), siblings=(old,))) == [], (
            "an outage gives nothing back"
        )


REJECTIONS: list[dict[str, Any]] = [
    {"tags": {"weighbridge.dev/rejected": "biased on new customers"}},
    {"aliases": frozenset({"rejected"})},
]


@pytest.mark.parametrize("said", REJECTIONS)
def test_a_version_rejected_in_the_registry_is_rolled_back_at_once(said: dict[str, Any]) -> None:
    word: Known[ModelSnapshot] = Known(snapshot("2", **said), START)
    plan = look(serving("2"), snapshot=word, targets=on("models:/model/2"), siblings=(standby(),))
    assert repoints(plan) == [("models:/model/1", "Rollback")]
    assert condition(plan, "Resolved") == ("False", "Rejected")
    assert repoints(look(model_version("2"), snapshot=word)) == [], "nor is it promoted"


def test_a_tag_that_says_no_rejection_is_none() -> None:
    for word in ("", "false", "none"):
        plan = look(
            serving("2"),
            snapshot=Known(snapshot("2", tags={"weighbridge.dev/rejected": word}), START),
            targets=on("models:/model/2"),
            siblings=(standby(),),
        )
        assert repoints(plan) == []


def test_what_serves_alone_stays_whatever_is_said() -> None:
    word = Known(snapshot("2", tags={"weighbridge.dev/rejected": "biased"}), START)
    plan = look(serving("2"), snapshot=word, targets=on("models:/model/2"))
    assert repoints(plan) == []
    assert plan.status.phase == "Serving"
    assert condition(plan, "Ready") == ("False", "NoEligibleClaim")


# --- evaluations


@pytest.mark.parametrize(("result", "back"), [("Failed", True), ("Error", False), ("Inconclusive", False)])
def test_only_a_failed_evaluation_is_evidence_against_what_serves(result: str, back: bool) -> None:
    version = serving("2")
    job = verdict(version, result)
    plan = look(version, targets=on("models:/model/2"), siblings=(standby(),), evaluations={job.metadata.name: job})
    assert repoints(plan) == ([("models:/model/1", "Rollback")] if back else [])
    assert condition(plan, "Ready")[0] == "False"
    assert plan.status.phase == ("Refused" if back else "Serving")


# --- alerts and wishes


def alert(at: float, name: str = "ScoresShifted") -> str:
    return f"{(START + timedelta(seconds=at)).isoformat()} 0123456789abcdef {name}"


def test_an_alert_on_what_serves_rolls_it_back_where_the_version_asks_for_it() -> None:
    old, there = standby(), on("models:/model/2")
    version = serving("2")
    asked = version.model_copy(update={"spec": model_version("2", rollback={"triggers": ALL}).spec})
    plan = look(annotated(asked, alert=alert(60)), at=LATER, targets=there, siblings=(old,), snapshot=OUTAGE)
    assert repoints(plan) == [("models:/model/1", "Rollback")]
    assert rejection(plan) == "Alert"
    assert "ScoresShifted" in plan.status.serving[0].rejection.message
    unasked = look(annotated(version, alert=alert(60)), at=LATER, targets=there, siblings=(old,))
    assert repoints(unasked) == []


@pytest.mark.parametrize("text", [alert(-60), "yesterday 0 name", "2026-01-01T13:00:00 0 without-a-zone", "nonsense", ""])
def test_an_alert_from_before_the_promotion_or_in_no_form_counts_for_nothing(text: str) -> None:
    asked = serving("2").model_copy(update={"spec": model_version("2", rollback={"triggers": ALL}).spec})
    plan = look(annotated(asked, alert=text), at=LATER, targets=on("models:/model/2"), siblings=(standby(),))
    assert repoints(plan) == []


def test_after_a_rollback_alerts_of_the_version_before_do_not_count() -> None:
    version = serving("2").model_copy(update={"spec": model_version("2", rollback={"triggers": ALL}).spec})
    (state,) = version.status.serving
    back = version.model_copy(
        update={"status": version.status.model_copy(update={"serving": (state.model_copy(update={"rollback": True}),)})}
    )
    there, old = on("models:/model/2"), standby()
    assert repoints(look(annotated(back, alert=alert(299)), at=LATER, targets=there, siblings=(old,))) == []
    assert repoints(look(annotated(back, alert=alert(300)), at=LATER, targets=there, siblings=(old,))) != []


def test_a_person_rolls_back_by_annotation_once_and_a_retry_takes_it_again() -> None:
    old, there = standby(), on("models:/model/2")
    asked = annotated(serving("2"), rollback="02:10 scores look wrong", requested_by="ana")
    plan = look(asked, at=LATER, targets=there, siblings=(old,), snapshot=OUTAGE)
    assert repoints(plan) == [("models:/model/1", "Rollback")]
    assert rejection(plan) == "Requested"
    assert "scores look wrong (ana)" in plan.status.serving[0].rejection.message
    rejected = asked.model_copy(update={"status": plan.status})
    there = on("models:/model/1")
    assert repoints(look(rejected, at=LATER + 60, targets=there, siblings=(old,))) == []
    retried = annotated(rejected, rollback="02:10 scores look wrong", retry="03:00")
    again = look(retried, at=LATER + 60, targets=there, siblings=(old,))
    assert repoints(again) == [("models:/model/2", "Promotion")], "the same request is not followed twice"
    new = annotated(rejected, rollback="04:00 still wrong", retry="03:00")
    both = look(new, at=LATER + 60, targets=there, siblings=(old,))
    assert rejection(both) == "Requested", "a rollback asked for at the same time wins"


def test_a_hold_keeps_everything_as_it_is() -> None:
    held = annotated(serving("2"), hold="incident 17", rollback="now")
    crash = on("models:/model/2", state="Failed", serving={})
    plan = look(held, targets=crash, siblings=(standby(),))
    assert [action for action in plan.actions if not isinstance(action, WriteRegistry)] == []
    assert condition(plan, "Ready") == ("False", "Suspended")
    free = look(serving("2"), targets=crash, siblings=(standby(),), hold="the operator is on hold")
    assert free.actions == ()


# --- stages


def test_lowering_the_stage_of_what_serves_needs_a_reason() -> None:
    old, there = standby(), on("models:/model/2")
    silent = staged(serving("2"), "Candidate")
    plan = look(silent, targets=there, siblings=(old,))
    assert repoints(plan) == []
    assert condition(plan, "Ready") == ("False", "DemotionNeedsReason")
    assert plan.status.phase == "Serving"
    said = staged(serving("2"), "Candidate", reason="recall regressed", requested_by="ana")
    leaving = look(said, targets=there, siblings=(old,), snapshot=OUTAGE)
    assert repoints(leaving) == [("models:/model/1", "Rollback")]
    left = look(said.model_copy(update={"status": leaving.status}), targets=on("models:/model/1"), siblings=(serving("1"),))
    assert left.status.phase == "Demoted"
    assert left.status.serving == ()
    assert "recall regressed (ana)" in left.status.history[-1].message
    rest = look(said.model_copy(update={"status": left.status}), targets=on("models:/model/1"), siblings=(serving("1"),))
    assert rest.status.phase == "Demoted", "it is still said at the next look"


def test_what_serves_alone_is_neither_demoted_nor_archived() -> None:
    for stage in ("Candidate", "Archived"):
        only = staged(serving("2"), stage, reason="old")
        plan = look(only, targets=on("models:/model/2"))
        assert repoints(plan) == []
        assert (plan.status.phase, condition(plan, "Ready")) == ("Serving", ("False", "OnlyOneServing"))


def test_the_way_back_is_kept_for_its_retention_time() -> None:
    there, newer = on("models:/model/2"), serving("2")
    replaced = staged(standby(), "Archived")
    kept = look(replaced, targets=there, siblings=(newer,))
    assert condition(kept, "Ready") == ("False", "DemotionNeedsReason")
    assert [state.state for state in kept.status.serving] == ["Superseded"]
    day = 24 * 3600
    assert look(replaced, targets=there, siblings=(newer,), at=day + 1).status.phase == "Archived"
    said = look(staged(standby(), "Archived", reason="disk"), targets=there, siblings=(newer,))
    assert said.status.phase == "Archived"


# --- the way back


def test_what_serves_says_whether_there_is_a_way_back_and_the_way_back_whether_it_is_one() -> None:
    there, old, newer = on("models:/model/2"), standby(), serving("2")
    assert condition(look(newer, targets=there, siblings=(old,)), "RollbackReady") == ("True", "StandbyReady")
    assert condition(look(newer, targets=there), "RollbackReady") == ("False", "NoStandby")
    assert condition(look(old, targets=there, siblings=(newer,)), "RollbackReady") == ("True", "Ready")
    assert condition(look(old, targets=there, siblings=(newer,), snapshot=OUTAGE), "RollbackReady")[0] == "Unknown"
    dead = step(old, 0, targets=there, siblings=(newer,), snapshot=Absent("ArtifactMissing", "files are gone", START))
    assert condition(look(dead, targets=there, siblings=(newer,), snapshot=OUTAGE), "RollbackReady") == ("False", "ArtifactMissing")
    crash = look(newer, targets=on("models:/model/2", state="Failed", serving={}), siblings=(dead,))
    assert repoints(crash) == [], "a dead way back is not taken"
    oldest = standby().model_copy(
        update={"metadata": model_version("0", metadata={"name": "v0", "finalizers": ["weighbridge.dev/serving"]}).metadata}
    )
    assert repoints(look(newer, targets=on("models:/model/2", state="Failed", serving={}), siblings=(dead, oldest))) != []


def test_a_service_is_never_pointed_at_no_pods() -> None:
    nothing = on("models:/model/1", not_yet="no ready pod carries version=2")
    plan = look(after(model_version("2")), targets=nothing)
    assert repoints(plan) == []
    old = look(standby(), targets=on("models:/model/2", not_yet="no ready pod carries version=1"), siblings=(serving("2"),))
    assert condition(old, "RollbackReady") == ("False", "NotReady")


def test_a_version_that_missed_its_rivals_turn_blames_nobody() -> None:
    version = serving("1")
    rival = after(model_version("2"), at=60, siblings=(version,))
    rejected = step(rival, 700, targets=on("models:/model/2", state="Failed", serving={}), siblings=(version,))
    assert rejected.status.serving[0].rejection is not None
    plan = look(version, at=701, targets=on("models:/model/2"), siblings=(rejected,))
    assert repoints(plan) == [("models:/model/1", "Rollback")]
    assert plan.status.drift == ()


# --- flapping


def test_a_target_that_goes_to_and_fro_comes_to_rest() -> None:
    version = serving("2")
    (state,) = version.status.serving
    often: tuple[datetime, ...] = tuple(START + timedelta(minutes=minute) for minute in (1, 2, 3))
    tired = version.model_copy(
        update={"status": version.status.model_copy(update={"serving": (_replaced(state, often),)})},
    )
    taken_back = serving("1")
    there = on("models:/model/1")
    flapping = look(tired, at=600, targets=there, siblings=(taken_back,))
    assert repoints(flapping) == []
    assert condition(flapping, "Serving") == ("False", "Flapping")
    assert repoints(look(tired, at=3700, targets=there, siblings=(taken_back,))) == [("models:/model/2", "Promotion")]
    failing = after(taken_back, targets=on("models:/model/1", state="Failed", serving={}))
    assert failing.status.serving[0].rejection is not None
    assert repoints(look(tired, at=600, targets=there, siblings=(failing,))) != [], "a way back is never refused for it"


def _replaced(state: ServingState, taken: tuple[datetime, ...]) -> ServingState:
    return state.model_copy(update={"state": "Waiting", "since": None, "taken": taken})


# --- what a hostile look found


IMAGE = {"container": "server", "image": True, "value": "models:/model/{version}"}


def by(number: str, pointer: dict[str, Any], version: ModelVersion) -> ModelVersion:
    return version.model_copy(update={"spec": model_version(number, serving=[{"targetRef": TARGET, "pointer": pointer}]).spec})


def test_one_version_never_writes_anothers_value_into_its_own_field() -> None:
    other = by("2", IMAGE, serving("2"))
    plan = look(annotated(other, rollback="now"), targets=on("models:/model/2"), siblings=(standby(),))
    assert repoints(plan) == []
    newcomer = look(by("3", IMAGE, model_version("3")), siblings=(serving("1"),), targets=on("models:/model/1"))
    assert condition(newcomer, "Serving") == ("False", "PointersDiffer")


def test_a_service_is_only_re_pointed_by_who_can_see_its_own_pods() -> None:
    pointer = {"selector": "version", "value": "{version}"}
    service = {"apiVersion": "v1", "kind": "Service", "name": "server"}
    entries = [{"targetRef": service, "pointer": pointer}]
    holder = serving("2").model_copy(update={"spec": model_version("2", serving=entries).spec})
    (state,) = holder.status.serving
    renamed = state.model_copy(update={"target": "Service/server"})
    holder = holder.model_copy(update={"status": holder.status.model_copy(update={"serving": (renamed,)})})
    ready = holder.model_copy(
        update={"metadata": standby().metadata, "spec": model_version("1", serving=entries).spec, "status": standby().status}
    )
    ref = holder.spec.serving[0].target_ref
    plan = look(annotated(holder, rollback="now"), targets={ref: Known(target("2"), START)}, siblings=(ready,))
    assert repoints(plan) == []
    assert any(isinstance(action, Wake) for action in plan.actions)


def test_two_targets_are_promoted_each_by_itself() -> None:
    away = {**TARGET, "name": "nosuch"}
    pointer = {"container": "server", "env": "MODEL_URI"}
    version = model_version("2", serving=[{"targetRef": TARGET, "pointer": pointer}, {"targetRef": away, "pointer": pointer}])
    gone = {TargetRef.model_validate(away): Absent("TargetNotFound", "there is no Deployment nosuch", START)}
    waiting = version.model_copy(update={"status": look(version, targets=on("models:/model/1") | gone).status})
    said: Known[ModelSnapshot] = Known(snapshot("2"), START + timedelta(seconds=2))
    assert repoints(look(version, targets=on("models:/model/1") | gone)) == [("models:/model/2", "Promotion")]
    assert waiting.status.serving[1].state == "Blocked"
    assert look(waiting, at=2, snapshot=said, targets=on("models:/model/2") | gone).status.serving[0].state == "Serving"


def test_an_old_request_that_a_manifest_brings_back_is_not_followed_again() -> None:
    old, there = standby(), on("models:/model/2")
    version = serving("2")
    for request in ({"rollback": "A"}, {"retry": "r1"}, {"rollback": "B"}, {"retry": "r2"}, {}):
        version = step(annotated(version, **request), LATER, targets=there, siblings=(old,))
    for stale in ({"rollback": "A"}, {"retry": "r1"}, {"rollback": "B", "retry": "r2"}):
        assert look(annotated(version, **stale), at=LATER, targets=there, siblings=(old,)).status == version.status


def test_what_is_rolled_back_with_nobody_to_take_over_is_told_as_it_is() -> None:
    plan = look(annotated(serving("2"), rollback="now"), targets=on("models:/model/2"))
    assert (plan.status.phase, plan.status.serving[0].state) == ("Serving", "Serving")
    assert condition(plan, "Ready") == ("False", "NoEligibleClaim")
    assert rejection(plan) == "Requested"


def test_a_field_of_another_applier_is_not_said_to_have_gone_back() -> None:
    there = on("models:/model/2", other_applier="argocd-controller")
    plan = look(annotated(serving("2"), rollback="now"), targets=there, siblings=(standby(),))
    assert repoints(plan) == []
    assert condition(plan, "Serving") == ("False", "FieldOwnedByOther")
    assert [each.type for each in plan.status.drift] == ["Pointer"]


def rejected(number: str) -> ModelVersion:
    crash = on(f"models:/model/{number}", state="Failed", serving={})
    return step(after(model_version(number), at=60), 700, targets=crash)


def test_a_fault_that_is_not_the_models_does_not_reject_the_whole_line() -> None:
    crash = on("models:/model/2", state="Failed", serving={})
    failed = [rejected("3"), rejected("4")]
    assert all(each.status.serving[0].rejection for each in failed)
    (state,) = after(model_version("2")).status.serving
    back = after(model_version("2"))
    back = back.model_copy(
        update={"status": back.status.model_copy(update={"serving": (state.model_copy(update={"rollback": True}),)})}
    )
    siblings = (*failed, standby())
    assert repoints(look(back, at=701, targets=crash, siblings=siblings)) == []
    assert repoints(look(back, at=701, targets=crash, siblings=siblings[1:])) == [("models:/model/1", "Rollback")]


def test_a_promotion_under_way_is_not_ended_by_one_answer_of_the_registry() -> None:
    promoted, old = after(model_version("2")), standby()
    rolling = on("models:/model/2", state="Progressing", serving={"models:/model/1": 1})
    assert repoints(look(promoted, snapshot=revoked(1), targets=rolling, siblings=(old,))) == []
    told = promoted.model_copy(update={"spec": model_version("2", rollback={"automatic": False}).spec})
    told = step(told, 10, snapshot=revoked(10), targets=rolling, siblings=(old,))
    assert repoints(look(told, at=20, snapshot=revoked(20), targets=rolling, siblings=(old,))) == []


def test_two_foreign_edits_long_ago_are_forgotten() -> None:
    version = serving("2")
    (state,) = version.status.serving
    old = version.model_copy(
        update={"status": version.status.model_copy(update={"serving": (state.model_copy(update={"restored": 2}),)})}
    )
    plan = look(old, at=LATER + 60, targets=on("models:/model/other"))
    assert repoints(plan) == [("models:/model/2", "Restore")]
    assert plan.status.serving[0].restored == 1


def test_a_first_promotion_onto_a_field_of_another_applier_comes_to_rest() -> None:
    there = on("models:/model/1", other_applier="argocd-controller")
    version = step(model_version("2"), 0, targets=there)
    assert version.status.serving[0].state == "Blocked"
    assert look(version, targets=there).status == version.status


def test_deletion_lets_go_of_what_is_not_ours() -> None:
    metadata = {"name": "v2", "uid": "uid-2", "deletionTimestamp": START, "finalizers": [FINALIZER]}
    going = serving("2").model_copy(update={"metadata": model_version("2", metadata=metadata).metadata})
    owned = on("models:/model/2", other_applier="argocd-controller")
    assert look(going, targets=owned, siblings=(standby(),)).actions[-1] == SetFinalizer(present=False)
    gone = {REF: Absent("TargetNotFound", "gone", START)}
    assert look(going, targets=gone, hold="on hold").actions[-1] == SetFinalizer(present=False)
    assert repoints(look(going, targets=on("models:/model/2"), siblings=(standby(),), hold="on hold")) == []
    elsewhere = {REF: Known(replace(target("models:/model/3", serving={})), START)}
    scaled = look(going, targets=elsewhere, siblings=(after(model_version("3")),))
    assert scaled.actions[-1] == SetFinalizer(present=False), "none of its pods is left"


def test_a_gate_that_was_just_changed_is_passed_by_nobody_yet() -> None:
    behind = standby()
    edited = behind.model_copy(update={"metadata": behind.metadata.model_copy(update={"generation": 2})})
    plan = look(serving("2"), targets=on("models:/model/2", state="Failed", serving={}), siblings=(edited,))
    assert repoints(plan) == []
    assert repoints(look(edited, targets=on("models:/model/2"), siblings=(model_version("3"),))) != []


def test_a_persons_word_holds_until_they_take_it_back_whatever_else_changes() -> None:
    asked = annotated(serving("2"), rollback="biased")
    gone = step(asked, LATER, targets=on("models:/model/2"), siblings=(standby(),))
    edited = gone.model_copy(update={"metadata": gone.metadata.model_copy(update={"generation": 2})})
    there = on("models:/model/1")
    assert repoints(look(edited, at=LATER + 9, targets=there, siblings=(serving("1"),))) == []
    retried = annotated(edited, rollback="biased", retry="checked again")
    assert repoints(look(retried, at=LATER + 9, targets=there, siblings=(serving("1"),))) == [("models:/model/2", "Promotion")]


def test_the_reason_of_one_demotion_is_none_for_the_next() -> None:
    said = staged(serving("2"), "Candidate", reason="recall regressed")
    leaving = step(said, LATER, targets=on("models:/model/2"), siblings=(standby(),))
    left = step(leaving, LATER + 1, targets=on("models:/model/1"), siblings=(serving("1"),))
    assert left.status.requests.reason == "recall regressed"
    again = serving("2").model_copy(
        update={"status": serving("2").status.model_copy(update={"requests": left.status.requests}), "metadata": said.metadata}
    )
    plan = look(staged(again, "Candidate", reason="recall regressed"), targets=on("models:/model/2"), siblings=(standby(),))
    assert condition(plan, "Ready") == ("False", "DemotionNeedsReason")


def test_wrong_answers_while_it_is_promoted_count_after_their_window_and_not_at_the_deadline() -> None:
    probe = {"httpGet": {"path": "/ping", "port": 8080}, "failureWindow": "20s"}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe}
    old, there = standby(), on("models:/model/2")
    asked = after(model_version("2", serving=[entry]), siblings=(old,))
    wrong, silent = {REF: ProbeOutcome(1, 0, "0.2", wrong=1)}, {REF: ProbeOutcome(1, 0, "no answer")}
    asked = step(asked, 10, targets=there, probes=wrong, siblings=(old,))
    assert repoints(look(asked, at=29, targets=there, probes=wrong, siblings=(old,))) == []
    plan = look(asked, at=30, targets=there, probes=wrong, siblings=(old,))
    assert (rejection(plan), repoints(plan)) == ("ProbeFailed", [("models:/model/1", "Rollback")])
    assert rejection(look(asked, at=30, targets=there, probes=silent, siblings=(old,))) == "", "silence is no wrong answer"
    again = step(asked, 15, targets=there, probes=silent, siblings=(old,))
    assert rejection(look(again, at=30, targets=there, probes=wrong, siblings=(old,))) == "", "the window began anew"


def test_an_alert_that_names_one_target_speaks_of_no_other() -> None:
    pointer = {"container": "server", "env": "MODEL_URI"}
    entries = [{"targetRef": {**TARGET, "name": name}, "pointer": pointer} for name in ("server", "batch")]
    version = model_version("2", serving=entries, rollback={"triggers": ALL})
    where = {TargetRef.model_validate(each["targetRef"]): on("models:/model/2")[REF] for each in entries}
    served = step(step(version, 0, targets=where), 1, targets=where)
    began = START + timedelta(seconds=60)
    plan = look(annotated(served, alert=f"{began.isoformat()} 0123@Deployment/batch ScoresOff"), at=LATER, targets=where)
    reasons = {state.target: state.rejection and state.rejection.reason for state in plan.status.serving}
    assert reasons == {"Deployment/server": None, "Deployment/batch": "Alert"}


def test_an_entry_that_is_taken_out_of_the_spec_is_told_loudly_until_the_spec_changes_again() -> None:
    version = serving("2")
    dropped = version.model_copy(update={"spec": model_version("2", serving=[]).spec})
    first = look(dropped, at=LATER, targets={})
    assert condition(first, "Serving") == ("False", "EntryRemoved")
    assert condition(first, "Ready") == ("False", "EntryRemoved")
    kept = dropped.model_copy(update={"status": first.status})
    assert look(kept, at=LATER + 60, targets={}).status == first.status
    renewed = kept.model_copy(update={"metadata": kept.metadata.model_copy(update={"generation": kept.metadata.generation + 1})})
    assert condition(look(renewed, at=LATER + 60, targets={}), "Ready") == ("True", "Weighed")


def test_a_hold_that_says_false_is_none() -> None:
    version, there = serving("2"), on("foreign")
    assert repoints(look(annotated(version, hold="false"), at=LATER, targets=there)) != []
    assert repoints(look(annotated(version, hold=""), at=LATER, targets=there)) == []


def test_a_stage_lowered_without_a_word_keeps_no_version_that_fails_its_evaluation() -> None:
    version = serving("2")
    job = verdict(version, "Failed")
    lowered, judged = staged(version, "Candidate"), {job.metadata.name: job}
    plan = look(lowered, at=LATER, targets=on("models:/model/2"), siblings=(standby(),), evaluations=judged)
    assert repoints(plan) == [("models:/model/1", "Rollback")]


def test_what_a_probe_says_is_kept_while_only_numbers_change_and_told_anew_when_it_is_something_else() -> None:
    there, old = on("models:/model/2"), standby()
    probe = {"httpGet": {"path": "/ping", "port": 8080}}
    entry = {"targetRef": TARGET, "pointer": {"container": "server", "env": "MODEL_URI"}, "probe": probe}
    version = after(model_version("2", serving=[entry]), siblings=(old,))

    def says(text: str) -> str:
        nonlocal version
        version = step(version, 5, targets=there, siblings=(old,), probes={REF: ProbeOutcome(1, 0, text)})
        return next(each.message for each in version.status.conditions if each.type == "Serving")

    assert says("the pod at 10.0.0.1:8080 could not be reached for GET /ping") == says(
        "the pod at 10.0.0.2:8080 could not be reached for GET /ping"
    )
    assert "301" in says("the pod at 10.0.0.2:8080 answered GET /ping with status 301, expected 200")


def test_a_version_that_waits_for_its_evaluation_says_for_whom() -> None:
    evaluations = [{"name": "holdout", "template": {"gate": [{"metric": "accuracy", "min": 0.9}]}}]
    newer, older = model_version("2", evaluations=evaluations), model_version("1", evaluations=evaluations)
    newer = newer.model_copy(update={"status": look(newer, evaluations={}).status})
    plan = look(older, siblings=(newer,), evaluations={})
    assert condition(plan, "Ready") == ("False", "EvaluationPending")
    message = next(each.message for each in plan.status.conditions if each.type == "Evaluated")
    assert newer.metadata.name in message
