# SPDX-License-Identifier: Apache-2.0
"""Uvicorn's HTTP, but what it writes in one turn of the loop leaves together: the head and the body of an answer.

Each small write is a system call, a packet, and a time that the client wakes.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

ENOUGH = 64 * 1024  # bytes that leave at once, so that the transport can say whether the client takes them


class Together(H11Protocol):
    """One connection of a client."""

    _gathering: "_Gathering"

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a connection."""
        self._gathering = _Gathering(transport)
        super().connection_made(self._gathering)

    def on_response_complete(self) -> None:
        """Let the end of an answer go at once."""
        self._gathering.flush()
        super().on_response_complete()


class _Gathering(asyncio.Transport):
    """A transport that holds what is written until the next turn of the loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._to = transport
        self._held: list[bytes] = []
        self._bytes = 0
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(bytes(data))
        self._bytes += len(data)
        if self._bytes >= ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            data = b"".join(self._held)
            self._held.clear()
            self._bytes = 0
            self._to.write(data)

    def close(self) -> None:
        self.flush()
        self._to.close()

    def abort(self) -> None:
        self._held.clear()
        self._to.abort()

    def is_closing(self) -> bool:
        return self._to.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._to.get_extra_info(name, default)

    def is_reading(self) -> bool:
        return self._to.is_reading()

    def pause_reading(self) -> None:
        self._to.pause_reading()

    def resume_reading(self) -> None:
        self._to.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._to.get_write_buffer_size() + self._bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._to.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._to.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._to.get_protocol()

    def can_write_eof(self) -> bool:
        return self._to.can_write_eof()

    def write_eof(self) -> None:
        self.flush()
        self._to.write_eof()
