"""Which evaluation a candidate is compared with: that of the version that serves where the candidate is to serve.

It is chosen once, right before the Job is made, and kept in status: what is judged is what the pod was told to compare with.
"""

from collections.abc import Mapping, Sequence

from ..api.evaluationjob import Champion as ChampionState
from ..api.evaluationjob import EvaluationJob
from ..api.modelversion import Evaluation, ModelVersion
from .champion import UNKNOWN, Champion, basis, champion
from .evaluationfacts import EvaluationFacts
from .names import evaluation_name
from .reevaluation import is_round
from .stages import HOLDING, named_targets

_ANEW = "evaluate the champion with an evaluation of the same name"


def asked(job: EvaluationJob) -> bool:
    """Whether any rule of the gate needs a champion."""
    return any(rule.max_regression is not None for rule in job.spec.gate)


def incumbent(
    job: EvaluationJob, owner: ModelVersion | None, rivals: Sequence[ModelVersion], evaluations: Mapping[str, EvaluationJob]
) -> ChampionState:
    """What the evaluation is compared with; an empty one where nothing else serves on the targets of its version.

    `rivals` are other versions that name a target of the owner; `evaluations` those of the namespace, by name.
    """
    if job.spec.champion is not None:
        return _named(job.spec.champion.name, evaluations)
    if owner is None:
        return ChampionState(problem="nobody knows what serves: name the evaluation to compare with in spec.champion")
    evaluation = _evaluation(job, owner)
    targets = {f"{kind}/{name}" for kind, name in named_targets(owner)}
    holders = [each for each in (owner, *rivals) if any(s.target in targets and s.state in HOLDING for s in each.status.serving)]
    if evaluation is None or not holders or holders[0].metadata.name == owner.metadata.name:
        return ChampionState()
    # What is proved to serve goes before what is just being promoted.
    holder = next((each for each in holders if any(state.state == "Serving" for state in each.status.serving)), holders[0])
    state = next((each for each in holder.status.evaluations if each.name == evaluation.name and each.verdict is not None), None)
    if state is None:
        name = holder.metadata.name
        return ChampionState(problem=f"{name} serves and has no evaluation {evaluation.name}: {_ANEW}")
    return _named(state.job, evaluations)


def rival(job: EvaluationJob, facts: EvaluationFacts, image: str) -> Champion | None:
    """What the gate judges against; None where nothing serves. `image`: of the engine that measured this evaluation."""
    state, pins = job.status.champion, job.status.resolved
    if state is None or pins is None:
        return UNKNOWN
    if state.problem:
        return Champion(state.evaluation, problem=state.problem)
    if not state.evaluation:
        return None
    found = facts.champion
    if found is None or found.metadata.uid != state.uid or found.status.job is None:
        return Champion(state.evaluation, problem=f"evaluation {state.evaluation} of the champion is gone: {_ANEW}")
    return champion(basis(job.spec, pins, image), found, found.status.job.image)


def _named(name: str, evaluations: Mapping[str, EvaluationJob]) -> ChampionState:
    found = evaluations.get(name)
    if found is None:
        return ChampionState(evaluation=name, problem=f"there is no evaluation {name} (any more): {_ANEW}")
    report = found.status.results.report if found.status.results is not None else None
    return ChampionState(evaluation=name, uid=found.metadata.uid, report=report)


def _evaluation(job: EvaluationJob, owner: ModelVersion) -> Evaluation | None:
    """The entry of the version's spec that the EvaluationJob, in whatever round, was made for."""
    pin = owner.status.resolved
    if pin is None:
        return None
    return next(
        (each for each in owner.spec.evaluations if is_round(job.metadata.name, evaluation_name(owner, each, pin.digest))), None
    )
