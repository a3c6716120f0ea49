"""Approvals: what is asked of people, whose word counts, and what it does to a target."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.api import EvaluationJob, ModelApproval, ModelVersion
from weighbridge.api.evaluationjob import EvaluationJobStatus
from weighbridge.api.gate import Verdict
from weighbridge.api.modelversion import FINALIZER
from weighbridge.api.results import Results
from weighbridge.api.serving import TargetRef
from weighbridge.core.approvals import same_person
from weighbridge.core.conditions import find
from weighbridge.core.election import claim
from weighbridge.core.facts import Known
from weighbridge.core.modelapproval import judge
from weighbridge.core.modelversion import decide
from weighbridge.core.names import evaluation_name
from weighbridge.core.plan import Plan, Repoint, SetFinalizer
from weighbridge.core.versionfacts import VersionFacts

from .things import START, TARGET, model_version, pin, registry, resolved, snapshot, target

REF = TargetRef.model_validate(TARGET)
ONE = {"required": 1}


def measured(version: ModelVersion, numbers: str = "a", result: str = "Passed") -> dict[str, EvaluationJob]:
    """The version's evaluation, with other numbers for another letter."""
    number, evaluation = version.spec.source.version or "", version.spec.evaluations[0]
    name = evaluation_name(version, evaluation, pin(number).digest)
    job = EvaluationJob.model_validate(
        {
            "metadata": {"name": name, "namespace": "ns", "ownerReferences": [{"uid": version.metadata.uid}]},
            "spec": evaluation.template.to_json() | {"model": version.spec.source.to_json()},
        }
    )
    status = EvaluationJobStatus(
        resolved=resolved(number),
        verdict=Verdict(result=result),  # type: ignore[arg-type]
        results=Results(sha256=numbers * 64),
    )
    return {name: job.model_copy(update={"status": status})}


def decision(word: str, who: str, subject: str, *, at: float = 0, stage: str = "Production", version: str = "v1") -> ModelApproval:
    created = START + timedelta(seconds=at)
    return ModelApproval.model_validate(
        {
            "metadata": {"name": f"{word}-{who}-{at:g}".lower(), "namespace": "ns", "creationTimestamp": created},
            "spec": {
                "modelVersionRef": {"name": version},
                "stage": stage,
                "decision": word,
                "subjectHash": subject,
                "approver": who,
            },
        }
    )


def look(version: ModelVersion, *approvals: ModelApproval, numbers: str = "a", result: str = "Passed", **change: Any) -> Plan:
    fields: dict[str, Any] = {
        "registry": registry(writeBack={"enabled": False}),
        "snapshot": Known(replace(snapshot("1"), lineage=snapshot("1").lineage.model_copy(update={"trained_by": "tess"})), START),
        "evaluations": measured(version, numbers, result) if version.spec.evaluations else {},
        "targets": {REF: Known(target("models:/model/0"), START)},
        "approvals": approvals,
    }
    return decide(version, VersionFacts(**(fields | change)), START)


def after(version: ModelVersion, plan: Plan) -> ModelVersion:
    metadata = version.metadata
    if SetFinalizer(present=True) in plan.actions:
        metadata = metadata.model_copy(update={"finalizers": (FINALIZER,)})
    return version.model_copy(update={"status": plan.status, "metadata": metadata})


def subject_of(version: ModelVersion, **how: Any) -> str:
    return look(version, **how).status.approvals.subject_hash  # type: ignore[no-any-return]


def condition(plan: Plan, kind: str) -> tuple[str, str]:
    found = find(plan.status.conditions, kind)
    assert found is not None
    return found.status, found.reason


def promoted(plan: Plan) -> bool:
    return any(isinstance(action, Repoint) for action in plan.actions)


def granted(plan: Plan) -> bool:
    """Whether a promotion waits for nothing but the registry's answer."""
    return condition(plan, "Approved") == ("True", "Approved") and condition(plan, "Serving") == ("Unknown", "Checking")


def on(pointer: str) -> dict[str, Any]:
    return {"targets": {REF: Known(target(pointer), START)}}


def serving(*, approvals: Any = ONE) -> tuple[ModelVersion, ModelApproval]:
    """A version that was approved, promoted and proved to serve."""
    version = model_version("1", approvals=approvals)
    yes = decision("Approve", "ann", subject_of(version))
    version = after(version, look(version, yes))
    version = after(version, look(version, yes, **on("models:/model/1")))
    assert version.status.phase == "Serving"
    return version, yes


def rival() -> ModelVersion:
    """An older version that may serve."""
    older = model_version("0", evaluated=False)
    plan = decide(
        older,
        VersionFacts(
            registry=registry(writeBack={"enabled": False}),
            snapshot=Known(snapshot("0"), START),
            targets={REF: Known(target("models:/model/0"), START)},
        ),
        START,
    )
    older = after(older, plan)
    found = claim(older, REF)
    assert found is not None
    assert found.eligible
    return older


def test_a_version_that_passed_waits_for_people_and_says_what_to_type() -> None:
    plan = look(model_version("1", approvals={"required": 2}))
    assert plan.status.phase == "AwaitingApproval"
    assert condition(plan, "Approved") == ("False", "ApprovalRequired")
    assert (condition(plan, "Ready"), condition(plan, "Stalled")[0]) == (("False", "ApprovalRequired"), "False")
    assert condition(plan, "Reconciling")[0] == "True"
    assert not promoted(plan)
    said = find(plan.status.conditions, "Ready")
    assert said is not None
    waits = "waits for 2 of 2 approvals for Production by others than tess, who trained it"
    assert said.message == f"{waits}: `weighbridge approve v1 -n ns`"


def test_enough_people_promote_it() -> None:
    version = model_version("1", approvals={"required": 2})
    subject = subject_of(version)
    one, two = decision("Approve", "ann", subject), decision("Approve", "ben", subject, at=1)
    assert not promoted(look(version, one))
    assert not promoted(look(version, one, decision("Approve", "ann", subject, at=2)))
    assert not promoted(look(version, one, decision("Approve", "oidc:ann@example.com", subject, at=2)))
    plan = look(version, one, two)
    assert promoted(plan)
    assert condition(plan, "Approved") == ("True", "Approved")
    assert [each.approver for each in plan.status.approvals.approved_by] == ["ann", "ben"]


@pytest.mark.parametrize("approvals", [None, {"stages": ["Staging"]}])
def test_where_nobody_is_asked_nothing_changes(approvals: Any) -> None:
    version = model_version("1", approvals=approvals)
    assert promoted(look(version))
    assert promoted(look(version, decision("Reject", "ann", "sha256:" + "0" * 64)))
    said = find(look(version).status.conditions, "Approved")
    assert (said and said.reason) == (None if approvals is None else "NotRequired")


@pytest.mark.parametrize("result", ["Failed", "Inconclusive", "Error"])
def test_there_is_nothing_to_approve_before_the_evaluations_passed(result: str) -> None:
    plan = look(model_version("1", approvals=ONE), result=result)
    assert plan.status.approvals.subject_hash == ""
    assert condition(plan, "Approved") == ("Unknown", "NotEvaluated")


def test_content_results_gates_and_stage_are_the_subject() -> None:
    version = model_version("1", approvals={"stages": ["Production", "Staging"]})
    gates = version.spec.evaluations[0].model_dump(by_alias=True)
    gates["template"]["gate"] = [{"metric": "accuracy", "min": 0.8}]
    subjects = {
        subject_of(version),
        subject_of(version, numbers="b"),
        subject_of(version.model_copy(update={"spec": version.spec.model_copy(update={"stage": "Staging"})})),
        subject_of(model_version("1", approvals=ONE, evaluations=[gates])),
        subject_of(model_version("1", approvals=ONE, evaluated=False)),
    }
    assert len(subjects) == 5
    other = Known(replace(snapshot("1"), pin=pin("1", content="other")), START)
    assert subject_of(model_version("1", approvals=ONE, evaluated=False), snapshot=other) not in subjects
    assert subject_of(version) in subjects


def test_results_are_remembered_when_their_evaluation_is_deleted() -> None:
    version = model_version("1", approvals=ONE)
    plan = look(version)
    assert look(after(version, plan), evaluations={}).status.approvals == plan.status.approvals


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_rejection_wins_in_any_order(order: tuple[int, ...]) -> None:
    version = model_version("1", approvals=ONE)
    subject = subject_of(version)
    said = [decision("Approve", "ann", subject), decision("Reject", "ben", subject, at=1), decision("Approve", "cy", subject, at=2)]
    plan = look(version, *(said[each] for each in order))
    assert not promoted(plan)
    assert condition(plan, "Approved") == ("False", "ApprovalRejected")
    assert condition(plan, "Stalled") == ("True", "ApprovalRejected")
    assert plan.status.phase == "Refused"


def test_a_rejection_outlives_its_object_until_the_same_person_approves() -> None:
    version = model_version("1", approvals=ONE)
    subject = subject_of(version)
    yes, no = decision("Approve", "ann", subject), decision("Reject", "ben", subject, at=1)
    rejected = after(version, look(version, yes, no))
    assert not promoted(look(rejected, yes))
    assert not promoted(look(rejected, yes, decision("Approve", "cy", subject, at=5)))
    assert not promoted(look(rejected, yes, decision("Approve", "ben", subject, at=1)))
    assert granted(look(rejected, yes, decision("Approve", "ben", subject, at=2)))


def test_a_rejection_is_remembered_while_the_results_are_others() -> None:
    version = model_version("1", approvals=ONE)
    subject = subject_of(version)
    rejected = after(version, look(version, decision("Reject", "ben", subject)))
    others = look(rejected, numbers="b")
    assert condition(others, "Approved") == ("False", "ApprovalRequired")
    back = look(after(rejected, others), decision("Approve", "ann", subject, at=9))
    assert condition(back, "Approved") == ("False", "ApprovalRejected")
    approved = look(after(rejected, others), decision("Approve", "ann", others.status.approvals.subject_hash, at=9), numbers="b")
    assert granted(approved)


def test_who_trained_it_cannot_approve_it_but_may_reject_it() -> None:
    version = model_version("1", approvals=ONE)
    subject = subject_of(version)
    assert not promoted(look(version, decision("Approve", "oidc:tess@example.com", subject)))
    no = look(version, decision("Reject", "tess", subject), decision("Approve", "ann", subject))
    assert condition(no, "Approved") == ("False", "ApprovalRejected")


@pytest.mark.parametrize(
    ("approver", "trainer", "same"),
    [
        ("tess", "tess", True), ("Tess", "tess", True), ("tess@example.com", "tess", True), ("oidc:tess", "tess", True),
        ("https://idp/#tess", "tess@example.com", True), ("tess@a.com", "tess@b.com", False), ("ann", "tess", False),
        ("ann", "", False), ("", "", False),
    ],
)  # fmt: skip
def test_one_person_by_two_names(approver: str, trainer: str, same: bool) -> None:
    assert same_person(approver, trainer) is same


def test_what_serves_keeps_its_target_when_its_results_change_and_says_so() -> None:
    version, yes = serving()
    plan = look(version, yes, numbers="b", siblings=(rival(),), **on("models:/model/1"))
    assert condition(plan, "Approved") == ("True", "ApprovalOutdated")
    assert (plan.status.phase, promoted(plan)) == ("Serving", False)
    deleted = look(version, siblings=(rival(),), **on("models:/model/1"))
    assert (deleted.status.phase, promoted(deleted)) == ("Serving", False)


def test_a_rejection_takes_the_target_from_what_serves() -> None:
    version, yes = serving()
    no = decision("Reject", "ben", yes.spec.subject_hash, at=60)
    plan = look(version, yes, no, siblings=(rival(),), **on("models:/model/1"))
    assert condition(plan, "Ready") == ("False", "ApprovalRejected")
    (given,) = [action for action in plan.actions if isinstance(action, Repoint)]
    assert (given.value, given.cause) == ("models:/model/0", "Rollback")
    alone = look(version, yes, no, **on("models:/model/1"))
    assert condition(alone, "Ready") == ("False", "NoEligibleClaim")
    assert not promoted(alone)
    # Other results are no way round it.
    again = look(after(version, plan), yes, numbers="b", siblings=(rival(),), **on("models:/model/0"))
    assert not promoted(again)
    assert condition(again, "Approved")[0] == "False"


def test_without_automatic_rollback_it_is_only_told() -> None:
    version, yes = serving()
    manual = version.model_copy(
        update={"spec": version.spec.model_copy(update={"rollback": version.spec.rollback.model_copy(update={"automatic": False})})}
    )
    no = decision("Reject", "ben", yes.spec.subject_hash, at=60)
    plan = look(manual, yes, no, siblings=(rival(),), **on("models:/model/1"))
    assert condition(plan, "Ready") == ("False", "ApprovalRejected")
    assert not promoted(plan)


def test_what_waits_for_people_lets_older_versions_go_first() -> None:
    version = model_version("1", approvals=ONE)
    found = claim(after(version, look(version)), REF)
    assert found is not None
    assert (found.eligible, found.refused, found.undecided) == (False, False, False)


def test_an_answer_for_another_stage_or_an_older_spec_grants_nothing() -> None:
    version = model_version("1", approvals=ONE)
    yes = decision("Approve", "ann", subject_of(version))
    granted = after(version, look(version, yes))
    assert claim(granted, REF).eligible  # type: ignore[union-attr]
    fresh = granted.status.model_copy(update={"serving": ()})
    newer = granted.model_copy(update={"status": fresh, "metadata": granted.metadata.model_copy(update={"generation": 2})})
    assert not claim(newer, REF).eligible  # type: ignore[union-attr]
    told = fresh.model_copy(update={"approvals": fresh.approvals.model_copy(update={"stage": "Staging"})})  # type: ignore[union-attr]
    assert not claim(granted.model_copy(update={"status": told}), REF).eligible  # type: ignore[union-attr]


STEP = st.tuples(
    st.sampled_from(["Approve", "Reject"]), st.sampled_from(["ann", "ben", "tess"]), st.sampled_from("ab"), st.integers(0, 3)
)


@given(st.lists(STEP, max_size=6, unique=True), st.randoms(use_true_random=False), st.integers(1, 2))
def test_it_is_promoted_only_by_enough_last_words_on_what_it_is(said: list[Any], chance: Any, required: int) -> None:
    version = model_version("1", approvals={"required": required})
    subjects = {letter: subject_of(version, numbers=letter) for letter in "ab"}
    decisions = [decision(word, who, subjects[letter], at=at) for word, who, letter, at in said]
    last: dict[str, tuple[int, bool]] = {}
    for word, who, letter, at in said:
        if letter == "a":
            last[who] = max(last.get(who, (-1, False)), (at, word == "Reject"))
    rejects = any(reject for _, reject in last.values())
    enough = sum(not reject and who != "tess" for who, (_, reject) in last.items()) >= required
    plan = look(version, *decisions)
    assert promoted(plan) == (enough and not rejects)
    chance.shuffle(decisions)
    assert look(version, *decisions) == plan


@pytest.mark.parametrize(
    ("word", "who", "change", "reason"),
    [
        ("Approve", "ann", {}, "Counted"),
        ("Reject", "tess", {}, "Counted"),
        ("Approve", "tess", {}, "OwnVersion"),
        ("Approve", "ann", {"subject": "sha256:" + "0" * 64}, "SubjectChanged"),
        ("Approve", "ann", {"stage": "Staging"}, "OtherStage"),
    ],
)
def test_each_decision_says_whether_it_counts(word: str, who: str, change: dict[str, str], reason: str) -> None:
    version = model_version("1", approvals=ONE)
    mine = decision(word, who, change.get("subject", subject_of(version)), stage=change.get("stage", "Production"))
    assert judge(mine, after(version, look(version, mine))).reason == reason


def test_a_decision_says_what_it_waits_for() -> None:
    version = model_version("1", approvals=ONE)
    yes = decision("Approve", "ann", subject_of(version))
    later = decision("Reject", "ann", yes.spec.subject_hash, at=1)
    assert judge(yes, None).reason == "NoSuchVersion"
    assert judge(yes, version).reason == "NotObserved"
    assert judge(yes, after(version, look(version))).reason == "NotObserved"
    assert judge(yes, after(version, look(version, yes, later))).reason == "Replaced"
    assert judge(later, after(version, look(version, yes))).reason == "NotObserved"
    assert judge(yes, after(version, look(version, yes, result="Failed"))).reason == "NotEvaluated"
    assert judge(yes, model_version("1")).reason == "NotRequired"
