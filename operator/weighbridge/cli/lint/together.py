"""What objects of the same files say of each other: references that lead nowhere, and workloads that name the model themselves.

A reference to what no file holds is nobody's fault: it may be in the cluster. Only where the files hold such objects, one that is
missing among them is told. Objects are taken as they are written, as far as they can be read: whoever mends their schema shall not
have to come back for their references.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from ...api import EvaluationJob, ModelRegistry, ModelVersion
from ...api.serving import Pointer, Serving
from .schema import nearest
from .source import Finding, Path

Body = Mapping[str, Any]
_REGISTRY, _JOB = ModelRegistry.info.kind, EvaluationJob.info.kind


def identity(body: Body) -> tuple[str, str, str]:
    """Kind, namespace and name; empty where none is written."""
    return str(body.get("kind") or ""), _namespace(body), _name(body)


def references(made: Body, everything: Sequence[Body]) -> Iterator[Finding]:
    """Names of ModelRegistries and EvaluationJobs."""
    registries = {_name(each): each for each in everything if each.get("kind") == _REGISTRY and _beside(each, made)}
    jobs = {_name(each) for each in everything if each.get("kind") == _JOB and _beside(each, made)}
    for path, name, reports in _registries(made):
        found = registries.get(name)
        if registries and found is None:
            text = f"these files hold ModelRegistries, and none is called {name}{nearest(name, registries)}"
            yield Finding(path, "Warning", "reference", text)
        elif reports and found is not None and _at(found, "spec", "huggingFace") is not None:
            yield Finding(path, "Error", "reference", f"full reports go to MLflow, and {name} is a Hugging Face Hub")
    name = _at(made, "spec", "champion", "name")
    if made.get("kind") != _JOB or not isinstance(name, str) or name in jobs:
        return
    if hint := nearest(name, jobs - {_name(made)}):
        yield Finding(("spec", "champion"), "Warning", "reference", f"no EvaluationJob {name} is in these files{hint}")


def workloads(made: Body, others: Sequence[Body]) -> Iterator[Finding]:
    """The workloads of the same files that a ModelVersion is to be served by."""
    for path, entry in _serving(made):
        found = {_name(each): each for each in others if each.get("kind") == entry.target_ref.kind and _beside(each, made)}
        body = found.get(entry.target_ref.name)
        if body is None:
            if hint := nearest(entry.target_ref.name, found):
                text = f"no {entry.target_ref.kind} {entry.target_ref.name} is in these files{hint}"
                yield Finding((*path, "targetRef"), "Warning", "reference", text)
        else:
            yield from _pointed(entry, body, path)
        where = entry.pointer.config_map
        for each in others:
            named = where and each.get("kind") == "ConfigMap" and _name(each) == where.name and _beside(each, made)
            if where and named and where.key in _mapping(each.get("data")):
                yield _owned(path, f"{where.key} of ConfigMap {where.name}")


def _pointed(entry: Serving, body: Body, path: Path) -> Iterator[Finding]:
    """Whether the workload has the field, without a value of its own."""
    pointer, where = entry.pointer, f"{entry.target_ref.kind} {entry.target_ref.name}"
    place = (*path, "pointer")
    if pointer.field_path is not None and _at(body, *pointer.field_path.split(".")) is not None:
        yield _owned(path, f"{pointer.field_path} of {where}")
    if pointer.selector is not None and pointer.selector in _mapping(_at(body, "spec", "selector")):
        yield _owned(path, f"selector {pointer.selector} of {where}")
    if pointer.container is None:
        return
    containers = {str(each.get("name")): each for each in _mappings(_at(body, "spec", "template", "spec", "containers"))}
    container = containers.get(pointer.container)
    if container is None:
        text = f"{where} has no container {pointer.container}{nearest(pointer.container, containers)}"
        yield Finding((*place, "container"), "Error", "workload", text)
        return
    yield from _in_container(pointer, container, where, path)


def _in_container(pointer: Pointer, container: Body, where: str, path: Path) -> Iterator[Finding]:
    if pointer.env is not None:
        declared = {str(each.get("name")): each for each in _mappings(container.get("env"))}
        found = declared.get(pointer.env)
        if found is None:
            text = f"container {pointer.container} of {where} does not declare {pointer.env}{nearest(pointer.env, declared)}"
            yield Finding((*path, "pointer", "env"), "Error", "workload", f"{text}; add `- name: {pointer.env}` without a value")
        elif found.get("value") is not None or found.get("valueFrom") is not None:
            yield _owned(path, f"{pointer.env} of {where}")
    if pointer.argument is not None:
        given = [container.get("command"), container.get("args")]
        words = [str(each) for words in given if isinstance(words, list) for each in words]
        if any(each == pointer.argument or each.startswith(f"{pointer.argument}=") for each in words):
            text = (
                f"{pointer.argument} of {where} is in these files: whoever applies them again sets the model back; "
                "leave args to the operator (server-side apply without them), or use an env"
            )
            yield Finding((*path, "pointer"), "Warning", "gitops", text)


def _owned(path: Path, what: str) -> Finding:
    text = f"{what} has a value in these files: it would be applied against the operator again and again; leave the value out"
    return Finding((*path, "pointer"), "Error", "gitops", text)


def _serving(made: Body) -> Iterator[tuple[Path, Serving]]:
    """The entries of spec.serving that can be read."""
    if made.get("kind") != ModelVersion.info.kind:
        return
    for path, each in _items(_at(made, "spec", "serving"), ("spec", "serving")):
        with suppress(ValidationError):
            yield path, Serving.model_validate(each)


def _registries(made: Body) -> Iterator[tuple[Path, str, bool]]:
    """Path, name, and whether reports go there."""
    for place in _referring(made):
        name = _at(made, *place, "registryRef", "name")
        if isinstance(name, str):
            yield (*place, "registryRef"), name, place[-1] == "report"


def _referring(made: Body) -> Iterator[Path]:
    """What has a registryRef, if it is there."""
    if made.get("kind") == ModelVersion.info.kind:
        yield "spec", "source"
        for path, _ in _items(_at(made, "spec", "evaluations"), ("spec", "evaluations")):
            yield from _of_template(made, (*path, "template"))
    elif made.get("kind") == _JOB:
        yield "spec", "model"
        yield from (path for path, _ in _items(_at(made, "spec", "fallback", "models"), ("spec", "fallback", "models")))
        yield from _of_template(made, ("spec",))


def _of_template(made: Body, path: Path) -> Iterator[Path]:
    for place, dataset in _items(_at(made, *path, "datasets"), (*path, "datasets")):
        yield place
        yield from (instead for instead, _ in _items(dataset.get("fallback"), (*place, "fallback")))
    yield (*path, "report")


def _items(value: Any, path: Path) -> Iterator[tuple[Path, Body]]:
    """The mappings of a list, each with its path."""
    if isinstance(value, list):
        yield from (((*path, index), each) for index, each in enumerate(value) if isinstance(each, dict))


def _beside(one: Body, other: Body) -> bool:
    """Whether both can be in one namespace: where none is named, the one they are applied to."""
    places = _namespace(one), _namespace(other)
    return places[0] == places[1] or "" in places


def _namespace(body: Body) -> str:
    return str(_mapping(body.get("metadata")).get("namespace") or "")


def _name(body: Body) -> str:
    return str(_mapping(body.get("metadata")).get("name") or "")


def _mapping(value: Any) -> Body:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Body]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _at(body: Any, *path: str | int) -> Any:
    for each in path:
        if isinstance(each, int):
            body = body[each] if isinstance(body, list) and each < len(body) else None
        else:
            body = body.get(each) if isinstance(body, dict) else None
    return body
