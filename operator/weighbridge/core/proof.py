"""Proof of serving: the pointer names this version; does the target serve it, and does it go on doing so?

Evidence against a version is what was seen and lasts: pods that crash, wrong answers. Silence is none once a version is proved.
"""

import re
from datetime import datetime

from ..api.base import seconds
from ..api.modelversion import RollbackTrigger
from ..api.versionstatus import Rejection, ServingState
from .conditions import Draft, find, stamp
from .election import reacts
from .facts import ProbeOutcome, TargetState
from .handover import HOUR, given
from .situation import Drifts, Outcome, Situation
from .stages import HOLDING

LOOK_AGAIN = 2.0
"""Seconds between looks at a rollout under way."""
_AT_REST = ("Paused", "ScaledToZero")
"""States of a workload in which nothing rolls out, so that no deadline runs."""
_ON_ITS_WAY = ("", "Observing", "RollingOut")
"""What a rollout says of itself that is no trouble; it changes with every pod and is not repeated in status."""
_ROLLBACKS = 2
"""Versions that may fail on a target within an hour before a way back is kept whatever it does: the fault is elsewhere."""
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)*(e-?[0-9]+)?")
_WINDOW = 30.0
"""Seconds for which trouble must last where no probe says how long."""


def prove(situation: Situation, last: ServingState, target: TargetState) -> Outcome:
    """The next step of the proof; a state with a rejection is one that failed."""
    state = last
    said = find(situation.version.status.conditions, "Serving")
    rested = said is not None and said.reason in _AT_REST and target.rollout.reason not in _AT_REST
    if last.state not in HOLDING:
        state = given(situation, last, target)
        if last.state == "Blocked":  # whoever set it to something else may have set it back
            state = state.model_copy(update={"restored": last.restored})
    elif last.state == "Progressing" and rested:
        state = last.model_copy(update={"repointed_at": stamp(situation.now), "since": None})
    if state.state == "Serving":
        return _watch(situation, state, target)
    complete, unasked = _complete(situation, target), situation.entry.probe is not None and situation.probe is None
    if complete and (situation.entry.probe is None or _proved(situation.probe)):
        # Proved now is proved, however late: nobody may have looked for a while.
        return _serving(situation, state.model_copy(update={"failing_since": None}), target)
    if not (complete and unasked) and (failure := _failed(situation, state, target)) is not None:
        return _reject(situation, state, *failure)
    if complete:
        if situation.probe is None:
            return Outcome(state, Draft("Serving", None, "Asking", "waiting for the probe's answer"), requeue=LOOK_AGAIN)
        since = (state.failing_since or stamp(situation.now)) if _wrong(situation.probe) else None
        state = state.model_copy(update={"failing_since": since})
        if since is not None and (situation.now - since).total_seconds() >= _window(situation):
            return _reject(situation, state, "ProbeFailed", situation.probe.message)
        draft = _steady(situation, Draft("Serving", None, "Probing", situation.probe.message))
        return Outcome(state, draft, requeue=LOOK_AGAIN)
    reason = target.rollout.reason if target.rollout.reason in _AT_REST else "Progressing"
    return Outcome(state, Draft("Serving", None, reason, _progress(situation, target)), requeue=LOOK_AGAIN)


def _watch(situation: Situation, state: ServingState, target: TargetState) -> Outcome:
    """Proved before: what is seen now."""
    wished = situation.wished
    trouble = _trouble(situation, target)
    if trouble is not None:
        since = state.failing_since or stamp(situation.now)
        state = state.model_copy(update={"failing_since": since})
        reason, message = trouble
        if _lasts(situation, state, target, since, reason):
            return _reject(situation, state, reason, message)
        draft = _steady(situation, Draft("Serving", False, "NoReadyPods" if reason == "RolloutFailed" else reason, message))
        return Outcome(state, draft, (), (("Serving", draft.message),), LOOK_AGAIN)
    answers = situation.probe
    if _proved(answers) or (situation.entry.probe is None and target.serving.get(wished)):
        state = state.model_copy(update={"failing_since": None})
    if answers is not None and answers.asked and not _proved(answers):
        draft = _steady(situation, Draft("Serving", False, "ProbeFailed", answers.message))
        return Outcome(state, draft, (), (("Serving", draft.message),), LOOK_AGAIN)
    if _complete(situation, target):
        return _serving(situation, state, target)
    drift = _others(situation, target)
    if target.serving.get(wished):
        text = f"{situation.where} is rolling: {_progress(situation, target)}"
        return Outcome(state, Draft("Serving", True, "Rolling", text), (), drift, LOOK_AGAIN)
    text = f"no pod of {situation.where} is ready: {_progress(situation, target)}"
    draft = _steady(situation, Draft("Serving", False, "NoReadyPods", text))
    return Outcome(state, draft, (), drift or idle(target, draft.message), LOOK_AGAIN * 5)


def _steady(situation: Situation, draft: Draft) -> Draft:
    """The draft, in the words in which the same was said before, as long as nothing but numbers differs: what pods answer may
    change with every question."""
    last = find(situation.version.status.conditions, "Serving")
    if last is None or last.reason != draft.reason or _NUMBER.sub("0", last.message) != _NUMBER.sub("0", draft.message):
        return draft
    return Draft(draft.type, draft.status, draft.reason, last.message)


def _serving(situation: Situation, state: ServingState, target: TargetState) -> Outcome:
    served = state.model_copy(update={"state": "Serving", "since": state.since or stamp(situation.now)})
    pods = sum(target.serving.values())
    many = "" if pods == 1 else "s"
    draft = Draft("Serving", True, "Proved", f"{situation.where} serves {situation.wished} from {pods} pod{many}")
    probe = situation.entry.probe
    return Outcome(served, draft, requeue=seconds(probe.period) if probe else None)


def _complete(situation: Situation, target: TargetState) -> bool:
    return target.rollout.state == "Complete" and set(target.serving) == {situation.wished}


def _proved(probe: ProbeOutcome | None) -> bool:
    return probe is not None and probe.asked > 0 and probe.passed == probe.asked


def _wrong(probe: ProbeOutcome) -> bool:
    """Whether all that answer, answer wrongly."""
    return probe.wrong > 0 and not probe.passed


def _progress(situation: Situation, target: TargetState) -> str:
    if target.rollout.reason in _ON_ITS_WAY or not target.rollout.message:
        return f"pods of {situation.wished} come, older ones go"
    return target.rollout.message


def idle(target: TargetState, text: str) -> Drifts:
    """That nothing serves where this version should; somebody who scaled the workload to zero wants it so."""
    return () if target.rollout.reason == "ScaledToZero" else (("Serving", text),)


def _others(situation: Situation, target: TargetState) -> Drifts:
    """Ready pods that serve something else than they should, named where no ModelVersion names it."""
    strange = [value for value in target.serving if value != situation.wished]
    if not strange:
        return ()
    unknown = all(claim.value != strange[0] for claim in situation.claims)
    return (("Serving", f"pods still serve {strange[0] or 'nothing'}{', which no ModelVersion names' if unknown else ''}"),)


def _window(situation: Situation) -> float:
    probe = situation.entry.probe
    return seconds(probe.failure_window) if probe else _WINDOW


def _lasts(situation: Situation, state: ServingState, target: TargetState, since: datetime, reason: RollbackTrigger) -> bool:
    """Whether trouble of a version that served is more than a hiccup: it goes on, and pods crashed once more; or the proof was so
    fresh that it came too early."""
    proved = state.since or situation.now
    if reason == "RolloutFailed" and (situation.now - proved).total_seconds() <= seconds(situation.entry.progress_deadline):
        return True
    long_enough = (situation.now - since).total_seconds() >= _window(situation)
    return long_enough and (target.rollout.crashed_at is None or target.rollout.crashed_at >= since)


def _trouble(situation: Situation, target: TargetState) -> tuple[RollbackTrigger, str] | None:
    """What speaks against a version that served: no pod of it is ready and they crash, or all that answer, answer wrongly."""
    if _broken(situation, target):
        return "RolloutFailed", target.rollout.message
    answers = situation.probe
    if answers is not None and _wrong(answers):
        return "ProbeFailed", answers.message
    return None


def _broken(situation: Situation, target: TargetState) -> bool:
    """Whether the rollout failed for a reason that speaks of this version; a missing image does not where all versions have one."""
    pointer = situation.entry.pointer
    ours = target.rollout.reason != "ImageUnavailable" or pointer.image is not None or pointer.image_volume is not None
    return target.rollout.state == "Failed" and not target.serving.get(situation.wished) and ours


def _failed(situation: Situation, state: ServingState, target: TargetState) -> tuple[RollbackTrigger, str] | None:
    """Positive evidence, while it is promoted, that this version does not serve; or None."""
    if state.repointed_at is None or target.rollout.reason in _AT_REST:
        return None
    if _broken(situation, target):
        return "RolloutFailed", target.rollout.message
    if (situation.now - state.repointed_at).total_seconds() <= seconds(situation.entry.progress_deadline):
        return None
    if target.rollout.state == "Complete" and situation.probe is not None and not _proved(situation.probe):
        return "ProbeFailed", situation.probe.message
    message = _progress(situation, target)
    return "RolloutFailed", f"not proved to serve within {situation.entry.progress_deadline}: {message}"


def _reject(situation: Situation, state: ServingState, reason: RollbackTrigger, message: str) -> Outcome:
    """This version had its chance and was seen to fail."""
    if situation.pin is None or not reacts(situation.version, reason):
        return _stays(situation, state, reason, f"{message}; automatic rollback on {reason} is off")
    failed = [each for each in situation.claims if each.rejected_at is not None and situation.now - each.rejected_at < HOUR]
    if state.rollback and len(failed) >= _ROLLBACKS:
        others = f"{len(failed)} newer versions failed here within an hour, so it is hardly the model: this one stays"
        return _stays(situation, state, reason, f"{message}; {others}")
    rejected = Rejection(
        reason=reason,
        message=message[:1024],
        at=stamp(situation.now),
        generation=situation.version.metadata.generation,
        digest=situation.pin.digest,
    )
    return Outcome(state.model_copy(update={"rejection": rejected}), Draft("Serving", False, reason, message))


def _stays(situation: Situation, state: ServingState, reason: RollbackTrigger, text: str) -> Outcome:
    """Seen to fail, and left where it is: told for as long as it is so."""
    draft = _steady(situation, Draft("Serving", False, reason, text))
    return Outcome(state, draft, (), (("Serving", draft.message),), LOOK_AGAIN * 5)
