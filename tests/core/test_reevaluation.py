"""Evaluations made again: by age, by a changed dataset, by request; what counts until the new verdict is there."""

from datetime import timedelta
from typing import Any

import pytest

from tests.core.things import START, dataset_pin, model_version, pin, resolved, sha
from weighbridge.api import EvaluationJob, ModelVersion
from weighbridge.api.annotations import RE_EVALUATE
from weighbridge.api.evaluationjob import EvaluationJobStatus, JobState, ResolvedDataset
from weighbridge.api.gate import Verdict
from weighbridge.api.versionstatus import ServingState
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

    def look(self, at: float = 0.0) -> Evaluated:
        """One pass: status is kept, and what is created or deleted is done."""
        now = START + timedelta(seconds=at)
        self.version = follow(self.version, now)
        found = evaluate(self.version, pin("1"), VersionFacts(evaluations=self.jobs, datasets=self.datasets), now)
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

    def end(self, name: str, result: str, at: float = 0.0, data: str = "data") -> None:
        pins = resolved("1")
        dataset = ResolvedDataset(**dict(dataset_pin()) | {"fingerprint": sha(data)})
        status = EvaluationJobStatus(
            resolved=pins.model_copy(update={"datasets": (dataset,)}),
            verdict=Verdict(result=result),  # type: ignore[arg-type]
            job=JobState(name="job", finished_at=START + timedelta(seconds=at)),
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
    bench.end(second, "Passed", at=2 * DAY + RETRY)
    assert bench.look(at=2 * DAY + RETRY).states[0].round == 2


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
