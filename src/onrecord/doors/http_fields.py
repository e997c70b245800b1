# SPDX-License-Identifier: Apache-2.0
"""Header fields of HTTP: which have one reading, which go on to a server, and which come back from it.

What goes on is named here; all else stays. So no credential of a caller's reaches a server by a name that nobody has
thought of, and no claim of where a request comes from either. Where a field goes on, it goes on as it came;
where one comes back, too, but for a content type of another charset than was judged.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

Field: TypeAlias = tuple[bytes, bytes]
"""A header field as a server of ASGI has it: its name, and its value without blanks around it."""

_UTF8 = re.compile(r'\s*(charset=("?)utf-?8\2)?\s*;?\s*', re.IGNORECASE)  # what may follow a content type

# What counts by its one value: of two, one side may read the first and the other the last.
ONCE = frozenset(
    {
        *(b"host", b"authorization", b"origin", b"content-length", b"content-type", b"content-encoding"),
        *(b"transfer-encoding", b"mcp-session-id", b"mcp-protocol-version", b"mcp-method", b"mcp-name"),
        *(b"last-event-id", b"traceparent"),
    }
)

# What a caller says to a server, and what only it can know. `Mcp-Param-…` must go on, known or not (MCP 2026-07-28).
_ON = frozenset(
    {
        *(b"accept", b"accept-language", b"content-type", b"user-agent", b"last-event-id"),
        *(b"traceparent", b"tracestate", b"baggage"),
    }
)
_ON_START = b"mcp-"

# Never, not even where the settings name it: credentials, who asked whom from where, and what steers one connection.
_NEVER = frozenset(
    {
        *(b"authorization", b"authentication", b"cookie", b"cookie2", b"set-cookie", b"dpop", b"forwarded"),
        *(b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-client-ip", b"x-original-url", b"x-rewrite-url"),
        *(b"client-cert", b"client-cert-chain", b"via", b"host", b"origin", b"referer"),
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"),
        *(b"content-length", b"content-encoding", b"expect", b"accept-encoding", b"max-forwards"),
    }
)
_NEVER_START = (b"proxy-", b"x-forwarded-", b"sec-", b"access-control-")

# What a server says to a caller. Not its `WWW-Authenticate`: that is a matter between it and us.
_BACK = frozenset(
    {
        *(b"content-type", b"cache-control", b"retry-after", b"allow", b"last-modified", b"etag", b"vary"),
        *(b"content-language", b"x-accel-buffering"),
    }
)

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_VALUE = re.compile(rb"[\t\x20-\x7E\x80-\xFF]*")  # RFC 9110, 5.5
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|\[[0-9a-f:.]{2,45}\]")
_PORT = re.compile(r":[1-9][0-9]{0,4}")


def fault_in(fields: Sequence[Field]) -> str:
    """Return why a request with `fields` has no single reading, in words of our own; "" where it has one."""
    seen: set[bytes] = set()
    for name, value in fields:
        key = name.lower()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            return "a header field is malformed"
        if key in ONCE and key in seen:
            return f"the header field {key.decode()} is there twice"
        seen.add(key)
    if any(word in ONCE or goes_on(word) for word in _named(fields)):
        return "the header field connection names one that is not for a connection alone"
    if {b"content-length", b"transfer-encoding"} <= seen:
        return "the request says in two ways how long it is"
    return ""


def values(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """Return the values of the fields of that `name`, which is in lower case."""
    return [value for key, value in fields if key.lower() == name]


def passed_on(fields: Sequence[Field], further: Collection[bytes] = ()) -> list[Field]:
    """Return which of a caller's `fields` go on to a server; `further` are names in lower case that do as well.

    What `Connection` names is for one connection, and stays (RFC 9110, 7.6.1).
    """
    here = _named(fields)
    return [
        (name, value)
        for name, value in fields
        if (key := name.lower()) not in here and not is_kept_back(key) and (goes_on(key) or key in further)
    ]


def passed_back(fields: Sequence[Field]) -> list[Field]:
    """Return which of a server's `fields` go back to its caller.

    What was judged is UTF-8, so a content type that says another charset goes back without it.
    """
    return [
        (name, _in_utf8(value) if key == b"content-type" else value)
        for name, value in fields
        if (key := name.lower()) in _BACK or key.startswith(_ON_START)
    ]


def _in_utf8(value: bytes) -> bytes:
    return value if is_utf8(value.decode("latin-1")) else value.partition(b";")[0].strip()


def is_utf8(content_type: str) -> bool:
    """Say whether nobody can take a body of that type for a text in another charset than UTF-8."""
    return _UTF8.fullmatch(content_type.partition(";")[2]) is not None


def goes_on(name: bytes) -> bool:
    """Say whether the field of that `name`, in lower case, goes on to each server."""
    return name in _ON or name.startswith(_ON_START)


def is_kept_back(name: bytes) -> bool:
    """Say whether the field of that `name`, in lower case, never goes on, whatever the settings say."""
    return name in _NEVER or name.startswith(_NEVER_START)


def _named(fields: Iterable[Field]) -> set[bytes]:
    """Return the names, in lower case, of fields that are for this connection alone."""
    return {word.strip().lower() for value in values(fields, b"connection") for word in value.split(b",")}


def is_host(text: str) -> bool:
    """Say whether `text` is a host in lower case, perhaps with a port."""
    host, port = split_host(text)
    return bool(_HOST.fullmatch(host)) and (not port or (bool(_PORT.fullmatch(port)) and int(port[1:]) < 1 << 16))


def split_host(text: str) -> tuple[str, str]:
    """Return the host in `text`, and the rest from the colon of its port on."""
    end = text.find("]") + 1 if text.startswith("[") else text.find(":")
    return (text, "") if end <= 0 else (text[:end], text[end:])


def is_origin(text: str) -> bool:
    """Say whether `text` is the origin of a page, written as browsers do: in lower case, without a default port."""
    scheme, _, rest = text.partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme)
    return default is not None and is_host(rest) and split_host(rest)[1] != default
