# SPDX-License-Identifier: Apache-2.0
"""How lines get to a peer: a way for each peer and, for each message, the two ways that it concerns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from onrecord.event.call import NOTHING, Raw, Sender
from onrecord.event.event import Event

Ready: TypeAlias = Callable[[], bytes | None]
"""Waits until a line may go, and returns it, or another in its place, or None to send nothing."""


class Way(Protocol):
    """The way to one peer. Lines sent over it arrive in order, and sending one waits for nothing but the peer."""

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Send a line after those before it. The `last` one answers the request that the way was opened for."""
        ...


class Kept:
    """A way that keeps what is sent."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[bytes | Ready] = []

    def send(self, line: bytes | Ready, *, last: bool = False) -> None:
        """Keep a line."""
        self.lines.append(line)


@dataclass(frozen=True, slots=True)
class Route:
    """The ways of one message: `back` to who sent it, `onward` to the other peer.

    `sender` is who sent it over a network, None where it came from this machine. `own`: it goes no further than here,
    and nobody but `onward` answers it. `told` is what a handler in this process adds to the record with its answer.
    `decided` gets the attempt of a call once it was decided on, from whichever thread that is.
    """

    back: Way
    onward: Way
    sender: Sender | None = None
    own: bool = False
    told: Raw = NOTHING
    decided: Callable[[Event], None] | None = None
