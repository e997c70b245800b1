# SPDX-License-Identifier: Apache-2.0
"""Which of many expressions could match in a text: one pass over it, whatever their number.

A gate errs toward yes, never toward no: what it lets through is put to RE2, which decides. So both
gates here lead to the same findings. Hyperscan searches for all expressions at once; where it is
not installed, an Aho-Corasick automaton searches for their keywords.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from ahocorasick_rs import BytesAhoCorasick

from onrecord.rules.pattern import Pattern, quoted

_GROWING = ("]{0,", "]{1,", "]{2,", "]{3,", "]{4,")
LARGEST = 32_768  # bytes of one compiled expression; of a larger one the keywords are searched for


@dataclass(frozen=True, slots=True)
class Expression:
    """What a gate looks for: an RE2 expression, and literals (lower case) of which each match needs one near it."""

    regex: str
    keywords: tuple[str, ...] = ()
    made: bool = False  # for a gate: it is to be searched for as it is


class Gate(Protocol):
    """Says which expressions could match."""

    def hits(self, data: bytes) -> list[int]:
        """Return the indexes, ascending, of the expressions that could match in `data`, UTF-8."""
        ...


class KeywordGate:
    """Searches for keywords, and one by one for the expressions without any."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        keywords: dict[str, list[int]] = {}
        self._others: list[tuple[int, Pattern]] = []
        for i, expression in enumerate(expressions):
            for keyword in expression.keywords:
                keywords.setdefault(keyword, []).append(i)
            if not expression.keywords:
                self._others.append((i, Pattern(expression.regex)))
        self._indexes = list(keywords.values())
        self._automaton = BytesAhoCorasick([keyword.encode() for keyword in keywords]) if keywords else None

    def hits(self, data: bytes) -> list[int]:
        """See `Gate`."""
        found = {i for i, pattern in self._others if pattern.occurs(data)}
        if self._automaton is not None:
            for at, _, _ in self._automaton.find_matches_as_indexes(data.lower(), overlapping=True):
                found.update(self._indexes[at])
        return sorted(found)


class HyperscanGate:
    """Searches for all expressions at once. Threads may share it."""

    def __init__(self, blob: bytes) -> None:
        """`blob` is what `compiled` returned on a machine like this one. Raises ValueError where it is not."""
        import hyperscan

        try:
            self._database = hyperscan.loadb(blob, hyperscan.HS_MODE_BLOCK)
            self._spare = [hyperscan.Scratch(self._database)]
        except (hyperscan.HyperscanError, ValueError) as e:
            raise ValueError("not compiled for this machine") from e

    def hits(self, data: bytes) -> list[int]:
        """See `Gate`."""
        try:
            scratch = self._spare.pop()  # one for each search that is under way
        except IndexError:
            import hyperscan

            scratch = hyperscan.Scratch(self._database)
        found: list[int] = []
        self._database.scan(data, match_event_handler=_note, scratch=scratch, context=found)
        self._spare.append(scratch)
        found.sort()
        return found


def _note(expression: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.append(expression)


def has_hyperscan() -> bool:
    """Say whether hyperscan is installed."""
    return find_spec("hyperscan") is not None


def compiled(expressions: Sequence[Expression]) -> bytes:
    """Return all expressions in the form that hyperscan searches with; this takes seconds."""
    import hyperscan

    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_UTF8
    ready = [_sought(expression, flags) for expression in expressions]
    database = hyperscan.Database()
    database.compile(expressions=ready, ids=list(range(len(ready))), flags=[flags] * len(ready))
    return hyperscan.dumpb(database)


def _sought(expression: Expression, flags: int) -> bytes:
    """Return what to search for: the expression, or only its keywords where all of it would cost more than it spares.

    That is so where hyperscan can't read it, and where it grows: a negated class, repeated, stands for
    each length of each character in UTF-8.
    """
    import hyperscan

    data = expression.regex.encode()
    keywords = f"(?i:{'|'.join(map(quoted, expression.keywords))})".encode()
    if expression.keywords and not expression.made and any(sign in expression.regex for sign in _GROWING):
        return keywords
    database = hyperscan.Database()
    try:
        database.compile(expressions=[data], ids=[0], flags=[flags])
    except hyperscan.HyperscanError:
        if not expression.keywords:
            raise ValueError(f"hyperscan can't read an expression without keywords: {expression.regex}") from None
        return keywords
    return (
        keywords if expression.keywords and not expression.made and len(hyperscan.dumpb(database)) > LARGEST else data
    )
