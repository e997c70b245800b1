# SPDX-License-Identifier: Apache-2.0
"""One relay, reached from the event loop: what it does runs in a few threads, for a guard may wait for a disk.

Messages of one relay go through it one by one, each way; relays don't wait for each other.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from onrecord.doors.relay import Relay
from onrecord.doors.ways import Route
from onrecord.doors.wire import Message

THREADS = 32  # each may wait for one flush of the disk, which settles all that wait for it

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Pool:
    """The threads that guard work runs in."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="onrecord-guard")

    async def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return what `work` returns. It goes on where the caller is cancelled meanwhile."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._threads, lambda: work(*args, **kwargs)))

    def close(self) -> None:
        """Let what runs end, and take nothing more."""
        self._threads.shutdown(cancel_futures=True)


class Talk:
    """One relay, and the order of what goes through it."""

    def __init__(self, relay: Relay, pool: Pool) -> None:
        self.relay = relay
        self.pool = pool
        self._up, self._down = asyncio.Lock(), asyncio.Lock()

    async def from_client(self, message: Message, line: bytes, route: Route) -> None:
        """Judge a message of the client. Raises MessageRefused."""
        async with self._up:
            await self.pool.run(self.relay.take, message, line, route)

    async def from_server(self, line: bytes, route: Route) -> None:
        """Judge a message of the server."""
        async with self._down:
            await self.pool.run(self.relay.from_server, line, route)
