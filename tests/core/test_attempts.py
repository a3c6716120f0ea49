"""Attempts of an evaluation: one Job each, never two pods at once, no result lost, wherever the operator dies."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api import EvaluationJob
from weighbridge.api.evaluationjob import EvaluationJobStatus
from weighbridge.api.evaluationpod import JobState
from weighbridge.core.attempts import RETRIED, pause
from weighbridge.core.evaluationfacts import Earlier, JobFacts
from weighbridge.core.facts import Absent, Failed, Known
from weighbridge.core.names import job_name
from weighbridge.core.plan import Create, Delete, Plan

from .laboratory import RESULTS, Killed, Laboratory
from .test_evaluationjob import look, ready, running, with_status
from .things import START, evaluation_job, resolved, snapshot

BAD_LUCK = sorted(RETRIED)
FINAL = ["OutOfMemory", "DeadlineExceeded", "EvaluatorMisconfigured", "SubjectChanged", "OutOfStorage", "InvalidImageName"]
UNLUCKY = ["EngineFailed", "JobDeleted", "ResultLost", "Result"]


def of(job: EvaluationJob) -> JobState:
    assert job.status.job is not None
    return job.status.job


def scheduled(**spec: Any) -> EvaluationJob:
    job = evaluation_job(**spec)
    return with_status(job, look(job).status)


def seen(job: EvaluationJob, /, **facts: Any) -> EvaluationJob:
    return with_status(job, look(job, **facts).status)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def waiting(state: str = "Waiting", **kind: Any) -> JobFacts:
    return JobFacts(uid="job", ours=True, state=state, created_at=START, **kind)  # type: ignore[arg-type]


def test_bad_luck_is_attempted_again_until_a_result() -> None:
    world = Laboratory(UNLUCKY)
    world.settle()
    assert world.job.status.phase == "Passed"
    assert (of(world.job).attempt, of(world.job).last_failure) == (4, "ResultLost")
    assert world.order == [world.name(each) for each in (1, 2, 3, 4)]
    assert world.most_pods == 1


def test_the_operator_killed_at_every_write_makes_one_job_per_attempt_and_loses_no_result() -> None:
    undisturbed = Laboratory(list(UNLUCKY))
    undisturbed.settle()
    assert undisturbed.writes >= 12
    for number in range(undisturbed.writes):
        world = Laboratory(list(UNLUCKY))
        world.settle(dies_at=number)
        assert world.job.status.phase == "Passed", f"killed at write {number}"
        assert world.order == undisturbed.order, f"killed at write {number}"
        assert (world.most_jobs, world.most_pods) == (1, 1), f"killed at write {number}"


@given(st.lists(st.sampled_from([*BAD_LUCK, *FINAL, "Result"]), min_size=4, max_size=4), st.lists(st.integers(0, 3), max_size=40))
def test_any_luck_and_any_deaths(luck: list[str], deaths: list[int]) -> None:
    world = Laboratory(luck)
    for survive in deaths:
        if world.job.status.verdict is not None:
            break
        try:
            world.reconcile(world.writes + survive)
        except Killed:
            continue
        world.step()
    world.settle()
    assert (world.most_jobs, world.most_pods) <= (1, 1)
    assert set(world.created.values()) == {1}, "exactly one Job per attempt"
    assert world.order == [world.name(each + 1) for each in range(len(world.order))], "no attempt skipped"
    last = luck[len(world.order) - 1]
    assert world.job.status.phase == ("Passed" if last == "Result" else "Error")
    assert all(each in RETRIED for each in luck[: len(world.order) - 1])
    assert world.measured == (world.job.status.phase == "Passed"), "a result is a verdict"


@pytest.mark.parametrize("reason", FINAL)
def test_what_would_end_the_same_is_not_attempted_again(reason: str) -> None:
    world = Laboratory([reason])
    world.settle()
    assert (world.job.status.phase, ready(Plan(world.job.status))[1], of(world.job).attempt) == ("Error", reason, 1)


def test_attempts_are_bounded_and_the_last_one_says_which_it_was() -> None:
    world = Laboratory(["EngineFailed"] * 2, job=evaluation_job(backoffLimit=1))
    world.settle()
    assert len(world.order) == 2
    assert world.job.status.verdict is not None
    assert "(attempt 2 of 2)" in world.job.status.verdict.lines[0].message
    alone = Laboratory(["EngineFailed"], job=evaluation_job(backoffLimit=0))
    alone.settle()
    assert len(alone.order) == 1


def test_pauses_grow_to_five_minutes_and_names_fit() -> None:
    assert [pause(each) for each in (1, 2, 3, 5, 6, 10)] == [10, 20, 40, 160, 300, 300]
    names = {job_name(evaluation_job(metadata={"name": "a" * 120}), attempt) for attempt in range(1, 12)}
    assert len(names) == 11
    assert all(len(name) <= 63 for name in names)


def broken() -> EvaluationJob:
    """After the first attempt broke."""
    job = seen(scheduled(), job=running("Running"))
    plan = look(job, job=running("Failed", reason="EngineFailed", message="exit code 1"))
    assert plan.actions == (Delete("batch/v1", "Job", job_name(job), "job"),)
    assert plan.status.phase == "Waiting"
    assert "attempt 1 of 2 broke: exit code 1" in str(plan.status.conditions)
    assert plan.status.verdict is None
    return with_status(job, plan.status)


def test_the_next_attempt_waits_for_its_pause_and_for_what_is_left_of_the_one_before() -> None:
    job = broken()
    again = look(job, earlier=Earlier(uid="job"), now=at(60))
    assert again.actions == (Delete("batch/v1", "Job", job_name(job), "job"),), "killed before it deleted the Job"
    assert look(job, now=at(3)).requeue_after == 7
    held = look(job, now=at(60), earlier=Earlier(pods=("pod-1",)))
    assert held.actions == ()
    assert "pod pod-1 of the attempt before" in str(held.status.conditions)
    fresh = Known(snapshot("1"), at(60))
    begun = look(with_status(job, held.status), now=at(60), model=fresh)
    assert begun.actions == (Create({"metadata": {"name": job_name(job, 2)}}),)
    assert of(with_status(job, begun.status)).last_failure == "EngineFailed"


def test_later_attempts_keep_the_pins_of_the_first_and_wait_for_the_registry() -> None:
    job = broken()
    moved = look(job, now=at(60), model=Known(snapshot("2"), at(60)))
    assert moved.status.resolved == resolved("1")
    assert [type(each) for each in moved.actions] == [Create]
    outage = look(job, now=at(60), model=Failed("RegistryUnavailable", "no answer", at(60), 5.0))
    assert (outage.actions, ready(outage)[1]) == ((), "RegistryUnavailable")
    assert (outage.status.resolved, of(with_status(job, outage.status)).attempt) == (resolved("1"), 2)
    gone = look(job, now=at(60), model=Absent("VersionNotFound", "gone", at(60)))
    assert (gone.actions, gone.status.phase, gone.status.verdict) == ((), "Refused", None)
    back = look(with_status(job, gone.status), now=at(400), model=Known(snapshot("1"), at(400)))
    assert [type(each) for each in back.actions] == [Create]
    pins = resolved("1").model_copy(update={"model": resolved("1").model.model_copy(update={"registry": "other"})})
    elsewhere = with_status(job, job.status.model_copy(update={"resolved": pins}))
    nowhere = look(elsewhere, now=at(60), model=Known(snapshot("1"), at(60)))
    assert (nowhere.actions, ready(nowhere)[1]) == ((), "RegistryNotFound")


def test_a_job_that_was_seen_and_is_gone_is_not_made_again_under_its_name() -> None:
    job = seen(scheduled(), job=waiting())
    plan = look(job)
    assert plan.actions == ()
    assert ready(plan)[1] == "JobDeleted"
    assert of(with_status(job, plan.status)).attempt == 2


def test_an_image_that_cannot_be_had_is_waited_for_ten_minutes() -> None:
    missing = waiting(reason="ImageUnavailable", message="pod p cannot get the image")
    job = seen(scheduled(), job=missing, now=at(30))
    assert ready(Plan(job.status)) == ("False", "ImageUnavailable")
    assert look(job, job=missing, now=at(600)).status.job.attempt == 1
    assert seen(job, job=waiting(), now=at(600)).status.job.image_missing_since is None  # type: ignore[union-attr]
    plan = look(job, job=missing, now=at(630))
    assert [type(each) for each in plan.actions] == [Delete]
    assert plan.status.job.attempt == 2
    last = look(
        with_status(job, job.status.model_copy(update={"job": of(job).model_copy(update={"attempt": 2})})), job=missing, now=at(630)
    )
    assert (last.status.phase, ready(last)[1]) == ("Error", "ImageUnavailable")
    assert [type(each) for each in last.actions] == [Delete], "its pod would wait for ever"


def test_a_name_that_no_image_can_have_ends_at_once_and_its_pod_goes() -> None:
    plan = look(scheduled(), job=waiting(reason="InvalidImageName", message="correct it"))
    assert (plan.status.phase, ready(plan)[1]) == ("Error", "InvalidImageName")
    assert [type(each) for each in plan.actions] == [Delete]


def test_who_waits_longer_than_the_queue_deadline_ends_and_leaves_nothing() -> None:
    job = seen(scheduled(queueDeadline="1h"), job=waiting(reason="Unschedulable", message="no node"))
    assert look(job, job=waiting(), now=at(3599)).status.verdict is None
    plan = look(job, job=waiting(reason="Unschedulable", message="no node takes it"), now=at(3600))
    assert (plan.status.phase, ready(plan)[1]) == ("Error", "QueueDeadlineExceeded")
    assert [type(each) for each in plan.actions] == [Delete]
    assert "no node takes it" in str(plan.status.verdict)
    killed = look(with_status(job, plan.status), job=waiting(), now=at(3601))
    assert [type(each) for each in killed.actions] == [Delete], "killed between verdict and deletion"
    assert killed.status == plan.status


def test_a_pod_that_is_evicted_waits_anew_and_that_is_no_attempt() -> None:
    job = seen(scheduled(queueDeadline="1h"), job=running("Running"), now=at(10))
    assert (of(job).started_at, of(job).waiting_since) == (START, None)
    queued = waiting("Queued", reason="Queued", message="waits in queue gpu (Preempted: by another)")
    plan = look(job, job=queued, now=at(5000))
    assert (plan.status.phase, ready(plan)) == ("Queued", ("False", "Queued"))
    assert (of(with_status(job, plan.status)).attempt, plan.actions) == (1, ())
    requeued = with_status(job, plan.status)
    assert (of(requeued).waiting_since, of(requeued).started_at) == (at(5000), None)
    admitted = seen(requeued, job=waiting(), now=at(5030))
    assert of(admitted).waiting_since == at(5000), "queue and node are one wait"
    resumed = seen(admitted, job=replace(running("Running"), started_at=at(8000)), now=at(8000))
    assert look(resumed, job=replace(running("Running"), started_at=at(8000)), now=at(8000 + 7200)).status.verdict is None
    done = look(resumed, job=running("Complete"), report=RESULTS, now=at(9000))
    assert done.status.phase == "Passed"


def test_a_job_that_was_never_admitted_is_no_refused_creation() -> None:
    job = seen(scheduled(), job=waiting("Queued", reason="Queued", message="waits in queue gpu"))
    plan = look(job, now=at(5))
    began = look(with_status(job, plan.status), now=at(60), model=Known(snapshot("1"), at(60)))
    assert [type(each) for each in began.actions] == [Create]
    assert began.status != plan.status


def test_a_node_that_does_not_end_a_pod_in_time_is_not_waited_for() -> None:
    job = seen(scheduled(activeDeadline="1h"), job=running("Running"))
    assert look(job, job=running("Running"), now=at(3700)).status.verdict is None
    plan = look(job, job=running("Running"), now=at(3720))
    assert (plan.status.phase, ready(plan)[1]) == ("Error", "DeadlineExceeded")
    assert [type(each) for each in plan.actions] == [Delete]


@pytest.mark.parametrize(("report", "kept"), [(RESULTS, 24), (None, 72)])
def test_how_long_the_job_is_kept_goes_by_the_verdict_and_counts_from_its_record(report: Any, kept: int) -> None:
    job = seen(scheduled(), job=running("Running"))
    late = at(90 * 3600)  # nobody looked for days
    ended = running("Complete", finished_at=START)
    plan = look(job, job=ended, report=report, now=late)
    assert plan.actions == ()
    done = with_status(job, plan.status)
    assert look(done, job=ended, now=late + timedelta(hours=kept, seconds=-1)).actions == ()
    due = look(done, job=ended, now=late + timedelta(hours=kept))
    assert due.actions == (Delete("batch/v1", "Job", job_name(job), "job"),)
    assert look(done, now=late + timedelta(hours=kept)) == Plan(done.status), "a verdict stays without its Job"


def test_a_status_of_before_attempts_is_followed() -> None:
    old = EvaluationJobStatus(resolved=resolved("1"), job=JobState(name="evaluation", started_at=START))
    plan = look(with_status(evaluation_job(), old))
    assert ready(plan)[1] == "JobDeleted"
