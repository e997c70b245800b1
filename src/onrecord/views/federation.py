# SPDX-License-Identifier: Apache-2.0
"""Several ledgers asked as one: those of other hosts, as far as their folders can be read here.

Each answers from its own engines and its own lines. Lists are merged by time, counts are added up, groups are counted
together before they are measured. Each event names the ledger that it stands in. No ledger may be there twice.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import replace

from onrecord.errors import OnRecordError
from onrecord.ledger.clock import parse_time
from onrecord.views.answers import Answers, Found
from onrecord.views.groups import Groups
from onrecord.views.question import Group, Grouping, Listing, Question


class Federation:
    """Answers of several ledgers, by their names."""

    def __init__(self, members: Mapping[str, Answers]) -> None:
        self._members = members

    @property
    def differing(self) -> list[int]:
        """Places that an engine of a ledger named, and whose lines say something else."""
        return [place for each in self._members.values() for place in each.differing]

    @property
    def remarks(self) -> "list[str]":
        """What there is to say about how the answers of a ledger were found."""
        return [f"{name}: {remark}" for name, each in self._members.items() for remark in each.remarks]

    def list(self, listing: Listing) -> Iterator[Found]:
        """Yield what is asked for, by time; of one moment, by ledger. Raises OnRecordError, OSError."""
        lists = [_named(name, each.list(listing)) for name, each in self._members.items()]
        merged = heapq.merge(*lists, key=_moment, reverse=not listing.oldest_first)
        for _, found in zip(range(listing.limit), merged, strict=False):
            yield found

    def count(self, question: Question) -> int:
        """Return how many events a question is about. Raises OnRecordError, OSError."""
        return sum(each.count(question) for each in self._members.values())

    def group(self, grouping: Grouping) -> "list[Group]":
        """Return the groups that are asked for, the largest first. Raises OnRecordError, OSError."""
        groups = Groups(timed=grouping.measure != "count")
        for each in self._members.values():
            groups.take(each.groups(grouping))
        return groups.largest(grouping)


def refuse_twice(names: "list[str]") -> None:
    """Raise OnRecordError where one ledger is there twice: its events would count twice."""
    for name in names:
        if names.count(name) > 1:
            raise OnRecordError(f"the ledger {name} is there twice; leave one of the two out")


def _named(name: str, found: Iterator[Found]) -> Iterator[Found]:
    for each in found:
        yield replace(each, ledger=name)


def _moment(found: Found) -> tuple[int, str, int]:
    return parse_time(found.event.timestamp), found.ledger, found.event.seq
