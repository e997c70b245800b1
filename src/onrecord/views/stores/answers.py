# SPDX-License-Identifier: Apache-2.0
"""Answers from a store, about the events of all ledgers that it has.

A store says where things are. Where the ledger that an event stands in is at hand, its line is read, and counts only if
it is one that the question is about. Else the event is made of what the store says, and has no line: nothing proves it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.ledger.entries import entries_at
from onrecord.ledger.place import LogFolder
from onrecord.views.answers import Found
from onrecord.views.columns import COLUMNS, Value
from onrecord.views.line import borne_out
from onrecord.views.question import SPANS, Group, Grouping, Listing, Question, span_text
from onrecord.views.stores import asking
from onrecord.views.stores.store import Store, Writing
from onrecord.views.stores.table import event_of

_AT_ONCE = 256  # places that are looked at in one go


class StoreAnswers:
    """What is asked of one store about the logs called `log`. `here` are those whose lines are at hand, by name."""

    def __init__(self, store: Store, log: str, here: Mapping[str, LogFolder]) -> None:
        self._store = store
        self._log = log
        self._here = here
        self.remarks: list[str] = []
        self.differing: list[int] = []  # places that the store named, and whose lines say something else

    def list(self, listing: Listing) -> Iterator[Found]:
        """Yield what is asked for, up to the limit. Raises OnRecordError, OSError."""
        writing = self._store.writing()
        named = [(row[0], row[1], row[2]) for row in self._ask(asking.places(listing, self._log, writing), writing)]
        places = list({(origin, seq): (at, origin, seq) for at, origin, seq in named}.values())
        for begin in range(0, len(places), _AT_ONCE):
            some = places[begin : begin + _AT_ONCE]
            lines = self._lines(some)
            events = self._events([place for place in some if place[1] not in self._here])
            for _, origin, seq in some:
                if origin in self._here:
                    yield from self._proven(origin, seq, lines[origin].get(seq), listing.question)
                elif event := events.get((origin, seq)):
                    yield Found(event=event, line=b"", ledger=origin)

    def count(self, question: Question) -> int:
        """Return how many events a question is about. Raises OnRecordError."""
        writing = self._store.writing()
        return next(self._ask(asking.count(question, self._log, writing), writing))[0]

    def group(self, grouping: Grouping) -> "list[Group]":
        """Return the groups that are asked for, the largest first. Raises OnRecordError."""
        writing = self._store.writing()
        return [
            Group(key=tuple(map(_said, grouping.by, key)), count=count, value=value)
            for *key, count, value in self._ask(asking.groups(grouping, self._log, writing), writing)
        ]

    def rows(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
        """Yield what the events of a question say in `columns`, oldest first. Raises OnRecordError."""
        writing = self._store.writing()
        for row in self._ask(asking.rows(question, self._log, columns, writing), writing):
            yield tuple(map(asking.said, columns, row))

    def _ask(self, sql: str, writing: Writing) -> Iterator[tuple[Any, ...]]:
        return self._store.ask(sql, writing.values)

    def _lines(self, places: "Sequence[tuple[int, str, int]]") -> dict[str, dict[int, bytes]]:
        return {
            origin: entries_at(folder, [seq for _, of, seq in places if of == origin])
            for origin, folder in self._here.items()
        }

    def _events(self, places: "Sequence[tuple[int, str, int]]") -> dict[tuple[str, int], Event]:
        if not places:
            return {}
        names = [column.name for column in COLUMNS]
        writing = self._store.writing()
        found: dict[tuple[str, int], Event] = {}
        for origin, seq, *cells in self._ask(asking.whole(places, names, writing), writing):
            try:
                found[origin, seq] = event_of(list(map(asking.said, names, cells)))
            except NotVerified:
                self.differing.append(seq)
        return found

    def _proven(self, origin: str, seq: int, line: bytes | None, question: Question) -> Iterator[Found]:
        try:
            event = borne_out(line, question)
        except NotVerified:
            self.differing.append(seq)
            return
        if event is not None and line is not None:
            yield Found(event=event, line=line, ledger=origin)


def _said(name: str, cell: Any) -> Value:
    """Return what a cell of a group says."""
    if name in SPANS:
        return span_text(int(cell) * SPANS[name], name)
    return asking.said(name, cell)
