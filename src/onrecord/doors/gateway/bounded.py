# SPDX-License-Identifier: Apache-2.0
"""Uvicorn's HTTP, with what it lacks: limits of time for a request and for its answer, and its refusals on the record.

A client that sends its head byte by byte would hold a connection for good, and so would one that does not read its
answer. What is no HTTP never becomes a request, so the app does not hear of it. While a request is worked on, what its
client sends ahead (pipelining) is not kept: reading would have to stop, and nobody would see that the client goes.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import h11

from onrecord.doors.gateway.together import Together
from onrecord.doors.http_access import TurnedAway
from onrecord.doors.http_kinds import Kind
from onrecord.doors.http_telling import Refusals

LEAST = 64 * 1024  # bytes that a client must take of a long answer in the time that it has for the next of them

_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Seconds for a head and for the next bytes of an answer; connections at once, of all and of one address."""

    read_s: float
    write_s: float
    most: int
    most_of_one: int


def bounded(refused: Refusals, bounds: Bounds) -> type[asyncio.Protocol]:
    """Return the protocol that keeps to `bounds`, and tells `refused` of who does not."""

    counted = Counter[str]()

    class Told(Bounded):
        limits = bounds
        told = refused
        by_address = counted

    return Told


class Bounded(Together):
    """One connection of a client."""

    limits: Bounds
    told: Refusals
    by_address: Counter[str]
    _awaited: Literal["", "head", "rest"] = ""  # of a request; the rest of one is what comes after its answer
    _timer: asyncio.TimerHandle | None = None
    _unread: int = 0  # bytes, when it was last looked at
    _unread_timer: asyncio.TimerHandle | None = None
    _deaf = False  # nothing more that comes counts

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a connection, if there is room."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that we hear of each byte that the client does not take
        self.by_address[self._peer()] += 1
        if len(self.connections) > self.limits.most or self.by_address[self._peer()] > self.limits.most_of_one:
            self._tell(503, "busy", "as many connections are open as may be")
            transport.close()
        else:
            self._await("head")

    def data_received(self, data: bytes) -> None:
        """Read on; the head of the next request must come in time, and the rest of one that is answered already."""
        if self._deaf or self._is_whole():
            self._hear_no_more()
            return
        super().data_received(data)
        if self._is_whole() and self.conn.trailing_data[0]:
            self._hear_no_more()
        state = self.conn.their_state
        if state is h11.SEND_BODY and not self._is_open():
            self._await("rest")
        else:
            self._await("head" if state is h11.IDLE and self.conn.trailing_data[0] else "")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._await("")
        self._stop_watching()
        self.by_address[self._peer()] -= 1
        if not self.by_address[self._peer()]:
            del self.by_address[self._peer()]
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give the client time to take what is written."""
        super().pause_writing()
        self._stop_watching()
        self._watch()

    def resume_writing(self) -> None:
        """Take it that the client has taken all."""
        self._stop_watching()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Turn away what is no HTTP; within a request, by closing the connection."""
        self._await("")
        self._tell(400, "malformed_request", "what came is no HTTP")
        state, self._deaf = self.conn.our_state, True
        if self._is_open():
            self.cycle.disconnected = True  # to whoever works on it: there is nobody to answer
            self.cycle.message_event.set()
        if state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    # what came before its time

    def _is_open(self) -> bool:
        """Say whether there is a request that has no whole answer yet."""
        return bool(self.cycle) and not self.cycle.response_complete

    def _is_whole(self) -> bool:
        """Say whether there is one, and it has come to its end."""
        return self._is_open() and self.conn.their_state not in (h11.IDLE, h11.SEND_BODY, h11.ERROR)

    def _hear_no_more(self) -> None:
        """Close the connection after the answer, and go on reading: that is how we hear that the client goes."""
        self.flow.resume_reading()
        if self._deaf:
            return
        self._deaf = True
        self.cycle.keep_alive = False
        if not self.cycle.response_started:
            self.cycle.default_headers = [*self.cycle.default_headers, _CLOSE]
        self._tell(400, "pipelined", "a request came before the answer to the one before it, and is not answered")

    # what takes too long

    def _await(self, what: Literal["", "head", "rest"]) -> None:
        if what == self._awaited:
            return
        if self._timer is not None:
            self._timer.cancel()
        closing = self.transport.is_closing()
        self._awaited = "" if closing else what
        self._timer = self.loop.call_later(self.limits.read_s, self._late) if self._awaited else None

    def _late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self._tell(408, "too_slow", f"a request did not come within {self.limits.read_s:g} s")
            self.transport.close()

    def _watch(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(self.limits.write_s, self._look)

    def _look(self) -> None:
        """Cut the answer off unless enough of it was taken meanwhile."""
        if self._unread - self.transport.get_write_buffer_size() >= LEAST:
            self._watch()
            return
        self._unread_timer = None
        self._tell(408, "too_slow", f"an answer was not taken within {self.limits.write_s:g} s, and is cut off")
        self.transport.abort()

    def _stop_watching(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _tell(self, status: int, error_type: Kind, reason: str) -> None:
        away = TurnedAway(status=status, error_type=error_type, reason=reason)
        self.loop.run_in_executor(None, self.told.turned_away, away, self._peer())

    def _peer(self) -> str:
        return self.client[0] if self.client else ""
