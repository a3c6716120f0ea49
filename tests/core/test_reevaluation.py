"""Evaluations made again: by age, by a changed dataset, by request; what counts until the new verdict is there."""

from datetime import timedelta
from typing import Any

import pytest

from tests.core.things import START, dataset_pin, model_version, pin, resolved, sha
from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.api.annotations import RE_EVALUATE
from weighbridge.api.evaluationjob import Champion, EvaluationJobStatus, JobState, ResolvedDataset
from weighbridge.api.gate import Verdict
from weighbridge.api.versionstatus import EvaluationState, ServingState
from weighbridge.core.conditions import Draft, settle
from weighbridge.core.evaluations import Evaluated, evaluate
from weighbridge.core.facts import Failed, Known, Pending
from weighbridge.core.names import evaluation_name
from weighbridge.core.plan import Create, Delete
from weighbridge.core.reevaluation import RETRY
from weighbridge.core.requests import follow
from weighbridge.core.versionfacts import VersionFacts

DAY = 86400.0
GATE = [{"metric": "accuracy", "min": 0.9}]


class Bench:
    """A version with one evaluation, and the EvaluationJobs that its plans made."""

    def __init__(self, **evaluation: Any) -> None:
        entry = {"name": "holdout", "template": {"gate": GATE}, **evaluation}
        self.version = model_version("1", evaluations=[entry])
        self.version = self.version.model_copy(update={"status": self.version.status.model_copy(update={"resolved": pin("1")})})
        self.first = evaluation_name(self.version, self.version.spec.evaluations[0], pin("1").digest)
        self.jobs: dict[str, EvaluationJob] = {}
        self.datasets: dict[str, Any] = {}
        self.siblings: tuple[ModelVersion, ...] = ()

    def look(self, at: float = 0.0) -> Evaluated:
        """One pass: status is kept, and what is created or deleted is done."""
        now = START + timedelta(seconds=at)
        self.version = follow(self.version, now)
        found = evaluate(
            self.version, pin("1"), VersionFacts(evaluations=self.jobs, datasets=self.datasets, siblings=self.siblings), now
        )
        status = self.version.status.model_copy(update={"evaluations": found.states})
        self.version = self.version.model_copy(update={"status": status})
        for action in found.start:
            if isinstance(action, Create):
                job = EvaluationJob.model_validate(action.manifest)
                assert job.metadata.name not in self.jobs
                self.jobs[job.metadata.name] = job
            else:
                assert isinstance(action, Delete)
                del self.jobs[action.name]
        return found

    def end(self, name: str, result: str, at: float = 0.0, *, data: str = "data", reason: str = "", against: Any = None) -> None:
        pins = resolved("1")
        dataset = ResolvedDataset(**dict(dataset_pin()) | {"fingerprint": sha(data)})
        status = EvaluationJobStatus(
            resolved=pins.model_copy(update={"datasets": (dataset,)}),
            verdict=Verdict(result=result),  # type: ignore[arg-type]
            phase=result,
            job=JobState(name="job", finished_at=START + timedelta(seconds=at)),
            champion=against,
            conditions=settle((), (Draft("Ready", result == "Passed", reason or "PodLost", "said"),), 1, START),
        )
        self.jobs[name] = self.jobs[name].model_copy(update={"status": status})

    def ask(self, text: str) -> None:
        metadata = self.version.metadata.model_copy(update={"annotations": {RE_EVALUATE: text}})
        self.version = self.version.model_copy(update={"metadata": metadata})

    def holds(self, *, state: str = "Serving") -> None:
        serving = ServingState.model_validate({"target": "Deployment/server", "state": state, "repointedAt": START})
        self.version = self.version.model_copy(update={"status": self.version.status.model_copy(update={"serving": (serving,)})})


def passed(**evaluation: Any) -> Bench:
    bench = Bench(**evaluation)
    bench.look()
    bench.end(bench.first, "Passed")
    assert bench.look().draft.status is True
    return bench


def test_without_a_cause_nothing_is_made_again() -> None:
    bench = passed()
    assert bench.look(at=1000 * DAY).start == ()
    assert list(bench.jobs) == [bench.first]


def test_what_is_too_old_is_made_again_and_a_version_that_never_served_waits_for_it() -> None:
    bench = passed(maxAge="24h")
    assert bench.look(at=DAY - 60).requeue == 60
    found = bench.look(at=DAY)
    assert (found.draft.status, found.draft.reason) == (None, "EvaluationStale")
    assert list(bench.jobs) == [bench.first, f"{bench.first}-2"]
    assert bench.look(at=DAY + 1).start == ()
    bench.end(f"{bench.first}-2", "Passed", at=DAY + 2)
    found = bench.look(at=DAY + 3)
    assert (found.draft.status, found.states[0].round, found.states[0].again) == (True, 2, "")
    assert bench.look(at=2 * DAY).draft.status is True
    assert bench.look(at=2 * DAY + 3).draft.reason == "EvaluationStale"


@pytest.mark.parametrize("state", ["Serving", "Superseded"])
def test_age_takes_nothing_from_a_version_that_served(state: str) -> None:
    bench = passed(maxAge="24h")
    bench.holds(state=state)
    found = bench.look(at=2 * DAY)
    assert found.draft.status is True
    assert found.states[0].again == "older than 24h"


def test_a_failed_round_is_evidence() -> None:
    bench = passed(maxAge="24h")
    bench.holds()
    bench.look(at=2 * DAY)
    bench.end(f"{bench.first}-2", "Failed", at=2 * DAY)
    found = bench.look(at=2 * DAY)
    assert (found.draft.status, found.draft.reason) == (False, "GateFailed")


def test_a_round_without_a_verdict_changes_nothing_and_is_made_anew_later() -> None:
    bench = passed(maxAge="24h")
    bench.holds()
    bench.look(at=2 * DAY)
    second = f"{bench.first}-2"
    bench.end(second, "Error", at=2 * DAY)
    found = bench.look(at=2 * DAY + 10)
    assert (found.draft.status, found.requeue, found.start) == (True, RETRY - 10, ())
    bench.look(at=2 * DAY + RETRY)
    assert list(bench.jobs) == [bench.first]
    bench.look(at=2 * DAY + RETRY)
    assert list(bench.jobs) == [bench.first, second]
    bench.end(second, "Error", at=3 * DAY)
    assert bench.look(at=3 * DAY).requeue == 2 * RETRY, "longer each time"
    bench.end(second, "Passed", at=3 * DAY)
    assert bench.look(at=3 * DAY).states[0].round == 2


def test_a_round_that_would_end_the_same_again_is_not_made_again() -> None:
    bench = passed(maxAge="24h")
    bench.holds()
    bench.look(at=2 * DAY)
    bench.end(f"{bench.first}-2", "Error", at=2 * DAY, reason="OutOfMemory")
    found = bench.look(at=300 * DAY)
    assert (found.draft.status, found.start, found.requeue) == (True, (), None)


def test_a_failed_verdict_is_not_asked_again_until_it_pleases() -> None:
    bench = Bench(maxAge="24h")
    bench.look()
    bench.end(bench.first, "Failed")
    found = bench.look(at=300 * DAY)
    assert (found.draft.reason, found.start) == ("GateFailed", ())


@pytest.mark.parametrize(("served", "status"), [(True, True), (False, False)])
def test_doubt_takes_nothing_from_what_served_and_stops_what_never_did(served: bool, status: bool) -> None:
    bench = passed()
    if served:
        bench.holds(state="Superseded")
    bench.ask("again")
    bench.look()
    bench.end(f"{bench.first}-2", "Inconclusive", reason="NotComparable")
    assert bench.look().draft.status is status


def test_the_last_rounds_are_kept_and_older_ones_go() -> None:
    bench = passed()
    for number in range(2, 6):
        bench.ask(f"number {number}")
        bench.look()
        bench.end(f"{bench.first}-{number}", "Passed")
        bench.look()
        bench.look()
    assert list(bench.jobs) == [f"{bench.first}-{number}" for number in (4, 5)]


def test_a_failed_evaluation_counts_beside_one_that_could_not_be_told() -> None:
    bench = Bench()
    other = {"name": "safety", "template": {"gate": [{"metric": "safety", "min": 0.9}]}}
    first = {"name": "holdout", "template": {"gate": GATE}}
    bench.version = bench.version.model_copy(update={"spec": model_version("1", evaluations=[first, other]).spec})
    bench.look()
    holdout, safety = list(bench.jobs)
    bench.end(holdout, "Inconclusive")
    bench.end(safety, "Failed")
    assert bench.look().draft.reason == "GateFailed"


REGRESSION = {"gate": [{"metric": "accuracy", "maxRegression": 0.01}]}


def rival(job: str) -> ModelVersion:
    """The version that serves, and the evaluation it has."""
    found = model_version("9")
    serving = ServingState.model_validate({"target": "Deployment/server", "state": "Serving", "repointedAt": START})
    state = EvaluationState(name="holdout", job=job, verdict="Passed")
    return found.model_copy(update={"status": found.status.model_copy(update={"serving": (serving,), "evaluations": (state,)})})


def test_what_was_compared_with_nothing_or_another_version_is_compared_with_what_serves_now() -> None:
    bench = Bench(template=REGRESSION)
    bench.look()
    bench.end(bench.first, "Passed", against=Champion())
    assert bench.look().draft.status is True
    bench.siblings = (rival("v9-holdout"),)
    found = bench.look()
    assert (found.draft.status, found.draft.reason) == (None, "EvaluationStale")
    assert found.states[0].again == "to be compared with what serves now, v9-holdout"
    bench.end(f"{bench.first}-2", "Passed", against=Champion(evaluation="v9-holdout"))
    assert bench.look().draft.status is True
    assert bench.look().start == ()


def test_what_served_is_not_compared_with_what_took_its_place() -> None:
    bench = Bench(template=REGRESSION)
    bench.look()
    bench.end(bench.first, "Passed", against=Champion())
    bench.holds(state="Superseded")
    bench.siblings = (rival("v9-holdout"),)
    found = bench.look()
    assert (found.draft.status, found.start) == (True, ())


def test_a_request_is_followed_once() -> None:
    bench = passed()
    bench.ask("2026-01-02 new prompt template")
    assert bench.look().states[0].again == "asked for: 2026-01-02 new prompt template"
    bench.end(f"{bench.first}-2", "Passed")
    bench.look()
    assert bench.look().start == ()
    assert bench.version.status.evaluations[0].round == 2
    assert len(bench.jobs) == 2


def test_a_request_makes_an_error_again() -> None:
    bench = Bench()
    bench.look()
    bench.end(bench.first, "Error")
    assert bench.look().draft.status is False
    bench.ask("again")
    bench.look()
    bench.end(f"{bench.first}-2", "Error")
    assert bench.look().states[0].round == 2


def test_a_dataset_that_changed_is_measured_on() -> None:
    bench = passed()
    bench.datasets = {"holdout": (Known(dataset_pin(), START),)}
    assert bench.look().start == ()
    changed = dataset_pin().model_copy(update={"fingerprint": sha("more data")})
    bench.datasets = {"holdout": (Known(changed, START),)}
    assert bench.look().states[0].again == "dataset holdout has changed"
    bench.end(f"{bench.first}-2", "Passed", data="more data")
    assert bench.look().states[0].round == 2
    assert bench.look().start == ()


@pytest.mark.parametrize("said", [Pending(), Failed("RegistryUnavailable", "no answer", START, 5.0)])
def test_a_registry_that_cannot_tell_is_no_change(said: Any) -> None:
    bench = passed()
    bench.datasets = {"holdout": (said,)}
    assert bench.look().start == ()


def test_another_gate_is_another_evaluation_and_begins_with_its_first_round() -> None:
    bench = passed(maxAge="24h")
    bench.look(at=DAY)
    bench.end(f"{bench.first}-2", "Passed", at=DAY)
    bench.look(at=DAY)
    stricter = [{"name": "holdout", "maxAge": "24h", "template": {"gate": [{"metric": "accuracy", "min": 0.99}]}}]
    spec = ModelVersion.model_validate(
        {**bench.version.to_json(), "spec": {**bench.version.spec.to_json(), "evaluations": stricter}}
    )
    bench.version = bench.version.model_copy(update={"spec": spec.spec})
    found = bench.look(at=DAY)
    assert (found.draft.status, found.states[0].round, found.states[0].verdict) == (None, 1, None)


def test_how_old_a_verdict_may_be_does_not_name_another_evaluation() -> None:
    assert passed().first == passed(maxAge="24h").first
