# SPDX-License-Identifier: Apache-2.0
"""Answers from the Parquet files of sealed segments, by DuckDB in memory.

Values are parameters, never text of the statement. A file that cannot be read is taken away, since it can be made
again, and is an error; whoever asks has another engine for its places.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from onrecord.errors import OnRecordError
from onrecord.views.cold.form import shown, where
from onrecord.views.cold.parquet import Part, minding_ctrl_c, open_duckdb, spread
from onrecord.views.columns import Value
from onrecord.views.groups import Groups
from onrecord.views.question import NUMBERS, SPANS, Group, Grouping, Listing, Question, span_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AT_ONCE = 4_096  # rows that are fetched at a time
_MEASURES = {"count": "count(*)", "p50": "quantile_disc(n, 0.5)", "p95": "quantile_disc(n, 0.95)", "max": "max(n)"}


class ColdUnreadable(OnRecordError):
    """A Parquet file cannot be read, or an answer is too large for the memory; another engine has the same lines."""


class Cold:
    """The events of `parts` whose places are from `begin` to before `end`. `parts` are in order, without overlap."""

    def __init__(self, parts: Sequence[Part], begin: int = 0, end: int = 2**63 - 1) -> None:
        self.parts = list(parts)
        self._begin, self._end = begin, end
        self._duck: DuckDBPyConnection | None = None

    def close(self) -> None:
        """Let go of the memory."""
        if self._duck is not None:
            self._duck.close()
            self._duck = None

    def find(self, listing: Listing) -> Iterator[int]:
        """Yield the places of what is asked for, in the order that is asked for, without regard to the limit."""
        left = self.parts if listing.oldest_first else self.parts[::-1]
        order, size = "ASC" if listing.oldest_first else "DESC", 1
        while left:
            some, left = left[:size], left[size:]
            size *= 2  # often the first files have all that is wanted
            condition, values = self._where(listing.question)
            sql = f"SELECT seq FROM {_from(some)} WHERE {condition} ORDER BY seq {order}"
            for (seq,) in self._rows(sql, values):
                yield seq

    def count(self, question: Question) -> int:
        """Return how many events a question is about."""
        if not self.parts:
            return 0
        condition, values = self._where(question)
        return next(self._rows(f"SELECT count(*) FROM {_from(self.parts)} WHERE {condition}", values))[0]

    def group(self, grouping: Grouping) -> Groups:
        """Return all groups that are asked for, without regard to measure and limit."""
        groups = Groups(timed=grouping.measure != "count")
        if not self.parts:
            return groups
        condition, values = self._where(grouping.question)
        by = [f"{shown(name)}" for name in grouping.by]
        source = f"FROM {_from(self.parts)} WHERE {condition}"
        if groups.timed:
            sql = f"SELECT {', '.join([*by, 'latency_us'])} {source} AND latency_us IS NOT NULL"
        else:
            sql = f"SELECT {', '.join([*by, 'count(*)'])} {source}{_grouped(by)}"
        for *said, number in self._rows(sql, values):
            if number or groups.timed:  # nothing is one group of nothing
                groups.add(_key(grouping, said), number)
        return groups

    def rows(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
        """Yield what those events say in `columns`, oldest first."""
        condition, values = self._where(question)
        chosen = ", ".join(shown(name) for name in columns) or "1"
        for part in self.parts:
            sql = f"SELECT {chosen} FROM {_from([part])} WHERE {condition} ORDER BY seq"
            for row in self._rows(sql, values):
                yield row if columns else ()

    def largest(self, grouping: Grouping, others: Iterable[Sequence[Value]]) -> list[Group]:
        """Return the largest groups of those events and of `others`, rows of what `columns_of` names."""
        condition, values = self._where(grouping.question)
        names = [f"k{number}" for number in range(len(grouping.by))]
        with self._reading() as duck:
            types = ["BIGINT" if name in (*NUMBERS, *SPANS) else "VARCHAR" for name in grouping.by]
            columns = [*(f"{name} {kind}" for name, kind in zip(names, types, strict=True)), "n BIGINT"]
            duck.execute(f"CREATE OR REPLACE TABLE others({', '.join(columns)})")
            load(duck, "others", [*types, "BIGINT"], _spanned(grouping, others))
        counted = grouping.measure == "count"
        mine = [f"{shown(name)} AS {key}" for name, key in zip(grouping.by, names, strict=True)]
        sql = (
            f"SELECT {', '.join([*names, 'count(*)', _MEASURES[grouping.measure]])} AS measured "
            f"FROM (SELECT {', '.join([*mine, 'latency_us AS n'])} FROM {_from(self.parts)} WHERE {condition} "
            f"UNION ALL SELECT * FROM others){'' if counted else ' WHERE n IS NOT NULL'}{_grouped(names)} "
            f"ORDER BY {', '.join(['measured DESC', *(f'{name} NULLS FIRST' for name in names)])} LIMIT ?"
        )
        found = self._rows(sql, [*values, grouping.limit])
        return [Group(key=_key(grouping, said), count=count, value=value) for *said, count, value in found if count]

    def _where(self, question: Question) -> tuple[str, list[str | int]]:
        condition, values = where(question)
        return f"{condition} AND seq >= ? AND seq < ?", [*values, self._begin, self._end]

    def _rows(self, sql: str, values: Sequence[str | int]) -> Iterator[tuple[Any, ...]]:
        with self._reading() as duck:
            found = duck.cursor().execute(sql, list(values))
        while True:
            with self._reading():
                rows = found.fetchmany(_AT_ONCE)
            if not rows:
                return
            yield from rows

    @contextmanager
    def _reading(self) -> "Generator[DuckDBPyConnection]":
        import duckdb

        if self._duck is None:
            self._duck = open_duckdb()
        try:
            with minding_ctrl_c():
                yield self._duck
        except duckdb.OutOfMemoryException as e:
            raise ColdUnreadable(f"the answer takes more memory than it may: {e}") from e
        except (duckdb.IOException, duckdb.InvalidInputException) as e:
            forget_unreadable(self.parts)
            raise ColdUnreadable(f"a Parquet file cannot be read, and is made again when it is needed: {e}") from e
        except duckdb.Error as e:
            raise ColdUnreadable(f"DuckDB does not answer: {e}") from e


def columns_of(grouping: Grouping) -> list[str]:
    """Return the columns of the rows that `Cold.largest` takes in."""
    return [*("ts" if name in SPANS else name for name in grouping.by), "latency_us"]


def load(duck: "DuckDBPyConnection", table: str, types: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Put rows into a table."""
    listed = ", ".join(f"unnest(?::{kind}[])" for kind in types)
    source = iter(rows)
    while some := list(islice(source, _AT_ONCE)):
        duck.execute(f"INSERT INTO {table} SELECT {listed}", [list(each) for each in zip(*some, strict=True)])


def forget_unreadable(parts: Sequence[Part]) -> None:
    """Take away those files that are not Parquet, and all of them where the fault is inside of one."""
    import duckdb

    bad: list[Part] = []
    with open_duckdb() as duck:
        for part in parts:
            try:
                duck.execute(f"SELECT seq FROM {_from([part])} LIMIT 0")
            except duckdb.Error:
                bad.append(part)
    for part in bad or parts:
        with suppress(OSError):
            part.path.unlink()


def _from(parts: Sequence[Part]) -> str:
    return f"read_parquet([{', '.join(spread(parts))}])"


def _grouped(by: Sequence[str]) -> str:
    return f" GROUP BY {', '.join(by)}" if by else ""


def _key(grouping: Grouping, said: Sequence[Any]) -> tuple[Value, ...]:
    return tuple(
        span_text(value * SPANS[name], name) if name in SPANS else value
        for name, value in zip(grouping.by, said, strict=True)
    )


def _spanned(grouping: Grouping, rows: Iterable[Sequence[Value]]) -> Iterable[Sequence[Value]]:
    """Return rows with the number of a span in place of its time."""
    spans = [SPANS.get(name, 0) for name in grouping.by]
    if not any(spans):
        return rows
    return ([_number(value, span) for value, span in zip(row, [*spans, 0], strict=True)] for row in rows)


def _number(value: Value, span: int) -> Value:
    return value // span if span and isinstance(value, int) else value
