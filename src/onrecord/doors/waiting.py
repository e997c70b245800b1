# SPDX-License-Identifier: Apache-2.0
"""Calls that wait for an approval, each without a thread of its own; one thread looks at how their requests stand.

It may be that of many connections (`threads.py`). A wait is over once, by what comes first: the decision,
the end of its time, a cancellation, the end of the connection. What comes while a call is being decided on again
wins over that decision: the approval is used up then, and the call is not made.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from typing import Generic, Protocol, TypeVar

from onrecord.approving import Look
from onrecord.doors.threads import Looker
from onrecord.event.call import Direction, RequestId
from onrecord.event.event import ResultStatus
from onrecord.permits import Held, Permit, Refusal

SETTLE_S = 10.0  # a decision and its record each have a shorter deadline of their own

_GOES_ON: frozenset[Look] = frozenset({"pending", "escalated"})

_T = TypeVar("_T")


@dataclass(slots=True)
class Wait(Generic[_T]):
    """A call that waits; `what` is what its door needs to make it."""

    held: Held
    direction: Direction
    request_id: RequestId
    what: _T
    until: float  # by time.monotonic()
    deciding: bool = False
    ended_as: ResultStatus = ""  # by what came while it was decided on again


class Door(Protocol[_T]):
    """What has calls wait here. Each function is called in the thread that looks."""

    def look(self, wait: Wait[_T]) -> Look:
        """Return how the request of a call stands now."""
        ...

    def resume(self, wait: Wait[_T]) -> Permit | Refusal | None:
        """Decide on a call that was approved once more. None where that was answered already."""
        ...

    def forward(self, wait: Wait[_T], permit: Permit) -> None:
        """Make the call, without waiting for anything. Nothing else happens to the call meanwhile."""
        ...

    def deny(self, wait: Wait[_T], refusal: Refusal) -> None:
        """Answer a call that is not made."""
        ...

    def drop(self, wait: Wait[_T], permit: Permit) -> None:
        """Record the end of a call that might have been made, and is not."""
        ...

    def over(self, wait: Wait[_T], look: Look) -> None:
        """Record and answer a call for which nobody waits any longer, by how its request stands."""
        ...


class Waiting(Generic[_T]):
    """The calls of one connection that wait."""

    def __init__(self, door: Door[_T], looker: Looker, failed: Callable[[Exception], None]) -> None:
        """`looker` looks; `failed` is told of a defect of ours; then nothing that waits is made."""
        self._door = door
        self._looker = looker
        self._failed = failed
        self._cond = Condition()
        self._waits: dict[tuple[Direction, RequestId], Wait[_T]] = {}
        self._watched = False
        self._closed = False
        self._deciding = 0

    def __bool__(self) -> bool:
        return bool(self._waits)

    def __contains__(self, key: tuple[Direction, RequestId]) -> bool:
        return key in self._waits

    def add(self, wait: Wait[_T]) -> bool:
        """Have a call wait, and say whether it does: nothing waits on a connection that has ended."""
        with self._cond:
            if self._closed:
                return False
            self._waits[wait.direction, wait.request_id] = wait
            if not self._watched:
                self._watched = True
                self._looker.watch(self._look_on)
        return True

    def take(self, direction: Direction, request_id: RequestId, status: ResultStatus) -> tuple[bool, Wait[_T] | None]:
        """Say whether a call waits, and end its wait as `status`; return it where its end is still to be recorded."""
        with self._cond:
            wait = self._waits.get((direction, request_id))
            return wait is not None, None if wait is None else self._ended(wait, status)

    def close(self, status: ResultStatus) -> list[Wait[_T]]:
        """End all waits as `status`, and take no further ones; return those whose end is still to be recorded.

        The end of one that is being decided on is recorded when this returns, or could not be in time.
        """
        with self._cond:
            self._closed = True
            waits = [self._ended(wait, status) for wait in list(self._waits.values())]
            self._cond.notify_all()
            self._cond.wait_for(lambda: not self._deciding, SETTLE_S)
        return [wait for wait in waits if wait is not None]

    def wake(self) -> None:
        """Look at once: something was decided."""
        self._looker.wake()

    def look(self) -> None:
        """Look once at how each request stands."""
        with self._cond:
            waits = [wait for wait in self._waits.values() if not wait.deciding]
        for wait in waits:
            look = self._door.look(wait)
            if look == "approved":
                self._decide(wait)
            elif (look not in _GOES_ON or time.monotonic() > wait.until) and self._remove(wait):
                self._door.over(wait, look)

    def _decide(self, wait: Wait[_T]) -> None:
        with self._cond:
            if wait.deciding or self._waits.get((wait.direction, wait.request_id)) is not wait:
                return
            wait.deciding = True
            self._deciding += 1
        try:
            self._settle(wait, self._door.resume(wait))
        finally:
            with self._cond:
                self._deciding -= 1
                self._cond.notify_all()

    def _settle(self, wait: Wait[_T], given: Permit | Refusal | None) -> None:
        with self._cond:
            if self._waits.get((wait.direction, wait.request_id)) is wait:
                del self._waits[wait.direction, wait.request_id]
            if isinstance(given, Permit) and not wait.ended_as:
                self._door.forward(wait, given)
                return
        if isinstance(given, Permit):
            self._door.drop(wait, given)
        elif given is not None:
            self._door.deny(wait, given)

    def _ended(self, wait: Wait[_T], status: ResultStatus) -> Wait[_T] | None:
        """End a wait as `status`; one that is being decided on ends when that has come to an end."""
        wait.ended_as = wait.ended_as or status
        if wait.deciding:
            return None
        del self._waits[wait.direction, wait.request_id]
        return wait

    def _remove(self, wait: Wait[_T]) -> bool:
        with self._cond:
            here = not wait.deciding and self._waits.get((wait.direction, wait.request_id)) is wait
            if here:
                del self._waits[wait.direction, wait.request_id]
            return here

    def _look_on(self) -> bool:
        """Look once, and say whether something waits on; after a defect nothing is looked at any more."""
        try:
            self.look()
        except Exception as e:  # noqa: BLE001  # the top of what a thread does
            self._failed(e)
            return False
        with self._cond:
            self._watched = bool(self._waits)
            return self._watched
