# SPDX-License-Identifier: Apache-2.0
"""What answers a question: each engine about the part of a log that it has."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from onrecord.views.columns import Value
from onrecord.views.groups import Groups
from onrecord.views.question import Grouping, Listing, Question


class Engine(Protocol):
    """One of those that answer: the hot index, the files of the past, or the lines themselves."""

    def find(self, listing: Listing) -> Iterator[int]:
        """Yield the places of what is asked for, in the order that is asked for, without regard to the limit."""
        ...

    def count(self, question: Question) -> int:
        """Return how many events a question is about."""
        ...

    def group(self, grouping: Grouping) -> Groups:
        """Return all groups that are asked for, without regard to measure and limit."""
        ...

    def rows(self, question: Question, columns: Sequence[str]) -> Iterator[tuple[Value, ...]] | None:
        """Yield what those events say in `columns`, oldest first, or return None where that takes the lines."""
        ...
