# SPDX-License-Identifier: Apache-2.0
"""The secrets of one call: values that were found or marked once, and must not come back anywhere else.

A tool that is handed a password may repeat it in its answer, in an error, or in text where nothing
around it gives it away. So each value that was withheld is remembered for the length of its call,
in memory only, and replaced wherever else it stands, as it is, as JSON writes it, and as a URL
does. Whoever holds a `Secrets` can ask it to mask; nobody can ask it what it holds.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple, NoReturn, final
from urllib.parse import quote

from onrecord.rules.detection.labels import placeholders
from onrecord.rules.pattern import utf8

FOUND = 8  # least characters of a value that a detector found, to be looked for elsewhere
MARKED = 4  # the same for one that a schema, the manifest or its name marks
MOST = 128  # values; a call with more shows no values at all
LONGEST = 65_536  # characters of one value; a call with a longer one shows none either


@final
class Secrets:
    """Raw values to be kept off the record. Printing or encoding it shows nothing."""

    __slots__ = ("_forms", "_labels", "complete", "longest")

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._forms: list[_Form] | None = []
        self.longest = 0  # characters
        self.complete = True  # False: some could not be noted, so no value of this call may be shown

    def __bool__(self) -> bool:
        return bool(self._labels)

    def __repr__(self) -> str:
        return "<secrets>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets cannot be serialised")

    def add(self, value: str, label: str, least: int) -> None:
        """Remember `value` under `label` if it has at least `least` characters."""
        value = value.strip()
        if len(value) < least or value in self._labels:
            return
        if len(self._labels) == MOST or len(value) > LONGEST:
            self.complete = False
            return
        self._labels[value] = label
        self._forms = None
        self.longest = max(self.longest, len(value))

    def masked(self, text: str, least: int = MARKED) -> str:
        """Return `text` with each value of at least `least` characters replaced by its label."""
        present = [form for form in self._ordered() if form.size >= least and form.text in text]
        if not present:
            return text
        pieces = _pieces(text)
        for form in present:
            pieces = [part for plain, piece in pieces for part in _cut(piece, form, plain=plain)]
        return "".join(piece for _, piece in pieces)

    def occur(self, text: str, least: int = MARKED) -> bool:
        """Say whether any value of at least `least` characters stands in `text`, labels aside."""
        return self.masked(text, least) != text

    def _ordered(self) -> "list[_Form]":
        """Return every form of every value, longest first, so that a value inside another does not split it."""
        if self._forms is None:
            forms = [form for value, label in self._labels.items() for form in _forms(value, label)]
            self._forms = sorted(forms, key=lambda form: -len(form.text))
        return self._forms


class _Form(NamedTuple):
    """One way to write a value of `size` characters."""

    text: str
    label: str
    size: int


def _forms(value: str, label: str) -> list[_Form]:
    escaped, ascii_only = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]
    ways = {value, escaped, ascii_only, quote(utf8(value), safe="")}
    return [_Form(way, label, len(value)) for way in ways]


def _pieces(text: str) -> list[tuple[bool, str]]:
    """Return `text` in pieces, each with whether it is plain: not a label that stands for a value."""
    pieces: list[tuple[bool, str]] = []
    at = 0
    for start, end in placeholders(text):
        pieces.append((True, text[at:start]))
        pieces.append((False, text[start:end]))
        at = end
    pieces.append((True, text[at:]))
    return pieces


def _cut(piece: str, form: _Form, *, plain: bool) -> Iterator[tuple[bool, str]]:
    if not plain:
        yield False, piece
        return
    for i, part in enumerate(piece.split(form.text)):
        if i:
            yield False, f"[REDACTED:{form.label}]"
        yield True, part
