# SPDX-License-Identifier: Apache-2.0
"""What a tool's definition and the manifest say about where its values are sensitive.

Nearly all schemas mark nothing, so that question is asked once per definition and only the others
are walked beside each value. Pointers of the manifest are followed in every call.
"""

from collections.abc import Iterable
from typing import NamedTuple

from onrecord.event.call import Call, Definition, Json
from onrecord.rules import outcome, pointer
from onrecord.rules.arguments import ANSWERS
from onrecord.rules.classify import Treatment
from onrecord.rules.detection.labels import SENSITIVE, label_only
from onrecord.rules.echo import FOUND, Secrets
from onrecord.rules.gathering import NODES
from onrecord.rules.marks import declared, has_marks, marked
from onrecord.rules.pointer import Tokens


class ToolSchema(NamedTuple):
    """What has to be known of a definition, worked out once."""

    known: bool
    input_marks: bool
    output_marks: bool
    declared: frozenset[str] = frozenset()  # names that the schemas give, where they mark anything


UNKNOWN = ToolSchema(known=False, input_marks=False, output_marks=False)
PROTOCOL = ToolSchema(known=True, input_marks=False, output_marks=False)  # of requests that MCP itself defines


def tool_schema(definition: Definition) -> ToolSchema:
    """Read a definition; a tool without an input schema is one of which nothing is known."""
    arguments, output = definition.input_schema.open(), definition.output_schema.open()
    if not isinstance(arguments, dict | bool):
        return UNKNOWN
    marks = has_marks(arguments), output is not None and has_marks(output)
    names = [declared(schema) for schema, there in zip((arguments, output), marks, strict=True) if there]
    return ToolSchema(True, *marks, frozenset().union(*names))


def input_parts(
    call: Call, treatment: Treatment, schema: ToolSchema, secrets: Secrets
) -> list[tuple[str, Json, list[Tokens]]]:
    """Return what `call` hands over, each part with the places in it that are marked.

    `secrets` remembers the keys in those of the arguments.
    """
    arguments, brought, answers = call.arguments.open(), call.brought.open(), call.answers.open()
    asked = [] if answers is None else [place[1:] for place in marked(answers, {ANSWERS: brought})]
    marks: list[Tokens] = []
    if schema.input_marks or treatment.sensitive:
        document = call.definition.input_schema.open() if call.definition and schema.input_marks else True
        marks = _marks(document, arguments, treatment.sensitive)
        _remember_keys(arguments, marks, schema.declared, secrets)
    parts = ("arguments", arguments, marks), (ANSWERS, brought, asked), ("_meta", call.meta.open(), list[Tokens]())
    return [part for part in parts if part[2] or part[1] not in (None, {})]  # the others need no look


def output_marks(call: Call, treatment: Treatment, schema: ToolSchema, body: Json, secrets: Secrets) -> list[Tokens]:
    """Return the places in the result of `call` that are marked: in structured content, and in a person's answer.

    `secrets` remembers the keys in them.
    """
    structured, asks = outcome.structured(body), call.asks.open()
    found = [] if asks is None else marked(asks, body)
    if structured is None or not has_output_marks(treatment, schema):
        return found
    document = call.definition.output_schema.open() if call.definition and schema.output_marks else True
    marks = _marks(document, structured, treatment.sensitive_output)
    _remember_keys(structured, marks, schema.declared, secrets)
    return [*found, *(("structuredContent", *place) for place in marks)]


def has_output_marks(treatment: Treatment, schema: ToolSchema) -> bool:
    """Say whether anything in the structured content of a result may be marked."""
    return schema.output_marks or bool(treatment.sensitive_output)


def _marks(document: Json, value: Json, pointers: tuple[str, ...]) -> list[Tokens]:
    found = marked(document, value)
    for text in pointers:
        found.extend(pointer.places(pointer.parse(text), value, in_texts=True))
    return found


def _remember_keys(value: Json, marks: Iterable[Tokens], declared: frozenset[str], secrets: Secrets) -> None:
    """Have `secrets` remember keys of what is marked: data, unless a schema declares them; short words are none."""
    waiting = [pointer.value_at(value, place) for place in marks]
    for _ in range(NODES):
        if not waiting:
            return
        node = waiting.pop()
        if isinstance(node, dict):
            for key in node.keys() - declared:
                if key.isidentifier():
                    secrets.add(key, label_only(SENSITIVE), FOUND)
                else:
                    secrets.mark(key, label_only(SENSITIVE))
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    secrets.complete = False
