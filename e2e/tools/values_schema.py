"""values_schema.py VALUES: the JSON schema of a chart's values, on standard output, from values.yaml and its comments.

Types, and which keys there are, follow from the defaults; nothing else may be written. A comment above a key is its description.
`# @schema {…}` above a key adds what a default cannot tell, and must be there for an empty list or map. It is the notation of
helm-values-schema-json in short, whose module no Go proxy has.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
_MARK = re.compile(r"^\s*# @schema (\{.*\})\s*$")
_COMMENT = re.compile(r"^\s*# ?(.*)$")
_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "null": "null"}


def schema(text: str) -> Schema:
    """The whole schema. Raises ValueError with the line of what does not say enough."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml is no map")  # noqa: TRY004 - for who reads the message
    found = _node(root, text.splitlines(), {})
    # Helm puts it there where the chart is part of another one.
    found["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Weighbridge chart", **found}


def _node(node: yaml.Node, lines: list[str], more: Schema) -> Schema:
    where = f"line {node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        if "additionalProperties" in more:
            return {"type": "object"} | more
        if not node.value:
            raise ValueError(f"{where}: say what an empty map may hold, with # @schema")
        properties = {}
        for key, value in node.value:
            text, said = _above(key.start_mark.line, lines)
            properties[key.value] = ({"description": text} if text else {}) | _node(value, lines, said)
        return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties} | more
    if isinstance(node, yaml.SequenceNode):
        if "items" not in more:
            raise ValueError(f"{where}: say what the list may hold, with # @schema")
        return {"type": "array"} | more
    if "enum" in more:
        return more
    return {"type": _TYPES[node.tag.rpartition(":")[2]]} | more


def _above(number: int, lines: list[str]) -> tuple[str, Schema]:
    """Description and `@schema` in the comment lines right above a line."""
    words: list[str] = []
    said: Schema = {}
    while number > 0 and (comment := _COMMENT.match(lines[number - 1])):
        number -= 1
        if mark := _MARK.match(lines[number]):
            said = yaml.safe_load(mark[1]) | said
        else:
            words.insert(0, comment[1].strip())
    return " ".join(words), said


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(Path(sys.argv[1]).read_text(encoding="utf-8")), indent=2, ensure_ascii=False) + "\n")
