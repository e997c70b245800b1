# SPDX-License-Identifier: Apache-2.0
"""What a store can do, whichever engine is behind it: take rows, forget some, and answer statements.

A row that is put again is the same row, in every answer. What a store acknowledged is on its disk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from onrecord.errors import OnRecordError
from onrecord.views.columns import Value
from onrecord.views.question import Measure
from onrecord.views.stores.address import Address
from onrecord.views.words import Phrase


class StoreAway(OnRecordError):
    """A store does not answer, or can't just now; a later try may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest event that a store has of a log."""

    seq: int
    ts: int
    event_id: str


class Writing(Protocol):
    """A statement that is being written for one engine. Values go in in the order in which they stand in it."""

    table: str  # what rows are read from: each once
    values: list[Value]  # those that stand beside it, and not in it

    def value(self, value: Value) -> str:
        """Return what stands for a value."""
        ...

    def says(self, column: str) -> str:
        """Return the condition that a column says something."""
        ...

    def is_one_of(self, column: str, values: Sequence[str | int]) -> str:
        """Return the condition that a column says one of `values`, of which there is one at least."""
        ...

    def has(self, phrase: Phrase) -> str:
        """Return the condition that the words of an event have a phrase."""
        ...

    def span(self, length_us: int) -> str:
        """Return the number of the span of time that an event is in, from 1970 on."""
        ...

    def measured(self, measure: Measure) -> str:
        """Return what is measured of `latency_us` of a group."""
        ...

    def sorted_first(self, chosen: str) -> str:
        """Return a statement whose rows are found before they are sorted, if that has to be said."""
        ...


class Store(Protocol):
    """One store that is open."""

    address: Address

    def prepare(self) -> None:
        """Make the table, or add the columns that it lacks. Raises StoreAway, OnRecordError."""
        ...

    def put(self, rows: Sequence[tuple[Value, ...]]) -> None:
        """Take in rows, as `table.NAMES` names their cells, and return once they are kept. Raises as `prepare`."""
        ...

    def forget(self, origin: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Delete the rows of a log from the first to the last place of each range. Raises as `prepare`."""
        ...

    def newest(self, origin: str) -> Newest | None:
        """Return the newest that is there of a log. Raises as `prepare`."""
        ...

    def writing(self) -> Writing:
        """Return a statement that nothing is in yet."""
        ...

    def ask(self, sql: str, values: Sequence[Value]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that a statement answers, with the values that stand beside it. Raises as `prepare`."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
