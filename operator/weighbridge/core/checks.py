"""The list of pre-flight checks, as status and `weighbridge preflight` show it: each registry, then each subject layer by layer.

One answer tells how several layers came out (`layers.py`). Must not decide what follows from a check.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ..api.evaluationjob import Check
from ..api.modelregistry import ModelRegistry, ModelRegistrySpec
from ..api.references import ModelReference
from .facts import Absent, Fact, Failed, Known, ModelSnapshot, Pending
from .layers import LAYERS, MAY_NOT_EXIST, Layer, layer
from .subjects import Answers, Reference, Subject, what

Asked: TypeAlias = list[tuple[Subject, Answers]]
_PASSED: Mapping[Layer, str] = {
    "Access": "readable for the evaluation's pod",
    "Complete": "every file is there",
    "Format": "loads without running code of its own",
}


MOST = 128
"""Checks that a status holds."""


def bounded(checks: Sequence[Check]) -> tuple[Check, ...]:
    """At most as many as a status holds: where there are more, those that passed are left out from the end, then any others."""
    excess = len(checks) - MOST
    if excess <= 0:
        return tuple(checks)
    passed = [place for place, check in enumerate(checks) if check.result == "Passed"]
    left_out = set(passed[max(0, len(passed) - excess) :])
    return tuple(check for place, check in enumerate(checks) if place not in left_out)[:MOST]


def refusal(registry: ModelRegistrySpec, found: ModelSnapshot) -> str:
    """Why the policy of the registry's owner does not let this model be loaded; empty where it does."""
    if not found.unsafe or registry.unsafe_formats != "Refuse":
        return ""
    return f"{found.pin.name} can run code when it is loaded: {found.unsafe}; its ModelRegistry refuses such (unsafeFormats)"


def registry_checks(asked: Asked) -> Iterator[Check]:
    """One check for each registry that was asked, in the order of asking."""
    by_name: dict[str, list[Fact[Any]]] = {}
    for subject, said in asked:
        for reference, answer in zip(subject.references, said, strict=False):
            by_name.setdefault(reference.registry_ref.name, []).append(answer)
    for name, answers in by_name.items():
        label = f"Registry/{name}"[:128]
        missing = next((each for each in answers if isinstance(each, Absent) and each.reason == "RegistryNotFound"), None)
        silent = next((each for each in answers if isinstance(each, Failed) and _of_registry(each)), None)
        if all(isinstance(each, Absent) and each.reason == "ReferenceUnsupported" for each in answers):
            continue  # nobody had to be asked for that
        if missing is not None:
            yield Check(name=label, result="Failed", reason=missing.reason, message=missing.message)
        elif silent is not None:
            yield Check(name=label, result="Waiting", reason=silent.reason, message=silent.message[:1024])
        elif all(isinstance(each, Pending) for each in answers):
            yield Check(name=label, result="Waiting", reason="Checking", message="waiting for the registry's answer")
        else:
            yield Check(name=label, result="Passed", reason="Reachable", message="answers")


def _of_registry(answer: Failed) -> bool:
    """Whether a failure speaks of the registry as a whole, not of one entry in it."""
    return layer(answer.reason) == "Exists"


def subject_checks(subject: Subject, answers: Answers, registries: Mapping[str, ModelRegistry]) -> Iterator[Check]:
    """The layers of the wanted reference and of each fallback that was asked for, down to the first that is not passed."""
    for place, (reference, answer) in enumerate(zip(subject.references, answers, strict=False)):
        name = subject.name if place == 0 else f"{subject.name}/Fallback-{place}"
        if isinstance(answer, Absent) and answer.reason == "RegistryNotFound":
            continue
        registry = registries.get(reference.registry_ref.name)
        yield from _layers_of(name, reference, answer, registry.spec if registry else None)


def _layers_of(name: str, reference: Reference, answer: Fact[Any], registry: ModelRegistrySpec | None) -> Iterator[Check]:
    name_of_it = what(reference)
    said = {**_PASSED, "Exists": f"{name_of_it} exists"}
    applicable = LAYERS if isinstance(reference, ModelReference) else LAYERS[:-1]
    stop: tuple[Layer, Literal["Failed", "Waiting"], str, str] | None = None
    match answer:
        case Known(value=ModelSnapshot() as found):
            said["Exists"] = f"{name_of_it} is {found.pin.version}{f'; {found.notice}' if found.notice else ''}"
            if registry is not None and (text := refusal(registry, found)):
                stop = ("Format", "Failed", "UnsafeFormat", text)
            elif found.unsafe:
                said["Format"] = f"can run code when it is loaded, which unsafeFormats allows: {found.unsafe}"
        case Known(value=pin):
            said["Exists"] = f"{name_of_it} is {pin.revision}"
        case Absent(reason=reason, message=message):
            stop = (layer(reason), "Failed", reason, message)
        case Failed(reason=reason, message=message):
            stop = (layer(reason), "Waiting", reason, message)
        case Pending():
            stop = ("Exists", "Waiting", "Checking", "waiting for the registry's answer")
    hidden = stop is not None and stop[2] in MAY_NOT_EXIST
    for each in applicable:
        if hidden and each == "Exists":
            continue
        label = f"{name}/{each}"[:128]
        if stop is not None and stop[0] == each:
            yield Check(name=label, result=stop[1], reason=stop[2], message=stop[3][:1024])
            return
        yield Check(name=label, result="Passed", reason="Available", message=said[each][:1024])
