# SPDX-License-Identifier: Apache-2.0
"""Uvicorn's HTTP, with what it lacks: a limit of time for the head of a request, and its own refusals on the record.

A client that sends its head byte by byte would hold a connection for good. What is no HTTP never becomes a request, so
the app does not hear of it.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from onrecord.doors.http_access import TurnedAway
from onrecord.doors.http_kinds import Kind
from onrecord.doors.http_telling import Refusals


def bounded(refused: Refusals, *, head_s: float, most: int) -> type[asyncio.Protocol]:
    """Return the protocol that takes `head_s` for the head of a request, and `most` connections at once."""

    class Told(Bounded):
        limits = head_s, most
        told = refused

    return Told


class Bounded(H11Protocol):
    """One connection of a client."""

    limits: tuple[float, int]
    told: Refusals
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take a connection, if there is room."""
        super().connection_made(transport)
        head_s, most = self.limits
        if len(self.connections) > most:
            self._tell(503, "busy", "as many connections are open as may be")
            transport.close()
        else:
            self._timer = self.loop.call_later(head_s, self._late)

    def data_received(self, data: bytes) -> None:
        """Read on; the head of the next request must come in time, and the rest of one that is answered already."""
        super().data_received(data)
        state, answered = self.conn.their_state, bool(self.cycle) and self.cycle.response_complete
        if state is not h11.IDLE and not (answered and state is h11.SEND_BODY):
            self._stop()
        elif self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(self.limits[0], self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Turn away what is no HTTP; within a request, by closing the connection."""
        self._stop()
        self._tell(400, "malformed_request", "what came is no HTTP")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self._tell(408, "too_slow", f"a request did not come within {self.limits[0]:g} s")
            self.transport.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, status: int, error_type: Kind, reason: str) -> None:
        away = TurnedAway(status=status, error_type=error_type, reason=reason)
        peer = self.client[0] if self.client else ""
        self.loop.run_in_executor(None, self.told.turned_away, away, peer)
