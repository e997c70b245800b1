# SPDX-License-Identifier: Apache-2.0
"""The body of one request: read within a limit of size and of time, and taken for what its fields say that it is."""

import asyncio
from collections.abc import Callable, Mapping

from onrecord.doors.gateway.agreement import accepts, media_type, value_of
from onrecord.doors.gateway.reply import Receive
from onrecord.doors.gateway.upstream import EVENTS, JSON
from onrecord.doors.http_access import TurnedAway
from onrecord.doors.http_fields import Field, is_utf8
from onrecord.doors.http_kinds import Kind

NEXT_S = b"1"  # after which a client may ask again, where there was no room
_CLOSE: Field = (b"connection", b"close")  # the rest of the body may be long, or never come
_MORE: Mapping[int, tuple[Field, ...]] = {408: (_CLOSE,), 413: (_CLOSE,), 503: ((b"retry-after", NEXT_S),)}


class Unfit(Exception):
    """A request whose body is not taken."""

    def __init__(self, away: TurnedAway) -> None:
        super().__init__(away.reason)
        self.away = away


class ClientGone(Exception):
    """The client has closed the connection before its request was whole."""


def check_kind(fields: list[Field], server_id: str) -> None:
    """Raise Unfit unless a POST brings JSON, as it is, and takes an answer of MCP."""
    typed = value_of(fields, b"content-type")
    if media_type(typed) != JSON:
        raise _unfit(415, "unknown_content", "the body must be of the type application/json", server_id)
    if not is_utf8(typed):  # a server that reads another one finds another message
        raise _unfit(415, "unknown_content", "the body must be in UTF-8, and its type say nothing else", server_id)
    if value_of(fields, b"content-encoding").lower() not in ("", "identity"):
        raise _unfit(415, "unknown_content", "the body must not be compressed", server_id)
    if not accepts(fields, JSON) and not accepts(fields, EVENTS):
        why = "the client takes neither application/json nor text/event-stream"
        raise _unfit(406, "nothing_acceptable", why, server_id)


async def read_body(
    receive: Receive, fields: list[Field], server_id: str, *, longest: int, within_s: float, hold: Callable[[int], bool]
) -> bytes:
    """Return the body of a request; `hold` says whether there is room for so many more bytes.

    Raises Unfit, or ClientGone.
    """
    said = value_of(fields, b"content-length")
    if said.isdecimal() and int(said) > longest:
        raise _too_long(longest, server_id)
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            while True:
                part = await receive()
                if part["type"] == "http.disconnect":
                    raise ClientGone
                body += (piece := part.get("body", b""))
                if len(body) > longest:
                    raise _too_long(longest, server_id)
                if not hold(len(piece)):
                    why = "as many bytes of bodies are held as may be"
                    raise _unfit(503, "busy", why, server_id)
                if not part.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        why = f"the body did not come within {within_s:g} s"
        raise _unfit(408, "too_slow", why, server_id) from None


def _too_long(longest: int, server_id: str) -> Unfit:
    return _unfit(413, "too_long", f"a body may take {longest} bytes", server_id)


def _unfit(status: int, error_type: Kind, reason: str, server_id: str) -> Unfit:
    return Unfit(
        TurnedAway(
            status=status,
            error_type=error_type,
            reason=reason,
            server_id=server_id,
            more=_MORE.get(status, ()),
        )
    )
