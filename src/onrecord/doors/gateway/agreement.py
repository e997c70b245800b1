# SPDX-License-Identifier: Apache-2.0
"""Whether the header fields of a request say what its body says; and what a client takes for an answer. Pure.

From 2026-07-28 on a request repeats its version, its method and what it is about in header fields, so that who stands
between may route by them. Whoever decides by one and runs the other can be deceived, so where they differ the request
is refused, as a server must (-32020). We decide by the body. `Mcp-Param-…` repeats arguments that only the server's
schemas name; it goes on, and the server compares.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

from onrecord.doors import protocol
from onrecord.doors.http_fields import Field, values
from onrecord.doors.wire import Message, Request, Response
from onrecord.errors import MessageRefused

HEADER_MISMATCH: Final = -32020  # MCP 2026-07-28

VERSION, METHOD, NAME = b"mcp-protocol-version", b"mcp-method", b"mcp-name"
SESSION = b"mcp-session-id"

_NAMED_BY: Mapping[str, str] = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_SEALED = ("=?base64?", "?=")


def value_of(fields: Sequence[Field], name: bytes) -> str:
    """Return the value of a field whose `name` is in lower case, "" where there is none."""
    return next((value.decode("latin-1") for value in values(fields, name)), "")


def is_modern(message: Message) -> bool:
    """Say whether a message is a request of a revision without sessions."""
    return isinstance(message, Request) and protocol.is_modern(message.params)


def check(fields: Sequence[Field], message: Message) -> None:
    """Raise MessageRefused where the fields of a request do not say what it says itself.

    From 2026-07-28 on they must say it; where an older one says it too, somebody may route by it all the same.
    """
    if isinstance(message, Response):
        return
    request_id, needed = (message.id, is_modern(message)) if isinstance(message, Request) else (None, False)
    version = protocol.client_claims(message.params).protocol_version if needed else None
    named = _NAMED_BY.get(message.method)
    about = message.params.get(named) if named else None
    for name, given, said in (
        ("MCP-Protocol-Version", value_of(fields, VERSION), version),
        ("Mcp-Method", value_of(fields, METHOD), message.method),
        ("Mcp-Name", opened(value_of(fields, NAME)), about),
    ):
        if said is not None and given != said and (needed or given):
            raise MessageRefused(f"the header {name} does not say what the body says", HEADER_MISMATCH, request_id)


def opened(value: str) -> str | None:
    """Return what a field's value stands for: `=?base64?…?=` is UTF-8 in base64. None where that is malformed."""
    if not (value.startswith(_SEALED[0]) and value.endswith(_SEALED[1]) and len(value) >= len("".join(_SEALED))):
        return value
    text = value.removeprefix(_SEALED[0]).removesuffix(_SEALED[1])
    try:
        raw = base64.b64decode(text, validate=True)
        return raw.decode() if base64.b64encode(raw).decode() == text else None
    except (binascii.Error, ValueError):
        return None


def accepts(fields: Sequence[Field], kind: str) -> bool:
    """Say whether a client takes a media type; one that says nothing takes all."""
    main, _, _ = kind.partition("/")
    given = ",".join(value.decode("latin-1") for value in values(fields, b"accept"))
    if not given.strip():
        return True
    for one in given.split(","):
        name, *parameters = (part.strip().lower() for part in one.split(";"))
        if name in (kind, f"{main}/*", "*/*") and "q=0" not in parameters:
            return True
    return False


def media_type(value: str) -> str:
    """Return a content type without its parameters."""
    return value.partition(";")[0].strip().lower()
