# SPDX-License-Identifier: Apache-2.0
"""What a server says over one connection, message by message through the relay, to the inbox of who hears it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from onrecord.doors.event_stream import Frame, Frames
from onrecord.doors.gateway.inbox import Inbox, Item, ToClient
from onrecord.doors.gateway.talk import Talk
from onrecord.doors.gateway.upstream import Answered, Upstream, UpstreamFailed, failures, too_long
from onrecord.doors.http_fields import Field
from onrecord.doors.ways import Ready, Route
from onrecord.doors.wire import AMBIGUOUS
from onrecord.errors import MessageRefused
from onrecord.event.call import Sender

_NAMES = (b"mcp-session-id", b"mcp-protocol-version")


class Telling:
    """Hears one connection of a server."""

    def __init__(
        self,
        talk: Talk,
        upstream: Upstream,
        inbox: Inbox,
        fields: Sequence[Field],
        sender: Sender,
        *,
        longest: int,
        within_s: float,
        brief: bool = False,
    ) -> None:
        """`fields` are those of the client's request, `longest` is how many bytes a message may take.

        `within_s` is how long the server may take to take an answer of ours; `brief` is as `Talk.from_server` has it.
        """
        self._talk = talk
        self._inbox = inbox
        self._back = _Back(talk, upstream, fields, sender, within_s)
        self._longest = longest
        self._brief = brief

    async def message(self, line: bytes, frame: Frame | None = None) -> None:
        """Judge one message."""
        await self._talk.from_server(line, Route(self._back, ToClient(self._inbox, frame)), brief=self._brief)

    async def stream(self, answer: Answered) -> bool:
        """Judge each message of a stream as it comes; say whether the client could go on with it elsewhere.

        Raises UpstreamFailed.
        """
        frames, named = Frames(self._longest), False
        with failures():
            async for piece in answer.pieces:
                for frame in self._framed(frames, piece):
                    named = named or frame.event_id is not None
                    await self._hear(frame)
                    await self._inbox.room()
        return named

    def _framed(self, frames: Frames, piece: bytes) -> list[Frame]:
        try:
            return frames.feed(piece)
        except MessageRefused as e:
            raise too_long(self._longest) from e

    async def _hear(self, frame: Frame) -> None:
        if frame.data is None or not frame.data.strip():
            self._inbox.put(Item(None, False, False, frame))
        elif frame.is_message:
            await self.message(frame.data, frame)
        else:
            refusal = MessageRefused("an event of a type that MCP does not use", AMBIGUOUS)
            route = Route(self._back, ToClient(self._inbox))
            await self._talk.pool.run(self._talk.relay.withhold, refusal, len(frame.data), route)


class _Back:
    """The way back to a server that has asked something: a POST of its own for each answer of ours."""

    def __init__(
        self, talk: Talk, upstream: Upstream, fields: Sequence[Field], sender: Sender, within_s: float
    ) -> None:
        self._talk = talk
        self._upstream = upstream
        self._fields = [(name, value) for name, value in fields if name in _NAMES]
        self._fields += [(b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream")]
        self._sender = sender
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line."""
        self._loop.call_soon_threadsafe(self._start, line)

    def _start(self, line: bytes | Ready) -> None:
        task = asyncio.create_task(self._post(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, line: bytes | Ready) -> None:
        ready = line if isinstance(line, bytes) else await self._talk.pool.run(line)
        if ready is not None:
            with suppress(UpstreamFailed, TimeoutError):  # then the server goes on to wait for it, as it must
                async with (
                    asyncio.timeout(self._within_s),
                    self._upstream.asked("POST", self._fields, self._sender, ready),
                ):
                    pass
