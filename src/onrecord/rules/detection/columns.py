# SPDX-License-Identifier: Apache-2.0
"""Finds the cells under a telling heading: CSV, tables of Markdown and of database shells, `INSERT INTO`.

A heading stands once and its values on the lines below it, so nothing beside a value announces it.
A table is a line of short names and lines below it with as many cells. What is under a heading for
passwords counts as it is written; under other telling headings, what a machine could have drawn.

A table is as long as it is, so a text is read whole here, not slice by slice: each line once, but for
texts that are made to be read again and again, and those are withheld.
"""

from collections.abc import Iterator

from onrecord.rules import names
from onrecord.rules.detection.announced import word
from onrecord.rules.detection.checks import Span, literal
from onrecord.rules.detection.likeness import drawn
from onrecord.rules.pattern import Pattern

LONGEST = 2048  # bytes of a heading, or of the values of one row in brackets
MOST = 20_000  # cells of one text; one that holds more is withheld
WORK, MORE_WORK = 65_536, 4  # bytes that are read one by one, and so many for each byte of the text

_TELLING = r"(?:pass(?:word|wd|phrase|code)|pwd|passwort|secret|token|api[_ ]?key|access[_ ]?key|private[_ ]?key)"
_HEADING = Pattern(rf"(?i){_TELLING}[a-z_ ]{{0,12}}[\"'`*)\]]{{0,3}}[ \t]*(?:[,;|\t]|\)\s*values\b|\r?\n)")
_NAMES = Pattern(r"""(?i)\A[ \t]*["'`*\[]{0,3}[a-z][a-z0-9_ .#-]{0,39}["'`*\]]{0,3}[ \t]*\z""")
_RULE = b" -+|:=\t\r"  # of what the line between heading and rows is made
_AROUND = b" \t\r\"'`*"


class TooMuch(ValueError):
    """A text has more cells, or more beginnings of tables, than are read."""


def cells(data: bytes) -> Iterator[Span]:
    """Yield the byte spans of cells in `data`, UTF-8, that a heading announces as secret. Raises TooMuch."""
    for i, span in enumerate(_Reader(data).cells()):
        if i == MOST:
            raise TooMuch
        yield span


class _Reader:
    """Reads the tables of one text."""

    __slots__ = ("_data", "_room", "_seen")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._room = WORK + MORE_WORK * len(data)
        self._seen = 0  # up to where tables were read

    def cells(self) -> Iterator[Span]:
        """See `cells`."""
        data = self._data
        for start, end in _HEADING.spans(data):
            if start < self._seen:
                continue
            at = max(data.rfind(b"\n", max(0, start - LONGEST), start) + 1, start - LONGEST)
            if b"(" in data[at:start] and (close := data.find(b")", start, end + LONGEST)) >= 0:
                opened = data.rfind(b"(", at, start)
                if data.find(b"(", start, close) < 0:  # names have no brackets
                    yield from self._inserted(opened, close)
            elif (stop := data.find(b"\n", start, start + LONGEST)) > 0:
                self._seen = stop
                yield from self._below(at, stop)

    def _below(self, at: int, stop: int) -> Iterator[Span]:
        """Yield the cells of the lines below the heading `data[at:stop]`."""
        data = self._data
        line = data[at:stop]
        sign = next((sign for sign in b"|\t;," if bytes([sign]) in line), 0)
        if not sign or line.rstrip()[-1:] in (b",", b"("):  # a list of a program that goes on
            return
        told = line.rfind(b": ", 0, line.index(sign))
        heading = self._split(at if told < 0 else at + told + 2, stop, sign)  # without the key that it stands under
        telling = _telling(data, heading)
        while telling:
            at, stop = stop + 1, data.find(b"\n", stop + 1)
            if stop < 0:
                stop = len(data)
            if at >= stop:
                return
            if data[at:stop].strip(_RULE):
                row = self._split(at, stop, sign)
                if len(row) != len(heading):
                    return
                yield from _kept(data, row, telling)
            self._seen = stop

    def _inserted(self, opened: int, close: int) -> Iterator[Span]:
        """Yield values of `(name, password) values (…), (…)`, whose first brackets are given."""
        data = self._data
        self._seen = close
        if data[close + 1 : close + 32].strip()[:6].lower() != b"values":
            return
        heading = self._split(opened + 1, close, 44)
        telling = _telling(data, heading)
        while telling:
            opened = data.find(b"(", close, close + 64)
            if opened < 0:
                return
            close = self._closing(opened)
            row = self._split(opened + 1, close, 44)
            if len(row) == len(heading):
                self._seen = close
                yield from _kept(data, row, telling)
            if data[close + 1 : close + 4].strip()[:1] != b",":
                return

    def _closing(self, at: int) -> int:
        """Return where the bracket closes that opens at `at`, quotes left out."""
        data, depth, quote = self._data, 0, 0
        stop = min(len(data), at + LONGEST)
        for i in range(at, stop):
            byte = data[i]
            if quote:
                quote = 0 if byte == quote else quote
            elif byte in b"'\"":
                quote = byte
            elif byte in b"()":
                depth += 1 if byte == 40 else -1
                if not depth:
                    stop = i
                    break
        self._spend(stop - at)
        return stop

    def _split(self, at: int, stop: int, sign: int) -> list[Span]:
        """Return the cells of `data[at:stop]`; signs between quotes do not part them."""
        data = self._data
        self._spend(stop - at)
        line = data[at:stop]
        if b'"' not in line and b"'" not in line:
            found: list[Span] = []
            for cell in line.split(bytes([sign])):
                found.append((at, at + len(cell)))
                at += len(cell) + 1
            return found
        return self._quoted(at, stop, sign)

    def _quoted(self, at: int, stop: int, sign: int) -> list[Span]:
        data, found = self._data, list[Span]()
        first, quote = at, 0
        for i in range(at, stop):
            byte = data[i]
            if quote:
                quote = 0 if byte == quote else quote
            elif byte in b"'\"" and not data[first:i].strip():
                quote = byte
            elif byte == sign:
                found.append((first, i))
                first = i + 1
        return [*found, (first, stop)]

    def _spend(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise TooMuch


def _telling(data: bytes, heading: list[Span]) -> dict[int, str]:
    """Return the labels of telling headings by their place; none where the line holds more than short names."""
    if sum(bool(data[start:end].strip(_AROUND)) for start, end in heading) < 2:
        return {}
    labels: dict[int, str] = {}
    for i, (start, end) in enumerate(heading):
        cell = data[start:end]
        if not cell.strip():
            continue
        if not _NAMES.fits(cell):
            return {}
        label = names.label_of(cell.strip(_AROUND).decode())
        if label:
            labels[i] = label
    return labels


def _kept(data: bytes, row: list[Span], telling: dict[int, str]) -> Iterator[Span]:
    for i, label in telling.items():
        start, end = row[i]
        raw = data[start:end]
        start += len(raw) - len(raw.lstrip(_AROUND))
        end -= len(raw) - len(raw.rstrip(_AROUND))
        value = data[start:end].decode("utf-8", "replace")
        if len(value) < 4 or " " in value or literal(value, 0, len(value)) is None:
            continue
        if label == "password" or drawn(value, 8) or (len(value) >= 8 and word(value, 0, len(value))):
            yield start, end
