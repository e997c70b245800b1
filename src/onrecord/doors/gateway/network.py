# SPDX-License-Identifier: Apache-2.0
"""TCP and TLS for httpcore2, on the event loop's own transports: what comes is kept until it is read.

Its own backend asks the operating system to look at a socket, and no longer to, with every read. Head and body of a
request leave together here: two small writes cost two packets, and two turns of the loop.
"""

import asyncio
import errno
import os
import re
import select
import socket
import ssl
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, cast

import httpcore2

from onrecord.errors import plainly

KEPT = 256 * 1024  # bytes that nobody has read; past this the server has to wait
_NUMBER = re.compile(r"\[Errno (\d+)\]")
_UNKNOWN = (18, 19, 20, 21)  # of OpenSSL: what a certificate is signed by is not believed
_STAGGER_S = 0.25  # between attempts at the addresses of one name (RFC 8305, 5)


class Network(httpcore2.AsyncNetworkBackend):
    """Opens connections. What is being opened goes on where nobody waits: asyncio would lose sight of the socket."""

    def __init__(self) -> None:
        self._unwanted: set[asyncio.Task[Stream]] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as in its interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "Stream":
        """Return a connection. Raises ConnectError or ConnectTimeout."""
        opening = asyncio.create_task(_opened(host, port, timeout))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._unwanted.add(opening)
            opening.add_done_callback(self._let_go)
            raise

    def _let_go(self, opening: "asyncio.Task[Stream]") -> None:
        """Close a connection for which nobody waits any longer."""
        self._unwanted.discard(opening)
        if not opening.cancelled() and opening.exception() is None:
            opening.result().abort()


class Stream(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    """One connection. One task reads at a time, and one writes."""

    _transport: asyncio.Transport
    _poll: Callable[[int], list[tuple[int, int]]]

    def __init__(self) -> None:
        self._head = b""
        self._kept = bytearray()
        self._paused = self._full = self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it that there is a connection."""
        self._transport = cast(asyncio.Transport, transport)
        poll = select.poll()
        poll.register(transport.get_extra_info("socket"), select.POLLIN)
        self._poll = poll.poll

    def data_received(self, data: bytes) -> None:
        """Keep what came."""
        self._kept += data
        if len(self._kept) > KEPT and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> None:
        """Take it that nothing more comes; the transport then closes itself."""
        self._ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take it that the connection is gone."""
        self._ended, self._error = True, exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """Let who writes wait."""
        self._full = True

    def resume_writing(self) -> None:
        """Let who writes go on."""
        self._full = False
        _wake(self._writer)

    # what httpcore2 calls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return bytes as they come, none at the end. Raises ReadError or ReadTimeout."""
        if not self._kept and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            with _failing(httpcore2.ReadTimeout, httpcore2.ReadError):
                await _within(self._reader, timeout)
        if not self._kept and self._error is not None:
            raise httpcore2.ReadError(str(self._error))
        given = bytes(self._kept[:max_bytes])
        del self._kept[:max_bytes]
        if self._paused and len(self._kept) <= KEPT:
            self._paused = False
            self._transport.resume_reading()
        return given

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send bytes; the head of a request only with what follows, as something always does, if nothing in it.

        Raises WriteError or WriteTimeout.
        """
        if not self._head and buffer.endswith(b"\r\n\r\n") and b" HTTP/1.1\r\n" in buffer:
            self._head = buffer
            return
        head, self._head = self._head, b""
        if self._ended:
            raise httpcore2.WriteError("the server has closed the connection")
        self._transport.write(head + buffer if head else buffer)
        while self._full and not self._ended:
            self._writer = asyncio.get_running_loop().create_future()
            with _failing(httpcore2.WriteTimeout, httpcore2.WriteError):
                await _within(self._writer, timeout)

    async def aclose(self) -> None:
        """Close it, whatever has not been sent."""
        self.abort()

    def abort(self) -> None:
        """Close it."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> "Stream":
        """Go on in TLS. Raises ConnectError or ConnectTimeout; also where something came before, from anybody."""
        loop = asyncio.get_running_loop()
        try:
            with _failing(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                if self._kept:
                    raise ConnectionAbortedError("the server speaks before TLS")
                async with asyncio.timeout(timeout):
                    secure = await loop.start_tls(self._transport, self, ssl_context, server_hostname=server_hostname)
                    if secure is None:
                        raise ConnectionResetError("the server has closed the connection")
        except BaseException:
            self._transport.abort()
            raise
        self._transport = secure
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection; `is_readable`: there is something to read, or the end."""
        if info == "is_readable":
            return bool(self._kept) or self._ended or bool(self._poll(0))
        return self._transport.get_extra_info(info)


async def _opened(host: str, port: int, limit_s: float | None) -> Stream:
    loop = asyncio.get_running_loop()
    with _failing(httpcore2.ConnectTimeout, httpcore2.ConnectError):
        async with asyncio.timeout(limit_s):
            _, stream = await loop.create_connection(Stream, host, port, happy_eyeballs_delay=_STAGGER_S)
    return stream


@contextmanager
def _failing(timed_out: type[Exception], failed: type[Exception]) -> Generator[None]:
    """Turn the failures of sockets and of TLS into those of httpcore2."""
    try:
        yield
    except TimeoutError as e:
        raise timed_out(str(e)) from e
    except OSError as e:  # ssl.SSLError is one, too
        raise failed(_why(e)) from e


def _why(error: OSError) -> str:
    """Return why a connection failed, in words. asyncio puts those of several addresses into one text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; if its authority is your own, SSL_CERT_FILE names a file with it and all others to believe"
        return f"its certificate does not hold: {error.verify_message}{hint if error.verify_code in _UNKNOWN else ''}"
    if isinstance(error, ssl.SSLError):
        return f"it cannot be spoken to in private: {error.reason or type(error).__name__}"
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return "who knows the address of that name cannot be asked just now"
    if isinstance(error, socket.gaierror):
        return "nobody knows an address of that name"
    numbers = [error.errno] if error.errno else [int(each) for each in _NUMBER.findall(str(error))]
    said = " and ".join(dict.fromkeys(os.strerror(each).lower() for each in numbers)) or plainly(error)
    return f"{said}: does it run there?" if errno.ECONNREFUSED in numbers else said


async def _within(future: asyncio.Future[None], limit_s: float | None) -> None:
    if limit_s is None:
        await future
        return
    async with asyncio.timeout(limit_s):
        await future


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
