# SPDX-License-Identifier: Apache-2.0
"""Answers about one log: which engine is asked, and the lines that prove what it found.

A plan says which engines have which part of the log for a question: the hot index, the files of the past, or the lines.
So each line is asked for once. What an engine finds is read from the log, and counts only if the line that stands there
is one that the question is about. Where the files of the past fail, the other engines answer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from onrecord.errors import NotVerified
from onrecord.event.event import Event
from onrecord.ledger.entries import entries_at
from onrecord.ledger.place import LogFolder
from onrecord.views.cold.duck import Cold, ColdUnreadable, columns_of
from onrecord.views.columns import BY_NAME, Value, value_of
from onrecord.views.engine import Engine
from onrecord.views.groups import Groups
from onrecord.views.line import borne_out
from onrecord.views.question import Group, Grouping, Listing, Question

_BEHIND_ALL = 2**63
_AT_ONCE = 256  # lines that are read for one look into the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An event that is asked for, and its line as it is on the record, empty where only a store has the event.

    `ledger` is the name of the log, where several are asked.
    """

    event: Event
    line: bytes
    ledger: str = ""


class Plan(Protocol):
    """Which engines answer a question, the oldest part of the log first; no line is in two of them."""

    remarks: list[str]

    def engines(self, question: Question) -> Sequence[Engine]:
        """Return those that find single events quickly."""
        ...

    def past(self, question: Question) -> tuple[Cold, Sequence[Engine]] | None:
        """Return the files of the past and what has all the rest, or None where those are not the way."""
        ...

    def fails(self, why: str) -> None:
        """Do without the files of the past from here on."""
        ...


class _Fixed:
    """The plan of engines that are given."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines
        self.remarks: list[str] = []

    def engines(self, question: Question) -> Sequence[Engine]:
        return self._engines

    def past(self, question: Question) -> None:
        return None

    def fails(self, why: str) -> None:
        raise AssertionError(why)


class Answers:
    """What is asked of one log. `engines` is a plan, or engines that have its parts, the oldest first."""

    def __init__(self, folder: LogFolder, engines: "Sequence[Engine] | Plan") -> None:
        self._folder = folder
        self._plan: Plan = _Fixed(engines) if isinstance(engines, Sequence) else engines
        self.differing: list[int] = []  # places that an engine named, and whose lines say something else

    @property
    def remarks(self) -> "list[str]":
        """What there is to say about how the answers were found."""
        return self._plan.remarks

    def list(self, listing: Listing) -> Iterator[Found]:
        """Yield what is asked for. Raises OnRecordError, OSError."""
        left, at = listing.limit, -1 if listing.oldest_first else _BEHIND_ALL
        engines = self._plan.engines(listing.question)
        for engine in engines if listing.oldest_first else reversed(engines):
            places = engine.find(listing)
            while left > 0 and (some := list(islice(places, min(left, _AT_ONCE)))):
                fit: list[int] = []
                for place in some:
                    if place != at and (place > at) == listing.oldest_first:
                        at = place
                        fit.append(place)
                    else:
                        self.differing.append(place)  # named twice: no event is there twice
                for found in self._read(fit, listing.question):
                    yield found
                    left -= 1

    def count(self, question: Question) -> int:
        """Return how many events a question is about. Raises OnRecordError, OSError."""
        if (past := self._plan.past(question)) is not None:
            cold, others = past
            try:
                return sum(engine.count(question) for engine in (cold, *others))
            except ColdUnreadable as e:
                self._plan.fails(str(e))
        return sum(engine.count(question) for engine in self._plan.engines(question))

    def group(self, grouping: Grouping) -> "list[Group]":
        """Return the groups that are asked for, the largest first. Raises OnRecordError, OSError."""
        if (past := self._plan.past(grouping.question)) is not None:
            cold, others = past
            try:
                return cold.largest(grouping, self._rows(others, grouping.question, columns_of(grouping)))
            except ColdUnreadable as e:
                self._plan.fails(str(e))
        return self.groups(grouping).largest(grouping)

    def groups(self, grouping: Grouping) -> Groups:
        """Return all of those groups, without regard to measure and limit. Raises OnRecordError, OSError."""
        groups = Groups(timed=grouping.measure != "count")
        for engine in self._plan.engines(grouping.question):
            groups.take(engine.group(grouping))
        return groups

    def rows(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]]:
        """Yield what the events of a question say in `columns`, oldest first. Raises OnRecordError, OSError."""
        yield from self._rows(self._plan.engines(question), question, columns)

    def past(self, question: Question, columns: Sequence[str]) -> tuple[Cold, Iterator[tuple[Value, ...]]] | None:
        """Return the files of the past, and what the other events of a question say in `columns`.

        None where the files of the past are not the way. Raises OnRecordError, OSError.
        """
        if (past := self._plan.past(question)) is None:
            return None
        cold, others = past
        return cold, self._rows(others, question, columns)

    def fails(self, why: str) -> None:
        """Do without the files of the past from here on."""
        self._plan.fails(why)

    def _rows(
        self, engines: Sequence[Engine], question: Question, columns: Sequence[str]
    ) -> Iterator[tuple[Value, ...]]:
        chosen = [BY_NAME[name] for name in columns]
        for engine in engines:
            rows = engine.rows(question, columns)
            if rows is not None:
                yield from rows
                continue
            places = engine.find(Listing(question=question, oldest_first=True))
            while some := list(islice(places, _AT_ONCE)):
                for found in self._read(some, question):
                    yield tuple(value_of(found.event, column) for column in chosen)

    def _read(self, places: "list[int]", question: Question) -> Iterator[Found]:
        lines = entries_at(self._folder, places)
        for place in places:
            try:
                event = borne_out(lines.get(place), question)
            except NotVerified:
                self.differing.append(place)
                continue
            if event is not None:
                yield Found(event=event, line=lines[place])
