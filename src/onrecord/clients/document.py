# SPDX-License-Identifier: Apache-2.0
"""A configuration as text with places: what stands where, and edits of single spans.

Offsets count characters. Nothing is ever written anew but the spans of an edit: comments, order, indentation and line
ends are part of the text, and stay.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from onrecord.clients.known import FormName, Keys
from onrecord.errors import ConfigError

Kind: TypeAlias = Literal["text", "list", "table", "other"]

BOM = "\ufeff"  # some editors put it in front of a file
DEPTH = 64  # how deep a server's entry may be nested


class NotReadable(ConfigError):
    """A configuration has no single reading; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value, and where it stands; a table that is written in several places has no place of its own."""

    kind: Kind
    start: int = -1
    end: int = -1
    text: str = ""  # of a text, what it says
    items: tuple["Value", ...] = ()  # of a list
    members: dict[str, "Member"] = field(default_factory=dict[str, "Member"])  # of a table
    twice: tuple[str, ...] = ()  # keys of a table that stand there more than once


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A key and its value. `before` is what stands before the last part of the key, as it is written there.

    `joint` is what separates another member that is put in front of this one from it.
    """

    start: int
    before: str = ""
    joint: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a configuration says of one server; `path` are the keys that lead to it."""

    path: Keys
    value: Value

    @property
    def name(self) -> str:
        return self.path[-1]


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` in place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to write a configuration. Its functions raise NotReadable."""

    name: FormName
    entries: Callable[[str, Iterable[Keys]], list[Entry]]  # the servers under these keys
    scalars: Callable[[str], Iterator[tuple[int, int]]]  # where texts, numbers and comments stand, keys left out
    key: Callable[[str], str]  # a key and what follows it


def edited(text: str, edits: Iterable[Edit]) -> str:
    """Return `text` with all of `edits`, whose spans do not overlap."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        assert edit.start >= at
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def literal(text: str) -> str:
    """Return `text` as a string that JSON and TOML read alike."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def gap_before(text: str, at: int) -> str:
    """Return what separates what stands at `at` from what is put in front of it: a line of its own, or a blank."""
    start = at
    while start and text[start - 1] in " \t\r\n":
        start -= 1
    blanks = text[start:at]
    line = blanks.rfind("\n")
    if line < 0:
        return " "
    return blanks[line - 1 if blanks[line - 1 : line] == "\r" else line :]


def place_of(text: str, at: int) -> str:
    """Return where that is, for a person."""
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - (text.rfind(chr(10), 0, at) + 1) + 1}"
