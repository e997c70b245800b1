# SPDX-License-Identifier: Apache-2.0
"""What is open on one side of a connection: the calls that were made, the quiet requests, what was closed lately."""

from collections import OrderedDict
from dataclasses import dataclass, field

from onrecord.doors import protocol
from onrecord.doors.rounds import Taken
from onrecord.doors.ways import Route, Way
from onrecord.doors.wire import Request
from onrecord.event.call import Direction, Outcome, RequestId
from onrecord.permits import Permit

GRACE_S = 2.0  # how long a cancelled call may still answer before it is closed as cancelled
REMEMBERED = 1_000  # closed calls whose late answers are still recognised


@dataclass(slots=True)
class Open:
    """A call that waits for its answer."""

    permit: Permit
    request: Request
    route: Route
    expires: float  # by time.monotonic(); a sign of progress moves it
    cancelled_at: float | None = None
    timed_out: bool = False  # by the client's own word
    answered: bool = False  # by us, in place of the peer

    def ending(self, status: Outcome, error_type: str) -> tuple[Outcome, str]:
        """Return how it ended without an answer: as its asker gave it up, else as `status`, for `error_type`."""
        if self.cancelled_at is None:
            return status, error_type
        return "timed_out" if self.timed_out else "cancelled", ""


@dataclass(slots=True)
class Side:
    """The requests of one side that wait for the other side's answer."""

    direction: Direction
    calls: dict[RequestId, Open] = field(default_factory=dict[RequestId, Open])
    quiet: dict[RequestId, Request] = field(default_factory=dict[RequestId, Request])
    closed: OrderedDict[RequestId, Open] = field(default_factory=OrderedDict[RequestId, Open])

    def answered(self, request_id: RequestId, by: Way) -> Open | None:
        """Return the call that `by` may answer, and take it out; None where none is open for it."""
        call = self.calls.get(request_id)
        if call is not None and call.route.own and call.route.onward is not by:
            return None
        return self.calls.pop(request_id, None)

    def extend(self, token: object, expires: float) -> None:
        """Give the calls of which `token` reports progress until `expires`."""
        for call in self.calls.values():
            if token is not None and protocol.meta_of(call.request.params).get("progressToken") == token:
                call.expires = expires

    def take_due(self, now: float) -> list[Open]:
        """Return the calls that were cancelled, or that nobody answered in time; they are closed from now on."""
        due = [
            call
            for call in self.calls.values()
            if now > call.expires or (call.cancelled_at is not None and now > call.cancelled_at + GRACE_S)
        ]
        for call in due:
            call.answered = call.cancelled_at is None
            self.closed[call.request.id] = self.calls.pop(call.request.id)
            if len(self.closed) > REMEMBERED:
                self.closed.popitem(last=False)
        return due


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is a call, the line that is forwarded where it may run, and its ways.

    `taken` is what both are made of, where an answer to a question of ours came with the request.
    """

    request: Request
    onward: bytes
    size_bytes: int
    side: Side
    taken: Taken | None
    route: Route
