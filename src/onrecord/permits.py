# SPDX-License-Identifier: Apache-2.0
"""What the guard gives out for one call: the right to make it, the answer to one that must not run, a call that
waits for an approval, a result.

Each waits for the device in the thread that redeems it, and in no other.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Lock
from typing import NoReturn

from msgspec.structs import replace

from onrecord.approvals import Kept
from onrecord.approving import Look
from onrecord.errors import Denied, EndNotRecorded, LedgerError, NotRecorded
from onrecord.event.call import Call
from onrecord.event.event import Event
from onrecord.ledger.appending import Pending
from onrecord.rules.approval import Statement
from onrecord.rules.classify import Treatment
from onrecord.rules.redact import Secrets
from onrecord.screen import AS_IT_IS, Screened

NESTED = 1_000  # requests within one call; past this no value of its result is shown


class Permit:
    """The right to make one call, once. Whoever holds it owes the guard its end."""

    __slots__ = (
        "_fails_closed",
        "_ticket",
        "_unrun",
        "_used",
        "_within",
        "attempt",
        "call",
        "ended",
        "nested",
        "secrets",
        "started_ns",
        "treatment",
    )

    def __init__(
        self,
        call: Call,
        treatment: Treatment,
        attempt: Event,
        secrets: Secrets,
        ticket: Pending | None,
        started_ns: int,
        *,
        unrun: Callable[["Permit"], None],
        approved: bool = False,
    ) -> None:
        """`unrun` puts on the record that the attempt did not become durable, so that the call was not made.

        `ticket` is that of the attempt, or, of a call that was `approved`, that of the decision by which it may run:
        without it the call is not made, whatever its tier.
        """
        self._unrun = unrun
        self._fails_closed = treatment.fails_closed or approved
        self._ticket = ticket
        self._used = False
        self.call = call
        self.treatment = treatment
        self.attempt = attempt
        self.secrets = secrets
        self.started_ns = started_ns
        self.ended = False
        self.nested: list[Secrets] = []  # of requests that came while this call was open, and may be part of it
        self._within: tuple[Permit, ...] = ()

    def put_within(self, outer: Iterable["Permit"]) -> None:
        """Make this call part of `outer`, which are open: what is secret in one of them is so in the others."""
        self._within = tuple(outer)
        for permit in self._within:
            if len(permit.nested) < NESTED:
                permit.nested.append(self.secrets)
            else:
                permit.secrets.complete = False

    def known(self) -> Iterator[Secrets]:
        """Yield what is secret in this call and in those that are part of it."""
        yield self.secrets
        yield from list(self.nested)  # while another thread may add more

    def hear(self) -> None:
        """Learn what became known as secret in calls of which this is part, or which are part of it."""
        for secrets in (*self.nested, *known_in(self._within)) if self.nested or self._within else ():
            if secrets is not self.secrets:
                secrets.lend(self.secrets)

    def void(self) -> None:
        """Let nobody make the call any more."""
        self._used = self.ended = True

    @property
    def settled(self) -> bool:
        """Whether `redeem` returns at once."""
        return self._ticket is None or self._ticket.settled

    def redeem(self) -> Call:
        """Return the call that may be forwarded now. Raises NotRecorded: then it must not be."""
        if self._used:
            raise NotRecorded("this permit was used before")
        self._used = True
        if self._ticket is not None:
            try:
                self._ticket.wait()
            except LedgerError as e:
                if self._fails_closed:
                    self._unrun(self)
                    raise NotRecorded(f"not recorded, so not run: {e}") from e
        return self.call


class Refusal:
    """The answer to a call that must not run. Its attempt and its end are written."""

    __slots__ = ("_safe", "_tickets", "attempt")

    def __init__(self, attempt: Event, safe: str, tickets: Sequence[Pending]) -> None:
        """`safe` is what the caller is told."""
        self.attempt = attempt
        self._safe = safe
        self._tickets = tickets

    @property
    def settled(self) -> bool:
        """Whether `redeem` raises at once."""
        return all(ticket.settled for ticket in self._tickets)

    def redeem(self) -> NoReturn:
        """Raise Denied, once the record is as durable as the call's tier demands, or cannot become so."""
        for ticket in self._tickets:
            with suppress(LedgerError):  # it did not run, whatever becomes of the record
                ticket.wait()
        raise Denied(self._safe)


class Held:
    """A call that waits for an approval. Its attempt is written; whoever holds it owes the guard its end.

    It is ended once: it is resumed, by which it becomes a Permit or a Refusal, or it is abandoned.
    """

    __slots__ = (
        "_lock",
        "_over",
        "attempt",
        "base",
        "call",
        "kept",
        "look",
        "secrets",
        "started_ns",
        "treatment",
        "within",
    )

    def __init__(
        self,
        call: Call,
        treatment: Treatment,
        attempt: Event,
        base: Event,
        secrets: Secrets,
        kept: Kept,
        started_ns: int,
        *,
        within: Sequence[Permit],
        look: Callable[[], Look],
    ) -> None:
        """`base` is the attempt as it was before it was redacted; `look` says how the request stands now."""
        self._lock = Lock()
        self._over = False
        self.call = call
        self.treatment = treatment
        self.attempt = replace(attempt, approval_id=kept.statement.id)  # another call like it may have asked first
        self.base = base
        self.secrets = secrets
        self.kept = kept
        self.started_ns = started_ns
        self.within = tuple(within)
        self.look = look

    @property
    def statement(self) -> Statement:
        """What is to be approved."""
        return self.kept.statement

    def finish(self) -> bool:
        """End the wait, and say whether it was not over yet."""
        with self._lock:
            over, self._over = self._over, True
        return not over


def known_in(permits: Iterable[Permit]) -> Iterator[Secrets]:
    """Yield what is secret in any of `permits`."""
    for permit in permits:
        yield from permit.known()


class Delivery:
    """A result on its way to the caller."""

    __slots__ = ("_fails_closed", "_ticket", "screened")

    def __init__(self, ticket: Pending | None, *, fails_closed: bool = False, screened: Screened = AS_IT_IS) -> None:
        """`screened` says what the caller gets."""
        self.screened = screened
        self._ticket = ticket
        self._fails_closed = fails_closed

    @property
    def settled(self) -> bool:
        """Whether `redeem` returns at once."""
        return self._ticket is None or self._ticket.settled

    def redeem(self) -> None:
        """Return once the result may be handed on. Raises EndNotRecorded: then it must be withheld."""
        if self._ticket is not None:
            try:
                self._ticket.wait()
            except LedgerError as e:
                if self._fails_closed:
                    raise end_not_recorded(e) from e


def end_not_recorded(error: LedgerError) -> EndNotRecorded:
    """Return the error that says so, and what to do."""
    return EndNotRecorded(f"it ran, do not retry; its end is not recorded: {error}")
