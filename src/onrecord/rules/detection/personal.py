# SPDX-License-Identifier: Apache-2.0
"""What a detector of personal data asks of a match beyond its shape: issuers, lengths, check digits.

The form of a check is that of `checks.py`, where those of secrets stand. Numbers that states give out
are judged in `europe.py` and `overseas.py`, phone numbers in `phone.py`, addresses of machines and
mailboxes in `online.py`.
"""

from collections.abc import Callable, Mapping

from onrecord.rules.detection import national, online, phone, travel
from onrecord.rules.detection.cards import card
from onrecord.rules.detection.europe import EUROPE
from onrecord.rules.detection.figures import crowded, enclosed, grouped_amount, measured, numbered, outnumbered
from onrecord.rules.detection.finding import Check, Span
from onrecord.rules.detection.overseas import OVERSEAS
from onrecord.rules.detection.surroundings import dated, in_row, joined
from onrecord.rules.detection.wallet import wallet

_SEPARATORS = " .-\n\t\u00a0"  # what stands between the groups of a number


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
    if numbered(text, start, person=True) or outnumbered(text, start, end, _issued_at):
        return None
    if text[start + 3] == " " and crowded(text, start, end):
        return None
    return (start, end) if _issuable(text[start:end]) else None


def ssn_announced(text: str, start: int, end: int) -> Span | None:
    """Keep the same where a word announces it, however it is written."""
    return None if joined(text, start, end) or not _issuable(text[start:end]) else (start, end)


def _issued_at(text: str, start: int, end: int) -> bool:
    return text[start + 3] == text[start + 6] and _issuable(text[start:end])


def _issuable(written: str) -> bool:
    digits = "".join(char for char in written if char.isdigit())
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


# what a word announces

_MIXED = frozenset({"ru-insurance"})  # numbers that are written with a blank and a hyphen
_NUMBERED = frozenset({"us-provider", "us-prescriber", "luhn"})  # which are announced: `device_id`, `provider id`
_COLOUR = 255


def _number(valid: Callable[[str], bool], *, mixed: bool, called: bool) -> Check:
    """Return a check that puts the digits and letters of a match to `valid`; with `called`, a word announces it."""

    def right(text: str, start: int, end: int) -> bool:
        written = text[start:end]
        return valid(written if written.isdigit() else "".join(c for c in written if c.isalnum() or c == "&").upper())

    def check(text: str, start: int, end: int) -> Span | None:
        written = text[start:end]
        if joined(text, start, end) or (not mixed and " " in written and "-" in written):
            return None
        if " " in written and (len(set(written.split())) == 1 or in_row(text, start, end) or _is_colour(written)):
            return None
        if not right(text, start, end):
            return None
        if not called and numbered(text, start, person=True):
            return None
        if any(map(str.isalpha, written)):
            return start, end
        return None if _among_numbers(text, start, end, right) else (start, end)

    return check


def _among_numbers(text: str, start: int, end: int, right: Callable[[str, int, int], bool]) -> bool:
    """Say whether digits stand in a row, a list or a column of numbers that have nothing of the kind."""
    shape = _shape(text[start:end])

    def alike(text: str, first: int, last: int) -> bool:
        return _shape(text[first:last]) == shape and right(text, first, last)

    if " " in shape:
        in_text = crowded(text, start, end) or grouped_amount(text, start, end)
    else:
        in_text = shape.isdigit() and enclosed(text, start, end)
    return in_text or outnumbered(text, start, end, alike, kind=(right, shape))


def _shape(written: str) -> str:
    return "".join("0" if char.isdigit() else char for char in written)


def _is_colour(written: str) -> bool:
    """Say whether groups are three of three digits, none above 255: red, green and blue."""
    parts = written.split()
    return [len(part) for part in parts] == [3, 3, 3] and all(int(part) <= _COLOUR for part in parts)


def document(text: str, start: int, end: int) -> Span | None:
    """Keep what may be the number of a document: five digits or more; no date, no time, not one digit throughout."""
    written = text[start:end]
    digits = "".join(char for char in written if char.isdigit())
    if len(digits) < 5 or len(set(digits)) == 1 or joined(text, start, end) or text[end : end + 1] == ":":
        return None
    return None if measured(text, start) or dated(written) else (start, end)


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
    "travel-zone": travel.zone,
    "any": any_text,
    "plate": plate,
    "birthday": birthday,
    **{
        name: _number(valid, mixed=name in _MIXED, called=name in _NUMBERED)
        for name, valid in {**EUROPE, **OVERSEAS, "ph-tax": national.ph_tax}.items()
    },
}
