"""What a gate asks, before anything is measured: its rules in words, what is wrong with them, and the fingerprint of them all."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

from ..api.gate import Direction, GateRule


def words(rule: GateRule) -> str:
    """The rule as people say it."""
    if rule.invariant is not None:
        return f"invariant {rule.invariant} holds"
    where = " on every slice" if rule.slices else f" on {rule.slice}" if rule.slice else ""
    sure = "" if rule.standard_errors is None else f" by {rule.standard_errors:.12g} standard errors"
    asked = [f"{bar(rule)}{sure}"] if barred(rule) else []
    if rule.max_regression is not None:
        sure = sure if rule.confidence is None else f" with confidence {rule.confidence:.12g}"
        asked.append(f"at most {rule.max_regression:.12g} worse than the champion{sure}")
    return f"{rule.metric}{where} {' and '.join(asked)}"


def barred(rule: GateRule) -> bool:
    """Whether the rule has a bar that does not depend on the champion."""
    return rule.min is not None or rule.max is not None


def bar(rule: GateRule) -> str:
    """What the value must be."""
    bars = [f"at least {rule.min:.12g}"] if rule.min is not None else []
    bars += [f"at most {rule.max:.12g}"] if rule.max is not None else []
    return " and ".join(bars)


def policy_hash(gate: Sequence[GateRule]) -> str:
    """The same for two gates that ask the same: the order of rules, a rule said twice and the spelling of numbers do not count."""
    asked = sorted({json.dumps(_canonical(rule), sort_keys=True) for rule in gate})
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def wrong(rule: GateRule, gate: Sequence[GateRule]) -> str | None:
    """Why no measurement could clear the rule as it is written, by itself or beside the others; None where one could.

    Admission refuses nearly all of this with the same words; it does not see objects that were made under older schemas.
    """
    problem = _not_one_question(rule) or (None if rule.metric is None else _unsure(rule) or _wrong_bars(rule))
    if problem is not None:
        return problem
    rivals = sorted(words(other) for other in gate if _meet(rule, other) and (_above(rule, other) or _above(other, rule)))
    return f"the rules “{words(rule)}” and “{rivals[0]}” can never both hold" if rivals else None


def _not_one_question(rule: GateRule) -> str | None:
    if (rule.metric is None) == (rule.invariant is None):
        return "a rule must name either a metric or an invariant"
    of_metrics = (rule.max_regression, rule.confidence, rule.direction, rule.slice, rule.slices, rule.standard_errors, rule.unit)
    if rule.invariant is not None and (barred(rule) or any(each is not None for each in of_metrics)):
        return f"invariant {rule.invariant} holds or it does not: leave out the bars and all else but minSamples"
    if rule.metric is not None and not barred(rule) and rule.max_regression is None:
        return f"the rule on {rule.metric} has no bar"
    return None


def _unsure(rule: GateRule) -> str | None:
    """What is wrong with how sure the rule wants to be."""
    if rule.standard_errors is not None and not 0 < rule.standard_errors <= 10:
        return f"standardErrors of the rule on {rule.metric} must be above 0 and at most 10"
    if rule.confidence is not None and not 0.5 < rule.confidence < 1:
        return f"confidence of the rule on {rule.metric} must be above 0.5 and below 1"
    if rule.confidence is not None and rule.max_regression is None:
        return f"confidence of the rule on {rule.metric} goes with maxRegression"
    if rule.confidence is not None and rule.standard_errors is not None and not barred(rule):
        return f"the rule on {rule.metric} has confidence and standardErrors, and no min or max: leave out one of them"
    return None


def _wrong_bars(rule: GateRule) -> str | None:
    if not all(math.isfinite(each) for each in (rule.min, rule.max, rule.max_regression) if each is not None):
        return f"the bar on {rule.metric} is not a finite number"
    if rule.max_regression is not None and rule.max_regression < 0:
        return f"maxRegression of the rule on {rule.metric} must be at least 0"
    if rule.slice is not None and rule.slices is not None:
        return f"the rule on {rule.metric} names one slice and means every one: set slice or slices"
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        return f"the rule on {rule.metric} can never hold: its min is above its max"
    if rule.direction is not None and wrong_side(rule, rule.direction):
        return f"the rule contradicts itself: {rule.metric} is one to {rule.direction}, and the only bar is {bar(rule)}"
    return None


def wrong_side(rule: GateRule, direction: Direction) -> bool:
    """Whether the rule bars good values only; a regression never does."""
    return barred(rule) and (rule.min if direction == "maximize" else rule.max) is None


def _meet(one: GateRule, other: GateRule) -> bool:
    """Whether both hold for one value."""
    if one.metric != other.metric:
        return False
    if one.slices or other.slices:
        return all(each.slices or each.slice is not None for each in (one, other))
    return one.slice == other.slice


def _above(one: GateRule, other: GateRule) -> bool:
    return one.min is not None and other.max is not None and one.min > other.max


def _canonical(rule: GateRule) -> dict[str, Any]:
    said = rule.model_dump(by_alias=True, exclude_none=True)  # what is not said stays out: a field of tomorrow changes no hash
    return {key: value + 0.0 if isinstance(value, float) else value for key, value in said.items()}  # -0.0 is 0.0
