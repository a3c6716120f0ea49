"""The exploration can fail: faults that were put into the decisions are found, each by what it breaks."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from weighbridge.api import ModelVersion
from weighbridge.core import election, modelversion, serving
from weighbridge.core.election import Claim, newest_first
from weighbridge.core.facts import Absent, Failed
from weighbridge.core.modelversion import decide
from weighbridge.core.plan import Plan
from weighbridge.core.versionfacts import VersionFacts

from .explorer import Explorer
from .model import Rules

_LONG = timedelta(seconds=30)


def rules(events: str, **kind: Any) -> Rules:
    return Rules("mutated", frozenset(events.split()), **{"present": "12", "step": _LONG, **kind})


def first_fault(explorer: Explorer) -> str:
    found = explorer.run()
    assert found.faults, f"nothing found in {found.states} states"
    print(*found.faults[0].trace, sep="\n")
    return found.faults[0].what


def test_without_a_mutation_these_worlds_are_sound() -> None:
    for events in ("outage", "crash", "hold"):
        found = Explorer(rules(events)).run()
        assert found.exhausted
        assert not found.faults


def test_an_outage_taken_for_absence_is_found() -> None:
    def mutated(version: ModelVersion, facts: VersionFacts, now: datetime) -> Plan:
        if isinstance(facts.snapshot, Failed):
            facts = replace(facts, snapshot=Absent("VersionNotFound", "no such version", now))
        return decide(version, facts, now)

    assert "refused by the registry, which says no such thing" in first_fault(Explorer(rules("outage"), mutated))


def test_a_rejection_that_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (election, serving):
        monkeypatch.setattr(module, "rejection", lambda version, state: None)
    assert "not followed" in first_fault(Explorer(rules("rollback")))
    assert "goes in circles" in first_fault(Explorer(rules("crash")))


def test_a_version_that_takes_the_target_before_its_evaluation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutated(claims: list[Claim]) -> Claim | None:
        return next((claim for claim in newest_first(claims) if claim.eligible or claim.undecided), None)

    monkeypatch.setattr(serving, "winner", mutated)
    assert "never passed its evaluation" in first_fault(Explorer(rules("apply", present="1")))


def test_an_effect_before_its_record_is_found() -> None:
    assert first_fault(Explorer(rules("rollback retry crash", hit="2", most=3), effect_first=True))


def test_a_hold_that_holds_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (modelversion, serving, election):
        monkeypatch.setattr(module, "suspended", lambda version: False)
    assert "under hold" in first_fault(Explorer(rules("hold crash")))


def test_requests_that_are_not_remembered_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    follow = modelversion.follow

    def mutated(version: ModelVersion, now: datetime) -> ModelVersion:
        followed = follow(version, now)
        status = followed.status.model_copy(update={"requests": version.status.requests})
        return followed.model_copy(update={"status": status})

    monkeypatch.setattr(modelversion, "follow", mutated)
    assert first_fault(Explorer(rules("rollback retry", most=3)))
