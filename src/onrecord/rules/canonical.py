# SPDX-License-Identifier: Apache-2.0
"""The digest of one call, which a client and this recorder work out alike: SHA-256 over canonical JSON. Pure.

The canonical form is that of RFC 8785 (JCS), so that any language has a library for it: members sorted by the UTF-16
code units of their names, no blanks, texts escaped as little as JSON allows, numbers as ECMAScript prints them.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import cast

from onrecord.event.call import Json

_EXACT = 2**53  # integers beyond it are not the same number for every reader


class NotCanonical(ValueError):
    """A value has no canonical form: an integer that JSON's readers round, or half a surrogate pair."""


def request_digest(method: str, name: str, arguments: Json) -> str:
    """Return the digest of a call, base64url without padding. Raises NotCanonical."""
    body = canonical({"method": method, "name": name, "arguments": arguments})
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def canonical(value: Json) -> bytes:
    """Return `value` in the form of RFC 8785. Raises NotCanonical."""
    try:
        return _encoded(value).encode()
    except (UnicodeEncodeError, RecursionError) as e:
        raise NotCanonical("it holds half a surrogate pair, or nests without end") from e


def _encoded(value: Json) -> str:
    if isinstance(value, Mapping):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_text(key)}:{_encoded(one)}" for key, one in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_encoded, cast("list[Json]", value))) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return _number(value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: int | float) -> str:
    """Return a number as ECMAScript prints it (ECMA-262, Number::toString)."""
    if isinstance(value, int):
        if abs(value) > _EXACT:
            raise NotCanonical("an integer is larger than every reader can keep")
        return str(value)
    if not value:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")  # as few digits as ECMAScript takes
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"
