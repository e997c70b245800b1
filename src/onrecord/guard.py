# SPDX-License-Identifier: Apache-2.0
"""READ FIRST. The life of one call, and the law that it upholds: nothing takes effect before its event.

    begin(call)             who is it? classify, decide, redact, write the attempt   → Permit
    permit.redeem()         wait until the attempt is as durable as its tier demands   → the Call, to forward
        …the tool runs…
    end(permit, result)     redact, write the result   → Delivery
    delivery.redeem()       wait until the result is as durable as its tier demands; then answer the caller

A door forwards a call only after `redeem` returned it (in stdio that is one place, `Relay._redeem`).
`begin` raises NotAuthenticated where what says who calls does not hold. `begin` and `redeem` raise NotRecorded, and
from tier 2 up that means "not run". Once it ran, the same failure is another error, EndNotRecorded, because the caller
must do another thing: not retry.
Calls of tiers 0 and 1 run even then; their events wait in a bounded spool and the gap is reported.

`begin` and `end` write a line, and may wait for the ledger's lock up to the append deadline; only
`redeem` waits for the device, in a thread of the door's choice. A permit is used once; an answer
that comes after its call was closed is recorded as late. What failed, was cancelled, timed out or
never answered gets its result too; what a crash left open is closed when a recorder next starts
(`recorder.py`).

With no policy configured everything is recorded and no call is denied. This file forwards nothing,
knows no protocol, and never sees a message's bytes.
"""

import os
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace as _replaced

from onrecord.errors import EndNotRecorded, LedgerError, LedgerFull, NotAuthenticated, NotRecorded
from onrecord.event.call import Call, Connection, Result
from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, ended
from onrecord.ledger.appending import Appending, Durability, Pending
from onrecord.ledger.clock import NowUs, now_us
from onrecord.rules.classify import Manifest, Treatment, classify
from onrecord.rules.redact import Redactor, Secrets
from onrecord.screen import AS_IT_IS, Screen, Screened

if TYPE_CHECKING:
    from onrecord.identity.identity import Identity  # brings a library along that is an extra

NESTED = 1_000  # requests within one call; past this no value of its result is shown
REMEMBERED = 10_000  # open rounds and traces; a client that opens more loses only the link between them

_ID_BYTES, _IDS = 10, 100

NO_POLICY = "no policy is configured: everything is recorded, nothing is denied"

_K = TypeVar("_K")
_V = TypeVar("_V")


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
        identity: "Identity | None" = None,
    ) -> None:
        """Without `identity`, who is behind a call is who is behind its connection."""
        self._screen = screen
        self._identity = identity
        self._writer = writer
        self._redactor = redactor
        self._manifest = manifest
        self._policy_version = policy_version
        self._clock = clock
        self._lock = Lock()
        self._random: deque[bytes] = deque()  # its own pop and extend are atomic
        self._rounds: OrderedDict[str, tuple[str, int, str]] = OrderedDict()  # key → call, round, correlation
        self._traces: OrderedDict[str, str] = OrderedDict()  # trace id → correlation
        self._treatments: OrderedDict[tuple[str | None, ...], Treatment] = OrderedDict()

    def begin(self, call: Call, within: Sequence[Permit] = ()) -> Permit:
        """Decide on `call` and write its attempt. Raises NotAuthenticated or NotRecorded where it must not run.

        `within` are open calls of which this may be part: a server asks while it works on one of them.
        """
        started_ns = time.perf_counter_ns()
        call = self._identified(call)
        treatment = self._treatment(call)
        entry, secrets = self._redactor.attempt(call, treatment, self._attempt_of(call), known_in(within))
        try:
            ticket = self._writer.append(entry, treatment.attempt_durability)
        except LedgerError as e:
            if treatment.fails_closed:
                self._record_refusal(entry, e)
                raise NotRecorded(f"not recorded, so not run: {e}") from e
            self._writer.spool(entry)
            ticket = None
        permit = Permit(self, call, treatment, entry.event, secrets, ticket, started_ns)
        permit.put_within(within)
        return permit

    def _identified(self, call: Call) -> Call:
        """Return `call` with who is behind it. Raises NotAuthenticated, once that is on the record."""
        if self._identity is None:
            return call
        try:
            call = self._identity.of(call)
        except NotAuthenticated as e:
            from onrecord.identity.telling import of_refusal

            self.note_identity(call.connection)
            base = Event(event_id=self.new_id(), policy_version=self._policy_version)
            self.note(self._redactor.fact(*of_refusal(base, call, str(e))), urgent=True)
            raise
        self.note_identity(call.connection)
        return call

    def note_identity(self, connection: Connection) -> None:
        """Record what has become of the ID token of this process, where something has."""
        news = None if self._identity is None else self._identity.take_news()
        if news is not None:
            from onrecord.identity.telling import of_standing

            base = Event(
                event_id=self.new_id(),
                session_id=connection.session_id,
                server_id=connection.server_id,
                transport=connection.transport,
                policy_version=self._policy_version,
            )
            self.note(self._redactor.fact(of_standing(base, news), {}))

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
        about = (call.event_type, call.connection.server_id, call.name, call.definition and call.definition.digest)
        with self._lock:
            treatment = self._treatments.get(about)
            if treatment is None:
                treatment = classify(call, self._manifest)
                _remember(self._treatments, about, treatment)
        return treatment

    def _attempt_of(self, call: Call) -> Event:
        call_id, number, correlation_id = self._link(call)
        return Event(
            event_id=self.new_id(),
            event_type=call.event_type,
            phase="attempt",
            call_id=call_id,
            round=number,
            correlation_id=correlation_id,
            policy_decision="allow",
            policy_reason=NO_POLICY,
            policy_id="none",
            policy_version=self._policy_version,
            suspicious_before=() if self._screen is None else self._screen.before(call.connection.session_id),
            suspicious_signals=() if self._screen is None else self._screen.asked(call, call_id),
        )

    def _link(self, call: Call) -> tuple[str, int, str]:
        """Return call id, round and correlation id: those of the call that this request continues, or new ones."""
        call_id = self.new_id()
        with self._lock:
            for key in call.rounds:
                if key in self._rounds:
                    return self._rounds.pop(key)
            correlation_id = call_id
            if call.trace.trace_id:
                correlation_id = self._traces.get(call.trace.trace_id, call_id)
                _remember(self._traces, call.trace.trace_id, correlation_id)
        return call_id, 0, correlation_id

    def _result_of(self, permit: Permit, result: Result) -> Event:
        attempt = permit.attempt
        with self._lock:
            late, permit.ended = permit.ended, True
            for key in result.rounds:
                _remember(self._rounds, key, (attempt.call_id, attempt.round + 1, attempt.correlation_id))
        return _replaced(
            ended(attempt, event_id=self.new_id()),
            result_status=result.status,
            error_type=result.error_type,
            latency_us=(time.perf_counter_ns() - permit.started_ns) // 1000,
            late=late,
        )


def _end_not_recorded(error: LedgerError) -> EndNotRecorded:
    return EndNotRecorded(f"it ran, do not retry; its end is not recorded: {error}")


def _remember(table: "OrderedDict[_K, _V]", key: _K, value: _V) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)
