# SPDX-License-Identifier: Apache-2.0
"""Regular expressions over text that somebody else chose, in linear time.

The standard library's engine backtracks: one expression for `name = "value"` took 235 s over a
string of 953 characters. RE2 cannot backtrack, whatever the text and whatever the expression, so it
is the only engine that this floor uses. Texts are searched as UTF-8; a lone surrogate, which UTF-8
can't hold, reads as `?`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import re2

_ANYWHERE = re2._Anchor.UNANCHORED  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # see Pattern
_AT_START = re2._Anchor.ANCHOR_START  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # see Pattern
_NOWHERE = (-1, -1)

MEMORY = 32 << 20  # bytes that one expression may use for its automaton; past this it slows down, it does not fail


class PatternError(ValueError):
    """An expression is not one that RE2 reads."""


class Pattern:
    """One expression, ready to search UTF-8.

    The library's own wrapper makes several objects a match, which costs more than the match. So the
    compiled expression behind it is asked itself; this class is the only place that does.
    """

    __slots__ = ("_expression", "_groups", "_match", "_memory")

    def __init__(self, expression: str, memory: int = MEMORY, *, late: bool = False) -> None:
        """Raises PatternError where RE2 can't read `expression`, or not with so many bytes.

        `late` is for a large one of ours that many processes never need: it is compiled by its first search.
        """
        self._expression = expression
        self._memory = memory
        self._groups = -1  # until it is compiled
        self._match: Callable[..., Any] = self._compile_and_match if late else self._compiled()

    def _compile_and_match(self, *arguments: Any) -> Any:
        self._match = self._compiled()
        return self._match(*arguments)

    def _compiled(self) -> Callable[..., Any]:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = self._memory
        try:
            compiled = re2.compile(self._expression.encode(), options)
        except (re2.error, UnicodeEncodeError) as e:
            reason = e.args[0].decode("utf-8", "replace") if e.args and isinstance(e.args[0], bytes) else e
            raise PatternError(f"not an RE2 expression: {reason}") from e
        self._groups = compiled.groups
        return compiled._regexp.Match  # noqa: SLF001  # see above

    @property
    def groups(self) -> int:
        """How many groups the expression has, but for the whole match."""
        if self._groups < 0:
            self._match = self._compiled()
        return self._groups

    def occurs(self, data: bytes) -> bool:
        """Say whether the expression matches anywhere in `data`."""
        return self._match(_ANYWHERE, data, 0, len(data))[0] != _NOWHERE

    def fits(self, data: bytes) -> bool:
        """Say whether the expression matches at the start of `data`."""
        return self._match(_AT_START, data, 0, len(data))[0] != _NOWHERE

    def first(self, data: bytes, start: int, stop: int, group: int = 0) -> tuple[int, int] | None:
        """Return where `group` of the first match in `data[start:stop]` lies, in all of `data`, or None."""
        span = self._match(_ANYWHERE, data, start, min(stop, len(data)))[group]
        return None if span == _NOWHERE else span

    def here(self, data: bytes, start: int, stop: int, group: int = 0) -> tuple[int, int] | None:
        """Return where `group` of the match that begins at `start` lies, or None where none does."""
        span = self._match(_AT_START, data, start, min(stop, len(data)))[group]
        return None if span == _NOWHERE else span

    def spans(self, data: bytes, group: int = 0, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield where `group` of each match in `data[start:stop]` lies, in order; matches without it are left out."""
        at, size, match = start, len(data) if stop is None else stop, self._match
        while at <= size:
            found = match(_ANYWHERE, data, at, size)
            first, last = found[0]
            if first < 0:
                return
            if found[group] != _NOWHERE:
                yield found[group]
            at = last if last > first else last + 1


def utf8(text: str) -> bytes:
    """Return `text` as UTF-8 of the same characters, a lone surrogate as one `?`."""
    return text.encode("utf-8", "replace")


def quoted(literal: str) -> str:
    """Return an expression that matches `literal` itself."""
    return re2.escape(literal)


class Offsets:
    """Turns offsets into UTF-8 bytes into offsets into the text, for any number of them in one pass."""

    __slots__ = ("_table",)

    def __init__(self, data: bytes, wanted: set[int]) -> None:
        self._table: dict[int, int] | None = None
        if data.isascii():
            return
        table, last, count = {}, 0, 0
        for offset in sorted(wanted):
            count += len(data[last:offset].decode("utf-8", "replace"))
            table[offset] = count
            last = offset
        self._table = table

    def __getitem__(self, offset: int) -> int:
        return offset if self._table is None else self._table[offset]


@lru_cache(maxsize=512)  # a pattern means the same for ever, and compiling costs more than matching
def glob(pattern: str) -> Pattern:
    """Return a matcher for a shell pattern: `*`, `?`, `[abc]`, `[!abc]`; capitals count."""
    return Pattern(rf"(?s)\A{_glob(pattern)}\z")


def _glob(pattern: str) -> str:
    pieces: list[str] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        close = pattern.find("]", i + 2) if char == "[" else -1
        if char == "*":
            pieces.append(".*")
        elif char == "?":
            pieces.append(".")
        elif close > 0:
            pieces.append(_class(pattern[i + 1 : close]))
            i = close
        else:
            pieces.append(quoted(char))
        i += 1
    return "".join(pieces)


def _class(members: str) -> str:
    negated = members.startswith("!") and len(members) > 1
    body = members[1:] if negated else members
    safe = "".join(f"\\{c}" if c in "\\^[]&~" else c for c in body)
    return f"[{'^' if negated else ''}{safe}]"
