# SPDX-License-Identifier: Apache-2.0
"""READ FIRST. The life of one call, and the law that it upholds: nothing takes effect before its event.

    begin(call)             who is it? classify, decide, redact, write the attempt   → Permit, or Refusal
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

What is decided stands on the attempt. A call that must not run gets its closing event at once, and its
door a `Refusal`, out of which no call comes: redeeming it raises Denied, with what the caller may know.
With no policy configured everything is recorded and no call is denied. This file forwards nothing,
knows no protocol, and never sees a message's bytes.
"""

import os
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace as _replaced

from onrecord.earlier import Earlier
from onrecord.errors import LedgerError, LedgerFull, NotAuthenticated, NotRecorded
from onrecord.event.call import Call, Connection, Result
from onrecord.event.event import Event
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, ended
from onrecord.ledger.appending import Appending, Durability, Pending
from onrecord.ledger.clock import NowUs, now_us
from onrecord.permits import Delivery, Permit, Refusal, end_not_recorded, known_in
from onrecord.rules.arguments import exceeded_in
from onrecord.rules.classify import Manifest, Treatment, classify
from onrecord.rules.definitions import by_definition
from onrecord.rules.fitting import Fitting
from onrecord.rules.policy import UNJUDGED, Policy, Verdict, question_of
from onrecord.rules.redact import Redactor
from onrecord.screen import AS_IT_IS, Screen

if TYPE_CHECKING:
    from onrecord.identity.identity import Identity  # brings a library along that is an extra

REMEMBERED = 10_000  # tools, and how their calls are to be treated

_ID_BYTES, _IDS = 10, 100


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
        identity: "Identity | None" = None,
    ) -> None:
        """`policy_version` holds where there is no `policy`, which has its own.

        Without `identity`, who is behind a call is who is behind its connection.
        """
        self._policy = policy
        self._screen = screen
        self._identity = identity
        self._writer = writer
        self._redactor = redactor
        self._manifest = manifest
        self._policy_version = policy_version if policy is None else policy.version
        self._clock = clock
        self._lock = Lock()
        self._random: deque[bytes] = deque()  # its own pop and extend are atomic
        self._earlier = earlier or Earlier()
        self._fitting = Fitting()
        self._treatments: OrderedDict[tuple[str | None, ...], Treatment] = OrderedDict()

    def begin(self, call: Call, within: Sequence[Permit] = ()) -> Permit | Refusal:
        """Decide on `call` and write its attempt. Raises NotAuthenticated or NotRecorded where it must not run.

        `within` are open calls of which this may be part: a server asks while it works on one of them.
        """
        started_ns = time.perf_counter_ns()
        call = self._identified(call)
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
        permit = Permit(call, treatment, entry.event, secrets, ticket, started_ns, unrun=self._close_unrun)
        permit.put_within(within)
        return permit

    def _verdict(self, call: Call, treatment: Treatment, base: Event) -> tuple[Event, Verdict]:
        """Return whether `call` may run, and its event with what was seen of it.

        Each reason for which it must not is a verdict; the first one holds.
        """
        base, same = self._earlier.compared(call, treatment, base)
        verdict = by_definition(call)
        if verdict is None:
            question = question_of(call, treatment, base)
            verdict = UNJUDGED if self._policy is None else self._policy.decide(question, base.arguments_unfit)
        return base, self._earlier.settled(same, verdict)

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
                raise end_not_recorded(e) from e
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

    def _close_unrun(self, permit: Permit) -> None:
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
        screen = self._screen
        fit = self._fitting.of(call)
        before, tainted_by = ((), ()) if screen is None else screen.before(call.connection.session_id)
        return Event(
            event_id=event_id,
            event_type=call.event_type,
            phase="attempt",
            **places,
            policy_version=self._policy_version,
            scope_required=treatment.scope,
            scope_present=call.connection.actor.scopes,
            roles_present=call.connection.actor.roles,
            approver_roles=treatment.approver_roles,
            arguments_valid=fit.valid,
            arguments_unfit=fit.places,
            limits_exceeded=exceeded_in(call, treatment.limits),
            input_hash=self._redactor.digest(call),
            suspicious_before=before,
            tainted_by=tainted_by,
            suspicious_signals=call.signals if screen is None else screen.asked(call, places["call_id"]),
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
