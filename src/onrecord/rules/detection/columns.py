# SPDX-License-Identifier: Apache-2.0
"""Finds the cells under a telling heading: CSV, tables of Markdown and of database shells, `INSERT INTO`.

A heading stands once and its values on the lines below it, so nothing beside a value announces it.
A table is a line of short names and lines below it with as many cells. What is under a heading for
passwords counts as it is written; under other telling headings, what a machine could have drawn.
"""

from collections.abc import Iterator

from onrecord.rules import names
from onrecord.rules.detection.announced import word
from onrecord.rules.detection.checks import Span, literal
from onrecord.rules.detection.likeness import drawn
from onrecord.rules.pattern import Pattern

MOST_ROWS = 500  # of one table that are read
MOST_TABLES = 16  # of one text
LONGEST = 2048  # bytes of a line of a table

_TELLING = r"(?:pass(?:word|wd|phrase|code)|pwd|passwort|secret|token|api[_ ]?key|access[_ ]?key|private[_ ]?key)"
_HEADING = Pattern(rf"(?i){_TELLING}[a-z_ ]{{0,12}}[\"'`*)\]]{{0,3}}[ \t]*(?:[,;|\t]|\)\s*values\b|\r?\n)")
_NAMES = Pattern(r"""(?i)\A[ \t]*["'`*\[]{0,3}[a-z][a-z0-9_ .#-]{0,39}["'`*\]]{0,3}[ \t]*\z""")
_RULE = b" -+|:=\t\r"  # of what the line between heading and rows is made
_AROUND = b" \t\r\"'`*"


def cells(data: bytes) -> Iterator[Span]:
    """Yield the byte spans of cells in `data`, UTF-8, that a heading announces as secret."""
    seen = tables = 0
    for start, end in _HEADING.spans(data):
        if start < seen or tables == MOST_TABLES:
            continue
        tables += 1
        at = data.rfind(b"\n", max(0, start - LONGEST), start) + 1
        stop = data.find(b"\n", start, start + LONGEST)
        if b"(" in data[at:start] and data.find(b")", start, end + LONGEST) >= 0:
            yield from _inserted(data, max(at, data.rfind(b"(", at, start)), start)
        elif stop > 0:
            seen = stop
            yield from _below(data, at, stop)


def _below(data: bytes, at: int, stop: int) -> Iterator[Span]:
    """Yield the cells of the lines below the heading `data[at:stop]`."""
    line = data[at:stop]
    sign = next((sign for sign in b"|\t;," if bytes([sign]) in line), 0)
    if not sign or line.rstrip()[-1:] in (b",", b"("):  # a list of a program that goes on
        return
    heading = _split(data, at, stop, sign)
    telling = _telling(data, heading)
    for _ in range(MOST_ROWS if telling else 0):
        at, stop = stop + 1, data.find(b"\n", stop + 1, stop + LONGEST)
        if stop < 0:
            stop = len(data) if len(data) - at < LONGEST else at
        if not data[at:stop].strip(_RULE):
            if at >= stop:
                return
            continue
        row = _split(data, at, stop, sign)
        if len(row) != len(heading):
            return
        yield from _kept(data, row, telling)


def _inserted(data: bytes, at: int, start: int) -> Iterator[Span]:
    """Yield values of `(name, password) values (…), (…)`, whose first bracket stands at `at`."""
    close = data.find(b")", start, start + LONGEST)
    heading = _split(data, at + 1, close, 44)
    telling = _telling(data, heading)
    if data[close + 1 : close + 32].strip()[:6].lower() != b"values":
        return
    for _ in range(MOST_ROWS if telling else 0):
        opened = data.find(b"(", close, close + 64)
        if opened < 0:
            return
        close = _closing(data, opened)
        row = _split(data, opened + 1, close, 44)
        if len(row) == len(heading):
            yield from _kept(data, row, telling)
        if data[close + 1 : close + 4].strip()[:1] != b",":
            return


def _closing(data: bytes, at: int) -> int:
    """Return where the bracket closes that opens at `at`, quotes left out."""
    depth, quote = 0, 0
    for i in range(at, min(len(data), at + LONGEST)):
        byte = data[i]
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"'\"":
            quote = byte
        elif byte in b"()":
            depth += 1 if byte == 40 else -1
            if not depth:
                return i
    return min(len(data), at + LONGEST)


def _split(data: bytes, at: int, stop: int, sign: int) -> list[Span]:
    """Return the cells of `data[at:stop]`; signs between quotes do not part them."""
    found: list[Span] = []
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
