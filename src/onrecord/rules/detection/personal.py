# SPDX-License-Identifier: Apache-2.0
"""What a detector of personal data asks of a match beyond its shape: issuers, lengths, check digits.

The form of a check is that of `checks.py`, where those of secrets stand. Numbers that states give out
are judged in `europe.py` and `overseas.py`, phone numbers in `phone.py`, addresses of machines and
mailboxes in `online.py`.
"""

from collections.abc import Callable, Mapping

from onrecord.rules.detection import national, online, phone
from onrecord.rules.detection.digits import luhn
from onrecord.rules.detection.europe import EUROPE
from onrecord.rules.detection.finding import Check, Span
from onrecord.rules.detection.overseas import OVERSEAS
from onrecord.rules.detection.surroundings import dated, in_row, joined
from onrecord.rules.detection.wallet import wallet

_SEPARATORS = " .-\n\t\u00a0"  # what stands between the groups of a number


# payment cards

# How the digits of cards are grouped when they are printed; other groups count only with nothing beside them.
_PRINTED = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (4, 4, 4, 1), (4, 3, 3, 3), (8, 8), (6, 13)}
)
_CARD_WORDS = ("card", "cc", "visa", "maestro", "carte", "karte", "tarjeta", "carta", "kort", "pan", "credit", "debit")
# Beginnings of which alone few numbers of twelve digits are found: those of Maestro.
_MAESTRO = frozenset({"0604", "5018", "5020", "5038", "5893", "6304", "6390", "6759", "6761", "6762", "6763"})
_ANNOUNCED = 40  # characters before a number of twelve digits in which a word must say that it is a card

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
    ("5000", "5099", frozenset(range(12, 20))),
    ("5100", "5599", frozenset({16})),
    ("5600", "5899", frozenset(range(12, 20))),
    ("6000", "6999", frozenset(range(12, 20))),
    ("8100", "8299", frozenset({16, 17, 18, 19})),
    ("8600", "8600", frozenset({16})),
    ("9792", "9792", frozenset({16})),
)


def card(text: str, start: int, end: int) -> Span | None:
    """Keep the digit groups that are a card number: its issuer, its length and its last digit are right."""
    groups = _digit_groups(text, start, end)
    sizes = [b - a for a, b in groups]
    for first, size in enumerate(sizes if max(sizes) > 1 else ()):
        for count in (1,) if size >= 12 else (3, 4, 5, 2):
            few = groups[first : first + count]
            if count > 1 and (tuple(sizes[first : first + count]) not in _PRINTED or _in_row(text, few)):
                continue
            if _is_card(text, few):
                return few[0][0], few[-1][1]
    alike = len({text[b] for _, b in groups[:-1]}) == 1 and (max(sizes) == 1 or min(sizes) > 1)
    if (
        len(groups) > 1
        and alike
        and "\n" not in text[start:end]
        and not _in_row(text, groups)
        and _is_card(text, groups)
    ):
        return groups[0][0], groups[-1][1]
    return None


def _in_row(text: str, groups: list[Span]) -> bool:
    """Say whether digits of four or five stand before or after `groups` as those do between themselves: a table."""
    start, end, between = groups[0][0], groups[-1][1], text[groups[0][1]]
    if text[start - 1 : start] == between and start > 1:
        at = start - 1
        while at > 0 and start - at < 8 and text[at - 1].isdigit():
            at -= 1
        if start - 1 - at in (4, 5) and text[at - 1 : at] not in ("-", "."):
            return not _says_card(text, start)
    if text[end : end + 1] == between:
        at = end + 1
        while at < len(text) and at - end < 8 and text[at].isdigit():
            at += 1
        if at - end - 1 in (4, 5) and text[at : at + 1] not in ("-", "."):
            return not _says_card(text, start)
    return False


def _says_card(text: str, start: int) -> bool:
    before = text[max(0, start - _ANNOUNCED) : start].lower()
    return any(word in before for word in _CARD_WORDS)


def _digit_groups(text: str, start: int, end: int) -> list[Span]:
    """Return the runs of digits that begin in the span, the last of them whole."""
    groups: list[Span] = []
    at = start
    while at < end:
        stop = at
        while stop < len(text) and stop - at < 20 and text[stop].isdigit():
            stop += 1
        groups.append((at, stop))
        at = stop + 1
        while at < end and text[at] in _SEPARATORS:
            at += 1
    return groups


def _is_card(text: str, groups: list[Span]) -> bool:
    digits = "".join(text[a:b] for a, b in groups)
    if not _issued(digits) or joined(text, groups[0][0], groups[-1][1]) or not luhn(digits):
        return False
    if len(groups) == 2 and text[groups[0][1]] == ".":
        return False  # a decimal
    if len(digits) > 12:
        return True
    if "account" in text[max(0, groups[0][0] - _ANNOUNCED) : groups[0][0]].lower():
        return False  # of a cloud
    if digits[:4] in _MAESTRO:
        return True
    return _says_card(text, groups[0][0])


def _issued(digits: str) -> bool:
    """Say whether an issuer gives out numbers of this beginning and length."""
    head, length = digits[:4], len(digits)
    return any(first <= head <= last and length in lengths for first, last, lengths in _ISSUERS)


# bank accounts, identity numbers

# Characters of an IBAN per country, from the registry of ISO 13616.
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
_IBAN_LENGTH: Mapping[str, int] = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}
_VALUES = str.maketrans({char: str(int(char, 36)) for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
_IBAN_SPREAD = 72  # characters that an IBAN may take with all its blanks
_UNSPACED = str.maketrans("", "", _SEPARATORS)


def iban(text: str, start: int, _end: int) -> Span | None:
    """Keep as many characters as an IBAN of its country has, if its check digits are right.

    ISO 13616: mod 97.
    """
    length = _IBAN_LENGTH.get(text[start : start + 2].upper())
    if length is None:
        return None
    kept = text[start : start + _IBAN_SPREAD].translate(_UNSPACED)[:length]
    if len(kept) < length or not (kept.isascii() and kept.isalnum()) or sum(map(str.isdigit, kept)) < 8:
        return None
    if int((kept[4:] + kept[:4]).upper().translate(_VALUES)) % 97 != 1:
        return None
    stop = start
    for _ in range(length):
        while not text[stop].isalnum():
            stop += 1
        stop += 1
    return None if text[stop : stop + 1].isalnum() else (start, stop)


def ssn(text: str, start: int, end: int) -> Span | None:
    """Keep what the US Social Security Administration can have issued, written with one kind of separator."""
    if text[start + 3] != text[start + 6] or text[start - 1 : start] in ("-", ".", "+") or joined(text, start, end):
        return None
    return (start, end) if _issuable(text[start:end]) else None


def ssn_announced(text: str, start: int, end: int) -> Span | None:
    """Keep the same where a word announces it, however it is written."""
    return None if joined(text, start, end) or not _issuable(text[start:end]) else (start, end)


def _issuable(written: str) -> bool:
    digits = "".join(char for char in written if char.isdigit())
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


# what a word announces

_MIXED = frozenset({"ru-insurance"})  # numbers that are written with a blank and a hyphen


def _number(valid: Callable[[str], bool], *, mixed: bool) -> Check:
    """Return a check that puts the digits and letters of a match to `valid`."""

    def check(text: str, start: int, end: int) -> Span | None:
        written = text[start:end]
        if joined(text, start, end) or (not mixed and " " in written and "-" in written) or in_row(text, start, end):
            return None
        if " " in written and len(set(written.split())) == 1:
            return None
        return (start, end) if valid("".join(c for c in written if c.isalnum() or c == "&").upper()) else None

    return check


def document(text: str, start: int, end: int) -> Span | None:
    """Keep what may be the number of a document: five digits or more; no date, no time, not one digit throughout."""
    written = text[start:end]
    digits = "".join(char for char in written if char.isdigit())
    if len(digits) < 5 or len(set(digits)) == 1 or joined(text, start, end) or text[end : end + 1] == ":":
        return None
    return None if dated(written) else (start, end)


def plate(text: str, start: int, end: int) -> Span | None:
    """Keep what may be a number plate: letters and two digits or more."""
    written = text[start:end]
    letters = any(char.isalpha() for char in written)
    return (start, end) if letters and sum(char.isdigit() for char in written) >= 2 else None


def any_text(text: str, start: int, end: int) -> Span | None:
    """Keep what has the form, where the form is enough."""
    return None if joined(text, start, end) else (start, end)


def birthday(text: str, start: int, end: int) -> Span | None:
    """Keep what is a date."""
    return (start, end) if dated(text[start:end]) or any(char.isalpha() for char in text[start:end]) else None


PERSONAL: Mapping[str, Check] = {
    "card": card,
    "iban": iban,
    "ssn": ssn,
    "ssn-announced": ssn_announced,
    "email": online.email,
    "ipv4": online.ipv4,
    "ipv6": online.ipv6,
    "mac": online.mac,
    "phone": phone.international,
    "phone-national": phone.national,
    "phone-announced": phone.announced,
    "phone-mentioned": phone.mentioned,
    "wallet": wallet,
    "document": document,
    "announced": national.announced,
    "any": any_text,
    "plate": plate,
    "birthday": birthday,
    **{
        name: _number(valid, mixed=name in _MIXED)
        for name, valid in {**EUROPE, **OVERSEAS, "ph-tax": national.ph_tax}.items()
    },
}
