# SPDX-License-Identifier: Apache-2.0
"""Text that somebody else chose, made safe to show: nothing in it acts on a terminal, and nothing hides.

Control characters, escapes, direction marks, zero-width characters, tag characters, separators and
lone surrogates are written out (`\\x1b`, `\\u202e`, `\\U000e0041`). The result is for reading, not
for turning back: a backslash that was there already stays as it is, so what is neutral stays
unchanged when it is made neutral again. Formulas in CSV and markup in HTML are for who writes
those.
"""

import unicodedata

# Categories of characters that act or can't be seen: controls, formats, surrogates, separators.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

# Letters and marks that show as nothing. Variation selectors that emoji use (FE00-FE0F) stay.
_UNSEEN = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0})
_UNSEEN_PLANE = range(0xE0000, 0xE1000)  # tags and further variation selectors, assigned or not

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def neutral(text: str, limit: int | None = None, *, multiline: bool = False) -> str:
    """Return `text` with everything that acts or hides written out, at most `limit` characters of it.

    With `multiline`, line feeds and tabs stay. An escape is never cut in two; a cut shows as `…`.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit + 1]  # one more, so that the cut is seen below
    if text.isascii() and text.isprintable():
        safe = text
    else:
        pieces = [_safe(char, multiline=multiline) for char in text]
        if limit is not None:
            pieces = _fitting(pieces, limit)
        safe = "".join(pieces)
    if limit is not None and len(safe) > limit:
        return safe[: limit - 1] + "…" if limit > 0 else ""
    return safe


def _fitting(pieces: list[str], limit: int) -> list[str]:
    """Return as many of `pieces` as fit, and `…` where not all do."""
    length = 0
    for i, piece in enumerate(pieces):
        length += len(piece)
        if length > limit:
            kept = pieces[:i]
            while kept and sum(map(len, kept)) >= limit:
                kept.pop()
            return [*kept, "…"] if limit > 0 else []
    return pieces


def _safe(char: str, *, multiline: bool) -> str:
    code = ord(char)
    if 0x20 <= code < 0x7F or (multiline and char in "\n\t"):
        return char
    if unicodedata.category(char) not in _ACTING and code not in _UNSEEN and code not in _UNSEEN_PLANE:
        return char
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
