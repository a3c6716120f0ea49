"""What objects of the same files say of each other: references that lead nowhere, and workloads that name the model themselves.

A reference to what no file holds is nobody's fault: it may be in the cluster. Only where the files hold such objects, one that is
missing among them is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..api import EvaluationJob, ModelRegistry, ModelVersion
from ..api.base import Resource
from ..api.evaluationjob import EvaluationTemplate
from ..api.serving import Pointer, Serving
from .schema import nearest
from .source import Finding, Path

Body = Mapping[str, Any]


def references(made: Resource, everything: Sequence[Resource]) -> Iterator[Finding]:
    """Names of ModelRegistries and EvaluationJobs."""
    registries = {each.metadata.name: each for each in everything if isinstance(each, ModelRegistry) and _near(each, made)}
    jobs = {each.metadata.name for each in everything if isinstance(each, EvaluationJob) and _near(each, made)}
    for path, name, reports in _registries(made):
        found = registries.get(name)
        if registries and found is None:
            text = f"these files hold ModelRegistries, and none is called {name}{nearest(name, registries)}"
            yield Finding(path, "Warning", "reference", text)
        elif reports and found is not None and found.spec.kind != "mlflow":
            yield Finding(path, "Error", "reference", f"full reports go to MLflow, and {name} is a Hugging Face Hub")
    if isinstance(made, EvaluationJob) and made.spec.champion is not None and made.spec.champion.name not in jobs:
        name = made.spec.champion.name
        if hint := nearest(name, jobs - {made.metadata.name}):
            yield Finding(("spec", "champion"), "Warning", "reference", f"no EvaluationJob {name} is in these files{hint}")


def workloads(made: ModelVersion, others: Sequence[Body]) -> Iterator[Finding]:
    """The workloads of the same files that it is to be served by."""
    for index, entry in enumerate(made.spec.serving):
        path: Path = ("spec", "serving", index)
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


def _registries(made: Resource) -> Iterator[tuple[Path, str, bool]]:
    """Path, name, and whether reports go there."""
    if isinstance(made, ModelVersion):
        yield ("spec", "source", "registryRef"), made.spec.source.registry_ref.name, False
        for index, each in enumerate(made.spec.evaluations):
            yield from _of_template(each.template, ("spec", "evaluations", index, "template"))
    if isinstance(made, EvaluationJob):
        yield ("spec", "model", "registryRef"), made.spec.model.registry_ref.name, False
        for index, model in enumerate(made.spec.fallback.models):
            yield ("spec", "fallback", "models", index), model.registry_ref.name, False
        yield from _of_template(made.spec, ("spec",))


def _of_template(template: EvaluationTemplate, path: Path) -> Iterator[tuple[Path, str, bool]]:
    for index, dataset in enumerate(template.datasets):
        yield (*path, "datasets", index, "registryRef"), dataset.registry_ref.name, False
        for number, instead in enumerate(dataset.fallback):
            yield (*path, "datasets", index, "fallback", number), instead.registry_ref.name, False
    if template.report is not None:
        yield (*path, "report", "registryRef"), template.report.registry_ref.name, True


def _near(one: Resource, other: Resource) -> bool:
    """Whether both can be in one namespace: where none is named, the one they are applied to."""
    return one.metadata.namespace == other.metadata.namespace or "" in (one.metadata.namespace, other.metadata.namespace)


def _beside(body: Body, made: Resource) -> bool:
    place = str(_mapping(body.get("metadata")).get("namespace") or "")
    return place == made.metadata.namespace or "" in (place, made.metadata.namespace)


def _name(body: Body) -> str:
    return str(_mapping(body.get("metadata")).get("name") or "")


def _mapping(value: Any) -> Body:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Body]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _at(body: Any, *path: str) -> Any:
    for each in path:
        body = body.get(each) if isinstance(body, dict) else None
    return body
