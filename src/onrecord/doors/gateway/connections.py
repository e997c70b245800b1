# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 connections to one server: the one that was used last is used next, and nothing looks at the others.

A pool that looks at all its connections for each request grows slow with as many calls as are open here. Head and body
of a request leave together: two small writes cost two packets, and two turns of the loop.
"""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpcore2

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
        self._secure = httpcore2.default_ssl_context() if url.startswith("https:") else None
        self._backend = _Backend()
        self._idle: deque[httpcore2.AsyncHTTPConnection] = deque()

    @asynccontextmanager
    async def asked(self, method: str, fields: Sequence[Field], body: bytes) -> AsyncGenerator[httpcore2.Response]:
        """Send a request, and let go of its answer at the end. Raises what httpcore2 raises."""
        request = httpcore2.Request(
            method, self._url, headers=[*fields], content=body or None, extensions={"timeout": _TIMES}
        )
        connection = await self._one()
        try:
            response = await connection.handle_async_request(request)
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            await self._leave(connection)

    async def _one(self) -> httpcore2.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore2.AsyncHTTPConnection(
            self._url.origin, self._secure, keepalive_expiry=KEPT_S, network_backend=self._backend
        )

    async def _leave(self, connection: httpcore2.AsyncHTTPConnection) -> None:
        if connection.is_idle() and len(self._idle) < MOST_KEPT:
            self._idle.append(connection)
        else:
            await connection.aclose()

    async def sweep(self) -> None:
        """Close what nobody has used for a while."""
        while self._idle and self._idle[0].has_expired():
            await self._idle.popleft().aclose()

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.popleft().aclose()


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self) -> None:
        inner: Any = httpcore2.AnyIOBackend()
        self._inner: httpcore2.AsyncNetworkBackend = inner

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        return _Together(await self._inner.connect_tcp(*args, **kwargs))


class _Together(httpcore2.AsyncNetworkStream):
    """A stream that holds the head of a request back until what follows; something always does, if nothing in it."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as in its interface
        """Send bytes, or hold them back."""
        if not self._head and buffer.endswith(b"\r\n\r\n") and b" HTTP/1.1\r\n" in buffer:
            self._head = buffer
            return
        head, self._head = self._head, b""
        await self._stream.write(head + buffer if head else buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return bytes as they come."""
        return await self._stream.read(max_bytes, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        """Go on in TLS."""
        return _Together(await self._stream.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)
