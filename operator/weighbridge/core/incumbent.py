"""Which evaluation a candidate is compared with: that of the version that serves where the candidate is to serve.

It is chosen once, right before the Job is made, and kept in status: what is judged is what the pod was told to compare with.
"""

from collections.abc import Callable, Sequence

from ..api.evaluationjob import Champion as ChampionState
from ..api.evaluationjob import EvaluationJob, EvaluationTemplate
from ..api.modelversion import Evaluation, ModelVersion
from .champion import UNKNOWN, Champion, basis, champion
from .evaluationfacts import EvaluationFacts
from .names import evaluation_name
from .reevaluation import is_round
from .stages import HOLDING, named_targets

Find = Callable[[str], EvaluationJob | None]
"""An EvaluationJob by its name."""
_ANEW = "evaluate the champion with an evaluation of the same name"


def asked(template: EvaluationTemplate) -> bool:
    """Whether any rule of the gate needs a champion."""
    return any(rule.max_regression is not None for rule in template.gate)


def incumbent(job: EvaluationJob, owner: ModelVersion | None, rivals: Sequence[ModelVersion], evaluation_of: Find) -> ChampionState:
    """What the evaluation is compared with; an empty one where no other version serves on the targets of its own.

    `rivals` are other versions that name a target of the owner; `evaluation_of` finds those of the namespace.
    """
    if job.spec.champion is not None:
        return _named(job.spec.champion.name, evaluation_of)
    evaluation = _evaluation(job, owner) if owner is not None else None
    if owner is None or evaluation is None:
        return ChampionState(problem="nobody knows what serves: name the evaluation to compare with in spec.champion")
    found = serving_evaluation(owner, evaluation.name, rivals)
    if found.problem or not found.evaluation:
        return found
    return _named(found.evaluation, evaluation_of)


def serving_evaluation(owner: ModelVersion, evaluation: str, rivals: Sequence[ModelVersion]) -> ChampionState:
    """The evaluation of this name of the version that serves where the owner is to serve, and never did.

    What the owner had once, it was compared for then; what took its place is no measure for the way back.
    """
    if not owner.spec.serving:
        return ChampionState(problem="its ModelVersion names no workload, so that nobody knows what it would replace: fill serving")
    holders = {holder.metadata.name: holder for target in never_had(owner) if (holder := _holder(target, rivals)) is not None}
    if not holders:
        return ChampionState()
    if len(holders) > 1:
        names = ", ".join(sorted(holders)[:3])
        return ChampionState(problem=f"several versions serve on its workloads ({names}), and one evaluation compares with one")
    ((name, holder),) = holders.items()
    state = next((each for each in holder.status.evaluations if each.name == evaluation and each.verdict is not None), None)
    if state is None:
        return ChampionState(problem=f"{name} serves and has no evaluation {evaluation}: {_ANEW}")
    return ChampionState(evaluation=state.job)


def never_had(version: ModelVersion) -> list[str]:
    """The targets in its spec that it never was given."""
    had = {state.target for state in version.status.serving if state.repointed_at is not None}
    return sorted({f"{kind}/{name}" for kind, name in named_targets(version)} - had)


def _holder(target: str, rivals: Sequence[ModelVersion]) -> ModelVersion | None:
    """Who serves there; what is proved to goes before what is just being promoted."""
    held = [
        (state.state != "Serving", each)
        for each in rivals
        for state in each.status.serving
        if state.target == target and state.state in HOLDING
    ]
    return min(held, key=lambda each: each[0])[1] if held else None


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


def _named(name: str, evaluation_of: Find) -> ChampionState:
    found = evaluation_of(name)
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
