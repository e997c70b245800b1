# SPDX-License-Identifier: Apache-2.0
"""What a detector asks of a match beyond its shape: checksums, lengths, and whether it is a value at all.

A check gets the text and the span that matched, and returns the span that counts, or None where
the match is none. It may look at what stands around the span, and it may narrow it, because a
greedy expression takes the word after an IBAN with it.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from math import log2

from onrecord.rules.detection.finding import Check, Span
from onrecord.rules.detection.likeness import is_moment, is_version
from onrecord.rules.detection.personal import PERSONAL
from onrecord.rules.detection.randomness import is_random
from onrecord.rules.words import listed

# values of secrets

# What stands where a value belongs without being one.
STANDS_IN = listed(
    """
    none null nil true false undefined yyy string str int integer bool boolean bytes object any number float char text
    required optional password passwd pwd pass secret token key apikey api_key value default empty unset unknown
    redacted masked hidden removed omitted placeholder example todo tbd env self this your yourself file path
    same-origin include omit name type auth bearer basic digest user username void var let const return function
    nullptr public private protected passphrase passcode credentials string_value changeme change-me change_me
    yes no on off async await new typeof
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
    "!vault",
    "!secret",
    "!env",
    "!Ref",
    "!Sub",
    "!GetAtt",
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
    if "://" in value and value.count("{") > 1 < value.count("}"):
        return None  # postgres://{user}:{password}@{host}
    if is_version(value) or is_moment(value):
        return None
    if "..." in value or not any(map(str.isalnum, value)) or not value.strip("xX"):
        return None
    return start, end


def _is_template(value: str) -> bool:
    """Say whether a value is a variable or a word in brackets: `$TOKEN`, `{token}`, `{0}`, `[FUZZ]`."""
    inner = value[1:-1]
    if value[0] == "$":
        return value[1:].rstrip("-").isidentifier()
    if value[0] == "{" and value[-1] != "}" and value[1 : value.find("}")].isidentifier():
        return not is_random(value)  # {name}-auth-token
    if value[0] == "{":
        return value[-1] == "}" and (len(inner) < 8 or "(" in inner or not any(map(str.isdigit, inner)))
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
    _, sign, password = plain.partition(b":")
    return (start, end) if sign and password.decode("utf-8", "replace").lower() not in STANDS_IN else None


def pair(text: str, start: int, end: int) -> Span | None:
    """Keep a user and a password written out; not `user:pass`."""
    return literal(text, start, end) and literal(text, text.index(":", start, end) + 1, end) and (start, end)


CHECKS: Mapping[str, Check] = {
    **PERSONAL,
    "literal": literal,
    "value": value,
    "mixed": mixed,
    "drawn": drawn,
    "basic": basic,
    "pair": pair,
}
