# SPDX-License-Identifier: Apache-2.0
"""What is open on one side of a connection: the calls that were made, the quiet requests, what was closed lately."""

from collections import OrderedDict
from dataclasses import dataclass, field

from onrecord.doors.outbox import Outbox
from onrecord.doors.wire import Request
from onrecord.event.call import Direction, RequestId
from onrecord.permits import Permit


@dataclass(slots=True)
class Open:
    """A call that waits for its answer."""

    permit: Permit
    request: Request
    expires: float  # by time.monotonic(); a sign of progress moves it
    cancelled_at: float | None = None
    timed_out: bool = False  # by the client's own word
    answered: bool = False  # by us, in place of the peer


@dataclass(slots=True)
class Side:
    """The requests of one side that wait for the other side's answer."""

    direction: Direction
    asker: Outbox  # the way back to who asked
    answerer: Outbox  # the way to who is asked
    calls: dict[RequestId, Open] = field(default_factory=dict[RequestId, Open])
    quiet: dict[RequestId, Request] = field(default_factory=dict[RequestId, Request])
    closed: OrderedDict[RequestId, Open] = field(default_factory=OrderedDict[RequestId, Open])


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is a call, and the line that is forwarded where it may run."""

    request: Request
    onward: bytes
    size_bytes: int
    side: Side
