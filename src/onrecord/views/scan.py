# SPDX-License-Identifier: Apache-2.0
"""Answers from the lines themselves, without an index: slow, and the measure of what is right."""

from collections.abc import Iterator, Sequence

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.event.schema import read_event
from onrecord.ledger.clock import parse_time
from onrecord.ledger.lines import is_tombstone, lines_from
from onrecord.ledger.place import LogFolder
from onrecord.views.columns import BY_NAME, Value, value_of
from onrecord.views.groups import Groups
from onrecord.views.matching import fits
from onrecord.views.question import SPANS, Grouping, Listing, Question, span_text


class Scan:
    """The lines of a log from `begin` to before `end`. Reads all of them for each question."""

    def __init__(self, folder: LogFolder, begin: int = 0, end: int | None = None) -> None:
        self._folder = folder
        self._begin = begin
        self._end = end

    def find(self, listing: Listing) -> Iterator[int]:
        """Yield the places of what is asked for, in the order that is asked for, without regard to the limit."""
        found = (event.seq for event in self._events(listing.question))
        yield from found if listing.oldest_first else reversed(list(found))

    def count(self, question: Question) -> int:
        """Return how many events a question is about."""
        return sum(1 for _ in self._events(question))

    def group(self, grouping: Grouping) -> Groups:
        """Return all groups that are asked for, without regard to measure and limit."""
        groups = Groups(timed=grouping.measure != "count")
        for event in self._events(grouping.question):
            key = tuple(said(event, name) for name in grouping.by)
            if not groups.timed:
                groups.add(key, 1)
            elif event.latency_us is not None:
                groups.add(key, event.latency_us)
        return groups

    def rows(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
        """Yield what those events say in `columns`, oldest first."""
        chosen = [BY_NAME[name] for name in columns]
        for event in self._events(question):
            yield tuple(value_of(event, column) for column in chosen)

    def _events(self, question: Question) -> Iterator[Event]:
        for line in lines_from(self._folder, self._begin):
            if is_tombstone(line.data):
                continue
            try:
                event = read_event(line.data)
            except NotVerified:
                continue
            if self._end is not None and event.seq >= self._end:
                return
            if fits(event, question):
                yield event


def said(event: Event, name: str) -> Value:
    """Return what an event says in a column, or of a span of time."""
    if name in SPANS:
        at_us = parse_time(event.timestamp)
        return span_text(at_us - at_us % SPANS[name], name)
    return value_of(event, BY_NAME[name])
