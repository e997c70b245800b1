# SPDX-License-Identifier: Apache-2.0
"""The published schema of an event, and the reading of lines of any age.

The schema is generated from `Event`, so it cannot drift; the file beside this one is that text,
checked in. A reader takes a line of any version: an older one is lifted step by step to the
current shape, a newer one is read as far as this version knows its keys. The line on disk never
changes: what is hashed is what was written.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from onrecord.errors import NotVerified
from onrecord.event.event import SCHEMA_VERSION, UNREADABLE, Event

Fields: TypeAlias = dict[str, Any]
Upcast: TypeAlias = Callable[[Fields], Fields]

# From a version to the next one. Version 1 is the first, so there is nothing to lift yet.
UPCASTS: Mapping[int, Upcast] = {}

_event = msgspec.json.Decoder(Event)
_fields = msgspec.json.Decoder(dict[str, Any])


def read_event(line: bytes, *, upcasts: Mapping[int, Upcast] = UPCASTS, current: int = SCHEMA_VERSION) -> Event:
    """Return the event of a line, lifted to the current version.

    Raises NotVerified where the line is not an event of any version.
    """
    try:
        event = _event.decode(line)
        if event.schema_version >= current:
            return event
    except UNREADABLE:
        pass  # perhaps an older shape: the typed reading fails, the lifted one need not
    try:
        return msgspec.convert(lift(_fields.decode(line), upcasts, current), Event)
    except UNREADABLE as e:
        raise NotVerified(f"the line is not an event: {e}") from e


def lift(fields: Fields, upcasts: Mapping[int, Upcast], current: int) -> Fields:
    """Return `fields` carried from their own version to `current`, one step at a time."""
    version = fields.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise NotVerified("the line has no schema_version")
    while version < current:
        step = upcasts.get(version)
        if step is None:
            raise NotVerified(f"no rule lifts an event of schema_version {version}")
        fields = step(fields)
        version += 1
    return {**fields, "schema_version": max(version, current)}


def json_schema() -> Fields:
    """Return the JSON Schema 2020-12 of an event line."""
    (root,), components = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    body = components["Event"]
    body["required"] = [
        "schema_version",
        "seq",
        "prev_hash",
        "timestamp",
        "wid",
        "wseq",
        "event_id",
        "event_type",
    ]
    body["additionalProperties"] = False
    for name, column in body["properties"].items():
        body["properties"][name] = _as_written(column)
    for name in ("seq", "wseq"):
        body["properties"][name]["minimum"] = 0  # the ledger has set them when there is a line
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:onrecord:event:{SCHEMA_VERSION}",
        "title": "OnRecord audit event",
        **root,
        "$defs": components,
    }


def _as_written(column: Fields) -> Fields:
    """Return the schema of a key that stands in a line: what stands for nothing in memory is never written."""
    made = {key: value for key, value in column.items() if key not in ("default", "anyOf")}
    for option in column.get("anyOf", ()):
        if option != {"type": "null"}:
            made |= option
    if "enum" in made:
        made["enum"] = [value for value in made["enum"] if value != ""]
    return made


def schema_text() -> str:
    """Return the schema as the text of the checked-in file."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
