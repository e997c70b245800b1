# SPDX-License-Identifier: Apache-2.0
"""The gateway's process: where it listens, what goes on beside the requests, and how it ends.

The first signal ends it in order: no new connection, no new request, streams without a call are closed; calls that are
open may go on for a while, and are then closed on the record. A second one ends it at once, and closes them all the
same.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from typing import Any

import uvicorn

from onrecord.doors.gateway.app import Gateway
from onrecord.doors.gateway.bounded import Bounds, bounded
from onrecord.doors.gateway.served import GONE, Served
from onrecord.doors.gateway.talk import Pool
from onrecord.doors.http_telling import Refusals
from onrecord.errors import CommandError, plainly

SWEEP_S = 0.5  # between two looks at calls that nobody answers
LAST_S = 2.0  # for answers to calls that were closed at the end
MAX_HEAD = 64 * 1024  # bytes of the head of a request
KEPT_S = 75  # an idle connection of a client
BACKLOG = 2048
AHEAD = 128 * 1024  # bytes of an answer that wait in the system, which says no more of a client that takes few of them
SPARE = 1_000  # connections without a request, beside those with one; half of them no address takes alone


def listening_at(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises CommandError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sends small pieces at once (TCP_NODELAY) over such sockets alone.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, AHEAD)  # each connection has it too
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as e:
        listening.close()
        raise CommandError(f"cannot listen at {host}:{port}: {plainly(e)}", 2) from e
    return listening


class Serving:
    """One process that serves."""

    def __init__(
        self,
        gateway: Gateway,
        served: Sequence[Served],
        refused: Refusals,
        pool: Pool,
        *,
        max_open: int,
        read_timeout_s: float,
        write_timeout_s: float,
        drain_s: float,
        failed: Callable[[Exception], None],
    ) -> None:
        """`failed` is told of a defect of ours."""
        self._gateway = gateway
        self._served = served
        self._refused = refused
        self._pool = pool
        self._drain_s = drain_s
        self._failed = failed
        self._ending, self._forced = asyncio.Event(), asyncio.Event()
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # what it would say is on the record
        most = max_open + SPARE
        bounds = Bounds(read_s=read_timeout_s, write_s=write_timeout_s, most=most, most_of_one=most - SPARE // 2)
        config = uvicorn.Config(
            gateway,
            http=bounded(refused, bounds),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEPT_S,
            timeout_graceful_shutdown=int(drain_s + LAST_S) + 1,
            h11_max_incomplete_event_size=MAX_HEAD,
        )
        self._server = _Server(config)

    def heed_signals(self) -> None:
        """Have each signal to end do so in order, from here on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.end)

    async def run(self, listening: socket.socket) -> None:
        """Serve until a signal says to end."""
        asyncio.get_running_loop().set_exception_handler(self._tell_of)
        beside = [asyncio.create_task(self._sweep()), asyncio.create_task(self._end_in_order())]
        try:
            await self._server.serve([listening])
        finally:
            for task in beside:
                task.cancel()
            await self._close_all()
            for served in self._served:
                await served.upstream.close()

    def end(self) -> None:
        """End in order; at once where that was said before."""
        if self._ending.is_set():
            self._server.force_exit = True
            self._forced.set()
        self._gateway.ending = True
        self._ending.set()
        self._server.should_exit = True

    def _tell_of(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell of what asyncio would print with all that it met."""
        error = context.get("exception")
        self._failed(error if isinstance(error, Exception) else RuntimeError(context["message"]))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            for served in self._served:
                await self._pool.run(_swept, served.live())
                await served.upstream.sweep()
                for session in served.sessions.idle():
                    await self._pool.run(served.end, session)

    async def _end_in_order(self) -> None:
        await self._ending.wait()
        for served in self._served:
            served.stop_listeners()
        ways = [asyncio.create_task(one.wait()) for one in (self._gateway.idle, self._forced)]
        await asyncio.wait(ways, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for served in self._served:
            for relay in served.live():
                await self._pool.run(relay.finish, GONE)

    async def _close_all(self) -> None:
        for served in self._served:
            for relay in served.live():
                await self._pool.run(relay.finish, GONE)
            for session in served.sessions.all():
                await self._pool.run(served.end, session)
        await self._pool.run(self._refused.close)


def _swept(relays: Sequence[Any]) -> None:
    for relay in relays:
        relay.sweep()


class _Server(uvicorn.Server):
    """Uvicorn's, with our own signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield
