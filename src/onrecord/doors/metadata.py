# SPDX-License-Identifier: Apache-2.0
"""Changes the `_meta` of one request, members of its `params`, or a list in a result, and no other byte. Pure.

A message is never encoded anew to add a field to it, or to take one out: numbers would lose digits, and keys their
spelling. What is here finds where they stand in the text that came, and changes them there. The
message was decoded before (`wire.decode`), so it has one reading: each key once, and an object where one is needed.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from onrecord.doors.wire import AMBIGUOUS
from onrecord.errors import MessageRefused

_Span = tuple[int, int]

_BLANKS = re.compile(r"[ \t\n\r]*")  # RFC 8259, 2; found in one step, however many
_value = json.JSONDecoder().raw_decode


def with_meta(line: bytes, put: Mapping[str, str], drop: Collection[str] = ()) -> bytes:
    """Return `line`, a request, with the members of `put` in its `_meta`, and without those that `drop` names.

    Raises MessageRefused where there is no place for them: `params` or `_meta` is no object.
    """
    text = line.decode()
    added = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in put.items()]
    start = _blanks(text, 0)
    params = _member(text, start, "params")
    if params is None:
        return _inserted(text, start, f'"params":{{"_meta":{{{",".join(added)}}}}}').encode()
    meta = _member(text, params[0], "_meta")
    if meta is None:
        return _inserted(text, params[0], f'"_meta":{{{",".join(added)}}}').encode()
    return (text[: meta[0]] + _changed(text, meta, added, {*put, *drop}) + text[meta[1] :]).encode()


def _changed(text: str, span: _Span, added: Iterable[str], without: Collection[str]) -> str:
    """Return the object at `span` with `added`, and without some of its members and the commas behind them."""
    members = list(_members(text, span[0]))
    if not members:
        return "{" + ",".join(added) + "}"
    starts = [whole[0] for _, whole, _ in members]
    last = members[-1][1][1]
    kept = [
        text[whole[0] : end]
        for (key, whole, _), end in zip(members, [*starts[1:], last], strict=True)
        if key not in without
    ]
    inside = "".join(kept).rstrip(" \t\n\r")  # of a last one that goes, the comma before it goes too
    if kept and members[-1][0] in without:
        inside = inside.removesuffix(",")
    return text[span[0] : starts[0]] + ",".join([inside] * bool(kept) + [*added]) + text[last : span[1]]


def with_members(line: bytes, put: Mapping[str, str], drop: Collection[str] = ()) -> bytes:
    """Return `line`, a request with `params`, with the members of `put`, JSON texts, in them, and without `drop`.

    Raises MessageRefused where `params` is no object.
    """
    text = line.decode()
    params = _member(text, _blanks(text, 0), "params") or (0, 0)
    added = [f"{json.dumps(key)}:{value}" for key, value in put.items()]
    return (text[: params[0]] + _changed(text, params, added, {*put, *drop}) + text[params[1] :]).encode()


def member_text(line: bytes, name: str) -> str:
    """Return the JSON text of the member `name` in the `params` of `line`, a request; "" where there is none."""
    text = line.decode()
    params = _member(text, _blanks(text, 0), "params")
    value = _member(text, params[0], name) if params else None
    return text[slice(*value)] if value else ""


def with_item(line: bytes, name: str, item: str) -> bytes:
    """Return `line`, an answer, with `item`, a JSON text, as the last one of the list `name` in its `result`.

    Raises MessageRefused where there is no such list.
    """
    text = line.decode()
    result = _member(text, _blanks(text, 0), "result")
    listed = _member(text, result[0], name) if result else None
    if listed is None or text[listed[0]] != "[":
        raise MessageRefused("there is no list to put an entry into", AMBIGUOUS)
    end = listed[1] - 1
    comma = "" if _blanks(text, listed[0] + 1) == end else ","
    return f"{text[:end]}{comma}{item}{text[end:]}".encode()


def _member(text: str, at: int, name: str) -> _Span | None:
    """Return where the value of `name` stands in the object that begins at `at`."""
    return next((value for key, _, value in _members(text, at) if key == name), None)


def _members(text: str, at: int) -> Iterator[tuple[str, _Span, _Span]]:
    """Yield the members of the object that begins at `at`: name, where all of it stands, where its value does."""
    if text[at : at + 1] != "{":
        raise MessageRefused("there is no object to put a field into", AMBIGUOUS)
    at = _blanks(text, at + 1)
    while text[at] != "}":
        key, colon = _value(text, at)
        value = _blanks(text, _blanks(text, colon) + 1)
        end = _value(text, value)[1]
        yield key, (at, end), (value, end)
        at = _blanks(text, end)
        if text[at] == ",":
            at = _blanks(text, at + 1)


def _inserted(text: str, at: int, member: str) -> str:
    """Return `text` with `member` as the first of the object that begins at `at`."""
    empty = text[_blanks(text, at + 1)] == "}"
    return f"{text[: at + 1]}{member}{'' if empty else ','}{text[at + 1 :]}"


def _blanks(text: str, at: int) -> int:
    """Return where the blanks at `at` end."""
    found = _BLANKS.match(text, at)
    return at if found is None else found.end()
