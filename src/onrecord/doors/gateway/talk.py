# SPDX-License-Identifier: Apache-2.0
"""One relay, reached from the event loop: what it does runs in a few threads, for a guard may wait for a disk.

What is brief runs in the loop's own thread: the way to another and back costs more than that itself. Should such work
take long after all, as where another process keeps the ledger, threads do it for a while.

Messages of one relay go through it one by one, each way; relays don't wait for each other.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from onrecord.doors.gateway.brevity import Brevity
from onrecord.doors.relay import Relay
from onrecord.doors.ways import Route
from onrecord.doors.wire import Message

THREADS = 32  # each may wait for one flush of the disk, which settles all that wait for it
BRIEF_BYTES = 16 * 1024  # of a message; past this it takes milliseconds to judge, which all others would wait for
LONG_S = 0.1  # what took longer was not brief; once may be the machine's doing, twice running is not
HELD_S = 0.5  # what took longer waited for a lock, and what comes next would, too
PAUSE = 100  # times as long threads do it then, so that the loop waits for at most so small a part of its time

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Pool:
    """The threads that guard work runs in."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="onrecord-guard")
        self._paused_until, self._long_s = 0.0, 0.0

    async def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `work` returns. It goes on where the caller is cancelled meanwhile."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._threads, lambda: work(*args, **kwargs)))

    async def run_brief(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """As `run`, for what waits for nothing but the ledger's lock; in the loop's thread, while that goes quickly."""
        began = time.monotonic()
        if began < self._paused_until:
            return await self.run(work, *args, **kwargs)
        try:
            return work(*args, **kwargs)
        finally:
            ended = time.monotonic()
            before, self._long_s = self._long_s, ended - began
            if min(before, self._long_s) > LONG_S or self._long_s > HELD_S:
                self._paused_until = ended + self._long_s * PAUSE

    def close(self) -> None:
        """Let what runs end, and take nothing more."""
        self._threads.shutdown(cancel_futures=True)


class Talk:
    """One relay, and the order of what goes through it."""

    def __init__(self, relay: Relay, pool: Pool, brevity: Brevity) -> None:
        self.relay = relay
        self.pool = pool
        self.brevity = brevity
        self._up, self._down = asyncio.Lock(), asyncio.Lock()

    async def from_client(self, message: Message, line: bytes, route: Route, *, brief: bool) -> None:
        """Judge a message of the client; `brief` says that it is likely to wait for nothing. Raises MessageRefused."""
        run = self.pool.run_brief if brief and len(line) <= BRIEF_BYTES else self.pool.run
        async with self._up:
            await run(self.relay.take, message, line, route)

    async def from_server(self, line: bytes, route: Route, *, brief: bool) -> None:
        """Judge a message of the server; `brief` says that it answers a request to which that applied."""
        run = self.pool.run_brief if brief and len(line) <= BRIEF_BYTES else self.pool.run
        async with self._down:
            await run(self.relay.from_server, line, route)
