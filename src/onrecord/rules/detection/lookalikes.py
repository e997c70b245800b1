# SPDX-License-Identifier: Apache-2.0
"""Reads text as it looks: without what can't be seen, and with plain letters for those that look like them.

What is left out: zero-width and joining characters, soft hyphens, directions, variation selectors,
combining marks, NULs. What becomes plain: full-width, mathematical, circled and raised letters and
digits (Unicode NFKC), typographic quotes, dashes and blanks, and Cyrillic and Greek letters inside
a word that is otherwise ASCII, or that is a telling name once it is read so. Tag characters are
ASCII that nobody sees, and are read as such.
"""

from unicodedata import normalize

from onrecord.rules import names
from onrecord.rules.detection.decoding import Edits
from onrecord.rules.pattern import Offsets, Pattern, utf8
from onrecord.rules.twins import TWINS

# Ranges as RE2 and hyperscan write them.
UNSEEN = (
    r"\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{200B}-\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{3164}\x{FEFF}\x{FFA0}\x{FFF9}-\x{FFFB}\x{1D173}-\x{1D17A}"
)
SELECTORS = r"\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}"
TAGS = r"\x{E0000}-\x{E007F}"
COMBINING = r"\x{300}-\x{36F}\x{1AB0}-\x{1AFF}\x{1DC0}-\x{1DFF}\x{20D0}-\x{20F0}\x{FE20}-\x{FE2F}"
STYLED = (
    r"\x{FF10}-\x{FF19}\x{FF1A}\x{FF1D}\x{FF21}-\x{FF3A}\x{FF3F}\x{FF41}-\x{FF5A}\x{2102}-\x{2115}\x{2119}-\x{211D}"
    r"\x{2124}-\x{2134}\x{2139}\x{2145}-\x{2149}\x{2460}-\x{2468}\x{24B6}-\x{24EA}\x{1D400}-\x{1D7FF}\x{1F130}-\x{1F149}"
    r"\x{2070}\x{2071}\x{2074}-\x{2079}\x{207F}-\x{2089}\x{2090}-\x{209C}\x{1D2C}-\x{1D6A}\x{2B0}-\x{2B8}"
    r"\x{FB00}-\x{FB06}\x{1FBF0}-\x{1FBF9}"
)
_MORE_STYLED = r"\x{FF01}-\x{FF5E}\x{B2}\x{B3}\x{B9}\x{2024}\x{FE50}-\x{FE6B}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}"
_TYPOGRAPHIC = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u301d\u301e", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58", "-"),
    **dict.fromkeys(
        "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    ),
    **dict.fromkeys("\u2028\u2029\u0085", "\n"),
    "\u2044": "/",
    "\u2215": "/",
    "\ua789": ":",
    "\u2236": ":",
    "\ua78a": "=",
}
_ODD = Pattern(
    rf"[\x00{UNSEEN}{SELECTORS}{COMBINING}]+|[{TAGS}]+|[{STYLED}{_MORE_STYLED}]+"
    rf"|[{''.join(_TYPOGRAPHIC)}]+|[{''.join(TWINS)}]+"
)
_UNSEEN = Pattern(rf"\A[\x00{UNSEEN}{SELECTORS}{COMBINING}]")


def _disguised() -> list[str]:
    """Return expressions for the telling words that can be written in twins alone."""
    by_letter: dict[str, str] = {}
    for twin, letter in TWINS.items():
        by_letter[letter.lower()] = by_letter.get(letter.lower(), "") + twin
    return [
        "".join(f"[{by_letter[letter]}]" for letter in word)
        for word in (*names.WORDS, *names.WHOLE)
        if by_letter.keys() >= set(word)
    ]


# What of these makes it worth while to look; in prose of any language most of the rest is ordinary.
TRIGGER = (
    rf"[\x00{UNSEEN}{TAGS}{STYLED}]|[!-~][{SELECTORS}{COMBINING}]|[\x{{E0100}}-\x{{E01EF}}]"
    rf"|[A-Za-z0-9_-][{''.join(TWINS)}]|[{''.join(TWINS)}][A-Za-z0-9_-]"
    rf"|(?:{'|'.join(_disguised())})[\"'`]?[ \t]{{0,4}}[=:]"
    r"|[=:][ \t]{0,4}[\x{2018}-\x{201F}\x{AB}]|[A-Za-z0-9][\x{2010}-\x{2015}\x{2212}][A-Za-z0-9]"
    r"|[=:][\x{A0}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}]|[\x{A0}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}][=:]"
)


def lookalikes(text: str, edits: Edits) -> None:
    """Read `text` as it looks."""
    if text.isascii() and "\x00" not in text:
        return
    data = utf8(text)
    spans: list[tuple[int, int]] = []
    room = Edits(edits.room)
    for start, end in _ODD.spans(data):
        room.add(start, end, "")
        spans.append((start, end))
    offsets = Offsets(data, {offset for span in spans for offset in span})
    for first, last in spans:
        start, end = offsets[first], offsets[last]
        char = text[start]
        if "\U000e0000" <= char <= "\U000e007f":
            hidden = "".join(chr(ord(c) - 0xE0000) for c in text[start:end]) if end - start > 3 else ""
            edits.add(start, end, hidden)
        elif _UNSEEN.fits(data[first:last]):
            edits.add(start, end, _selected(text[start:end]))
        elif char in TWINS:
            read = "".join(TWINS[twin] for twin in text[start:end])
            beside = _ascii_word(text[start - 1 : start] if start else "") or _ascii_word(text[end : end + 1])
            if beside or (end - start > 2 and names.label_of(read)):  # all of a telling name, or part of a word
                for i, letter in enumerate(read, start):
                    edits.add(i, i + 1, letter)
        else:
            for i in range(start, end):
                edits.add(i, i + 1, _TYPOGRAPHIC.get(text[i]) or _plain(text[i]))


def _plain(char: str) -> str:
    if "\U0001f150" <= char <= "\U0001f189":  # letters on black, which NFKC leaves as they are
        return chr(ord("A") + (ord(char) - 0x1F150) % 32)
    return normalize("NFKC", char)


def _ascii_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char in "_-") and bool(char)


def _selected(run: str) -> str:
    """Return the bytes that a long run of variation selectors stands for, as text; "" for a short one."""
    if len(run) < 8:
        return ""
    codes = bytearray()
    for char in run:
        code = ord(char)
        if 0xE0100 <= code <= 0xE01EF:
            codes.append(code - 0xE0100 + 16)
        elif 0xFE00 <= code <= 0xFE0F:
            codes.append(code - 0xFE00)
    return codes.decode("ascii") if codes.isascii() else ""
