# SPDX-License-Identifier: Apache-2.0
"""The way into a stream of an event loop: in order, where some of what goes there must wait for its record first.

It is the `Outbox` of a loop: what may go at once is sent by the task that brings it; what has to wait lets what is
behind it wait too, and is waited for in a thread. Any thread may hand something in, which waits for nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Generic, TypeAlias, TypeVar

import anyio
from anyio.abc import ObjectSendStream

QUEUED = 64  # what waits for one peer; where it is more, the other is not read further

T = TypeVar("T")
Later: TypeAlias = Callable[[], T | None]
"""Waits until something may be sent, and returns it, or None to send nothing."""


class Post(Generic[T]):
    """The way into one stream."""

    def __init__(self, stream: ObjectSendStream[T]) -> None:
        """Must be made in the loop of `stream`."""
        self._stream = stream
        self._queue: deque[tuple[T | None, Later[T] | None]] = deque()
        self._thread = get_ident()
        self._loop = asyncio.get_running_loop()
        self._news, self._room = anyio.Event(), anyio.Event()
        self._limiter = anyio.CapacityLimiter(1)  # not that of the server's own threads, which may all be busy
        self._busy = self._closing = self._broken = False

    def put(self, item: T) -> None:
        """Send `item` after what was handed in before."""
        self._put(item, None)

    def put_later(self, later: Later[T]) -> None:
        """Send what `later` returns, after what was handed in before; it is called in a thread of ours."""
        self._put(None, later)

    def _put(self, item: T | None, later: Later[T] | None) -> None:
        self._queue.append((item, later))
        if get_ident() == self._thread:
            self._news.set()
        else:
            with suppress(RuntimeError):  # the loop has ended, and nobody is sent anything
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._news.set()

    async def pass_on(self) -> None:
        """Send what waits for nothing; then wait until there is room for more."""
        while self._queue and not self._busy and self._queue[0][1] is None:
            await self._send()
        await self.room()

    async def room(self) -> None:
        """Wait until there is room for more."""
        while len(self._queue) > QUEUED:
            if self._room.is_set():
                self._room = anyio.Event()
            await self._room.wait()

    async def work(self) -> None:
        """Send what is handed in, until `close`; then close the stream."""
        async with self._stream:
            while not self._closing or self._queue or self._busy:
                if self._queue and not self._busy:
                    await self._send()
                elif self._news.is_set():
                    self._news = anyio.Event()
                else:
                    await self._news.wait()

    def close(self) -> None:
        """End `work` once all that was handed in is sent."""
        self._closing = True
        self._news.set()

    async def _send(self) -> None:
        self._busy = True
        item, later = self._queue.popleft()
        try:
            if later is not None:
                item = await anyio.to_thread.run_sync(later, limiter=self._limiter)
            if item is not None and not self._broken:
                await self._stream.send(item)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            self._broken = True
        finally:
            self._busy = False
            self._news.set()
            self._room.set()
