# SPDX-License-Identifier: Apache-2.0
"""Finds text that a person would not see and a model would read, and text that acts on a terminal.

Looked for are invisible characters where no script or emoji needs them, overridden direction, tag
characters that spell something, letters of two alphabets in one word, and escape sequences. Not
flagged: joiners inside emoji and in scripts that join (Arabic, Indic…), direction marks, flags made
of tags, single soft hyphens and byte order marks, and sequences that only colour.
"""

from collections.abc import Iterator
from itertools import islice
from unicodedata import category

from onrecord.rules.detection.lookalikes import TAGS, UNSEEN
from onrecord.rules.pattern import Offsets, Pattern, utf8

UNICODE = "hidden-unicode"
ANSI = "ansi-escape"
HOMOGLYPH = "homoglyph"
UNCHECKED = "unchecked"  # that the rest of a text was not looked at

MANY = 4  # invisible characters near each other, or selectors in a row, that no writing needs
MOST = 20_000  # sequences, runs or words of one text that are looked at for flags
NEAR = 400  # characters within which they count together

_INVISIBLE = Pattern(rf"[{UNSEEN}\x{{E0100}}-\x{{E01EF}}\x{{FE00}}-\x{{FE0E}}]+|[{TAGS}]+")
_ESCAPES = Pattern(
    r"(?:\x1b\[|\x{9B})[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x{9C}]*(?:\x07|\x1b\\|\x{9C})?"
    r"|\x{9D}[0-9]{1,4};[^\x07\x1b\x{9C}]*(?:\x07|\x{9C})|\x1b[ -/]{0,8}[0-~]"
)
_COLOUR = Pattern(r"\A(?:\x1b\[|\x{9B})(?:[0-79]|[1-9][0-9]|10[0-7]|38[;:0-9]+|48[;:0-9]+|[;:0-9]*)?m\z")
_CONCEALS = Pattern(r"\A(?:\x1b\[|\x{9B})(?:[0-9;:]*;)?8(?:;[0-9;:]*)?m\z")
_EXTENDED = Pattern(r"\A(?:\x1b\[|\x{9B})(?:[0-9;:]*;)?[34]8[;:]")
_MIXED = Pattern(
    r"[A-Za-z][\x{370}-\x{3FF}\x{400}-\x{52F}\x{530}-\x{58F}]|[\x{370}-\x{3FF}\x{400}-\x{52F}\x{530}-\x{58F}][A-Za-z]"
)
_TWO_LETTERS = 3  # letters of a word, at least, that are told apart by alphabet

_OVERRIDES = frozenset("\u202d\u202e")
_ISOLATES = frozenset("\u202a\u202b\u2066\u2067\u2068")
_CLOSES = frozenset("\u202c\u2069")
_MARKS = frozenset("\u200e\u200f\u061c")
_JOINERS = frozenset("\u200c\u200d")


def hidden(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield what of `text` is hidden or acts, as start, end and flag."""
    if text.isascii() and "\x1b" not in text:
        return
    data = utf8(text)
    if "\x1b" in text or "\x9b" in text or "\x9d" in text:
        sequences = _places(data, _ESCAPES, MOST)
        yield from ((a, b, ANSI) for a, b in sequences if not _only_colour(text[a:b]))
        yield from _rest(text, sequences)
    if not text.isascii():
        runs = _places(data, _INVISIBLE, MOST)
        yield from ((a, b, UNICODE) for a, b in _unneeded(text, runs))
        yield from _rest(text, runs)
        yield from ((a, b, HOMOGLYPH) for a, b in _homoglyphs(text, data))


def stripped(text: str) -> str:
    """Return `text` without invisible characters that nothing needs, overridden directions and escape sequences."""
    if text.isascii() and "\x1b" not in text:
        return text
    data = utf8(text)
    spans = sorted([*escapes(data), *invisible(text, data)])
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces.append(text[at : max(at, start)])
        at = max(at, end)
    return "".join([*pieces, text[at:]]) if spans else text


def _rest(text: str, looked_at: list[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """Yield what of `text` was not looked at, if anything."""
    if len(looked_at) == MOST and looked_at[-1][1] < len(text):
        yield looked_at[-1][1], len(text), UNCHECKED


def escapes(data: bytes) -> list[tuple[int, int]]:
    """Return where terminal sequences stand in a text; `data` is it in UTF-8."""
    return _places(data, _ESCAPES)


def _only_colour(sequence: str) -> bool:
    data = utf8(sequence)
    return _COLOUR.occurs(data) and (not _CONCEALS.occurs(data) or _EXTENDED.occurs(data))


def _places(data: bytes, pattern: Pattern, most: int | None = None) -> list[tuple[int, int]]:
    spans = list(islice(pattern.spans(data), most))
    offsets = Offsets(data, {at for span in spans for at in span})
    return [(offsets[start], offsets[end]) for start, end in spans]


def invisible(text: str, data: bytes) -> list[tuple[int, int]]:
    """Return the runs of invisible characters that no writing needs; `data` is `text` in UTF-8."""
    return _unneeded(text, _places(data, _INVISIBLE))


def _unneeded(text: str, runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return which of these runs of invisible characters no writing needs."""
    certain: list[tuple[int, int]] = []
    doubtful: list[tuple[int, int]] = []
    for start, end in runs:
        run = text[start:end]
        if _certain(text, start, run):
            certain.append((start, end))
        elif not _needed(text, start, end, run):
            doubtful.append((start, end))
    for i, (start, _) in enumerate(doubtful):
        others = doubtful[max(0, i - MANY) : i + MANY + 1]
        if certain or sum(abs(other - start) <= NEAR for other, _ in others) >= MANY:
            certain.append(doubtful[i])
    return sorted(certain)


def _certain(text: str, start: int, run: str) -> bool:
    """Say whether a run can only be there to hide something."""
    if "\U000e0000" <= run[0] <= "\U000e007f":
        flag = start and text[start - 1] == "\U0001f3f4" and run[-1] == "\U000e007f" and len(run) <= 8
        return not flag
    if not _OVERRIDES.isdisjoint(run):
        return True
    if len(run) >= MANY and len(set(run) - _CLOSES - _MARKS) > 0:
        return not _all_ideographic(text, start, run)
    return False


def _all_ideographic(text: str, start: int, run: str) -> bool:
    return len(run) == 1 and start > 0 and text[start - 1] >= "\u3400"


def _needed(text: str, start: int, end: int, run: str) -> bool:
    """Say whether script, emoji or direction need a short run of invisible characters."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if all(char in _MARKS or char in _ISOLATES or char in _CLOSES for char in run):
        return True
    if run == "\ufeff":
        return start == 0 or before == "\n"
    if run == "\u00ad":
        return not (before.isascii() and after.isascii() and _spelled(text, start))
    if all("\ufe00" <= char <= "\ufe0f" or char >= "\U000e0100" for char in run):
        return len(run) == 1 and not before.isascii()
    if not _JOINERS.isdisjoint(run):
        return any(char and not char.isascii() and category(char)[0] in "LMS" for char in (before, after))
    return not before.isascii() and category(before)[0] in "LMS"  # Khmer, Mongolian and Korean have their own


def _spelled(text: str, at: int) -> bool:
    """Say whether a soft hyphen is one of several that take a word apart letter by letter."""
    return text[at - 2 : at - 1] == "\u00ad" or text[at + 2 : at + 3] == "\u00ad"


def _homoglyphs(text: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Yield words that mix Latin letters with Cyrillic, Greek or Armenian ones that look like Latin."""
    last = 0
    found: list[tuple[int, int]] = []
    for start, _ in _places(data, _MIXED, MOST):
        if start < last:
            continue
        first, last = start, start + 1
        while first and text[first - 1].isalpha():
            first -= 1
        while last < len(text) and text[last].isalpha():
            last += 1
        word = text[first:last]
        odd = [char for char in word if not char.isascii()]
        if len(word) > _TWO_LETTERS and all(char in _TWINS for char in odd):
            found.append((first, last))
    if len(found) > 1 or (found and len(text) < NEAR):
        yield from found


_TWINS = frozenset(
    "\u0430\u0410\u0412\u0435\u0415\u043a\u041a\u041c\u041d\u043e\u041e\u0440\u0420\u0441\u0421\u0422\u0443\u0423"
    "\u0445\u0425\u0456\u0406\u0458\u0408\u0455\u0405\u0501\u051b\u051d\u0475\u04cf\u04c0\u0432\u043d\u0442\u043c"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03b1\u03bd\u03c1"
    "\u03b9\u03ba\u03c5\u03c7\u03f2\u03f3\u0131\u0570\u0578\u057d\u0585\u0581"
)
