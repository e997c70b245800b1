# SPDX-License-Identifier: Apache-2.0
"""What rules remember of the events before: small values by rule and key, each for as long as it can matter.

What is past its time counts as forgotten, whether or not it was taken away yet, so what is found does not depend on
when that happens. What was changed is known, so that it can be kept in a file; what is not held is fetched from there.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

FOR_EVER = 1 << 62  # microseconds
_ONE_BY_ONE = 500  # keys that are fetched each by itself; whoever asks for more gets all of the rule's at once

Kept: TypeAlias = tuple[list[Any], int]
"""A value, which is fit for JSON, and until when it matters, in microseconds since 1970."""


def _nothing(_tag: str, _key: str) -> Kept | None:
    return None


def _no_rows(_tag: str) -> Iterator[tuple[str, Kept]]:
    return iter(())


class Shelf:
    """What one rule remembers, by key. A value that was got and changed is put again, or named in `changed`."""

    __slots__ = ("_fetch", "_missed", "_rows", "_tag", "changed", "held")

    def __init__(
        self, tag: str, fetch: Callable[[str, str], Kept | None], rows: Callable[[str], Iterator[tuple[str, Kept]]]
    ) -> None:
        self._tag = tag
        self._fetch = fetch
        self._rows = rows
        self._missed = 0  # keys that had to be fetched, one by one
        self.held: dict[str, Kept | None] = {}
        self.changed: set[str] = set()

    def get(self, key: str, now_us: int) -> list[Any] | None:
        """Return what is remembered, or None where nothing is, or no longer."""
        kept = self.held.get(key)
        if kept is None:
            if key in self.held or self._missed > _ONE_BY_ONE:
                return None
            kept = self._fetched(key)
        return None if kept is None or kept[1] <= now_us else kept[0]

    def _fetched(self, key: str) -> Kept | None:
        self._missed += 1
        if self._missed <= _ONE_BY_ONE:
            self.held[key] = kept = self._fetch(self._tag, key)
            return kept
        self.held = dict(self._rows(self._tag)) | self.held
        return self.held.get(key)

    def let_go(self) -> None:
        """Hold nothing: all of it is in the file."""
        self.held.clear()
        self._missed = 0

    def put(self, key: str, value: list[Any], until_us: int) -> None:
        """Remember `value`."""
        self.held[key] = (value, until_us)
        self.changed.add(key)

    def drop(self, key: str) -> None:
        """Forget what is remembered."""
        self.held[key] = None
        self.changed.add(key)

    def all(self) -> dict[str, list[Any]]:
        """Return all that is kept in the file, by key; for a rule that forgets nothing by itself."""
        return {key: kept[0] for key, kept in self._rows(self._tag)}


class Memory:
    """What the rules of one log remember."""

    def __init__(
        self,
        fetch: Callable[[str, str], Kept | None] = _nothing,
        rows: Callable[[str], Iterator[tuple[str, Kept]]] = _no_rows,
    ) -> None:
        """`fetch` returns what a file has under a tag and a key, `rows` all that it has under a tag."""
        self._fetch = fetch
        self._rows = rows
        self.shelves: dict[str, Shelf] = {}

    def shelf(self, tag: str) -> Shelf:
        """Return what is remembered under a tag."""
        if tag not in self.shelves:
            self.shelves[tag] = Shelf(tag, self._fetch, self._rows)
        return self.shelves[tag]

    @property
    def changed(self) -> bool:
        """Whether anything was changed since it was kept."""
        return any(shelf.changed for shelf in self.shelves.values())
