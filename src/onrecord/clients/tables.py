# SPDX-License-Identifier: Apache-2.0
"""TOML, read with the place of each value.

`tomllib` says whether a text is TOML and what a string says; what is here only finds where things stand in a text
that it has accepted.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from onrecord.clients.document import BOM, DEPTH, Entry, Form, Member, NotReadable, Value, gap_before, place_of
from onrecord.clients.known import Keys

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*+)*+")
_TEXT = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}'
    r"|'''(?:[^']|'(?!''))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]++")
_OTHER = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[^\s,\]}#]++|[^\s,\]}#]++")
_PIECE = re.compile(
    rf"(?P<text>{_TEXT.pattern})|(?P<comment>#[^\r\n]*+)|(?P<number>=[ \t]*+[+-]?[0-9][^\s,\]}}#]*+)", re.DOTALL
)
_IN_ROWS = "#"  # stands in a path for one of several tables, which no path to servers leads through


@dataclass(slots=True)
class _Table:
    """A table as it is put together."""

    members: dict[str, "_Table | Member"] = field(default_factory=dict[str, "_Table | Member"])


def _entries(text: str, servers: Iterable[Keys]) -> list[Entry]:
    """Return the servers in the tables at `servers`. Raises NotReadable."""
    try:
        tomllib.loads(text.removeprefix(BOM))
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        where = (
            str(e).rpartition("(at ")[2].rstrip(")") if isinstance(e, tomllib.TOMLDecodeError) else "nested too deep"
        )
        raise NotReadable(f"is not TOML: {where}") from None  # the rest of the message may hold values
    try:
        root = _read(text)
    except (IndexError, AssertionError):
        raise NotReadable("is TOML of a kind that is not read here") from None
    found: list[Entry] = []
    for keys in servers:
        found += _under(root, keys, ())
    return found


def _under(table: "_Table | Member", keys: Keys, path: Keys) -> Iterator[Entry]:
    """Yield the servers of the table that `keys` lead to."""
    members = table.members if isinstance(table, _Table) else table.value.members
    for name, member in members.items():
        if not keys:
            yield Entry(path=(*path, name), value=_frozen(member))
        elif keys[0] in ("*", name):
            yield from _under(member, keys[1:], (*path, name))


def _frozen(member: "_Table | Member") -> Value:
    if isinstance(member, Member):
        return member.value
    members = {
        name: one if isinstance(one, Member) else Member(start=-1, joint="", value=_frozen(one))
        for name, one in member.members.items()
    }
    return Value(kind="table", members=members)


def _read(text: str) -> _Table:
    root = _Table()
    current: Keys = ()
    at = _skip_blank(text, 1 if text[:1] == BOM else 0)
    while at < len(text):
        if text[at] == "[":
            rows = text[at + 1] == "["
            parts, at = _key(text, at + 1 + rows)
            current = (*(name for name, _ in parts), *((_IN_ROWS,) if rows else ()))
            at += 1 + rows
            _reached(root, current)
        else:
            gap = gap_before(text, at)
            path, member, at = _member(text, at, gap if "\n" in gap else "\n", 0)
            _put(root, (*current, *path), member)
        at = _skip_blank(text, at)
    return root


def _reached(root: _Table, path: Keys) -> "_Table | None":
    """Return the table at `path`, made where there is none; None where the path leads through a value."""
    table = root
    for name in path:
        inner = table.members.setdefault(name, _Table())
        if not isinstance(inner, _Table):
            return None
        table = inner
    return table


def _put(root: _Table, path: Keys, member: Member) -> None:
    table = _reached(root, path[:-1])
    if table is not None:
        table.members[path[-1]] = member


def _member(text: str, at: int, joint: str, depth: int) -> tuple[Keys, Member, int]:
    """Return the path and the value of `key = value` at `at`, and where it ends."""
    parts, end = _key(text, at)
    assert text[end] == "="
    value = _value(text, _skip_blank(text, end + 1), depth)
    before = text[at : parts[-1][1]]
    names = tuple(name for name, _ in parts)
    return names, Member(start=at, before=before, joint=joint, value=value), value.end


def _key(text: str, at: int) -> tuple[list[tuple[str, int]], int]:
    """Return the parts of the dotted key at `at` with where each begins, and where what follows it begins."""
    parts: list[tuple[str, int]] = []
    while True:
        at = _skip_blank(text, at)
        quoted = text[at] in "\"'"
        part = (_TEXT if quoted else _BARE).match(text, at)
        assert part is not None
        parts.append((_said(part[0]) if quoted else part[0], at))
        at = _skip_blank(text, part.end())
        if text[at] != ".":
            return parts, at
        at += 1


def _said(raw: str) -> str:
    said: str = tomllib.loads(f"x = {raw}")["x"]
    return said


def _value(text: str, at: int, depth: int) -> Value:
    if depth > DEPTH:
        raise NotReadable(f"{place_of(text, at)}: nested too deep")
    if text[at] in "\"'":
        found = _TEXT.match(text, at)
        assert found is not None
        return Value(kind="text", start=at, end=found.end(), text=_said(found[0]))
    if text[at] == "[":
        return _list(text, at, depth)
    if text[at] == "{":
        return _inline(text, at, depth)
    found = _OTHER.match(text, at)
    assert found is not None
    return Value(kind="other", start=at, end=found.end())


def _list(text: str, start: int, depth: int) -> Value:
    items: list[Value] = []
    at = _skip_blank(text, start + 1)
    while text[at] != "]":
        items.append(_value(text, at, depth + 1))
        at = _skip_blank(text, items[-1].end)
        at = _skip_blank(text, at + 1) if text[at] == "," else at
    return Value(kind="list", start=start, end=at + 1, items=tuple(items))


def _inline(text: str, start: int, depth: int) -> Value:
    table = _Table()
    at = _skip_blank(text, start + 1)
    while text[at] != "}":
        path, member, at = _member(text, at, ", ", depth + 1)
        _put(table, path, member)
        at = _skip_blank(text, at)
        at = _skip_blank(text, at + 1) if text[at] == "," else at
    value = _frozen(table)
    return Value(kind="table", start=start, end=at + 1, members=value.members)


def _skip_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    assert blank is not None  # it matches nothing, too
    return blank.end()


def _scalars(text: str) -> Iterator[tuple[int, int]]:
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        if piece["number"]:
            yield start + 1, end
        elif piece["comment"] or text[end:].lstrip(" \t")[:1] not in ("=", "."):
            yield start, end


def _key_text(name: str) -> str:
    return f"{name} = "


TOML = Form(name="toml", entries=_entries, scalars=_scalars, key=_key_text)
