# SPDX-License-Identifier: Apache-2.0
"""Keyed digests of values: whoever has no key can neither read them nor try values against them.

Each tenant has keys of its own, derived from the one of the home, so that the record of one says
nothing about the values of another.
"""

import hmac
import json

import msgspec

from onrecord.event.call import Json
from onrecord.rules.pattern import utf8

TAG = 8  # hex digits of a tag: among 10,000 secrets, one in 400,000 new ones bears the tag of another

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
        """Return the digest of `arguments`, the same for the same value; "" where they can't be encoded."""
        try:
            encoded = b"1" + _encode_sorted(arguments)
        except (ValueError, OverflowError, RecursionError, TypeError):  # lone surrogates, very large integers
            try:
                encoded = b"2" + json.dumps(arguments, sort_keys=True, separators=(",", ":")).encode()
            except (ValueError, RecursionError, TypeError):
                return ""
        return hmac.digest(self._arguments_key, b"onrecord arguments " + encoded, "sha256").hex()
