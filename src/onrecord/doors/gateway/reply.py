# SPDX-License-Identifier: Apache-2.0
"""What one client hears in answer to one request: one JSON text, or a stream of events; and when it is gone.

Which of the two is decided as late as can be: by how the server's answer begins, or where something is to be said
before the answer is there.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from onrecord.doors.event_stream import Frame
from onrecord.doors.gateway.agreement import accepts, value_of
from onrecord.doors.gateway.upstream import EVENTS, JSON
from onrecord.doors.http_fields import Field

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

PING = b": ping\n\n"
UNWATCHED_S = 0.05  # for so long nobody looks whether the client is still there
_STREAM: list[Field] = [
    (b"content-type", EVENTS.encode()),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # of proxies in front of us, nginx holds a stream back otherwise
]
_TEXT: list[Field] = [(b"content-type", JSON.encode())]


class Reply:
    """The way to one client, for the time of one request."""

    def __init__(self, send: Send, receive: Receive, headers: Sequence[Field]) -> None:
        """`headers` are those of the request."""
        self._send = send
        self._receive = receive
        self._sees_events = accepts(headers, EVENTS)
        self._head: tuple[int, list[Field]] = (200, [])
        self._streams = False
        self._watching: asyncio.Task[None] | asyncio.TimerHandle | None = None
        self.started = False
        self.ended = False
        self.gone = False
        self.stopped = False
        self._then: Callable[[], None] = lambda: None

    @property
    def can_stream(self) -> bool:
        """Whether something may be said before the answer."""
        return self._streams if self.started else self._sees_events

    def begins(self, status: int, headers: list[Field], *, stream: bool = False) -> None:
        """Say how a server's answer begins; nothing is sent before there is something to say."""
        if not self.started:
            self._head, self._streams = (status, headers), stream

    def watch(self, then: Callable[[], None]) -> None:
        """Have `then` called once the client is gone. The whole body must have been read.

        Most are answered before it is worth while to look.
        """
        self._then = then
        self._watching = asyncio.get_running_loop().call_later(UNWATCHED_S, self._look)

    def _look(self) -> None:
        self._watching = asyncio.create_task(self._await_end(self._then))

    def stop(self) -> None:
        """Have whoever answers leave off, as if the client were gone; the answer so far is ended."""
        self.stopped = True
        self._then()

    async def _await_end(self, then: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self.ended:
            self.gone = True
            then()

    async def line(self, line: bytes, frame: Frame | None, *, last: bool) -> None:
        """Say `line`: all of it, or one event. What came in `frame` unchanged goes as it came."""
        if self._streams or self.started or not last:
            await self._start_stream()
            await self._body(_as_event(line, frame), more=not last)
            return
        status, headers = self._head
        typed = headers if value_of(headers, b"content-type") else [*headers, *_TEXT]
        await self.whole(status, typed, line)

    async def frame(self, frame: bytes) -> None:
        """Say what is no message, as it came."""
        if self._streams or self.started:
            await self._start_stream()
            await self._body(frame, more=True)

    async def ping(self) -> None:
        """Show that the request is still being worked on."""
        await self._start_stream()
        await self._body(PING, more=True)

    async def whole(self, status: int, headers: list[Field], body: bytes = b"") -> None:
        """Answer with one text."""
        if not self.started:
            self.started = True
            length = (b"content-length", str(len(body)).encode())
            await self._out({"type": "http.response.start", "status": status, "headers": [*headers, length]})
            await self._body(body, more=False)

    async def open(self) -> None:
        """Begin a stream before there is something to say."""
        await self._start_stream()

    async def end(self) -> None:
        """End a stream, or say nothing at all."""
        if self.started and not self.ended:
            await self._body(b"", more=False)
        elif not self.started:
            status, headers = self._head
            if self._streams:
                await self._start_stream()
                await self._body(b"", more=False)
            else:
                await self.whole(status, headers)

    def close(self) -> None:
        """Look no longer whether the client is there."""
        if self._watching is not None:
            self._watching.cancel()

    async def _start_stream(self) -> None:
        if not self.started:
            self.started = True
            status, headers = self._head
            headers = headers if self._streams and headers else _STREAM
            self._streams = True
            await self._out({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, body: bytes, *, more: bool) -> None:
        if not self.ended:
            self.ended = not more
            await self._out({"type": "http.response.body", "body": body, "more_body": more})

    async def _out(self, message: Message) -> None:
        if not self.gone:
            await self._send(message)


def _as_event(line: bytes, frame: Frame | None) -> bytes:
    if frame is not None and frame.data == line:
        return frame.raw
    named = b"" if frame is None or frame.event_id is None else b"id: " + frame.event_id + b"\n"
    data = b"".join(b"data: " + part + b"\n" for part in line.splitlines())
    return b"event: message\n" + named + data + b"\n"
