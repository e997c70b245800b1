# SPDX-License-Identifier: Apache-2.0
"""What stands around a match: whether it goes on, whether a word announces it, whether it is a date."""

from collections.abc import Sequence

from onrecord.rules.detection.digits import calendar
from onrecord.rules.pattern import quoted

_SHORT = 4  # letters of a keyword that must stand as a word: "tin" is not announced by "setting"


def joined(text: str, start: int, end: int) -> bool:
    """Say whether digits are part of a decimal number, an identifier or a longer row of groups."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:] in (".", "-", "/", ":") and before[:1].isdigit():
        return True
    if before[-1:] in (".", "-") and before[:1].isalnum():
        return True
    return after[:1] == "-" or (after[:1] in (".", "/") and after[1:].isdigit())


def stands(keyword: str, lowered: str, around: str) -> bool:
    """Say whether `keyword` stands in `lowered`, the text `around` in small letters; a short one as a word.

    A part of a name is a word: `userTel`, `tax_sin`. Scripts without blanks between words have none.
    """
    at = lowered.find(keyword)
    if at < 0 or len(keyword) > _SHORT or not keyword.isascii() or len(lowered) != len(around):
        return at >= 0
    while at >= 0:
        end = at + len(keyword)
        before, after = around[at - 1 : at], around[end : end + 1]
        begins = not before.isalpha() or (around[at].isupper() and before.islower())
        if begins and (not after.isalpha() or (around[end - 1].islower() and after.isupper())):
            return True
        at = lowered.find(keyword, at + 1)
    return False


def announcing(keywords: Sequence[str]) -> str:
    """Return an RE2 expression that occurs wherever one of `keywords` stands."""
    short = [keyword for keyword in keywords if len(keyword) <= _SHORT and keyword.isascii()]
    parts = (
        [f"(?i:{'|'.join(quoted(keyword) for keyword in keywords if keyword not in short)})"]
        if (len(short) < len(keywords))
        else []
    )
    if short:
        capital = "|".join(f"{quoted(keyword[0].upper())}(?i:{quoted(keyword[1:])})" for keyword in short)
        any_case = "|".join(map(quoted, short))
        parts.append(f"(?:(?:^|[^A-Za-z])(?i:{any_case})|[a-z](?:{capital}))(?:[^a-z]|$)")
    return "|".join(parts)


def around(text: str, start: int, end: int, left: int, right: int) -> str:
    """Return what stands within `left` and `right` of a match, words that the window would cut left out."""
    first, last = max(0, start - left), min(len(text), end + right)
    while first < start and first > 0 and text[first].isalpha() and text[first - 1].isalpha():
        first += 1
    while last > end and last < len(text) and text[last].isalpha() and text[last - 1].isalpha():
        last -= 1
    return f"{text[first:start]}\n{text[end:last]}"


def in_row(text: str, start: int, end: int) -> bool:
    """Say whether groups with blanks between them stand in a longer row of such groups."""
    size = text.find(" ", start, end) - start
    if size <= 0:
        return False
    before, after = text[max(0, start - 2 - size) : start], text[end : end + 1 + size]
    return (before[-1:] == " " and _hexadecimal(before[-1 - size : -1])) or (
        after[:1] == " " and _hexadecimal(after[1:]) and len(after) > size
    )


def _hexadecimal(word: str) -> bool:
    return bool(word) and not word.strip("0123456789ABCDEFabcdef") and any(map(str.isdigit, word))


def dated(written: str) -> bool:
    """Say whether `written` begins with a date in figures, in any order of its parts."""
    parts = "".join(char if char.isdigit() else " " for char in written).split()
    if len(parts) == 1 and len(parts[0]) == 8:
        return parts[0][:2] in ("19", "20") and calendar(0, int(parts[0][4:6]), int(parts[0][6:]))
    if len(parts) < 3:
        return False
    first, second, third = parts[:3]
    if len(first) == 4 and len(second) <= 2 and len(third) <= 2:
        return calendar(0, int(second), int(third))
    if max(len(first), len(second)) > 2 or len(third) not in (2, 4) or len(parts) > 3 > len(third):
        return False
    return calendar(0, int(second), int(first)) or calendar(0, int(first), int(second))


def is_span_of_years(written: str) -> bool:
    """Say whether `written` is two years: `1999-2004`."""
    first, sign, last = written.partition("-")
    years = len(first) == len(last) == 4 and first.isdigit() and last.isdigit()
    return sign == "-" and years and "1900" <= first <= last <= "2099"
