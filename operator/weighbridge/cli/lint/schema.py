"""An object against the schema of its kind, as the API server checks it: defaults, fields, types, bounds and rules.

The schema is the CRD's own (api/crd.py), so nothing is said twice. Rules on changes (`oldSelf`) need the object before: the API
server asks those.
"""

import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

from .cel import Unsupported, holds
from .cel_functions import NoValue, pattern
from .source import Document, Finding, Path

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_SAID = {"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number"}
_BOOLEANS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false"})


def nearest(name: str, known: Any) -> str:
    """A hint at what may have been meant; empty where nothing is near."""
    lowered = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return f"; did you mean {lowered[found[0]]}?" if found else ""


def check(document: Document, value: Any, schema: Mapping[str, Any], path: Path) -> tuple[Any, list[Finding]]:
    """The value with its defaults, and what is wrong with it."""
    wrong = _type(document, value, schema, path)
    if wrong is not None:
        return value, [Finding(path, "Error", "schema", wrong)]
    findings: list[Finding] = []
    if isinstance(value, dict):
        value, findings = _members(document, value, schema, path)
    elif isinstance(value, list):
        checked = [check(document, each, schema.get("items", {}), (*path, index)) for index, each in enumerate(value)]
        value, findings = [each for each, _ in checked], [found for _, said in checked for found in said]
        findings += [Finding((*path, index), "Error", "schema", text) for index, text in _twice(value, schema)]
    findings += [Finding(path, "Error", "schema", text) for text in _bounds(value, schema)]
    if not findings:
        findings += [Finding(path, "Error", "rule", text) for text in _rules(value, schema)]
    return value, findings


def _type(document: Document, value: Any, schema: Mapping[str, Any], path: Path) -> str | None:
    wanted = schema.get("type", "")
    if not wanted or schema.get("x-kubernetes-int-or-string"):
        return None
    fits = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        fits = True
    if fits:
        return None if not isinstance(value, float) or math.isfinite(value) else "must be a finite number"
    written = document.written.get(path, "")
    if wanted == "string" and isinstance(value, bool) and written.lower() in _BOOLEANS:
        return f'must be text, and YAML reads {written} as {str(value).lower()}: write it in quotes: "{written}"'
    if wanted == "string" and isinstance(value, int | float):
        return f'must be text, and YAML reads {written} as a number: write it in quotes: "{written}"'
    found = "nothing" if value is None else "text" if isinstance(value, str) else f"{type(value).__name__}"
    return (
        f"must be {_SAID.get(wanted, 'true or false')}, not {_SAID.get({'dict': 'object', 'list': 'array'}.get(found, ''), found)}"
    )


def _members(document: Document, value: dict[str, Any], schema: Mapping[str, Any], path: Path) -> tuple[Any, list[Finding]]:
    known, others = schema.get("properties"), schema.get("additionalProperties")
    filled, findings = dict(value), list[Finding]()
    for name, each in (known or {}).items():
        if "default" in each and name not in filled:
            filled[name] = deepcopy(each["default"])
    for name, each in filled.items():
        below = (known or {}).get(name) or (others if isinstance(others, dict) else None)
        if below is None and known is not None:
            findings.append(Finding((*path, name), "Error", "unknown-field", f"there is no field {name}{nearest(name, known)}"))
        elif below is not None and not (each is None and name not in schema.get("required", ())):
            filled[name], said = check(document, each, below, (*path, name))
            findings += said
    missing = [name for name in schema.get("required", ()) if name not in filled]
    findings += [Finding(path, "Error", "schema", f"{name} is missing") for name in missing]
    return {name: each for name, each in filled.items() if each is not None}, findings


def _bounds(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    if (choices := schema.get("enum")) is not None and value not in choices:
        hint = nearest(value, [each for each in choices if isinstance(each, str)]) if isinstance(value, str) else ""
        yield f"must be {' or '.join(str(each).lower() if isinstance(each, bool) else str(each) for each in choices)}{hint}"
    if isinstance(value, str | list | dict):
        unit = {str: "Length", list: "Items"}.get(type(value), "Properties")
        what = {str: "characters", list: "items"}.get(type(value), "entries")
        if len(value) < schema.get(f"min{unit}", 0):
            yield f"must have at least {schema[f'min{unit}']} {what}"
        if len(value) > schema.get(f"max{unit}", len(value)):
            yield f"must have at most {schema[f'max{unit}']} {what}, and has {len(value)}"
    if isinstance(value, str) and "pattern" in schema and not pattern(schema["pattern"]).search(value):
        yield f"cannot be written like this: it must match {schema['pattern']}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield f"must be at least {schema['minimum']}"
        if value > schema.get("maximum", value):
            yield f"must be at most {schema['maximum']}"


def _twice(value: list[Any], schema: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Index and name of what is there once more."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys:
        named = [tuple(each.get(key) for key in keys) if isinstance(each, dict) else () for each in value]
    else:
        named = [(each,) for each in value] if schema.get("x-kubernetes-list-type") == "set" else []
    for index, each in enumerate(named):
        if each in named[:index]:
            yield index, f"{each[0]} is there twice"


def _rules(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"]:
            continue
        try:
            kept = holds(rule["rule"], value)
        except (NoValue, Unsupported):
            continue  # the API server asks it on top
        if not kept:
            yield rule["message"]
