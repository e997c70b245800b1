# SPDX-License-Identifier: Apache-2.0
"""Puts on the record what was asked for and did not run: refused, given up, or not recorded in time.

Each such call has an attempt and gets one closing event, whatever the reason. It did not run whatever becomes of
that event, so none of these raises: what cannot be written now is spooled.
"""

from collections.abc import Callable

from msgspec.structs import replace

from onrecord.approving import MISMATCH
from onrecord.errors import LedgerError, LedgerFull, NotApproved
from onrecord.event.event import Event, ResultStatus
from onrecord.event.redacted import Redacted, ended
from onrecord.ledger.appending import Appending, Durability, Pending
from onrecord.permits import Held, Refusal
from onrecord.rules.classify import Treatment
from onrecord.rules.confirmation import REFUSED
from onrecord.rules.redact import Redactor


class Closing:
    """Records of one process what did not run. Threads may share it."""

    def __init__(self, writer: Appending, redactor: Redactor, new_id: Callable[[], str]) -> None:
        self._writer = writer
        self._redactor = redactor
        self._new_id = new_id

    def refusal(
        self,
        attempt: Event,
        treatment: Treatment,
        ticket: Pending | None,
        *,
        error_type: str,
        safe: str,
        status: ResultStatus = "blocked",
        match: bool | None = None,
    ) -> Refusal:
        """Record that a call ended before it began, and return the answer to it.

        `ticket` is that of its attempt. `match` says whether what was to run is what was approved, where that counts.
        """
        event = replace(
            ended(attempt, event_id=self._new_id()),
            result_status=status,
            error_type=error_type,
            approval_execution_match=match,
        )
        entry = self._redactor.fact(event, {})
        tickets = [] if ticket is None else [ticket]
        try:
            tickets.append(self._writer.append(entry, treatment.result_durability, urgent=True))
        except LedgerError:
            self._writer.spool(entry)
        return Refusal(attempt, safe, tickets)

    def unapproved(self, held: Held, why: NotApproved) -> Refusal:
        """Record that a call that was held is not made after all, and return the answer to it."""
        if why.suspicious:
            self.suspect(held.attempt, str(why))
        match = False if why.error_type == MISMATCH else None
        return self.refusal(held.attempt, held.treatment, None, error_type=why.error_type, safe=str(why), match=match)

    def suspect(self, attempt: Event, why: str) -> None:
        """Record that something came with a call as if it approved it, and does not."""
        event = replace(attempt, event_id=self._new_id(), event_type="security", phase="", action=REFUSED)
        self.note(self._redactor.fact(event, {"reason": why}), urgent=True)

    def abandoned(self, held: Held, status: ResultStatus, error_type: str, safe: str) -> Refusal:
        """Record that nobody waits any longer for the approval of a call; its request stands."""
        return self.refusal(held.attempt, held.treatment, None, error_type=error_type, safe=safe, status=status)

    def unrecorded(self, attempt: Redacted, error: LedgerError) -> None:
        """Record, now or later, that a call was asked for and not made. A full disk keeps room for it."""
        for entry in (attempt, self._unrun(attempt.event)):
            if isinstance(error, LedgerFull):
                self.note(entry, urgent=True)
            else:
                self._writer.spool(entry)  # the deadline is used up, or the disk has refused at once

    def unrun(self, attempt: Event) -> None:
        """Record that a call was not forwarded, because its record did not become durable in time."""
        self.note(self._unrun(attempt), urgent=True)

    def note(self, entry: Redacted, durability: Durability = "written", *, urgent: bool = False) -> None:
        """Write an event that no call waits for; where it cannot be written now, it is spooled."""
        try:
            self._writer.append(entry, durability, urgent=urgent)
        except LedgerError:
            self._writer.spool(entry)

    def _unrun(self, attempt: Event) -> Redacted:
        event = replace(ended(attempt, event_id=self._new_id()), result_status="blocked", error_type="not_recorded")
        return self._redactor.fact(event, {})
