# SPDX-License-Identifier: Apache-2.0
"""The file of `onrecord redact --schema`: a JSON Schema, or the definition of a tool, which holds one or two."""

from pathlib import Path

from onrecord.cli.inputs import LONGEST, opened
from onrecord.cli.terminal import say
from onrecord.cli.values import BadLine, value_of
from onrecord.errors import ConfigError
from onrecord.event.call import Json
from onrecord.rules.marks import is_marked

_OF_A_TOOL = ("inputSchema", "outputSchema")
# Where schemas stand in a schema: as they are, in lists or by name.
_WITHIN = (
    *("allOf", "anyOf", "oneOf", "if", "then", "else", "not", "propertyNames", "contentSchema"),
    *("items", "prefixItems", "contains", "additionalItems", "unevaluatedItems"),
    *("additionalProperties", "unevaluatedProperties"),
)
_NAMED = ("properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def schemas(path: Path | None) -> list[Json]:
    """Return the schemas in a file, none without one, and say if they mark nothing. Raises ConfigError."""
    if path is None:
        return []
    with opened(path) as file:
        try:
            value = value_of(file.read(LONGEST))
        except BadLine as e:
            raise ConfigError(f"{path} {e}") from None
    found = [(path, value)]
    if isinstance(value, dict):
        _refuse_many(path, value)
        found = [(f"{path}: {key}", value[key]) for key in _OF_A_TOOL if value.get(key) is not None] or found
    for where, schema in found:
        if not isinstance(schema, dict | bool):
            raise ConfigError(f"{where} is not a JSON Schema, which is an object")
    if not any(_marks_something(schema) for _, schema in found):
        say(f"{path} marks nothing as sensitive: no sensitive, x-sensitive, writeOnly, or format password")
    return [schema for _, schema in found]


def _refuse_many(path: Path, value: dict[str, Json]) -> None:
    result = value.get("result")
    tools = (result if isinstance(result, dict) else value).get("tools")
    if isinstance(tools, list):
        raise ConfigError(f"{path} lists {len(tools)} tools; give the definition of one, or its inputSchema")


def _marks_something(schema: Json) -> bool:
    """Say whether anything is marked where schemas can stand; a reference to elsewhere may mark."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict):
            waiting.extend(node if isinstance(node, list) else ())
            continue
        references = [node[key] for key in _REFERENCES if key in node]
        if is_marked(node) or not all(str(one).startswith(("#/$defs/", "#/definitions/")) for one in references):
            return True
        waiting.extend(node[key] for key in _WITHIN if key in node)
        for key in _NAMED:
            named = node.get(key)
            waiting.extend(named.values() if isinstance(named, dict) else ())
    return False
