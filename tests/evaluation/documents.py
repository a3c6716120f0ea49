"""Builders of result documents for tests."""

import json
from typing import Any

DIGEST = "sha256:" + "a" * 64
OTHER_DIGEST = "sha256:" + "b" * 64


def metric(name: str = "accuracy", **fields: Any) -> dict[str, Any]:
    return {"name": name, "value": 0.95, "direction": "maximize", "n": 171} | fields


def invariant(name: str = "never-insults", **fields: Any) -> dict[str, Any]:
    return {"name": name, "holds": True, "n": 40, "broken": 0} | fields


def document(*metrics: dict[str, Any], digest: str = DIGEST, **fields: Any) -> dict[str, Any]:
    return {"schemaVersion": "v1", "subject": {"digest": digest}, "metrics": list(metrics) or [metric()]} | fields


def encoded(*metrics: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(document(*metrics, **fields)).encode()


MMLU = tuple(
    """abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
    college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics econometrics
    electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology high_school_chemistry
    high_school_computer_science high_school_european_history high_school_geography high_school_government_and_politics
    high_school_macroeconomics high_school_mathematics high_school_microeconomics high_school_physics high_school_psychology
    high_school_statistics high_school_us_history high_school_world_history human_aging human_sexuality international_law
    jurisprudence logical_fallacies machine_learning management marketing medical_genetics miscellaneous moral_disputes
    moral_scenarios nutrition philosophy prehistory professional_accounting professional_law professional_medicine
    professional_psychology public_relations security_studies sociology us_foreign_policy virology world_religions""".split()
)
"""The 57 subjects of MMLU, as lm-eval names them."""
MMLU_GROUPS = ("humanities", "other", "social_sciences", "stem")
