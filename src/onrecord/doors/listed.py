# SPDX-License-Identifier: Apache-2.0
"""What a server lists, whichever way it is asked: the pages of its tools, read to the end and within limits.

How a page is had is for the two that ask (`probe.py` starts a command, `probe_http.py` posts to a URL). What a
server says of itself stays its own claim.
"""

from collections.abc import Callable
from dataclasses import dataclass

from onrecord.doors import protocol
from onrecord.doors.wire import Response
from onrecord.errors import CommandError
from onrecord.event.call import Definition, Json
from onrecord.rules.neutral import neutral
from onrecord.version import __version__

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
MOST_PAGES = 200
MOST_TOOLS = 2_000
MOST_MESSAGES = 20_000  # that a server may say before it has answered
LONGEST = 16 << 20  # bytes of one message
UNKNOWN_METHOD = -32601
ABOUT_US: Json = {"name": "onrecord", "version": __version__}
MODERN_META: Json = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": ABOUT_US,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What a server says of itself: its own claims, raw. `odd` says what of its list could not be used."""

    name: str
    version: str
    protocol_version: str
    tools: tuple[Definition, ...]
    odd: tuple[str, ...] = ()


def is_modern(answer: Response) -> bool:
    """Say whether this is what a server of 2026-07-28 answers to `server/discover`."""
    versions = answer.result.get("supportedVersions") if isinstance(answer.result, dict) else None
    return isinstance(versions, list) and MODERN in versions


def code_of(answer: Response) -> str:
    """Return the code of an error, for a message of ours."""
    code = answer.error.get("code") if answer.error else None
    return str(code) if isinstance(code, int) else "without a code"


def read_list(opening: Response, page_after: Callable[[dict[str, Json]], Response], *, modern: bool) -> Listed:
    """Return what a server lists; `page_after` asks it for `tools/list` with these params. Raises CommandError."""
    claims = protocol.server_claims(opening.result)
    tools, odd, seen = list[Definition](), list[str](), set[str]()
    for page in _pages(page_after):
        named = protocol.definitions_in(page.result)
        if page.server:
            claims = protocol.Claims(name=page.server, version=page.version, protocol_version=MODERN)
        if nameless := page.count - len(named):
            odd.append(f"{nameless} entries of the list are no tools with a name")
        for one in named:
            if one.name in seen:
                odd.append(f"{neutral(one.name, limit=80)} is listed twice; the first counts")
            elif len(tools) < MOST_TOOLS:
                seen.add(one.name)
                tools.append(one)
            else:
                odd.append(f"only the first {MOST_TOOLS} tools are looked at")
                return _listed(claims, tools, odd, modern=modern)
    return _listed(claims, tools, odd, modern=modern)


def _listed(claims: protocol.Claims, tools: list[Definition], odd: list[str], *, modern: bool) -> Listed:
    version = claims.protocol_version or (MODERN if modern else "")
    return Listed(
        name=claims.name, version=claims.version, protocol_version=version, tools=tuple(tools), odd=tuple(odd)
    )


def _pages(page_after: Callable[[dict[str, Json]], Response]) -> "list[_Page]":
    pages: list[_Page] = []
    cursor: Json = None
    for _ in range(MOST_PAGES):
        answer = page_after({} if cursor is None else {"cursor": cursor})
        if answer.error is not None:
            raise CommandError(f"the server lists no tools: JSON-RPC error {code_of(answer)}", 2)
        page = _Page(answer.result)
        pages.append(page)
        if not isinstance(page.cursor, str) or page.cursor == cursor:
            return pages
        cursor = page.cursor
    raise CommandError(f"the server's list of tools does not end within {MOST_PAGES} pages", 2)


class _Page:
    """One answer to `tools/list`."""

    def __init__(self, result: Json) -> None:
        self.result = result
        about = result if isinstance(result, dict) else {}
        tools = about.get("tools")
        self.count = len(tools) if isinstance(tools, list) else 0
        self.cursor = about.get("nextCursor")
        claims = protocol.server_claims(result)
        self.server, self.version = claims.name, claims.version
