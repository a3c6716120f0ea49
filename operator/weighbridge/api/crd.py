"""Turns the pydantic models into CustomResourceDefinitions: JSON Schema to the structural subset that Kubernetes takes.

Refuses what it cannot express, naming the place, so that a model can never silently lose a bound.
"""

from typing import Any

from .base import GROUP, VERSION, Resource

_KEPT = {
    "type", "description", "default", "enum", "pattern", "format", "minimum", "maximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "required", "items", "properties", "additionalProperties",
    "nullable", "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
}  # fmt: skip


def structural(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> dict[str, Any]:
    """One node of JSON Schema as a structural schema. Raises ValueError, naming `path`, for what has no such form."""
    node = dict(schema)
    while "$ref" in node:
        target = definitions[node.pop("$ref").rsplit("/", 1)[-1]]
        inner_rules = target.get("x-kubernetes-validations", []) + node.get("x-kubernetes-validations", [])
        node = {**target, **node}
        if inner_rules:
            node["x-kubernetes-validations"] = inner_rules
    if "anyOf" in node:
        choices = [choice for choice in node.pop("anyOf") if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ValueError(f"{path}: a union has no structural form; use optional members and a CEL rule")
        if node.get("default", ...) is None:
            del node["default"]
        return structural({**choices[0], **node}, definitions, path)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "propertyNames" in node:  # CEL or the enum's own text bounds the keys
        node.pop("propertyNames")
    node.pop("title", None)
    if isinstance(node.get("default"), dict):  # an absent member is no null to the API server
        node["default"] = _present(node["default"])
    _tell_default(node)
    if unknown := set(node) - _KEPT:
        raise ValueError(f"{path}: {', '.join(sorted(unknown))} cannot be expressed in a CRD")
    if "properties" in node:
        node["properties"] = {name: structural(child, definitions, f"{path}.{name}") for name, child in node["properties"].items()}
    if "items" in node:
        node["items"] = structural(node["items"], definitions, f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        node["additionalProperties"] = structural(node["additionalProperties"], definitions, f"{path}{{}}")
    return node


def _tell_default(node: dict[str, Any]) -> None:
    """Says the default in the description, since `kubectl explain` shows none."""
    default = node.get("default")
    if isinstance(default, str | int | float) and default != "" and "description" in node:
        text = str(default).lower() if isinstance(default, bool) else default
        node["description"] = f"{node['description']} Default: {text}."


def crd(kind: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, ready for `kubectl apply`."""
    schema = kind.model_json_schema(by_alias=True, mode="validation")
    definitions = schema.get("$defs", {})
    root = {
        "type": "object",
        "description": (kind.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(schema["properties"]["spec"], definitions, "spec"),
            "status": structural(_without_defaults(schema["properties"]["status"]), _status(definitions), "status"),
        },
    }
    info = kind.info
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": info.kind,
                "listKind": f"{info.kind}List",
                "plural": info.plural,
                "singular": info.kind.lower(),
                "shortNames": [info.short_name],
                "categories": ["weighbridge"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": column.name, "type": column.type, "jsonPath": column.path}
                        | ({"priority": column.priority} if column.priority else {})
                        for column in info.columns
                    ],
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def _present(value: Any) -> Any:
    return {key: _present(item) for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "default"}


def _status(definitions: dict[str, Any]) -> dict[str, Any]:
    """Status is what was observed: the server must not invent values there, so its models lose their defaults."""
    return {
        name: {
            **_without_defaults(definition),
            **(
                {"properties": {key: _without_defaults(value) for key, value in definition["properties"].items()}}
                if "properties" in definition
                else {}
            ),
        }
        for name, definition in definitions.items()
    }
