# SPDX-License-Identifier: Apache-2.0
"""Answers from one file of the index, while the index is being written.

A file that is damaged is an error with a remedy, never less of an answer.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from onrecord.errors import OnRecordError
from onrecord.ledger.clock import TimeText
from onrecord.views.columns import Value
from onrecord.views.groups import Groups
from onrecord.views.index.layout import IDS, KEY_BYTES, STORED, first_of, open_for_reading
from onrecord.views.index.rows import Cell, id_cell, id_text
from onrecord.views.question import NUMBERS, SPANS, Condition, Grouping, Listing, Question, span_text
from onrecord.views.words import Phrase, words_of

_AMONG_WORDS = ("tool_name", "resource")
_HELD = frozenset({"seq", "ts", "timestamp", *STORED})
_NO_NUMBER = 2**63  # from here on SQLite holds none
_ID_BYTES = 16
_KNOWN = 100_000  # cells whose texts are remembered


class _Chosen(NamedTuple):
    """The rows that a question is about: from where and which, what their places are called, and the values."""

    rows: str
    place: str
    values: list[Cell]


class Period:
    """One file of the index, as it was when it was opened: what it takes in later is not looked at."""

    def __init__(self, path: Path) -> None:
        """Raises OnRecordError where it cannot be read, FileNotFoundError where it is gone."""
        try:
            self._file = open_for_reading(path)
        except sqlite3.DatabaseError as e:
            if not path.exists():
                raise FileNotFoundError(path) from e
            raise _damaged(path, str(e)) from e
        self._path = path
        self.begin = first_of(path)
        found = self._all("SELECT v FROM m WHERE k = 'end'")
        end = found[0][0] if found else self.begin
        if not isinstance(end, int):
            raise self._unfit()
        self.end = end

    def cut(self, begin: int, end: int) -> None:
        """Look at the rows from `begin` to before `end` only."""
        self.begin, self.end = max(begin, self.begin), min(end, self.end)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def find(self, listing: Listing) -> Iterator[int]:
        """Yield the places of what is asked for, in the order that is asked for, without regard to the limit."""
        if (chosen := self._chosen(listing.question)) is None:
            return
        order = "ASC" if listing.oldest_first else "DESC"
        rows = self._rows(f"SELECT {chosen.place} FROM {chosen.rows} ORDER BY {chosen.place} {order}", chosen.values)
        try:
            for (seq,) in rows:
                yield seq
        except sqlite3.DatabaseError as e:
            raise _damaged(self._path, str(e)) from e

    def count(self, question: Question) -> int:
        """Return how many events a question is about."""
        if (chosen := self._chosen(question)) is None:
            return 0
        return self._all(f"SELECT count(*) FROM {chosen.rows}", chosen.values)[0][0]

    def group(self, grouping: Grouping) -> Groups:
        """Return all groups that are asked for, without regard to measure and limit."""
        groups = Groups(timed=grouping.measure != "count")
        if (chosen := self._chosen(grouping.question)) is None:
            return groups
        by = [_expression(name) for name in grouping.by]
        if groups.timed:
            sql = f"SELECT {', '.join([*by, 'latency_us'])} FROM {chosen.rows} AND latency_us IS NOT NULL"
        else:
            sql = f"SELECT {', '.join([*by, 'count(*)'])} FROM {chosen.rows}"
            sql += f" GROUP BY {', '.join(by)}" if by else ""
        keys: dict[tuple[Cell, ...], tuple[Value, ...]] = {}
        for *cells, number in self._all(sql, chosen.values):
            if not (number or groups.timed):
                continue  # nothing is one group of nothing
            said = tuple(cells)
            if not isinstance(number, int):
                raise self._unfit()
            if (key := keys.get(said)) is None:
                key = keys[said] = tuple(self._spelled(*each) for each in zip(grouping.by, said, strict=True))
            groups.add(key, number)
        return groups

    def rows(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]] | None:
        """Yield what those events say in `columns`, oldest first, or return None where that takes the lines."""
        if not _HELD.issuperset(columns):
            return None
        return self._said(question, columns)

    def _said(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
        if (chosen := self._chosen(question)) is None:
            return
        cells = ", ".join(self._timestamp() if name == "timestamp" else f"e.{name}" for name in columns) or "1"
        spelled: list[Callable[[Any], Value]] = [self._reader(name) for name in columns]
        found = self._rows(f"SELECT {cells} FROM {chosen.rows} ORDER BY {chosen.place}", chosen.values)
        try:
            for row in found:
                yield tuple(read(cell) for read, cell in zip(spelled, row, strict=False))
        except sqlite3.DatabaseError as e:
            raise _damaged(self._path, str(e)) from e
        except (TypeError, ValueError, OverflowError):
            raise self._unfit() from None  # a time that is none

    def _timestamp(self) -> str:
        """Return what has the text of a time: its own, where that is not how this product writes it."""
        has_own = self._all("SELECT 1 FROM t LIMIT 1")
        return "coalesce((SELECT v FROM t WHERE t.seq = e.seq), e.ts)" if has_own else "e.ts"

    def _reader(self, name: str) -> Callable[[Any], Value]:
        """Return what makes of the cells of a column what they say."""
        if name == "timestamp":
            times = TimeText()
            return lambda cell: cell if isinstance(cell, str) else times.of(cell)
        if name in ("seq", "ts"):
            return int
        known: dict[Cell, Value] = {}

        def read(cell: Cell) -> Value:
            if cell not in known:
                if len(known) > _KNOWN:
                    known.clear()
                known[cell] = self._spelled(name, cell)
            return known[cell]

        return read

    def _chosen(self, question: Question) -> _Chosen | None:
        """Return how the rows are chosen that a question is about, or None where this file has none of them."""
        parts: list[str] = []
        values: list[Cell] = []
        words = [*map(_quoted, question.phrases), *_named(question)]
        source, place = ("f JOIN e ON e.seq = f.rowid", "f.rowid") if words else ("e", "e.seq")
        if words:
            parts.append("f MATCH ?")
            values.append(" AND ".join(words))
        for condition in question.conditions:
            found = self._met(condition)
            if found is None:
                return None
            parts.append(found[0])
            values += found[1]
        parts.append(f"{place} < ?")
        values.append(self.end if question.until_us is None else self._place(question.until_us))
        if question.since_us is not None or self.begin > first_of(self._path):
            parts.append(f"{place} >= ?")
            values.append(self.begin if question.since_us is None else self._place(question.since_us))
        return _Chosen(f"{source} WHERE {' AND '.join(parts)}", place, values)

    def _met(self, condition: Condition) -> tuple[str, list[Cell]] | None:
        name = condition.column
        if not condition.values:
            return f"{name} IS NOT NULL", []
        if name in NUMBERS:
            held = [value for value in condition.values if isinstance(value, int) and abs(value) < _NO_NUMBER]
            return (f"{name} IN ({_marks(held)})", [*held]) if held else None
        texts = [str(value) for value in condition.values]
        if name == "session_id":
            cells = [id_cell(text) for text in texts]
            numbers = [row[0] for row in self._all(f"SELECT id FROM d WHERE v IN ({_marks(cells)})", cells)]
            return (f"{name} IN ({_marks(numbers)})", [*numbers]) if numbers else None
        if name in IDS:
            cells = [id_cell(text, dashed=name != "trace_id") for text in texts]
            keys = [cell[:KEY_BYTES] for cell in cells]
            first = f"substr({name}, 1, {KEY_BYTES}) IN ({_marks(keys)})"
            return f"{first} AND {name} IN ({_marks(cells)})", [*keys, *cells]
        numbers = [row[0] for row in self._all(f"SELECT id FROM d WHERE v IN ({_marks(texts)})", texts)]
        return (f"{name} IN ({_marks(numbers)})", [*numbers]) if numbers else None

    def _place(self, at_us: int) -> int:
        """Return the first place that is not before a time: times never decrease in a log."""
        low, high = self.begin, self.end
        while low < high:
            middle = (low + high) // 2
            row = self._all("SELECT seq, ts FROM e WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT 1", [middle, high])
            if row and not isinstance(row[0][1], int):
                raise self._unfit()
            if not row or row[0][1] >= at_us:
                high = middle
            else:
                low = row[0][0] + 1
        return low

    def _spelled(self, name: str, cell: Cell) -> Value:
        """Return what a cell of a column stands for."""
        if cell is None:
            return None
        if name in NUMBERS or name in SPANS:
            if not isinstance(cell, int):
                raise self._unfit()
            try:
                return span_text(cell * SPANS[name], name) if name in SPANS else cell
            except (ValueError, OverflowError, OSError):
                raise self._unfit() from None
        found = [(cell,)] if name in IDS else self._all("SELECT v FROM d WHERE id = ?", [cell])
        said = found[0][0] if found else None
        if not isinstance(said, str | bytes) or (isinstance(said, bytes) and len(said) != _ID_BYTES):
            raise self._unfit()
        return id_text(said, dashed=name != "trace_id")

    def _unfit(self) -> OnRecordError:
        return _damaged(self._path, "it holds what no event says")

    def _all(self, sql: str, values: Sequence[Cell] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._rows(sql, values).fetchall()
        except sqlite3.DatabaseError as e:
            raise _damaged(self._path, str(e)) from e

    def _rows(self, sql: str, values: Sequence[Cell] = ()) -> sqlite3.Cursor:
        try:
            return self._file.execute(sql, values)
        except sqlite3.DatabaseError as e:
            raise _damaged(self._path, str(e)) from e


def _damaged(path: Path, why: str) -> OnRecordError:
    return OnRecordError(f"{path}: {why}; delete it, and ask again: the index is made anew from the record")


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _named(question: Question) -> Iterator[str]:
    """Yield words for FTS5 that all rows have which meet a condition on a name that is among the words of an event.

    So there is no index of tools or of resources. Where a condition on ids or on people is there, that is quicker.
    """
    if any(condition.column in (*IDS, "user_id") and condition.values for condition in question.conditions):
        return
    for condition in question.conditions:
        if condition.column in _AMONG_WORDS and condition.values:
            phrases = [Phrase(words=tuple(words_of(str(value)))) for value in condition.values]
            if all(phrase.words for phrase in phrases):
                yield f"({' OR '.join(map(_quoted, phrases))})"


def _quoted(phrase: Phrase) -> str:
    """Return a phrase for FTS5. Words are letters and digits only, so nothing in them acts."""
    return f'"{" ".join(phrase.words)}"{" *" if phrase.prefix else ""}'


def _expression(name: str) -> str:
    return f"ts / {SPANS[name]}" if name in SPANS else name
