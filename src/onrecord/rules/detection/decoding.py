# SPDX-License-Identifier: Apache-2.0
"""Reads what is written character by character: escapes of strings, URLs and markup, and look-alikes.

Each decoder returns edits (see offsets.py) and reads a form loosely, as the many programs do that
write it: what is no escape stays as it is. All are linear.
"""

from html.entities import html5

from onrecord.rules.detection.offsets import Edit
from onrecord.rules.pattern import Pattern

HEX = frozenset("0123456789abcdefABCDEF")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=.")

MOST_INFLATED = 262_144  # bytes that one compressed run may become


class TooMany(Exception):
    """A text is encoded in more places than one search may decode."""


class Edits:
    """Edits as they are found, up to a number."""

    __slots__ = ("_most", "inflated", "made")

    def __init__(self, most: int) -> None:
        self._most = most
        self.inflated = MOST_INFLATED
        self.made: list[Edit] = []

    @property
    def room(self) -> int:
        """How many more there may be."""
        return self._most - len(self.made)

    def add(self, start: int, end: int, new: str) -> None:
        """Note that `source[start:end]` reads as `new`. Raises TooMany."""
        if len(self.made) >= self._most:
            raise TooMany
        self.made.append((start, end, new))


# strings of programs

_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b", "\n": ""}
_SIMPLE.update((char, char) for char in "\"'/\\`=:#! $&;|,@%{}[]()<>?~+-^*._")
_DIGITS = {"x": 2, "u": 4, "U": 8}


def escapes(text: str, edits: Edits) -> None:
    """Read backslashes as in JSON, C, Python, shells and property files."""
    at = text.find("\\")
    add, find, simple = edits.add, text.find, _SIMPLE
    while at >= 0:
        char = text[at + 1 : at + 2]
        new = simple.get(char)
        if new is not None:
            end = at + 2
            add(at, end, new)
        else:
            end, new = _numbered(text, at, char)
            if end > at + 1:
                add(at, end, new)
        at = find("\\", end)


def _numbered(text: str, at: int, char: str) -> tuple[int, str]:
    """Return where the escape by number at `at` ends and what it means; at + 1 where it is none."""
    if char in _DIGITS and char:
        first = at + 2
        if text[first : first + 1] == "{":
            end = text.find("}", first, first + 10)
            return (end + 1, _char(text[first + 1 : end])) if end > 0 and _hex(text[first + 1 : end]) else (at + 1, "")
        end = first + _DIGITS[char]
        if len(text) < end or not _hex(text[first:end]):
            return at + 1, ""
        code = int(text[first:end], 16)
        if 0xD800 <= code < 0xDC00 and text[end : end + 2] == "\\u" and _hex(text[end + 2 : end + 6]):
            low = int(text[end + 2 : end + 6], 16)
            if 0xDC00 <= low < 0xE000:
                return end + 6, chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00)
        return end, _char(text[first:end])
    end = at + 1
    while end < at + 5 and text[end : end + 1] in "01234567" and end < len(text):
        if end == at + 4 and text[at + 1] != "0":
            break
        end += 1
    return (end, chr(int(text[at + 1 : end], 8) & 0xFF)) if end > at + 1 else (at + 1, "")


def _hex(digits: str) -> bool:
    return bool(digits) and HEX.issuperset(digits)


def _char(digits: str) -> str:
    code = int(digits, 16)
    return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd"


# URLs


def percents(text: str, edits: Edits) -> None:
    """Read `%41`, `%2541`, however often it was encoded, `%C3%A9` and `%u0041`."""
    at = text.find("%")
    while at >= 0:
        first = at + 1
        while text[first : first + 2] == "25" and _pair(text, first + 2):
            first += 2
        if _pair(text, first):
            code, end = int(text[first : first + 2], 16), first + 2
            if code < 0x80:
                edits.add(at, end, chr(code))
            else:
                run = bytearray((code,))
                while text[end : end + 1] == "%" and _pair(text, end + 1) and text[end + 1] in "89abAB":
                    run.append(int(text[end + 1 : end + 3], 16))
                    end += 3
                edits.add(at, end, run.decode("utf-8", "replace"))
        elif text[first : first + 1] == "u" and len(text) > first + 4 and _hex(text[first + 1 : first + 5]):
            end = first + 5
            edits.add(at, end, _char(text[first + 1 : end]))
        else:
            end = at + 1
        at = text.find("%", end)


def _pair(text: str, at: int) -> bool:
    pair = text[at : at + 2]
    return len(pair) == 2 and HEX.issuperset(pair)


FORM = r"%[0-9A-Fa-f]{2}[^\s]{0,100}\+|\+[^\s]{0,100}%[0-9A-Fa-f]{2}"


def form(text: str, edits: Edits) -> None:
    """Read `%41` as above and `+` as a blank, as in what a form sends."""
    percents(text, edits)
    at = text.find("+")
    while at >= 0:
        edits.add(at, at + 1, " ")
        at = text.find("+", at + 1)


# markup

_LOOSE = ("quot", "amp", "lt", "gt", "apos", "nbsp")  # read without the semicolon too


def entities(text: str, edits: Edits) -> None:
    """Read `&quot;`, `&#65;`, `&#x41` and what was encoded again: `&amp;amp;#65;`."""
    at = text.find("&")
    while at >= 0:
        first = at + 1
        while text.startswith(("amp;", "#38;"), first) and _entity(text, first + 4)[1]:
            first += 4
        end, new = _entity(text, first)
        if new:
            edits.add(at, end, new)
        at = text.find("&", end if new else first)


def _entity(text: str, at: int) -> tuple[int, str]:
    """Return where the entity ends whose name begins at `at`, and what it means: "" where it is none."""
    if text[at : at + 1] == "#":
        base, first = (16, at + 2) if text[at + 1 : at + 2] in ("x", "X") else (10, at + 1)
        end = first
        allowed = HEX if base == 16 else frozenset("0123456789")
        while end < len(text) and end - first < 8 and text[end] in allowed:
            end += 1
        if end == first:
            return at, ""
        code = int(text[first:end], base)
        return end + (text[end : end + 1] == ";"), _char(f"{code:x}") if code else ""
    end = text.find(";", at, at + 32)
    if end > at:
        new = html5.get(text[at : end + 1])
        if new:
            return end + 1, new
    for name in _LOOSE:
        if text.startswith(name, at):
            return at + len(name), html5[f"{name};"]
    return at, ""


_INLINE = "a|abbr|b|big|br|code|del|em|font|i|ins|kbd|mark|s|small|span|strike|strong|sub|sup|tt|u|var|wbr"
TAG = rf"(?i)(?:</?(?:{_INLINE})(?:[\s/][^<>]{{0,300}})?>|<!--[^<>]{{0,200}}-->|<!\[CDATA\[|\]\]>)"
_ESCAPE = r"(?:\x1b|\^\[|\\(?:u001[bB]|x1[bB]|033|e)|\\\\(?:u001[bB]|x1[bB]|033|e))"
CONTROL = (
    rf"(?:{_ESCAPE}\[[0-?]{{0,40}}[ -/]{{0,4}}[@-~]|\x1b\][^\x07\x1b]{{0,300}}(?:\x07|\x1b\\)|\x1b[ -/]?[0-Z\\^-~]"
    r"|\[[0-9]{1,2}(?:;[0-9]{1,3}){0,4}m|\[[0-2]?K|[^\x08]\x08)"
)
MARKED = r"[A-Za-z0-9](?:`{1,3}|\^|~~|\*\*)[A-Za-z0-9]|[A-Za-z0-9_-]{2}\*[A-Za-z0-9_-]{2}"
DOUBLED = r"""[^"](?:""[A-Za-z0-9]|[A-Za-z0-9]""[^"])|[^'](?:''[A-Za-z0-9]|[A-Za-z0-9]''[^'])"""
_MARKS = Pattern(r"`{1,3}|\^|~~|\*{1,3}")
_TAGS, _CONTROLS = Pattern(f"(?:{TAG})+"), Pattern(f"{CONTROL}+")


def tags(data: bytes, edits: Edits) -> None:
    """Leave out tags that change how a text looks, as what colours source code writes them."""
    for start, end in _TAGS.spans(data):
        edits.add(start, end, "")


def controls(data: bytes, edits: Edits) -> None:
    """Leave out what tells a terminal about colours and its cursor, and what was struck over."""
    for start, end in _CONTROLS.spans(data):
        edits.add(start, end, "")


def marks(data: bytes, edits: Edits) -> None:
    """Leave out emphasis, back quotes and carets inside a word."""
    for start, end in _MARKS.spans(data):
        if data[start - 1 : start].isalnum() and data[end : end + 1].isalnum() and start:
            edits.add(start, end, "")


def doubled(text: str, edits: Edits) -> None:
    """Read doubled quotes as one, as in SQL and CSV."""
    for quote in ('""', "''"):
        at = text.find(quote)
        while at >= 0:
            before, after = text[at - 1 : at] if at else "", text[at + 2 : at + 3]
            if before != quote[0] and after != quote[0] and (before.isalnum() or after.isalnum()):
                edits.add(at, at + 2, quote[0])
            at = text.find(quote, at + 2)


_LONE = "3D|2[B-F]|3[A-F]|0[AD]|5[B-F]|7[B-E]"  # what may stand alone; `=20` may be a number
QUOTED_PRINTABLE = rf"[!-~]=\r?\n[!-~]|=(?:{_LONE})|(?:=[0-9A-F]{{2}}){{2}}"
_QUOTED_PRINTABLE = Pattern(rf"(?:=[0-9A-F]{{2}}){{2,}}|=(?:{_LONE})|=\r?\n")


def quoted_printable(data: bytes, edits: Edits) -> None:
    """Read `=3D` and lines that end with `=`. RFC 2045, 6.7."""
    for start, end in _QUOTED_PRINTABLE.spans(data):
        codes = data[start:end].replace(b"=", b"").strip()
        for i in range(0, len(codes), 2):
            edits.add(start + i // 2 * 3, start + i // 2 * 3 + 3, chr(int(codes[i : i + 2], 16)))
        if not codes:
            edits.add(start, end, "")
