# SPDX-License-Identifier: Apache-2.0
"""Payment cards: issuers and lengths, how their digits are grouped, and what stands around them.

Of numbers with the right length one of thirty has the beginning of a card and a right Luhn digit, and
tables are full of such numbers. So groups count where they are those of a card and parted alike, and
digits beside a decimal point, in a row, a list or a column of numbers that are no cards do not.
"""

from itertools import pairwise

from onrecord.rules.detection.digits import luhn
from onrecord.rules.detection.figures import crowded, numbered, outnumbered
from onrecord.rules.detection.finding import Span
from onrecord.rules.detection.surroundings import joined, stands

_DIGITS = "0123456789"
_SEPARATORS = " .-\n\t\u00a0"  # what stands between the groups of a number
_NUMBERS = _DIGITS + _SEPARATORS
_SIGNS = (" ", "-", "\u00a0", "  ", " -", "- ")  # of which all are the same, where groups are not broken over lines
_BREAKS = ("\n", " \n", "\n ", "-\n")  # of which one may stand between groups that are wrapped

# How the digits of cards are grouped when they are printed.
_FOURS = (4, 4, 4, 4)
_PRINTED = frozenset({_FOURS, (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 1), (4, 3, 3, 3)})
_BEGINS = frozenset(sizes[0] for sizes in _PRINTED)  # digits of the first group
_WRAPPED = frozenset({_FOURS, (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)})
_REACH = 24  # characters after what a rule matched in which a card may end that begins in it
_LONG = 12  # digits of a number that may be a card in one piece
_LONGEST = 20  # digits of a run that are looked at
_MOST_GROUPS = 5  # of one card
_OBSOLETE = 13  # digits of the oldest cards of Visa, of which few are left
_SHORT_GROUP = 3  # digits of a group that may stand alone beside a card: the code on its back
_EXPIRES = frozenset(map(str, range(24, 45)))  # years of an expiry that is written as 0727
_CARD_WORDS = (
    *("card", "cards", "cardno", "cardnumber", "card_", "ccnum", "cc", "visa", "mastercard", "amex", "maestro", "pan"),
    *("credit", "debit", "bankcard", "carte", "karte", "tarjeta", "carta", "kort", "paid", "charge", "payment"),
)
# Beginnings of which alone few numbers of twelve digits are found: those of Maestro.
_MAESTRO = frozenset({"0604", "5018", "5020", "5038", "5893", "6304", "6390", "6759", "6761", "6762", "6763"})
_ANNOUNCED = 40  # characters before a number in which a word says that it is a card
_ADJACENT = 16  # the same, of a number in a list

# Beginnings of card numbers in use and the lengths that go with them: first, last, lengths.
_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("0604", "0604", frozenset(range(12, 20))),
    ("1800", "1800", frozenset({15})),
    ("2131", "2131", frozenset({15})),
    ("2200", "2205", frozenset({16, 17, 18, 19})),
    ("2221", "2720", frozenset({16})),
    ("3000", "3059", frozenset({14, 16})),
    ("3095", "3095", frozenset({14, 16})),
    ("3400", "3499", frozenset({15})),
    ("3500", "3599", frozenset({16, 17, 18, 19})),
    ("3600", "3699", frozenset({14, 16})),
    ("3700", "3799", frozenset({15})),
    ("3800", "3999", frozenset({14, 16})),
    ("4000", "4999", frozenset({13, 16, 19})),
    ("5000", "5099", frozenset({16})),
    ("5100", "5599", frozenset({16})),
    ("5600", "5899", frozenset({16})),
    ("6000", "6099", frozenset({16})),
    ("6200", "6299", frozenset({16, 17, 18, 19})),
    ("6300", "6399", frozenset({16})),
    ("6440", "6599", frozenset({16, 19})),
    ("6700", "6799", frozenset({16, 18, 19})),
    ("8100", "8299", frozenset({16, 17, 18, 19})),
    ("8600", "8600", frozenset({16})),
    ("9792", "9792", frozenset({16})),
)
# The same, where a word says that it is a card, or for those of `_MAESTRO`.
_RARE: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("5000", "5099", frozenset(range(12, 20))),
    ("5600", "5899", frozenset(range(12, 20))),
    ("6000", "6999", frozenset(range(12, 20))),
)


def card(text: str, start: int, end: int) -> Span | None:
    """Keep the digit groups that are a card number: its issuer, its length and its last digit are right."""
    written = text[start:end]
    if written.isdigit() and not luhn(written):
        return None  # as most long numbers
    beyond = _digit_groups(text, start, min(len(text), end + _REACH))
    groups = [group for group in beyond if group[0] < end]
    sizes = [b - a for a, b in groups]
    if max(sizes) < _SHORT_GROUP:
        return _spelt(text, groups)
    if len(beyond) > _MOST_GROUPS and _is_row(text, beyond) and not _says_card(text, start):
        return None  # each four of which have more beside them
    found = _printed(text, beyond, end)
    if found is None and 1 < len(groups) < 5 and min(sizes) >= _SHORT_GROUP and _says_card(text, start):
        return _spelt(text, groups)
    return found


def _is_row(text: str, groups: list[Span]) -> bool:
    """Say whether groups are of one size, with one blank between them."""
    start, end, blanks = groups[0][0], groups[-1][1], len(groups) - 1
    if len({b - a for a, b in groups}) > 1 or end - start != len(groups) * (groups[0][1] - start) + blanks:
        return False
    return blanks in (text.count(" ", start, end), text.count("\u00a0", start, end))


def _printed(text: str, groups: list[Span], end: int) -> Span | None:
    """Return the span of the cards that begin before `end`, in one piece or in groups as they are printed."""
    found: list[Span] = []
    sizes = tuple(b - a for a, b in groups)
    first = 0
    while first < len(groups) and groups[first][0] < end:
        for count in (1,) if sizes[first] >= _LONG else (3, 4, 5) if sizes[first] in _BEGINS else ():
            few = groups[first : first + count]
            if count > 1 and (sizes[first : first + count] not in _PRINTED or not _set_apart(text, few)):
                continue
            if _is_card(text, few) and not _is_figure(text, few[0][0], few[-1][1]):
                found.append((few[0][0], few[-1][1]))
                first += count - 1
                break
        first += 1
    return (found[0][0], found[-1][1]) if found else None


def _spelt(text: str, groups: list[Span]) -> Span | None:
    """Keep groups of any lengths that are parted alike and by no line, with no number beside them."""
    start, end = groups[0][0], groups[-1][1]
    if len(groups) < 3 and text[groups[0][1]] == ".":
        return None  # a decimal
    if _parts(text, groups) not in ({sign} for sign in (*_SIGNS, ".")) or crowded(text, start, end):
        return None
    return (start, end) if _is_card(text, groups) and not _is_figure(text, start, end) else None


def _is_figure(text: str, start: int, end: int) -> bool:
    """Say whether a number is negative, has a name that says what it is, or stands among numbers that are no cards."""
    if _says_card(text, start, _ADJACENT):
        return False
    if text[max(0, start - 1) : start] == "-" and not text[max(0, start - 2) : start - 1].isalnum():
        return True
    if numbered(text, start, person=not text[start:end].isdigit()) or outnumbered(text, start, end, _is_one):
        return True
    return end - start == _OBSOLETE and crowded(text, start, end)


def _is_one(text: str, start: int, end: int) -> bool:
    return _is_card(text, _digit_groups(text, start, end))


def _parts(text: str, groups: list[Span]) -> set[str]:
    return {text[a[1] : b[0]] for a, b in pairwise(groups)}


def _set_apart(text: str, groups: list[Span]) -> bool:
    """Say whether groups are parted as those of a card are, and no digits stand beside them."""
    start, end = groups[0][0], groups[-1][1]
    parts = _parts(text, groups)
    fours = all(b - a == len(_FOURS) for a, b in groups)
    if len(parts) == 1:
        part = next(iter(parts))
        if part in _SIGNS:
            return part == "-" or not _beside(text, start, end, " \u00a0") or _says_card(text, start)
        if not fours or _beside(text, start, end, "\n\t "):
            return False
        return _says_card(text, start) if part == "." else part in ("\n", "\t")
    wrapped = tuple(b - a for a, b in groups) in _WRAPPED and len(parts) == 2
    if not wrapped or parts.isdisjoint(_BREAKS) or parts.isdisjoint(_SIGNS):
        return False
    breaks = sum(text[a[1] : b[0]] in _BREAKS for a, b in pairwise(groups))
    return breaks == 1 and (not _beside(text, start, end, "\n\t \u00a0") or _says_card(text, start))


def _beside(text: str, start: int, end: int, blanks: str) -> bool:
    """Say whether more than three digits, or bytes in hexadecimal, stand before or after behind one of `blanks`."""
    before, after = text[max(0, start - 9) : start], text[end : end + 9]
    return (before[-1:] in blanks and before != "" and _figures(before.split()[-1:])) or (
        after[:1] in blanks and after != "" and _figures(after.split()[:1])
    )


def _figures(tokens: list[str]) -> bool:
    token = tokens[0].lower() if tokens else ""
    if not token or token[-1] in ".):,;":
        return False
    if token.isdigit():
        expiry = len(token) == len(_FOURS) and "01" <= token[:2] <= "12" and token[2:] in _EXPIRES
        return len(token) > _SHORT_GROUP and not expiry
    return not token.strip("0123456789.,") or (len(token) == len(_FOURS) and not token.strip("0123456789abcdef"))


def _says_card(text: str, start: int, within: int = _ANNOUNCED) -> bool:
    before = text[max(0, start - within) : start]
    if not before.strip(_NUMBERS):
        return False
    lowered = before.lower()
    return any(word in lowered and stands(word, lowered, before) for word in _CARD_WORDS)


def _digit_groups(text: str, start: int, end: int) -> list[Span]:
    """Return the runs of digits that begin in the span, the last of them whole."""
    groups: list[Span] = []
    at = start
    while at < end and text[at] in _DIGITS:
        run = text[at : at + _LONGEST]
        stop = at + len(run) - len(run.lstrip(_DIGITS))
        groups.append((at, stop))
        at = stop + 1
        while at < end and text[at] in _SEPARATORS:
            at += 1
    return groups


def _is_card(text: str, groups: list[Span]) -> bool:
    digits = "".join(text[a:b] for a, b in groups)
    if not luhn(digits) or joined(text, groups[0][0], groups[-1][1]):
        return False
    start = groups[0][0]
    if len(digits) > _LONG and _issued(digits, _ISSUERS):
        return True
    if len(digits) == _LONG and "account" in text[max(0, start - _ANNOUNCED) : start].lower():
        return False  # of a cloud
    return _issued(digits, _RARE) and (digits[:4] in _MAESTRO or _says_card(text, start))


def _issued(digits: str, issuers: tuple[tuple[str, str, frozenset[int]], ...]) -> bool:
    """Say whether an issuer gives out numbers of this beginning and length."""
    head, length = digits[:4], len(digits)
    return any(first <= head <= last and length in lengths for first, last, lengths in issuers)
