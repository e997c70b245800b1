# SPDX-License-Identifier: Apache-2.0
"""What a detector of personal data asks of a match beyond its shape: issuers, lengths, check digits.

The form of a check is that of `checks.py`, where those of secrets stand.
"""

from collections.abc import Mapping

from onrecord.rules.detection.finding import Check, Span
from onrecord.rules.words import listed

# payment cards


def card(text: str, start: int, end: int) -> Span | None:
    """Keep the digit groups that are a card number: its issuer, its length and its last digit are right."""
    if _in_number(text, start, end):
        return None
    groups = _digit_groups(text, start, end)
    for first in range(len(groups)):
        for last in range(len(groups), first, -1):
            digits = "".join(text[a:b] for a, b in groups[first:last])
            if _issued(digits) and luhn(digits):
                return groups[first][0], groups[last - 1][1]
    return None


def _in_number(text: str, start: int, end: int) -> bool:
    """Say whether the digits are part of a decimal number or an identifier."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before[-1:] in (".", "-") and before[:1].isalnum():
        return True
    return after[:1] == "-" or (after[:1] == "." and after[1:].isdigit())


def _digit_groups(text: str, start: int, end: int) -> list[Span]:
    groups: list[Span] = []
    begin = start
    for i in range(start, end + 1):
        if i == end or text[i] in " -":
            groups.append((begin, i))
            begin = i + 1
    return groups


# Beginnings of card numbers in use and the lengths that go with them: first, last, lengths.
_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("1800", "1800", frozenset({15})),
    ("2131", "2131", frozenset({15})),
    ("2221", "2720", frozenset({16})),
    ("3000", "3059", frozenset({14, 16})),
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
)


def _issued(digits: str) -> bool:
    """Say whether an issuer gives out numbers of this beginning and length."""
    head, length = digits[:4], len(digits)
    return any(first <= head <= last and length in lengths for first, last, lengths in _ISSUERS)


def luhn(digits: str) -> bool:
    """Say whether the last digit is right. ISO/IEC 7812-1, annex B."""
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit)
        if i % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


# bank accounts, identity numbers, addresses

# Characters of an IBAN per country, from the registry of ISO 13616.
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
_IBAN_LENGTH: Mapping[str, int] = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}


def iban(text: str, start: int, end: int) -> Span | None:
    """Keep as many characters as an IBAN of its country has, if its check digits are right. ISO 13616, mod 97."""
    length = _IBAN_LENGTH.get(text[start : start + 2])
    if length is None:
        return None
    kept: list[str] = []
    for i in range(start, end):
        if text[i] not in " -":
            kept.append(text[i])
        if len(kept) == length:
            number = "".join(str(int(char, 36)) for char in [*kept[4:], *kept[:4]])
            joined = text[i + 1 : i + 2].isalnum()
            return None if joined or int(number) % 97 != 1 else (start, i + 1)
    return None


def ssn(text: str, start: int, end: int) -> Span | None:
    """Keep what the US Social Security Administration can have issued, written with one kind of separator."""
    area, group, serial = text[start : start + 3], text[start + 4 : start + 6], text[start + 7 : end]
    if text[start + 3] != text[start + 6] or area in ("000", "666") or area[0] == "9" or group == "00":
        return None
    if serial == "0000" or text[start - 1 : start] in ("-", ".", "+") or text[end : end + 1] == "-":
        return None
    return start, end


_FILES = listed("png jpg jpeg gif svg webp ico js mjs ts css py go html json toml yaml yml dll exe")


def email(text: str, start: int, end: int) -> Span | None:
    """Keep addresses of people; not the user of an SSH address, nor a file name with a scale in it."""
    local, _, domain = text[start:end].rpartition("@")
    if text[start - 1 : start] == ":" and "://" in text[max(0, start - 64) : start]:
        return None  # the password in a URL, and its host
    if local == "git" or domain.rpartition(".")[2].lower() in _FILES:
        return None
    return start, end


PERSONAL: Mapping[str, Check] = {
    "card": card,
    "iban": iban,
    "ssn": ssn,
    "email": email,
}
