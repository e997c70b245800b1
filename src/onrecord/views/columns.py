# SPDX-License-Identifier: Apache-2.0
"""The columns of `audit_events`: what is asked of the record by name, the same in every engine.

They are the fields of an event under their own names, in their order, but for the hash of the line before, which is for
verifiers. Two more are there for questions: `ts`, the time in microseconds, and `resource`, what was acted on,
whichever field names it. Lists and objects are JSON. What an event does not say is NULL.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import msgspec

from onrecord.event.call import Json
from onrecord.event.event import Event
from onrecord.ledger.clock import parse_time
from onrecord.views.words import words_of

Kind: TypeAlias = Literal["text", "integer", "boolean", "json"]
Value: TypeAlias = str | int | None

_LEFT_OUT = frozenset({"prev_hash"})
SEARCHED = (
    "tool_name",
    "resource_uri",
    "prompt_name",
    "downstream_resource",
    "recipient",
    "input_summary",
    "answers_summary",
    "policy_reason",
    "error_summary",
    "output_summary",
    "before_summary",
    "after_summary",
)
"""Columns whose words a search looks in."""
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, what it holds, and what that means."""

    name: str
    kind: Kind
    about: str = ""
    values: tuple[str, ...] = ()  # all that it may say, where that is fixed
    unsaid: Any = None  # what a field holds of which the line says nothing


def resource_of(event: Event) -> str:
    """Return what an event acted on: the resource behind the server, or the one that was read."""
    return event.downstream_resource or event.resource_uri


def text_of(event: Event) -> str:
    """Return the words that a search looks in, one blank between two."""
    said = [value for name in SEARCHED if (value := getattr(event, name))]
    return " ".join(words_of(" ".join(said)))


def value_of(event: Event, column: Column) -> Value:
    """Return what `event` says in a column."""
    if column.name == "ts":
        return parse_time(event.timestamp)
    if column.name == "resource":
        return resource_of(event) or None
    value: Any = getattr(event, column.name)
    if value is None or value == column.unsaid:
        return None
    if column.kind == "json":
        return _json(value).decode() if value else None
    return int(value) if column.kind == "boolean" else value


def native_of(event: Event, column: Column) -> Json:
    """Return the same as JSON has it: lists and objects as they are."""
    value: Any = value_of(event, column)
    if value is None or column.kind in ("text", "integer"):
        return value
    return bool(value) if column.kind == "boolean" else msgspec.json.decode(value)


def _columns() -> Iterator[Column]:
    for field in msgspec.structs.fields(Event):
        if field.name not in _LEFT_OUT:
            kind, about, values = _read(field.type)
            yield Column(name=field.name, kind=kind, about=about, values=values, unsaid=field.default)
        if field.name == "timestamp":
            yield Column(name="ts", kind="integer", about="the same in microseconds since 1970")
        if field.name == "recipient":
            yield Column(name="resource", kind="text", about="what was acted on: downstream_resource, or resource_uri")


def _read(annotation: Any) -> tuple[Kind, str, tuple[str, ...]]:
    """Return the kind of a field of an event, by its type, what is said of it there, and what it may say."""
    about = ""
    inner: Any = annotation
    while hasattr(inner, "__metadata__"):
        about = next((meta.description for meta in inner.__metadata__ if meta.description), about)
        inner = inner.__origin__
    if get_origin(inner) in (Union, types.UnionType):
        inner = next(each for each in get_args(inner) if each is not types.NoneType)
        kind, more, values = _read(inner)
        return kind, about or more, values
    if get_origin(inner) is Literal:
        return "text", about, tuple(each for each in get_args(inner) if each)
    kinds: dict[Any, Kind] = {str: "text", bool: "boolean", int: "integer"}
    return kinds.get(inner, "json"), about, ()


COLUMNS: tuple[Column, ...] = tuple(_columns())
BY_NAME = {column.name: column for column in COLUMNS}
