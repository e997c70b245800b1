# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 connections to one server: the one that was used last is used next, and nothing looks at the others.

A pool that looks at all its connections for each request grows slow with as many calls as are open here.
"""

import ssl
from collections import deque
from collections.abc import Sequence

import httpcore2

from onrecord.doors.gateway.network import Network
from onrecord.doors.http_fields import Field

CONNECT_S = 10.0
SEND_S = 60.0
KEPT_S = 3.0  # an idle connection; servers close theirs after some 5 s, and may while we send
MOST_KEPT = 100

_TIMES = {"connect": CONNECT_S, "write": SEND_S, "read": None, "pool": None}


class Connections:
    """The connections to one origin. For the event loop's thread."""

    def __init__(self, url: str) -> None:
        """Open none yet."""
        self._url = httpcore2.URL(url)
        self._secure = _secure() if url.startswith("https:") else None
        self._network = Network()
        self._idle: deque[httpcore2.AsyncHTTP11Connection] = deque()

    async def ask(
        self, method: str, fields: Sequence[Field], body: bytes
    ) -> tuple[httpcore2.AsyncHTTP11Connection, httpcore2.Response]:
        """Send a request; return how it is answered, and the connection, for `leave`. Raises what httpcore2 raises."""
        request = httpcore2.Request(
            method, self._url, headers=[*fields], content=body or None, extensions={"timeout": _TIMES}
        )
        connection = await self._one()
        try:
            return connection, await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise

    async def leave(self, connection: httpcore2.AsyncHTTP11Connection, response: httpcore2.Response) -> None:
        """Let go of an answer; the connection is kept where all of it was read."""
        await response.aclose()
        if connection.is_idle() and len(self._idle) < MOST_KEPT:
            self._idle.append(connection)
        else:
            await connection.aclose()

    async def _one(self) -> httpcore2.AsyncHTTP11Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        origin = self._url.origin
        stream = await self._network.connect_tcp(origin.host.decode("ascii"), origin.port, CONNECT_S)
        if self._secure is not None:
            stream = await stream.start_tls(self._secure, origin.host.decode("ascii"), CONNECT_S)
        return httpcore2.AsyncHTTP11Connection(origin, stream, KEPT_S)

    async def sweep(self) -> None:
        """Close what nobody has used for a while."""
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.popleft().aclose()


def _secure() -> ssl.SSLContext:
    context = httpcore2.default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
