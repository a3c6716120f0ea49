"""The lineage gate: every part by itself, what is missing with where it comes from, and what counts before the registry answers."""

from typing import Any, get_args

import pytest

from weighbridge.api import ModelVersion
from weighbridge.api.base import Condition
from weighbridge.api.references import DatasetUse, Lineage, LineagePart
from weighbridge.core.lineage import complete

from .things import START, model_version

WHOLE = Lineage(
    run_id="run",
    code_commit="c0ffee",
    datasets=(DatasetUse(name="train"),),
    base_models=("org/base",),
    dependencies="requirements.txt: mlflow==3.17.2",
    signature="4 inputs, 1 output",
    parameters={"C": "1"},
    metrics={"accuracy": 0.9},
)
HELD_IN = {
    "Code": "code_commit",
    "Data": "datasets",
    "Run": "run_id",
    "Parameters": "parameters",
    "Metrics": "metrics",
    "Dependencies": "dependencies",
    "Signature": "signature",
    "BaseModel": "base_models",
}


def requiring(*parts: str, source: Any = None) -> ModelVersion:
    return model_version("1", lineage={"require": parts}, **({"source": source} if source else {}))


def without(*parts: str) -> Lineage:
    empty = Lineage()
    return WHOLE.model_copy(update={HELD_IN[part]: getattr(empty, HELD_IN[part]) for part in parts})


def said(version: ModelVersion, lineage: Lineage | None, **how: Any) -> tuple[bool | None, str, str]:
    draft = complete(version, lineage, **how)
    return draft.status, draft.reason, draft.message


def test_the_table_has_every_part() -> None:
    assert set(HELD_IN) == set(get_args(LineagePart))


@pytest.mark.parametrize("part", HELD_IN)
def test_each_part_is_required_by_itself(part: str) -> None:
    assert said(requiring(part), WHOLE)[:2] == (True, "Known")
    status, reason, message = said(requiring(part), without(part))
    assert (status, reason) == (False, "LineageMissing")
    assert f"{part} (" in message
    others = tuple(each for each in HELD_IN if each != part)
    assert said(requiring(*others), without(part))[:2] == (True, "Known")


def test_all_that_is_missing_is_named_and_nothing_else() -> None:
    message = said(requiring(*HELD_IN), without("Signature", "Data"))[2]
    assert [part for part in HELD_IN if f"{part} (" in message] == ["Data", "Signature"]
    assert "signature= or input_example=" in message
    assert len(said(requiring(*HELD_IN), Lineage())[2]) <= 1024


def test_on_the_hub_it_is_mended_on_the_card() -> None:
    source = {"registryRef": {"name": "hub"}, "name": "org/model", "revision": "main"}
    message = said(requiring("Data", "BaseModel", "Run", source=source), Lineage())[2]
    assert "mlflow" not in message
    assert ("base_model in the card" in message, "the Hub keeps none" in message) == (True, True)


def test_nothing_required_and_nothing_read() -> None:
    assert said(requiring(), None)[:2] == (True, "NothingRequired")
    assert said(requiring("Code"), None)[:2] == (None, "NotResolved")


def test_what_was_never_read_is_open_until_the_registry_answers() -> None:
    """An operator of an older release pinned the version and did not know of signatures."""
    version = requiring("Code", "Signature")
    assert said(version, without("Signature"), just_said=False)[:2] == (None, "Checking")
    assert said(version, without("Signature"))[:2] == (False, "LineageMissing")
    last = Condition(
        type="LineageComplete", status="False", reason="LineageMissing", last_transition_time=START, observed_generation=1
    )
    refused = version.model_copy(update={"status": version.status.model_copy(update={"conditions": (last,)})})
    assert said(refused, without("Signature"), just_said=False)[:2] == (False, "LineageMissing"), "an outage gives nothing back"
    assert said(refused, WHOLE, just_said=False)[:2] == (True, "Known")
    other = refused.model_copy(update={"metadata": refused.metadata.model_copy(update={"generation": 2})})
    assert said(other, without("Signature"), just_said=False)[:2] == (None, "Checking"), "another spec may ask for something else"
