# SPDX-License-Identifier: Apache-2.0
"""JSON as clients write it, with comments and trailing commas, read with the place of each value.

Only the way to the servers is read into values; the rest is walked over, and must be JSON too. What the strictest
reader of such files refuses beside comments and trailing commas is refused here. A key that stands twice on that way
is refused, as readers differ on which one counts.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from onrecord.clients.document import BOM, DEPTH, Entry, Form, Member, NotReadable, Value, gap_before, place_of
from onrecord.clients.known import Keys

_BLANK = re.compile(r"(?:[ \t\r\n]|//[^\r\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+")
_TEXT = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"')
_OTHER = re.compile(r"(?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)(?![\w.+-])")
_PIECE = re.compile(
    rf"(?P<text>{_TEXT.pattern})|(?P<comment>//[^\r\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)|(?P<number>-?[0-9][0-9.eE+-]*+)"
)
_Ends: TypeAlias = dict[int, int]  # where each list and object ends, by where it begins
_DEEPEST = 512  # how deep anything may be nested


def _entries(text: str, servers: Iterable[Keys]) -> list[Entry]:
    """Return the servers in the tables at `servers`. Raises NotReadable."""
    at = _skip_blank(text, 1 if text[:1] == BOM else 0)
    if at == len(text):
        return []  # an empty file
    ends: _Ends = {}
    end = _skip(text, at, ends)
    if (rest := _skip_blank(text, end)) != len(text):
        raise NotReadable(f"is not JSON: {place_of(text, rest)}: something follows the end")
    if text[at] != "{":
        raise NotReadable("is not an object")
    found: list[Entry] = []
    for keys in servers:
        found += _under(text, at, keys, (), ends)
    return found


def _under(text: str, at: int, keys: Keys, path: Keys, ends: _Ends) -> Iterator[Entry]:
    """Yield the servers of the table that `keys` lead to from the object at `at`."""
    seen: set[str] = set()
    for name, _, start in _members(text, at, ends):
        if keys and keys[0] not in ("*", name):
            continue
        if name in seen:
            raise NotReadable(f"{place_of(text, start)}: the same key stands twice, and readers differ on which counts")
        seen.add(name)
        if not keys:
            yield Entry(path=(*path, name), value=_value(text, start, ends))
        elif text[start] == "{":
            yield from _under(text, start, keys[1:], (*path, name), ends)
        elif len(keys) == 1 and text[start : start + 4] != "null":
            raise NotReadable(f"{place_of(text, start)}: the servers are not an object")


def _members(text: str, at: int, ends: _Ends) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the place of the key and the place of the value of each member of the valid object at `at`."""
    at = _skip_blank(text, at + 1)
    while text[at] != "}":
        key = _TEXT.match(text, at)
        assert key is not None
        value = _skip_blank(text, _skip_blank(text, key.end()) + 1)
        yield json.loads(key[0]), at, value
        at = _skip_blank(text, _skip(text, value, ends))
        at = _skip_blank(text, at + 1) if text[at] == "," else at


def _value(text: str, at: int, ends: _Ends, depth: int = 0) -> Value:
    """Return the valid value at `at`."""
    if depth > DEPTH:
        raise NotReadable(f"{place_of(text, at)}: a server's entry is nested too deep")
    end = _skip(text, at, ends)
    if text[at] == '"':
        return Value(kind="text", start=at, end=end, text=json.loads(text[at:end]))
    if text[at] == "[":
        return Value(kind="list", start=at, end=end, items=tuple(_items(text, at, ends, depth)))
    if text[at] != "{":
        return Value(kind="other", start=at, end=end)
    members: dict[str, Member] = {}
    twice: list[str] = []
    for name, start, place in _members(text, at, ends):
        if name in members:
            twice.append(name)
        joint = "," + gap_before(text, start)
        members[name] = Member(start=start, joint=joint, value=_value(text, place, ends, depth + 1))
    return Value(kind="table", start=at, end=end, members=members, twice=tuple(twice))


def _items(text: str, at: int, ends: _Ends, depth: int) -> Iterator[Value]:
    at = _skip_blank(text, at + 1)
    while text[at] != "]":
        item = _value(text, at, ends, depth + 1)
        yield item
        at = _skip_blank(text, item.end)
        at = _skip_blank(text, at + 1) if text[at] == "," else at


def _skip_blank(text: str, at: int) -> int:
    """Return where the blanks and comments at `at` end."""
    blank = _BLANK.match(text, at)
    assert blank is not None  # it matches nothing, too
    return blank.end()


def _skip(text: str, at: int, ends: _Ends) -> int:
    """Return where the value at `at` ends, and note that of all in it. Raises NotReadable where there is none."""
    if at in ends:
        return ends[at]
    open_ones: list[tuple[str, int]] = []
    while True:
        start = text[at : at + 1]
        if start in ("{", "["):
            if len(open_ones) == _DEEPEST:
                raise NotReadable(f"is not readable: {place_of(text, at)}: nested too deep")
            open_ones.append(("}" if start == "{" else "]", at))
            at = _skip_blank(text, at + 1)
            if text[at : at + 1] != open_ones[-1][0]:
                at = _skip_key(text, at, open_ones[-1][0])
                continue
        else:
            at = _skip_scalar(text, at)
        while open_ones:
            at, ended = _skip_end(text, at, open_ones[-1][0])
            if not ended:
                break
            ends[open_ones.pop()[1]] = at
        else:
            return at


def _skip_end(text: str, at: int, end: str) -> tuple[int, bool]:
    """Return where the next value of what `end` ends begins; or where it has ended, and True."""
    at = _skip_blank(text, at)
    if text[at : at + 1] == ",":
        at = _skip_blank(text, at + 1)
        if text[at : at + 1] != end:
            return _skip_key(text, at, end), False
    if text[at : at + 1] != end:
        raise NotReadable(f"is not JSON: {place_of(text, at)}: neither a comma nor an end")
    return at + 1, True


def _skip_key(text: str, at: int, end: str) -> int:
    """Return where the value at `at` begins: behind its key, in an object."""
    if end == "]":
        return at
    key = _TEXT.match(text, at)
    colon = _skip_blank(text, key.end()) if key else at
    if key is None or text[colon : colon + 1] != ":":
        raise NotReadable(f"is not JSON: {place_of(text, colon)}: not a key and its value")
    return _skip_blank(text, colon + 1)


def _skip_scalar(text: str, at: int) -> int:
    found = _TEXT.match(text, at) or _OTHER.match(text, at)
    if found is None:
        what = "a text that is not JSON" if text[at : at + 1] == '"' else "no value"
        raise NotReadable(f"is not JSON: {place_of(text, at)}: {what}")
    return found.end()


def _scalars(text: str) -> Iterator[tuple[int, int]]:
    for piece in _PIECE.finditer(text):
        behind = _skip_blank(text, piece.end()) if piece["text"] else 0
        if not (behind and text[behind : behind + 1] == ":"):
            yield piece.span()


JSONC = Form(name="json", entries=_entries, scalars=_scalars, key=lambda name: f'"{name}": ')
