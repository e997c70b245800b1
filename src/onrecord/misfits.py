# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a setting that is of another kind than it must be: where it stands, and what to give there.

msgspec says that for programs: Expected `int | null`, got `str` - at `$.tool[0].tier`. What is here says it as our
other messages do: the place as a person finds it in the file, counted from 1, and what would do.
"""

import re
from collections.abc import Sequence
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin

import msgspec

_AT = re.compile(r" - at `\$(?P<path>.*)`$")
_PART = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<number>\d+)\]|\[\.\.\.\]")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`(?P<bound> [<>]=? \S+)?(?:, got `(?P<got>[^`]+)`)?$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`$")
_KINDS = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "date": "a date",
    "datetime": "a time",
    "time": "a time",
}
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}

Part: TypeAlias = str | int | None
"""A step of a path: a key, a place in a list, or None for any key of a table."""


def told(error: msgspec.ValidationError, struct: type[msgspec.Struct]) -> str:
    """Return what is wrong, and where, with what was to be converted to `struct`."""
    text = str(error)
    found = _AT.search(text)
    parts = [] if found is None else [_part(match) for match in _PART.finditer(found["path"])]
    text, where = (text if found is None else text[: found.start()]), _place(parts)
    if missing := _MISSING.match(text):
        return f"{where}: {missing['name']} is missing"
    if text.startswith("Invalid enum value"):
        return f"{where}: use one of {', '.join(_choices(_type_at(struct, parts)))}"
    if expected := _EXPECTED.match(text):
        return f"{where}: give {_wanted(expected)}"
    return f"{text} ({where})" if where else text  # in words of ours


def _part(match: re.Match[str]) -> Part:
    return int(match["number"]) if match["number"] else match["name"]


def _place(parts: Sequence[Part]) -> str:
    """Return the place of a setting as the other messages have it: `gateway.max_open`, `tool 1: tier`."""
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f" {part + 1}"
        elif part is not None:
            place += f"{': ' if place[-1:].isdigit() and ' ' in place else '.' if place else ''}{part}"
    return place


def _wanted(expected: re.Match[str]) -> str:
    kinds = [_KINDS.get(kind, kind) for kind in expected["wanted"].split(" | ") if kind != "null"]
    text = " or ".join(kinds)
    if expected["bound"]:
        sign, number = expected["bound"].split()
        text += f" of {_BOUNDS[sign]} {number}"
    return f"{text}, not {_KINDS.get(expected['got'], expected['got'])}" if expected["got"] else text


def _type_at(kind: Any, parts: Sequence[Part]) -> Any:
    """Return the type of what stands at a place below one of type `kind`."""
    for part in parts:
        for one in _members(kind):
            if isinstance(part, str) and isinstance(one, type) and issubclass(one, msgspec.Struct):
                kind = next(field.type for field in msgspec.structs.fields(one) if field.encode_name == part)
            elif isinstance(part, int) and get_origin(one) in (tuple, list):
                kind = get_args(one)[0]
            elif part is None and get_origin(one) is dict:
                kind = get_args(one)[1]
    return kind


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _choices(kind: Any) -> list[str]:
    literals = [one for one in _members(kind) if get_origin(one) is Literal]
    return [str(value) for one in literals for value in cast(tuple[object, ...], get_args(one))]
