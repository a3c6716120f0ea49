"""An argument of a container: `--model=VALUE`, or `--model` and `VALUE` after each other, in its args or in its command."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.facts import Misfit

_LISTS = ("args", "command")


@dataclass(frozen=True)
class _Found:
    where: str
    index: int
    joined: bool
    """Written as one item, `--model=VALUE`."""
    value: str | None


@dataclass(frozen=True)
class Argument:
    """The argument of this name, with its dashes."""

    name: str

    def read(self, container: Mapping[str, Any]) -> str | None:
        """None where it is not there, or has no value."""
        found = self._all(container)
        return found[-1].value if found else None

    def count(self, container: Mapping[str, Any]) -> int:
        return len(self._all(container))

    def list_name(self, container: Mapping[str, Any]) -> str:
        """The list that it stands in, or would stand in."""
        found = self._all(container)
        return found[-1].where if found else _LISTS[0]

    def operation(self, container: Mapping[str, Any], value: str) -> dict[str, Any]:
        """JSON patch operation, relative to the container. The way it is written stays."""
        match self._all(container):
            case [*_, _Found(where=where, index=index, joined=True)]:
                return {"op": "replace", "path": f"/{where}/{index}", "value": f"{self.name}={value}"}
            case [*_, _Found(where=where, index=index, value=None)]:
                return {"op": "add", "path": f"/{where}/{index + 1}", "value": value}
            case [*_, _Found(where=where, index=index)]:
                return {"op": "replace", "path": f"/{where}/{index + 1}", "value": value}
        if container.get("args"):
            return {"op": "add", "path": "/args/-", "value": f"{self.name}={value}"}
        return {"op": "add", "path": "/args", "value": [f"{self.name}={value}"]}

    def undeclared(self, where: str, container: Mapping[str, Any]) -> Misfit | None:
        """`where` names the container and its workload."""
        found = self._all(container)
        if found and found[-1].value is not None:
            return None
        if found:
            text = f"{self.name} of {where} has no value; write {self.name}=VALUE"
        elif any(
            " " in item and self.name in item.replace("=", " ").split() for each in _LISTS for item in container.get(each) or ()
        ):
            text = (
                f"{self.name} of {where} stands inside another argument, such as a shell's command line; write it as one of its own"
            )
        else:
            text = f"{where} has no argument {self.name}; correct serving.pointer.argument, or write {self.name}=VALUE there"
        return Misfit("PointerNotFound", text)

    def _all(self, container: Mapping[str, Any]) -> list[_Found]:
        found = []
        for where in reversed(_LISTS):  # the command comes first
            items = container.get(where) or []
            for index, item in enumerate(items):
                if item.startswith(f"{self.name}="):
                    found.append(_Found(where, index, joined=True, value=item.removeprefix(f"{self.name}=")))
                elif item == self.name:
                    following = items[index + 1] if index + 1 < len(items) else None
                    value = None if following is None or following.startswith("-") else following
                    found.append(_Found(where, index, joined=False, value=value))
        return found
