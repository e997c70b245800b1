# SPDX-License-Identifier: Apache-2.0
"""Which of many expressions could match in a text: one pass over it, whatever their number.

A gate errs toward yes, never toward no: what it lets through is put to RE2, which decides. So both
gates here lead to the same findings. Hyperscan searches for all expressions at once; where it is
not installed, an Aho-Corasick automaton searches for their keywords. Expressions with an outline
are searched for in that of the text, by both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from ahocorasick_rs import BytesAhoCorasick

from onrecord.rules.detection.outline import outline
from onrecord.rules.pattern import Pattern, quoted

_GROWING = ("]{0,", "]{1,", "]{2,", "]{3,", "]{4,")
_SIZE = 8  # bytes that say how large the first of two databases is
_NEVER = rb"\x00{8}onrecord"  # where there is nothing to search for
LARGEST = 32_768  # bytes of one compiled expression; of a larger one the keywords are searched for


@dataclass(frozen=True, slots=True)
class Expression:
    """What a gate looks for: an RE2 expression, and literals (lower case) of which each match needs one near it."""

    regex: str
    keywords: tuple[str, ...] = ()
    made: bool = False  # for a gate: it is to be searched for as it is
    outlines: tuple[str, ...] = ()  # literals; one stands in the outline of each match that `regex`, if any, misses


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
        self._outlined: list[tuple[int, list[bytes]]] = []
        for i, expression in enumerate(expressions):
            if expression.outlines:
                self._outlined.append((i, [literal.encode() for literal in expression.outlines]))
            for keyword in expression.keywords:
                keywords.setdefault(keyword, []).append(i)
            if expression.regex and not expression.keywords:
                self._others.append((i, Pattern(expression.regex)))
        self._indexes = list(keywords.values())
        self._automaton = BytesAhoCorasick([keyword.encode() for keyword in keywords]) if keywords else None

    def hits(self, data: bytes) -> list[int]:
        """See `Gate`."""
        found = {i for i, pattern in self._others if pattern.occurs(data)}
        if self._automaton is not None:
            for at, _, _ in self._automaton.find_matches_as_indexes(data.lower(), overlapping=True):
                found.update(self._indexes[at])
        if self._outlined:
            shape = outline(data)
            found.update(i for i, literals in self._outlined if any(literal in shape for literal in literals))
        return sorted(found)


class HyperscanGate:
    """Searches for all expressions at once. Threads may share it."""

    def __init__(self, blob: bytes) -> None:
        """`blob` is what `compiled` returned on a machine like this one. Raises ValueError where it is not."""
        import hyperscan

        try:
            size = int.from_bytes(blob[:_SIZE])
            parts = blob[_SIZE : _SIZE + size], blob[_SIZE + size :]
            self._of_text, self._of_outline = (hyperscan.loadb(part, hyperscan.HS_MODE_BLOCK) for part in parts)
            self._spare = [self._scratches()]
        except (hyperscan.HyperscanError, ValueError) as e:
            raise ValueError("not compiled for this machine") from e

    def hits(self, data: bytes) -> list[int]:
        """See `Gate`."""
        try:
            scratches = self._spare.pop()  # one pair for each search that is under way
        except IndexError:
            scratches = self._scratches()
        found: set[int] = set()
        self._of_text.scan(data, match_event_handler=_note, scratch=scratches[0], context=found)
        self._of_outline.scan(outline(data), match_event_handler=_note, scratch=scratches[1], context=found)
        self._spare.append(scratches)
        return sorted(found)

    def _scratches(self) -> tuple[Any, Any]:
        import hyperscan

        return hyperscan.Scratch(self._of_text), hyperscan.Scratch(self._of_outline)


def _note(expression: int, _start: int, _end: int, _flags: int, found: Any) -> None:
    found.add(expression)


def has_hyperscan() -> bool:
    """Say whether hyperscan is installed."""
    return find_spec("hyperscan") is not None


def compiled(expressions: Sequence[Expression]) -> bytes:
    """Return all expressions in the form that hyperscan searches with; this takes seconds."""
    import hyperscan

    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_UTF8
    of_text = [(i, _sought(expression, flags)) for i, expression in enumerate(expressions) if expression.regex]
    of_outline = [
        (i, quoted(literal).encode()) for i, expression in enumerate(expressions) for literal in expression.outlines
    ]
    text = _database(of_text or [(0, _NEVER)], flags)
    shape = _database(of_outline or [(0, _NEVER)], hyperscan.HS_FLAG_SINGLEMATCH)
    return len(text).to_bytes(_SIZE) + text + shape


def _database(sought: Sequence[tuple[int, bytes]], flags: int) -> bytes:
    import hyperscan

    database = hyperscan.Database()
    database.compile(expressions=[e for _, e in sought], ids=[i for i, _ in sought], flags=[flags] * len(sought))
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
