# SPDX-License-Identifier: Apache-2.0
"""What an HTTP request is turned away for, as `error_type` says it: one name, whichever door it came to.

The gateway turns away by itself, and knows why. Around a server that does so in its own process there is only the
answer to judge by: its status and, for tokens, one header field of either side.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from onrecord.doors.http_fields import Field, values
from onrecord.event.event import EventType

Kind: TypeAlias = Literal[
    "busy",
    "insufficient_scope",
    "issuer_away",
    "malformed_request",
    "missing_token",
    "no_session",
    "not_authenticated",
    "nothing_acceptable",
    "pipelined",
    "token_in_url",
    "too_long",
    "too_slow",
    "unknown_content",
    "unknown_path",
    "wrong_host",
    "wrong_method",
    "wrong_origin",
    "wrong_scheme",
]

# Kinds that are about who asks; the others are about what reached us.
_ABOUT_TOKENS = frozenset(
    {
        *("missing_token", "not_authenticated", "wrong_scheme", "token_in_url", "insufficient_scope", "issuer_away"),
        "no_credentials",
    }
)

# Of what a server of an SDK answers, the statuses that it has one reason for.
_BY_STATUS: dict[int, Kind] = {
    404: "no_session",
    405: "wrong_method",
    406: "nothing_acceptable",
    413: "too_long",
    415: "unknown_content",
    421: "wrong_host",
}


def event_type_of(kind: str) -> EventType:
    """Return the type of the event that says that a request was turned away for `kind`."""
    return "authentication" if kind in _ABOUT_TOKENS else "security"


def kind_of(status: int, asked: Sequence[Field], answered: Iterable[Field]) -> str:
    """Return what a server that answers with `status` turns a request away for; `http_` and the status if unknown.

    `asked` and `answered` are the header fields of request and answer.
    """
    if status == 401:
        brought = values(asked, b"authorization")
        if not brought:
            return "missing_token"
        return "not_authenticated" if brought[0].lower().startswith(b"bearer ") else "wrong_scheme"
    if status == 403:
        if any(b"insufficient_scope" in one for one in values(answered, b"www-authenticate")):
            return "insufficient_scope"
        return "wrong_origin" if values(asked, b"origin") else "http_403"
    return _BY_STATUS.get(status, f"http_{status}")
