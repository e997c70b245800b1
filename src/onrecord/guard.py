# SPDX-License-Identifier: Apache-2.0
"""READ FIRST. The life of one call, and the law that it upholds: nothing takes effect before its event.

    begin(call)             classify, decide, redact, write the attempt   → Permit, or Refusal
    permit.redeem()         wait until the attempt is as durable as its tier demands   → the Call, to forward
        …the tool runs…
    end(permit, result)     redact, write the result   → Delivery
    delivery.redeem()       wait until the result is as durable as its tier demands; then answer the caller

A door forwards a call only after `redeem` returned it (in stdio that is one place, `Relay._redeem`).
`begin` and `redeem` raise NotRecorded, and from tier 2 up that means "not run". Once it ran, the
same failure is another error, EndNotRecorded, because the caller must do another thing: not retry.
Calls of tiers 0 and 1 run even then; their events wait in a bounded spool and the gap is reported.

`begin` and `end` write a line, and may wait for the ledger's lock up to the append deadline; only
`redeem` waits for the device, in a thread of the door's choice. A permit is used once; an answer
that comes after its call was closed is recorded as late. What failed, was cancelled, timed out or
never answered gets its result too; what a crash left open is closed when a recorder next starts
(`recorder.py`).

What is decided stands on the attempt. A call that must not run gets its closing event at once, and its
door a `Refusal`, out of which no call comes: redeeming it raises Denied, with what the caller may know.
With no policy configured everything is recorded and no call is denied. This file forwards nothing,
knows no protocol, and never sees a message's bytes.
"""

import os
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Lock
from typing import NoReturn

from msgspec.structs import replace as _replaced

from onrecord.earlier import Earlier
from onrecord.errors import Denied, EndNotRecorded, LedgerError, LedgerFull, NotRecorded
from onrecord.event.call import Call, Result
from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, ended
from onrecord.ledger.appending import Appending, Durability, Pending
from onrecord.ledger.clock import NowUs, now_us
from onrecord.rules.classify import Manifest, Treatment, classify
from onrecord.rules.definitions import by_definition
from onrecord.rules.policy import UNJUDGED, Policy, Verdict, question_of
from onrecord.rules.redact import Redactor, Secrets
from onrecord.screen import AS_IT_IS, Screen, Screened

NESTED = 1_000  # requests within one call; past this no value of its result is shown
REMEMBERED = 10_000  # tools, and how their calls are to be treated

_ID_BYTES, _IDS = 10, 100


class Permit:
    """The right to make one call, once. Whoever holds it owes the guard its end."""

    __slots__ = (
        "_guard",
        "_ticket",
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
        guard: "Guard",
        call: Call,
        treatment: Treatment,
        attempt: Event,
        secrets: Secrets,
        ticket: Pending | None,
        started_ns: int,
    ) -> None:
        self._guard = guard
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
                if self.treatment.fails_closed:
                    self._guard.close_unrun(self)
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
                    raise _end_not_recorded(e) from e


class Guard:
    """Decides and records every call of one process. Threads may share it."""

    def __init__(
        self,
        writer: Appending,
        redactor: Redactor,
        manifest: Manifest,
        *,
        policy_version: str,
        clock: NowUs = now_us,
        screen: Screen | None = None,
        policy: Policy | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        """`policy_version` holds where there is no `policy`, which has its own."""
        self._policy = policy
        self._screen = screen
        self._writer = writer
        self._redactor = redactor
        self._manifest = manifest
        self._policy_version = policy_version if policy is None else policy.version
        self._clock = clock
        self._lock = Lock()
        self._random: deque[bytes] = deque()  # its own pop and extend are atomic
        self._earlier = earlier or Earlier()
        self._treatments: OrderedDict[tuple[str | None, ...], Treatment] = OrderedDict()

    def begin(self, call: Call, within: Sequence[Permit] = ()) -> Permit | Refusal:
        """Decide on `call` and write its attempt. Raises NotRecorded where it must not run for want of that.

        `within` are open calls of which this may be part: a server asks while it works on one of them.
        """
        started_ns = time.perf_counter_ns()
        treatment = self._treatment(call)
        base = self._attempt_of(call, treatment)
        base, verdict = self._verdict(call, treatment, base)
        entry, secrets = self._redactor.attempt(call, treatment, verdict.on(base), known_in(within))
        try:
            ticket = self._writer.append(entry, treatment.attempt_durability)
        except LedgerError as e:
            if treatment.fails_closed:
                self._earlier.forget(call, treatment, base)
                self._record_refusal(entry, e)
                raise NotRecorded(f"not recorded, so not run: {e}") from e
            self._writer.spool(entry)
            ticket = None
        if verdict.refuses:
            return self._refused(entry.event, verdict, ticket, treatment)
        permit = Permit(self, call, treatment, entry.event, secrets, ticket, started_ns)
        permit.put_within(within)
        return permit

    def _verdict(self, call: Call, treatment: Treatment, base: Event) -> tuple[Event, Verdict]:
        """Return whether `call` may run, and its event with what was seen of it.

        Each reason for which it must not is a verdict; the first one holds.
        """
        verdict = by_definition(call)
        if verdict is None:
            policy = self._policy
            verdict = UNJUDGED if policy is None else policy.decide(question_of(call, treatment, base))
        return self._earlier.compared(call, treatment, base, verdict)

    def _refused(self, attempt: Event, verdict: Verdict, ticket: Pending | None, treatment: Treatment) -> Refusal:
        """Record that a call ended before it began."""
        event = _replaced(
            ended(attempt, event_id=self.new_id()), result_status="blocked", error_type=verdict.error_type
        )
        entry = self._redactor.fact(event, {})
        tickets = [] if ticket is None else [ticket]
        try:
            tickets.append(self._writer.append(entry, treatment.result_durability, urgent=True))
        except LedgerError:
            self._writer.spool(entry)
        return Refusal(attempt, verdict.safe, tickets)

    def _record_refusal(self, attempt: Redacted, error: LedgerError) -> None:
        """Put on the record, now or later, that a call was asked for and not made. A full disk keeps room for it."""
        for entry in (attempt, self._unrun(attempt.event)):
            if isinstance(error, LedgerFull):
                self.note(entry, urgent=True)
            else:
                self._writer.spool(entry)  # the deadline is used up, or the disk has refused at once

    def end(self, permit: Permit, result: Result) -> Delivery:
        """Write how the call ended. Raises EndNotRecorded where the result must be withheld.

        A second end of the same call is recorded as a late answer, and changes nothing.
        """
        base = self._result_of(permit, result)
        screened = AS_IT_IS if self._screen is None else self._screen.judge(permit.call, permit.treatment, result)
        if self._screen is not None:
            base = self._screen.told(base, permit.call, screened)
        permit.hear()
        entry = self._redactor.result(permit.attempt, permit.secrets, permit.call, permit.treatment, result, base)
        try:
            ticket = self._writer.append(entry, permit.treatment.result_durability, urgent=True)
            return Delivery(ticket, fails_closed=permit.treatment.fails_closed, screened=screened)
        except LedgerError as e:
            self._writer.spool(entry)  # of any tier: it happened, and the record must say so when it can
            if permit.treatment.fails_closed:
                raise _end_not_recorded(e) from e
            return Delivery(None, screened=screened)

    def refuse_message(self, base: Event, *, reason: str, size_bytes: int) -> None:
        """Record that a message with no single reading was not forwarded; `base` says on which connection."""
        event = _replaced(
            base,
            event_id=self.new_id(),
            event_type="security",
            action="message_refused",
            policy_decision="deny",
            policy_reason=reason,
            policy_version=self._policy_version,
            result_status="blocked",
            error_type="ambiguous_message",
            input_size=size_bytes,
        )
        self.note(self._redactor.fact(event, {}))

    def note(self, entry: Redacted, durability: Durability = "written", *, urgent: bool = False) -> None:
        """Write an event that no call waits for; where it cannot be written now, it is spooled."""
        try:
            self._writer.append(entry, durability, urgent=urgent)
        except LedgerError:
            self._writer.spool(entry)

    def close_unrun(self, permit: Permit) -> None:
        """Record that an attempt did not become durable in time and so was not forwarded."""
        permit.ended = True
        self._earlier.forget(permit.call, permit.treatment, permit.attempt)
        self.note(self._unrun(permit.attempt), urgent=True)

    def _unrun(self, attempt: Event) -> Redacted:
        event = _replaced(ended(attempt, event_id=self.new_id()), result_status="blocked", error_type="not_recorded")
        return self._redactor.fact(event, {})

    def new_id(self) -> str:
        """Return a fresh UUIDv7."""
        try:
            random = self._random.pop()
        except IndexError:
            block = os.urandom(_ID_BYTES * _IDS)  # one system call for many
            self._random.extend(block[at : at + _ID_BYTES] for at in range(0, len(block), _ID_BYTES))
            random = self._random.pop()
        return uuid7(self._clock() // 1000, random)

    def _treatment(self, call: Call) -> Treatment:
        """Return how to treat `call`, which depends on what is called and on nothing of the call itself."""
        defined = call.definition
        about = (call.event_type, call.connection.server_id, call.name, defined and defined.digest + defined.standing)
        with self._lock:
            treatment = self._treatments.get(about)
            if treatment is None:
                treatment = classify(call, self._manifest)
                self._treatments[about] = treatment
                if len(self._treatments) > REMEMBERED:
                    self._treatments.popitem(last=False)
        return treatment

    def _attempt_of(self, call: Call, treatment: Treatment) -> Event:
        event_id = self.new_id()
        places = self._earlier.places(call, event_id, self.new_id())
        return Event(
            event_id=event_id,
            event_type=call.event_type,
            phase="attempt",
            **places,
            policy_version=self._policy_version,
            scope_required=treatment.scope,
            scope_present=call.connection.actor.scopes,
            input_hash=self._redactor.digest(call),
            suspicious_before=() if self._screen is None else self._screen.before(call.connection.session_id),
            suspicious_signals=() if self._screen is None else self._screen.asked(call, places["call_id"]),
        )

    def _result_of(self, permit: Permit, result: Result) -> Event:
        attempt = permit.attempt
        with self._lock:
            late, permit.ended = permit.ended, True
        self._earlier.expect(permit.call, attempt, result)
        return _replaced(
            ended(attempt, event_id=self.new_id()),
            result_status=result.status,
            error_type=result.error_type,
            latency_us=(time.perf_counter_ns() - permit.started_ns) // 1000,
            late=late,
        )


def _end_not_recorded(error: LedgerError) -> EndNotRecorded:
    return EndNotRecorded(f"it ran, do not retry; its end is not recorded: {error}")
