# SPDX-License-Identifier: Apache-2.0
"""Keyed digests of values: whoever has no key can neither read them nor try values against them.

Each tenant has keys of its own, derived from the one of the home, so that the record of one says
nothing about the values of another.
"""

import hmac
import json

import msgspec

from onrecord.event.call import Json
from onrecord.rules.pattern import Pattern, utf8

TAG = 8  # hex digits of a tag: among 10,000 secrets, one in 400,000 new ones bears the tag of another

_MAYBE_WHOLE = Pattern(r"[0-9](?:\.0|e)")  # in the encoding of any float that is a whole number
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Digests:
    """The digests and tags of one tenant."""

    __slots__ = ("_arguments_key", "_tag_key")

    def __init__(self, digest_key: bytes, tenant: str = "") -> None:
        named = utf8(tenant)
        self._arguments_key = hmac.digest(digest_key, b"onrecord tenant " + named, "sha256") if named else digest_key
        self._tag_key = hmac.digest(digest_key, b"onrecord tags " + named, "sha256")

    def tag(self, value: str) -> str:
        """Return the tag of a value, blanks around it aside: the same for the same value, wherever it stands."""
        return hmac.digest(self._tag_key, utf8(value.strip()), "sha256").hex()[:TAG]

    def arguments(self, arguments: Json) -> str:
        """Return the digest of `arguments`, the same for the same value; "" where they can't be encoded.

        10 and 10.0 are one number, as they are to JSON.
        """
        return self._digest(arguments, b"onrecord arguments ", exact=False)

    def exact(self, value: Json) -> str:
        """Return a digest that differs for 10 and 10.0 too, as a server may tell them apart; "" as above."""
        return self._digest(value, b"onrecord exact ", exact=True)

    def _digest(self, value: Json, label: bytes, *, exact: bool) -> str:
        try:
            encoded = b"1" + _encode_sorted(value)
            if not exact and _MAYBE_WHOLE.occurs(encoded):
                encoded = b"1" + _encode_sorted(value := _whole(value))
        except (ValueError, OverflowError, RecursionError, TypeError):  # lone surrogates, very large integers
            try:
                value = value if exact else _whole(value)
                encoded = b"2" + json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
            except (ValueError, RecursionError, TypeError):
                return ""
        return hmac.digest(self._arguments_key, label + encoded, "sha256").hex()


def _whole(value: Json) -> Json:
    """Return `value` with each float that is a whole number as an integer."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, list) else value
