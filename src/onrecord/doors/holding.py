# SPDX-License-Identifier: Apache-2.0
"""What becomes of the calls of one connection that wait for an approval: each is made, denied, or given up, once.

When to look is decided in `waiting.py`; what a client is asked itself, in `asking.py`. What was asked for stands when
nobody waits for it any longer, until it expires.
"""

import time
from collections.abc import Callable

from onrecord.approving import Look
from onrecord.doors import going, wire
from onrecord.doors.asking import Asking
from onrecord.doors.conversation import Conversation
from onrecord.doors.sides import Asked
from onrecord.doors.threads import Looker
from onrecord.doors.waiting import Wait, Waiting
from onrecord.errors import NotRecorded
from onrecord.event.call import Direction, Outcome, RequestId
from onrecord.guard import Guard
from onrecord.permits import Held, Permit, Refusal


class Holding:
    """The calls of one connection that wait, and what is done with them."""

    def __init__(
        self,
        guard: Guard,
        conversation: Conversation,
        asking: Asking,
        looker: Looker,
        make: Callable[[Permit, Asked], None],
        answer: Callable[[Refusal, Asked], None],
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        """`make` forwards a call without waiting for anything; `answer` answers one that is not made.

        `looker` looks at what waits. `failed` is told of a defect of ours; then nothing that waits is made.
        """
        self._guard = guard
        self._conversation = conversation
        self._asking = asking
        self._make = make
        self._answer = answer
        self._waiting = Waiting[Asked](self, looker, failed)

    def __contains__(self, key: tuple[Direction, RequestId]) -> bool:
        return key in self._waiting

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def hold(self, held: Held, asked: Asked) -> None:
        """Have a call wait for the decision about it, or answer it with the question, where its client takes that."""
        question = self._asking.in_result(held, asked.request, asked.onward)
        if question is not None:
            asked.route.back.send(question, last=True)
            return
        approving = self._guard.approving
        waits = approving is not None and asked.taken is None  # of one who was asked, nothing more is awaited
        until = time.monotonic() + (approving.terms.wait_s if approving and waits else 0)
        wait = Wait(held, asked.side.direction, asked.request.id, asked, until)
        _, left = self._waiting.take(wait.direction, wait.request_id, "unknown")  # of a server that reuses its ids
        if left is not None:
            self._give_up(left, "unknown")
        version = self._conversation.connection.protocol_version
        asking = self._asking.by_request(held, asked.request, version)  # known before the wait can end, and end it
        if not self._waiting.add(wait):
            self._give_up(wait, "cancelled")
        elif asking is not None:
            asked.route.back.send(asking)

    def wake(self) -> None:
        """Look at once: something was decided."""
        self._waiting.wake()

    def end(self, direction: Direction, request_id: RequestId, status: Outcome) -> bool:
        """Say whether a call waits, and end its wait as `status`."""
        waited, wait = self._waiting.take(direction, request_id, status)
        if wait is not None:
            self._give_up(wait, status)
        return waited

    def close(self) -> list[Asked]:
        """End all waits, and return the calls that nobody has answered."""
        waits = self._waiting.close("cancelled")
        for wait in waits:
            self._give_up(wait, "cancelled")
        return [wait.what for wait in waits]

    # what is done with them; each in the thread that looks

    def look(self, wait: Wait[Asked]) -> Look:
        """Return how the request of a call stands, with what its client has answered."""
        return self._asking.look(wait.held)

    def resume(self, wait: Wait[Asked]) -> Permit | Refusal | None:
        """Decide once more on a call that was approved."""
        asked = wait.what
        self._withdraw(wait)
        try:
            again = self._conversation.call(
                asked.request, asked.size_bytes, asked.side.direction, asked.taken, asked.route.sender
            )
            return self._guard.resume(wait.held, again)
        except NotRecorded as e:
            asked.route.back.send(wire.error_line(asked.request.id, wire.NOT_RECORDED, str(e)), last=True)
            return None

    def forward(self, wait: Wait[Asked], permit: Permit) -> None:
        """Make a call that was approved."""
        self._make(permit, wait.what)

    def deny(self, wait: Wait[Asked], refusal: Refusal) -> None:
        """Answer a call that is not made after all."""
        if not wait.ended_as:
            self._answer(refusal, wait.what)

    def drop(self, wait: Wait[Asked], permit: Permit) -> None:
        """Record that a call was approved and not made, as it was cancelled meanwhile."""
        self._guard.drop(permit, wait.ended_as, "approval_unused")

    def over(self, wait: Wait[Asked], look: Look) -> None:
        """Record and answer a call whose request was not granted, or not yet."""
        self._withdraw(wait)
        error_type, safe = going.not_granted(wait.held, look)
        refusal = self._guard.abandon(wait.held, "blocked", error_type, safe)
        if refusal is not None:
            self._answer(refusal, wait.what)

    def _give_up(self, wait: Wait[Asked], status: Outcome) -> None:
        """Record that nobody waits any longer, who would have to be answered."""
        self._guard.abandon(wait.held, status, "approval_pending", "")
        self._withdraw(wait)

    def _withdraw(self, wait: Wait[Asked]) -> None:
        """Tell the client that nothing needs to be answered any more."""
        if (told := self._asking.withdrawn(wait.held)) is not None:
            wait.what.route.back.send(told)
