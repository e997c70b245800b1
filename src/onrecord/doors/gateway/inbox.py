# SPDX-License-Identifier: Apache-2.0
"""What the relay's threads hand to the coroutine of one exchange, in the order in which they hand it over.

Handing over costs no system call unless the coroutine sleeps.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from threading import get_ident

from onrecord.doors.event_stream import Frame
from onrecord.doors.ways import Ready

FEW = 4  # items that may wait while more of an answer is read


@dataclass(frozen=True, slots=True)
class Item:
    """A line on its way: `onward` to the server, else to the client; what came as `frame` may go as that.

    Without a line, the frame holds no message.
    """

    line: bytes | Ready | None
    last: bool
    onward: bool
    frame: Frame | None = None


class Inbox:
    """Items from any thread to one coroutine."""

    def __init__(self) -> None:
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        self._items: deque[Item] = deque()
        self._sleeping = False
        self._something, self._room = asyncio.Event(), asyncio.Event()
        self.answered = False  # the last item for the client is in, or was

    def put(self, item: Item) -> None:
        """Hand an item over."""
        if item.last and not item.onward:
            self.answered = True
        self._items.append(item)
        if self._sleeping:
            if get_ident() == self._thread:
                self._something.set()
            else:
                self._loop.call_soon_threadsafe(self._something.set)

    def wake(self) -> None:
        """Let who waits look again; for the loop's own thread."""
        self._something.set()

    def take(self) -> Item | None:
        """Return the next item, None where there is none."""
        self._room.set()
        return self._items.popleft() if self._items else None

    def __bool__(self) -> bool:
        return bool(self._items)

    async def wait(self, limit_s: float) -> bool:
        """Return once there is an item or somebody woke us, or after `limit_s`, and then False."""
        self._sleeping = True  # and only then is looked whether something came before
        try:
            if not self._items:
                async with asyncio.timeout(limit_s):
                    await self._something.wait()
        except TimeoutError:
            return False
        finally:
            self._sleeping = False
            self._something.clear()
        return True

    async def room(self) -> None:
        """Return once what waits has been taken, but for a few items."""
        while len(self._items) > FEW:
            self._room.clear()
            await self._room.wait()


class ToClient:
    """The way to the client of one exchange; over it goes what the server said in `frame`, where it was in one."""

    __slots__ = ("_frame", "_inbox")

    def __init__(self, inbox: Inbox, frame: Frame | None = None) -> None:
        self._inbox = inbox
        self._frame = frame

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line after those before it."""
        self._inbox.put(Item(line, last, False, self._frame))


class ToServer:
    """The way to the server of one exchange."""

    __slots__ = ("_inbox",)

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line after those before it."""
        self._inbox.put(Item(line, last, True))
