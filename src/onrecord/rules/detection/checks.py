# SPDX-License-Identifier: Apache-2.0
"""What a detector asks of a match beyond its shape: checksums, lengths, and whether it is a value at all.

A check gets the text and the span that matched, and returns the span that counts, or None where
the match is none. It may look at what stands around the span, and it may narrow it, because a
greedy expression takes the word after an IBAN with it.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from math import log2
from typing import TypeAlias

from onrecord.rules.detection.randomness import is_random
from onrecord.rules.words import listed

Span: TypeAlias = tuple[int, int]
Check: TypeAlias = Callable[[str, int, int], Span | None]


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


# values of secrets

# What stands where a value belongs without being one.
STANDS_IN = listed(
    """
    none null nil true false undefined string str int integer bool boolean bytes object any number float char text
    required optional password passwd pwd secret token key apikey api_key value default empty unset unknown
    redacted masked hidden removed omitted placeholder example todo tbd env self this your yourself file path
    same-origin include omit name type auth bearer basic digest user username void var let const return function
    """
)
_OPENERS = (
    "${",
    "$(",
    "{{",
    "<",
    "%(",
    "%s",
    "%v",
    "{%",
    "#{",
    "***",
    "...",
    "[[",
    "@{",
    "\\$",
    "{0",
    "env:",
    "env.",
    "your-",
    "your_",
    "ENC[",
    "vault:",
    "op://",
    "arn:",
    "ref+",
    "&",
)


def literal(text: str, start: int, end: int) -> Span | None:
    """Keep what is written out; not a variable, a template, or a word that stands for a value."""
    value = text[start:end]
    if value.startswith(_OPENERS) or value.lower().strip(".,;:!?()") in STANDS_IN:
        return None
    if value[:1] in ("$", "{", "[") and _is_template(value):
        return None
    if value[:1] in (",", "}", "]") and not value.strip("0123456789.,:[]{}-+ "):
        return None  # what stands between two texts in JSON
    if "..." in value or not any(map(str.isalnum, value)) or not value.strip("xX"):
        return None
    return start, end


def _is_template(value: str) -> bool:
    """Say whether a value is a variable or a word in brackets: `$TOKEN`, `{token}`, `{0}`, `[FUZZ]`."""
    inner = value[1:-1]
    if value[0] == "$":
        return value[1:].rstrip("-").isidentifier()
    if value[0] == "{":
        return value[-1] == "}" and (len(inner) < 8 or not any(map(str.isdigit, inner)))
    return value[-1] == "]" and inner.replace("_", "").replace(" ", "").isalpha()


def value(text: str, start: int, end: int) -> Span | None:
    """Keep a literal that no programmer would call a name: a digit or a mark stands in it."""
    if literal(text, start, end) is None:
        return None
    return (start, end) if any(char.isdigit() or char in "!@#$%^&*+=?~" for char in text[start:end]) else None


def mixed(text: str, start: int, end: int) -> Span | None:
    """Keep a literal with a digit in it, or one whose letters are as mixed as those of a key."""
    if literal(text, start, end) is None:
        return None
    word = text[start:end]
    if any(char.isdigit() for char in word):
        return start, end
    return (start, end) if len(word) >= 16 and entropy(word) >= 3.5 else None


def drawn(text: str, start: int, end: int) -> Span | None:
    """Keep a literal that looks drawn at random."""
    return literal(text, start, end) if is_random(text[start:end]) else None


def entropy(word: str) -> float:
    """Return the bits per character of `word`, by how often each character stands in it."""
    size = len(word)
    return -sum(n / size * log2(n / size) for n in (word.count(char) for char in set(word)))


def basic(text: str, start: int, end: int) -> Span | None:
    """Keep base64 that holds a user and a password. RFC 7617."""
    encoded = text[start:end]
    alphabet = b"-_" if "-" in encoded or "_" in encoded else None
    try:
        plain = b64decode(encoded + "=" * (-len(encoded) % 4), altchars=alphabet)
    except (binascii.Error, ValueError):
        return None
    return (start, end) if b":" in plain else None


CHECKS: Mapping[str, Check] = {
    "card": card,
    "iban": iban,
    "ssn": ssn,
    "email": email,
    "literal": literal,
    "value": value,
    "mixed": mixed,
    "drawn": drawn,
    "basic": basic,
}
