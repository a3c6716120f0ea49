"""What two evaluations must share before their numbers are compared."""

from dataclasses import replace

import pytest

from weighbridge.api import EvaluationJob
from weighbridge.api.evaluationjob import EvaluationJobStatus, Evaluator, ResolvedDataset
from weighbridge.api.gate import Verdict
from weighbridge.api.results import Metric, Results
from weighbridge.core.champion import Basis, basis, champion, comparable

from .things import dataset_pin, evaluation_job, resolved, sha

BASIS = Basis({"holdout": sha("data")}, "mlflow", sha("image"), {"targets": "is_fraud"}, fallback=False)
METRICS = (Metric(name="accuracy", value=0.95, direction="maximize", n=100),)


@pytest.mark.parametrize(
    ("candidate", "serving", "said"),
    [
        ({}, {}, None),
        ({"fallback": True}, {}, "this evaluation measured a fallback"),
        ({}, {"fallback": True}, "the champion's evaluation measured a fallback"),
        ({}, {"engine": "container"}, "the champion was measured by engine container, this version by mlflow"),
        ({}, {"image": sha("other")}, "another image of the engine"),
        ({"image": ""}, {}, "it is not known which image of the engine measured this version"),
        ({}, {"image": ""}, "it is not known which image of the engine measured the champion"),
        ({"image": ""}, {"image": ""}, "it is not known which image of the engine"),
        ({}, {"parameters": {"targets": "fraud"}}, "other parameters (targets)"),
        ({}, {"parameters": {}}, "other parameters (targets)"),
        ({"parameters": {"targets": "is_fraud", "modelType": "classifier"}}, {}, "other parameters (modelType)"),
        ({}, {"datasets": {"holdout": sha("other")}}, "on other data (holdout): evaluate the champion anew"),
        ({}, {"datasets": {}}, "on other data (holdout)"),
        ({"datasets": {}}, {"datasets": {}}, None),
        ({}, {"datasets": {**BASIS.datasets, "more": sha("data")}}, "on other data (more)"),
    ],
)
def test_what_numbers_depend_on_must_be_the_same(
    candidate: dict[str, object], serving: dict[str, object], said: str | None
) -> None:
    found = comparable(replace(BASIS, **candidate), replace(BASIS, **serving))  # type: ignore[arg-type]
    assert found == said if said is None or found is None else said in found


def test_the_longest_names_leave_room_for_what_to_do() -> None:
    problem = comparable(replace(BASIS, parameters={f"{each}" * 500: "x" for each in range(9)}), BASIS)
    assert problem is not None
    assert len(problem) < 512


def served(**status: object) -> EvaluationJob:
    found = {
        "resolved": resolved("1").model_copy(update={"datasets": (ResolvedDataset(**dict(dataset_pin())),)}),
        "results": Results(metrics=METRICS, sha256="0" * 64, truncated=3),
        "verdict": Verdict(result="Failed"),
        **status,
    }
    job = evaluation_job()
    spec = job.spec.model_copy(update={"evaluator": Evaluator(parameters={"targets": "is_fraud"})})
    return job.model_copy(update={"spec": spec, "status": EvaluationJobStatus().model_copy(update=found)})


def test_a_champion_is_what_its_evaluation_measured() -> None:
    job = served()
    found = champion(BASIS, job, sha("image"))
    assert (found.evaluation, found.metrics, found.dropped, found.problem) == (job.metadata.name, METRICS, 3, None)
    assert job.status.resolved is not None
    assert basis(job.spec, job.status.resolved, sha("image")) == BASIS


@pytest.mark.parametrize(
    ("job", "image", "said"),
    [
        (served(results=None), sha("image"), "has no result: wait for it"),
        (served(verdict=None), sha("image"), "has no result"),
        (served(resolved=None), sha("image"), "has no result"),
        (served(resolved=resolved("1")), sha("image"), "on other data (holdout)"),
        (served(resolved=resolved("1", fallback=True)), sha("image"), "measured a fallback"),
        (served(), "", "not known which image"),
        (served(), sha("other"), "another image"),
    ],
)
def test_a_champion_that_cannot_be_compared_says_why(job: EvaluationJob, image: str, said: str) -> None:
    found = champion(BASIS, job, image)
    assert found.problem is not None
    assert said in found.problem
