"""Pointers in a pod template: where the value stands, in the template and in the pods made of it, and what may be wrong with that.

Places are told relative to the pod template. A pod has the same form, so that it tells by itself what it was told to serve.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from ..api.serving import ConfigMapKey, Pointer
from ..core.facts import Misfit
from . import paths
from .arguments import Argument
from .configmaps import POINTER
from .patches import HOLE
from .paths import Named, Path

Template = Mapping[str, Any]
_LISTS = ("containers", "initContainers")


class PodPointer(Protocol):
    """One kind of pointer."""

    container: str | None
    """Whose trouble speaks against the model; None: any container's."""
    one_piece: bool
    """Whether it stands in a list that has one owner for all of it."""

    def read(self, pod: Template) -> str | None: ...

    def path(self, template: Template) -> Path:
        """The place, as server-side apply knows it."""
        ...

    def operation(self, template: Template) -> dict[str, Any]:
        """JSON patch operation with a hole for the value."""
        ...

    def misfit(self, where: str, template: Template) -> Misfit | None: ...

    def undeclared(self, where: str, template: Template) -> Misfit | None: ...


def pod_pointer(pointer: Pointer) -> PodPointer:
    """The pointer as pods have it. Raises ValueError for one that is no pod's: the schema admits none there."""
    match pointer:
        case Pointer(env=str(name), container=str(container)):
            return _Env(container, name)
        case Pointer(argument=str(name), container=str(container)):
            return _Argument(container, name)
        case Pointer(image=True, container=str(container)):
            return _Image(container)
        case Pointer(image_volume=str(name)):
            return _ImageVolume(name)
        case Pointer(config_map=ConfigMapKey()):
            return _Annotation()
    raise ValueError("this pointer does not stand in a pod template")


class _InContainer:
    one_piece = False

    def __init__(self, container: str) -> None:
        self.container: str | None = container

    def within(self, pod: Template) -> Path:
        """The container: one that goes on running, or one that prepares the others."""
        item = Named(self.container or "")
        return next((("spec", each, item) for each in _LISTS if paths.read(pod, ("spec", each, item))), ("spec", _LISTS[0], item))

    def misfit(self, where: str, template: Template) -> Misfit | None:
        if paths.read(template, self.within(template)) is not None:
            return None
        names = [item["name"] for each in _LISTS for item in template["spec"].get(each) or ()]
        text = f"{where} has no container {self.container}, only {' and '.join(names)}"
        return Misfit("ContainerNotFound", f"{text}; correct serving.pointer.container")

    def undeclared(self, where: str, template: Template) -> Misfit | None:  # noqa: ARG002
        return None


class _Env(_InContainer):
    def __init__(self, container: str, name: str) -> None:
        super().__init__(container)
        self._name = name

    def _variable(self, pod: Template) -> Any | None:
        return paths.read(pod, self.path(pod)[:-1])

    def read(self, pod: Template) -> str | None:
        variable = self._variable(pod)
        return None if variable is None or "valueFrom" in variable else variable.get("value", "")

    def path(self, template: Template) -> Path:
        return (*self.within(template), "env", Named(self._name), "value")

    def operation(self, template: Template) -> dict[str, Any]:
        return paths.operation(template, self.path(template), HOLE)

    def misfit(self, where: str, template: Template) -> Misfit | None:
        if "valueFrom" in (self._variable(template) or {}):
            return Misfit(
                "PointerHasOtherSource", f"{self._name} of {where} takes its value from elsewhere (valueFrom); give it a value"
            )
        return super().misfit(where, template)

    def undeclared(self, where: str, template: Template) -> Misfit | None:
        if self._variable(template) is not None:
            return None
        text = f"container {self.container} of {where} declares no {self._name}"
        return Misfit("PointerNotFound", f"{text}; correct serving.pointer.env, or declare it there (without a value)")


class _Argument(_InContainer):
    one_piece = True

    def __init__(self, container: str, name: str) -> None:
        super().__init__(container)
        self._argument = Argument(name)

    def read(self, pod: Template) -> str | None:
        return self._argument.read(paths.read(pod, self.within(pod)) or {})

    def path(self, template: Template) -> Path:
        within = self.within(template)
        return (*within, self._argument.list_name(paths.read(template, within) or {}))

    def operation(self, template: Template) -> dict[str, Any]:
        within = self.within(template)
        found = self._argument.operation(paths.read(template, within) or {}, HOLE)
        index = next(
            number for number, item in enumerate(paths.read(template, within[:2]) or ()) if item.get("name") == self.container
        )
        return {**found, "path": f"/{within[0]}/{within[1]}/{index}{found['path']}"}

    def misfit(self, where: str, template: Template) -> Misfit | None:
        container = paths.read(template, self.within(template))
        if container is not None and self._argument.count(container) > 1:
            text = f"container {self.container} of {where} has the argument {self._argument.name} more than once; leave one of them"
            return Misfit("PointerAmbiguous", text)
        return super().misfit(where, template)

    def undeclared(self, where: str, template: Template) -> Misfit | None:
        container = paths.read(template, self.within(template)) or {}
        return self._argument.undeclared(f"container {self.container} of {where}", container)


class _Image(_InContainer):
    def read(self, pod: Template) -> str | None:
        found = paths.read(pod, self.path(pod))
        return found if isinstance(found, str) else None

    def path(self, template: Template) -> Path:
        return (*self.within(template), "image")

    def operation(self, template: Template) -> dict[str, Any]:
        return paths.operation(template, self.path(template), HOLE)


class _ImageVolume:
    container: str | None = None
    one_piece = False

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, pod: Template) -> str | None:
        volume = paths.read(pod, ("spec", "volumes", Named(self._name)))
        return None if not isinstance(volume, Mapping) or "image" not in volume else (volume["image"] or {}).get("reference", "")

    def path(self, template: Template) -> Path:  # noqa: ARG002
        return ("spec", "volumes", Named(self._name), "image", "reference")

    def operation(self, template: Template) -> dict[str, Any]:
        return paths.operation(template, self.path(template), HOLE)

    def misfit(self, where: str, template: Template) -> Misfit | None:
        volumes = template["spec"].get("volumes") or ()
        volume = paths.read(template, ("spec", "volumes", Named(self._name)))
        if volume is None:
            names = " and ".join(str(each.get("name")) for each in volumes)
            text = f"{where} has no volume {self._name}{f', only {names}' if names else ''}"
            return Misfit("VolumeNotFound", f"{text}; correct serving.pointer.imageVolume, or declare it with `image: {{}}`")
        if "image" not in volume:
            return Misfit(
                "PointerHasOtherSource", f"volume {self._name} of {where} is no image volume; give it `image: {{}}` as source"
            )
        return None

    def undeclared(self, where: str, template: Template) -> Misfit | None:  # noqa: ARG002
        return None


class _Annotation:
    """What the operator tells pods of a ConfigMap's key: they cannot tell by themselves what they read there."""

    container: str | None = None
    one_piece = False

    def read(self, pod: Template) -> str | None:
        found = paths.read(pod, ("metadata", "annotations", POINTER))
        return found if isinstance(found, str) else None

    def path(self, template: Template) -> Path:  # noqa: ARG002
        return ("metadata", "annotations", POINTER)

    def operation(self, template: Template) -> dict[str, Any]:
        return paths.operation(template, self.path(template), HOLE)

    def misfit(self, where: str, template: Template) -> Misfit | None:  # noqa: ARG002
        return None

    def undeclared(self, where: str, template: Template) -> Misfit | None:  # noqa: ARG002
        return None
