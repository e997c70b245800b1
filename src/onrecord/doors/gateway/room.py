# SPDX-License-Identifier: Apache-2.0
"""How much is open at once: requests, and bytes of their bodies; of all callers, and of one.

A caller is a person, else an address (`doors/callers.py`). One that takes all of its share leaves room for the others.
For the event loop's thread.
"""

from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from onrecord.doors.callers import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """What may be open at once. A body is held until its request is answered."""

    requests: int
    requests_of_one: int
    body_bytes: int
    body_bytes_of_one: int


class Room:
    """What is open now."""

    def __init__(self, most: Most) -> None:
        self._most = most
        self._requests: Counter[Caller] = Counter()
        self._bytes: Counter[Caller] = Counter()
        self._all_bytes = 0

    def enter(self, caller: Caller) -> "Guest | None":
        """Let in one more request of a caller; None where it has as many as it may."""
        if self._requests[caller] >= self._most.requests_of_one:
            return None
        self._requests[caller] += 1
        return Guest(self, caller)

    def hold(self, caller: Caller, size: int) -> bool:
        """Say whether there is room for `size` more bytes, and count them where there is."""
        of_one = self._bytes[caller] + size
        if of_one > self._most.body_bytes_of_one or self._all_bytes + size > self._most.body_bytes:
            return False
        self._bytes[caller] = of_one
        self._all_bytes += size
        return True

    def leave(self, caller: Caller, size: int) -> None:
        """Forget a request, and the `size` bytes that were held for it."""
        self._all_bytes -= size
        self._bytes[caller] -= size
        self._requests[caller] -= 1
        if not self._requests[caller]:
            del self._requests[caller], self._bytes[caller]


class Guest:
    """One request that was let in; it leaves at the end of `with`."""

    def __init__(self, room: Room, caller: Caller) -> None:
        self._room = room
        self._caller = caller
        self._size = 0

    def hold(self, size: int) -> bool:
        """Say whether there is room for `size` more bytes of the request's body."""
        held = self._room.hold(self._caller, size)
        self._size += size if held else 0
        return held

    def __enter__(self) -> "Guest":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.leave(self._caller, self._size)
