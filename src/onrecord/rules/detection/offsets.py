# SPDX-License-Identifier: Apache-2.0
"""A text decoded in places, and where each character of it came from.

A decoder says what it would change as a list of edits. A view is the text after the edits, made of
pieces: some copied from the text before, character by character, and some written by an edit, which
stand as a whole for what they replaced. Far from any edit a view would only repeat its source, so
it is cut down to what stands around them.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeAlias

Edit: TypeAlias = tuple[int, int, str]  # source[start:end] reads as this

AROUND = 128  # characters kept on either side of an edit
NEAR = 96  # characters between an edit and what it may have made visible
TOKEN = 2_048  # characters that a cut moves so as to spare a token
_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=_-.%:@"
APART = "\n\x1e\n"  # stands between texts that are searched at once, and where something was left out


class View:
    """`text`, made from `source` by `edits`, which are in order and don't overlap."""

    __slots__ = ("_at", "_end", "_first", "_last", "_src", "depth", "form", "name", "source", "text")

    def __init__(self, source: "str | View", edits: Sequence[Edit], name: str) -> None:
        self.source = source if isinstance(source, View) else None
        self.depth = self.source.depth + 1 if self.source else 1
        self.form = name
        self.name = f"{name}/{self.source.name}" if self.source else name
        self._at: list[int] = []  # where a piece begins in the view
        self._src: list[int] = []  # where it begins in the source
        self._end: list[int] = []  # where what it replaced ends there; -1: it is a copy
        self._first: list[int] = []  # where edits lie in the view
        self._last: list[int] = []
        self.text = self._written(source.text if isinstance(source, View) else source, edits)

    def _written(self, text: str, edits: Sequence[Edit]) -> str:
        parts: list[str] = []
        size, done = 0, 0  # characters written, characters of `text` dealt with
        for start, end, new in edits:
            if start - done > 3 * AROUND or not parts:
                begin = _token_start(text, start) if start - done > AROUND else done
                if parts:
                    stop = _token_end(text, done)
                    if stop < begin:
                        size = self._copied(parts, text, done, stop, size)
                        parts.append(APART)
                        size += len(APART)
                        done = begin
                else:
                    done = begin
            size = self._copied(parts, text, done, start, size)
            self._first.append(size)
            if new:
                self._at.append(size)
                self._src.append(start)
                self._end.append(end)
                parts.append(new)
                size += len(new)
            self._last.append(size)
            done = end
        self._copied(parts, text, done, _token_end(text, done), size)
        return "".join(parts)

    def _copied(self, parts: list[str], text: str, start: int, stop: int, size: int) -> int:
        if stop <= start:
            return size
        self._at.append(size)
        self._src.append(start)
        self._end.append(-1)
        parts.append(text[start:stop])
        return size + stop - start

    def near(self, start: int, end: int) -> bool:
        """Say whether an edit touches `text[start:end]` or stands close enough to have made it visible."""
        i = bisect_right(self._first, end + NEAR) - 1
        return i >= 0 and self._last[i] >= start - NEAR

    def changes(self, start: int, end: int, *, anew: bool) -> bool:
        """Say whether an edit of `text[start:end]` is one that could not be made in the source.

        That is so where an edit overlaps it and, without `anew`, where one stands in the same word.
        """
        i = bisect_left(self._first, end) - 1  # the last that begins before `end`
        if i >= 0 and (self._last[i] > start or (self._last[i] == start and self._first[i] == start)):
            return True
        i += 1
        if i < len(self._first) and self._first[i] == self._last[i] == end:  # something was left out there
            return True
        i = bisect_right(self._first, end) - 1
        if anew:
            return False
        if i >= 0 and start - self._last[i] <= NEAR and _one_word(self.text[self._last[i] : start]):
            return True
        i += 1
        return i < len(self._first) and self._first[i] - end <= NEAR and _one_word(self.text[end : self._first[i]])

    def wrote(self, start: int, end: int) -> bool:
        """Say whether an edit wrote some of `text[start:end]`, or left something out in it."""
        i = bisect_left(self._first, end) - 1
        return i >= 0 and self._last[i] > start

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return what of the first source `text[start:end]` stands for; `start` < `end`."""
        i = bisect_right(self._at, start) - 1
        j = bisect_left(self._at, end) - 1
        first = self._src[i] if self._end[i] >= 0 else self._src[i] + start - self._at[i]
        last = self._end[j] if self._end[j] >= 0 else self._src[j] + end - self._at[j]
        return (first, last) if self.source is None else self.source.span(first, last)


def _one_word(gap: str) -> bool:
    return not gap.strip(_WORD)


def _token_start(text: str, at: int) -> int:
    """Return where what stands around `text[at]` begins, without cutting a token in two."""
    if at <= AROUND + TOKEN:
        return 0
    low = at - AROUND - TOKEN
    blank = max(text.rfind(" ", low, at - AROUND), text.rfind("\n", low, at - AROUND))
    return blank + 1 if blank >= 0 else at - AROUND


def _token_end(text: str, at: int) -> int:
    high = at + AROUND + TOKEN
    if high >= len(text):
        return len(text)
    blanks = [i for i in (text.find(" ", at + AROUND, high), text.find("\n", at + AROUND, high)) if i >= 0]
    return min(blanks, default=at + AROUND)


def merged(edits: list[Edit]) -> list[Edit]:
    """Return `edits` in order; of two that overlap, the one that begins first, or is longer."""
    edits.sort(key=lambda edit: (edit[0], -edit[1]))
    kept: list[Edit] = []
    done = -1
    for edit in edits:
        if edit[0] >= done:
            kept.append(edit)
            done = edit[1]
    return kept
