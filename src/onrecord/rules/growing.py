# SPDX-License-Identifier: Apache-2.0
"""Finds many texts in a text at once, and can be given more of them at any time.

An automaton is faster to search with. But it has to be built anew for each text that is added, and
one for all the ways in which a hundred thousand secrets may be written would take gigabytes. Here
each place of a text is looked up by its next eight bytes, and only where something begins like that,
as a whole. A text is kept as a hash of 64 bits: a chance likeness masks a few characters too many.
"""

import sys
from collections.abc import Iterator
from typing import Generic, TypeVar

from onrecord.rules.pattern import utf8

HEAD = 8  # bytes by which a place is looked up: what a machine reads as one number
WORK = 1 << 25  # characters that may be looked up in one text, beside `MORE` for each of its own
MORE = 16

_T = TypeVar("_T")


class TooMuch(Exception):
    """Too much in a text begins like what is looked for."""


class Growing(Generic[_T]):
    """Texts to look for, and what each one stands for."""

    __slots__ = ("_about", "_heads", "_short", "_sizes", "_widths")

    def __init__(self) -> None:
        self._about: dict[int, _T] = {}
        self._heads: set[int] = set()
        self._sizes: dict[int, tuple[int, ...]] = {}  # of what begins with the same characters
        self._widths: set[int] = set()  # of such beginnings
        self._short = False  # some text has fewer bytes than `HEAD`

    def add(self, text: str, about: _T) -> None:
        """Look for `text`, which is not empty, from now on; what was added before stays what it is."""
        if self._about.setdefault(hash(text), about) is not about:
            return
        head = text[:HEAD]
        sizes = self._sizes.get(hash(head), ())
        if len(text) not in sizes:
            self._sizes[hash(head)] = (*sizes, len(text))
            self._widths.add(len(head))
            first = utf8(head)[:HEAD]
            self._short |= len(first) < HEAD
            self._heads.add(int.from_bytes(first, sys.byteorder))

    def occurrences(self, text: str) -> Iterator[tuple[_T, int]]:
        """Yield each place where one of the texts stands, overlapping or not: what it stands for, and where it begins.

        Raises TooMuch.
        """
        if not (self._short or self._may_occur(utf8(text))):
            return
        room = WORK + MORE * len(text)
        for width in self._widths:
            for at in range(len(text) - width + 1):
                for size in self._sizes.get(hash(text[at : at + width]), ()):
                    if at + size > len(text):
                        continue
                    room -= size
                    if room < 0:
                        raise TooMuch
                    about = self._about.get(hash(text[at : at + size]))
                    if about is not None:
                        yield about, at

    def _may_occur(self, data: bytes) -> bool:
        """Say whether anything in `data` begins like what is looked for: most text has nothing, and ends here."""
        view = memoryview(data)
        for at in range(min(HEAD, len(data) - HEAD + 1)):
            if not self._heads.isdisjoint(view[at : at + (len(data) - at) // HEAD * HEAD].cast("Q")):
                return True
        return False
