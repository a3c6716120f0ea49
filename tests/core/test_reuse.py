"""Results of earlier evaluations: taken where all is the same and that was asked for, marked, and judged anew."""

from typing import Any

import pytest

from tests.core.test_evaluationjob import look, ready
from tests.core.things import START, dataset_pin, evaluation_job, resolved, sha
from weighbridge.api import EvaluationJob
from weighbridge.api.evaluationjob import EvaluationJobStatus, ResolvedDataset
from weighbridge.api.evaluationpod import JobState
from weighbridge.api.gate import Verdict
from weighbridge.api.results import Metric, Results
from weighbridge.core.facts import Known

DIGEST = "@sha256:" + "0" * 64
IMAGE = f"example.com/evaluator{DIGEST}"
PARAMETERS = {"engine": "container", "image": IMAGE, "parameters": {"depth": "3"}}


def earlier(name: str = "earlier", *, data: str = "data", ran: str = IMAGE, ended: Any = START, **spec: Any) -> EvaluationJob:
    dataset = ResolvedDataset(**dict(dataset_pin()) | {"fingerprint": sha(data)})
    results = Results(metrics=(Metric(name="accuracy", value=0.93, direction="maximize", n=100),), sha256="0" * 64)
    status = EvaluationJobStatus(
        resolved=resolved(spec.pop("version", "1")).model_copy(update={"datasets": (dataset,)}),
        results=results.model_copy(update={"reused_from": spec.pop("reused_from", "")}),
        verdict=Verdict(result="Passed"),
        job=JobState(name="job", image=ran, finished_at=ended),
    )
    job = evaluation_job(metadata={"name": name, "uid": name}, datasets=True, **{"evaluator": PARAMETERS, **spec})
    return job.model_copy(update={"status": status})


def asked(*others: EvaluationJob, image: str = IMAGE, **spec: Any) -> Any:
    job = evaluation_job(datasets=True, **{"evaluator": PARAMETERS, "reuse": True, **spec})
    return look(job, datasets=(Known(dataset_pin(), START),), reusable=others, image=image)


def test_a_result_of_the_same_content_is_taken_and_marked_and_judged_anew() -> None:
    plan = asked(earlier())
    assert plan.actions == ()
    assert plan.status.results.reused_from == "earlier"
    assert (plan.status.phase, plan.status.job.finished_at) == ("Passed", START)
    strict = asked(earlier(), gate=[{"metric": "accuracy", "min": 0.95}])
    assert (strict.status.phase, ready(strict)[1]) == ("Failed", "GateFailed")


def test_the_newest_is_taken() -> None:
    later = START.replace(year=2027)
    assert asked(earlier("b"), earlier("a", ended=later), earlier("c")).status.results.reused_from == "a"


@pytest.mark.parametrize(
    ("other", "spec"),
    [
        ({}, {"reuse": False}),
        ({}, {"gate": [{"metric": "accuracy", "maxRegression": 0.01}]}),
        ({"version": "2"}, {}),
        ({"data": "other"}, {}),
        ({"ran": f"{IMAGE}0"}, {}),
        ({"ran": ""}, {}),
        ({"ended": None}, {}),
        ({"reused_from": "still-earlier"}, {}),
        ({"evaluator": PARAMETERS | {"parameters": {"depth": "4"}}}, {}),
        ({"evaluator": PARAMETERS | {"args": ["--quick"]}}, {}),
    ],
)
def test_what_differs_is_measured(other: dict[str, Any], spec: dict[str, Any]) -> None:
    plan = asked(earlier(**other), **spec)
    assert len(plan.actions) == 1
    assert plan.status.results is None


def test_an_image_by_tag_says_nothing_of_what_would_run() -> None:
    tagged = PARAMETERS | {"image": "example.com/evaluator:1"}
    assert len(asked(earlier(evaluator=tagged), image="example.com/evaluator:1", evaluator=tagged).actions) == 1
