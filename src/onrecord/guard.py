# SPDX-License-Identifier: Apache-2.0
"""READ FIRST. The life of one call, and the law that it upholds: nothing takes effect before its event.

    begin(call)             who is it? classify, decide, redact, write the attempt   → Permit, Refusal, or Held
    resume(held, call)      once it was approved: decide again, use the approval up, write that   → Permit, or Refusal
    permit.redeem()         wait until what was written is as durable as its tier demands   → the Call, to forward
        …the tool runs…
    end(permit, result)     redact, write the result   → Delivery
    delivery.redeem()       wait until the result is as durable as its tier demands; then answer the caller

A door forwards a call only after `redeem` returned it (in stdio that is one place, `Relay._redeem`). No other way
leads from a Held to a Permit than `resume`, which gives one out only for an approval of exactly this call that was not
used before; `abandon` ends the wait, and the call with it; `ask` ends the wait with a question to the client, whose
next request brings the answer and is decided on like any other. What is held is ended once, by whichever comes first.
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
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from msgspec.structs import replace as _replaced

from onrecord.approving import MISMATCH, Approving, Asked, check_same, check_terms
from onrecord.closing import Closing
from onrecord.earlier import Earlier
from onrecord.errors import LedgerError, NotApproved, NotAuthenticated, NotRecorded
from onrecord.event.call import Call, Connection, Result
from onrecord.event.event import Event, ResultStatus
from onrecord.event.ids import uuid7
from onrecord.event.redacted import Redacted, ended
from onrecord.ledger.appending import Appending, Durability, Pending
from onrecord.ledger.clock import NowUs, now_us
from onrecord.permits import Delivery, Held, Permit, Refusal, end_not_recorded, known_in
from onrecord.rules.approval_told import used
from onrecord.rules.arguments import exceeded_in
from onrecord.rules.classify import Manifest, Treatment, classify
from onrecord.rules.confirmation import REFUSED, by_confirmation
from onrecord.rules.definitions import by_definition
from onrecord.rules.fitting import Fitting
from onrecord.rules.memory import short
from onrecord.rules.policy import DENIED, UNJUDGED, Policy, Verdict
from onrecord.rules.question import question_of
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
        approving: Approving | None = None,
    ) -> None:
        """`policy_version` holds where there is no `policy`, which has its own.

        Without `identity`, who is behind a call is who is behind its connection. Without `approving`, a call that needs
        an approval is refused.
        """
        self.approving = approving
        self._closing = Closing(writer, redactor, self.new_id)
        self.decides_elsewhere = policy is not None and policy.elsewhere  # so `begin` may take a while
        self.enforces = policy is not None and policy.enforces
        self._policy = policy
        self._screen = screen
        self.identity = identity
        self._writer = writer
        self._redactor = redactor
        self._manifest = manifest
        self.policy_version = policy_version if policy is None else policy.version
        self._clock = clock
        self._lock = Lock()
        self._random: deque[bytes] = deque()  # its own pop and extend are atomic
        self._earlier = earlier or Earlier()
        self._fitting = Fitting()
        self._treatments: OrderedDict[tuple[str | None, ...], Treatment] = OrderedDict()

    def begin(self, call: Call, within: Sequence[Permit] = ()) -> Permit | Refusal | Held:
        """Decide on `call` and write its attempt. Raises NotAuthenticated or NotRecorded where it must not run.

        `within` are open calls of which this may be part: a server asks while it works on one of them.
        """
        started_ns = time.perf_counter_ns()
        call = self._identified(call)
        treatment = self.treatment(call)
        base = self._attempt_of(call, treatment)
        base, verdict = self._verdict(call, treatment, base)
        asked, verdict = self._asked(call, treatment, base, verdict)
        base = base if asked is None else _replaced(base, approval_id=asked.id)
        entry, secrets = self._redactor.attempt(call, treatment, verdict.on(base), known_in(within))
        try:
            ticket = self._writer.append(entry, treatment.attempt_durability)
        except LedgerError as e:
            if treatment.fails_closed or asked is not None:
                self._earlier.forget(call, treatment, base)
                self._closing.unrecorded(entry, e)
                raise NotRecorded(f"not recorded, so not run: {e}") from e
            self._writer.spool(entry)
            ticket = None
        if asked is not None and self.approving is not None:
            try:
                kept = self.approving.open(asked, entry.event, call)
            except NotApproved as e:
                verdict = replace(verdict, safe=str(e), error_type=e.error_type)
                return self._refused(entry.event, verdict, ticket, treatment)
            look = partial(self.approving.look, kept.statement)
            return Held(call, treatment, entry.event, base, secrets, kept, started_ns, within=within, look=look)
        if verdict.refuses:
            return self._refused(entry.event, verdict, ticket, treatment)
        permit = Permit(call, treatment, entry.event, secrets, ticket, started_ns, unrun=self._close_unrun)
        permit.put_within(within)
        return permit

    def resume(self, held: Held, again: Call) -> Permit | Refusal:
        """Decide on a call that was held once more, and use up its approval. Raises NotRecorded: then it must not run.

        `again` is the same request, with what is known now of who asks and of what it calls.
        """
        if not held.finish() or self.approving is None:
            raise NotRecorded("this call has ended before")
        decision = self.new_id()
        try:
            again, base, verdict = self._decided_again(held, again)
            kept = self.approving.redeem(held.statement, decision)  # used up now, whether or not the call is made
        except NotApproved as e:
            self._earlier.forget(held.call, held.treatment, held.base)
            return self._closing.unapproved(held, e)
        attempt = self.approving.approved(held.attempt, kept)
        event = used(verdict.on(ended(attempt, event_id=decision)), base)
        durability: Durability = "signed" if held.treatment.attempt_durability == "signed" else "flushed"
        try:
            ticket = self._writer.append(self._redactor.fact(event, {}), durability, urgent=True)
        except LedgerError as e:
            self._earlier.forget(again, held.treatment, attempt)
            self._closing.unrun(attempt)
            raise NotRecorded(f"not recorded, so not run: {e}") from e
        permit = Permit(
            again,
            held.treatment,
            attempt,
            held.secrets,
            ticket,
            held.started_ns,
            unrun=self._close_unrun,
            approved=True,
        )
        permit.put_within(held.within)
        return permit

    def abandon(self, held: Held, status: ResultStatus, error_type: str, safe: str) -> Refusal | None:
        """End a call that was held and is not to be made; return the answer to it, None where it has ended already."""
        return self._closing.abandoned(held, status, error_type, safe) if held.finish() else None

    def ask(self, held: Held, key: str) -> Refusal | None:
        """End a request whose answer is a question to its client; the one that `key` links to it goes on with the call.

        None where it has ended already.
        """
        ending = self.abandon(held, "input_required", "", "")
        if ending is not None:
            self._earlier.expect(held.call, held.attempt, Result(status="input_required", rounds=(key,)))
        return ending

    def drop(self, permit: Permit, status: ResultStatus, error_type: str) -> None:
        """Record that a call that might have been made was not. Its permit must not have been redeemed, and is void."""
        permit.void()
        self._earlier.forget(permit.call, permit.treatment, permit.attempt)
        self._closing.refusal(permit.attempt, permit.treatment, None, error_type=error_type, safe="", status=status)

    def _verdict(self, call: Call, treatment: Treatment, base: Event) -> tuple[Event, Verdict]:
        """Return whether `call` may run, and its event with what was seen of it.

        Each reason for which it must not is a verdict; the first one holds.
        """
        base, same = self._earlier.compared(call, treatment, base)
        verdict = by_definition(call)
        if verdict is None:
            verdict = UNJUDGED if self._policy is None else self._decided(self._policy, call, treatment, base)
        return base, self._earlier.settled(same, by_confirmation(call, verdict))

    def _asked(self, call: Call, treatment: Treatment, base: Event, verdict: Verdict) -> tuple[Asked | None, Verdict]:
        """Return what somebody is to be asked about `call`, None where nobody is, and the verdict that holds then."""
        if verdict.decision != "needs_approval" or self.approving is None:
            return None, verdict
        try:
            asked = self.approving.ask(call, treatment, base, verdict)
            if call.confirmation is not None:
                self.approving.check_answer(asked, call.confirmation)
            return asked, verdict
        except NotApproved as e:
            return None, replace(verdict, safe=str(e), error_type=e.error_type)

    def _decided_again(self, held: Held, again: Call) -> tuple[Call, Event, Verdict]:
        """Return a call that was held as it would be made now, and may be if approved. Raises NotApproved."""
        try:
            again = self._identified(again, again=True)
        except NotAuthenticated as e:
            raise NotApproved(str(e), "not_authenticated") from e
        check_same(held.statement, again, self._redactor.binding(again))
        if self.treatment(again) != held.treatment:
            raise NotApproved("how risky this call is has changed since it was asked for", "approval_mismatch")
        before, tainted_by = ((), ()) if self._screen is None else self._screen.before(again.connection)
        actor = again.connection.actor
        base = _replaced(held.base, scope_present=actor.scopes, roles_present=actor.roles)
        base, same = self._earlier.compared(
            again, held.treatment, _replaced(base, suspicious_before=before, tainted_by=tainted_by)
        )
        verdict = by_definition(again)
        if verdict is None and self._policy is not None:
            verdict = self._decided(self._policy, again, held.treatment, base, held.statement.id)
        verdict = self._earlier.settled(same, verdict or UNJUDGED)
        if verdict.refuses:
            raise NotApproved(verdict.safe or DENIED, verdict.error_type)
        check_terms(held.statement, verdict, held.treatment, base.policy_version)
        return again, base, verdict

    @staticmethod
    def _decided(policy: Policy, call: Call, treatment: Treatment, base: Event, approval: str = "") -> Verdict:
        return policy.decide(question_of(call, treatment, base, approval), base.arguments_unfit)

    def _refused(self, attempt: Event, verdict: Verdict, ticket: Pending | None, treatment: Treatment) -> Refusal:
        """Record that a call ended before it began."""
        if verdict.error_type in (MISMATCH, REFUSED):
            self._closing.suspect(attempt, verdict.safe)
        return self._closing.refusal(attempt, treatment, ticket, error_type=verdict.error_type, safe=verdict.safe)

    def _identified(self, call: Call, *, again: bool = False) -> Call:
        """Return `call` with who is behind it. Raises NotAuthenticated, once that is on the record.

        `again`: it was let in before.
        """
        if self.identity is None:
            return call
        try:
            call = self.identity.of(call, again=again)
        except NotAuthenticated as e:
            from onrecord.identity.telling import of_refusal

            self.note_identity(call.connection)
            base = Event(event_id=self.new_id(), policy_version=self.policy_version)
            self.note(self._redactor.fact(*of_refusal(base, call, str(e))), urgent=True)
            raise
        self.note_identity(call.connection)
        return call

    def note_identity(self, connection: Connection) -> None:
        """Record what has become of the ID token of this process, where something has."""
        news = None if self.identity is None else self.identity.take_news()
        if news is not None:
            from onrecord.identity.telling import of_standing

            base = Event(event_id=self.new_id(), policy_version=self.policy_version)
            self.note(self._redactor.fact(of_standing(base, connection, news), {}))

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
        """Record that a message, as one with no single reading, was not forwarded; `base` says on which connection."""
        event = _replaced(
            base,
            event_id=self.new_id(),
            event_type="security",
            action="message_refused",
            policy_decision="deny",
            policy_reason=reason,
            policy_version=self.policy_version,
            result_status="blocked",
            error_type=base.error_type or "ambiguous_message",
            input_size=size_bytes,
        )
        self.note(self._redactor.fact(event, {}))

    def note(self, entry: Redacted, durability: Durability = "written", *, urgent: bool = False) -> None:
        """Write an event that no call waits for; where it cannot be written now, it is spooled."""
        self._closing.note(entry, durability, urgent=urgent)

    def _close_unrun(self, permit: Permit) -> None:
        """Record that an attempt did not become durable in time and so was not forwarded."""
        permit.ended = True
        self._earlier.forget(permit.call, permit.treatment, permit.attempt)
        self._closing.unrun(permit.attempt)

    def now_us(self) -> int:
        """Return the time."""
        return self._clock()

    def new_id(self) -> str:
        """Return a fresh UUIDv7."""
        try:
            random = self._random.pop()
        except IndexError:
            block = os.urandom(_ID_BYTES * _IDS)  # one system call for many
            self._random.extend(block[at : at + _ID_BYTES] for at in range(0, len(block), _ID_BYTES))
            random = self._random.pop()
        return uuid7(self._clock() // 1000, random)

    def treatment(self, call: Call) -> Treatment:
        """Return how to treat `call`, which depends on what is called and on nothing of the call itself."""
        said = (known := call.definition) and f"{known.digest} {known.standing} {known.destructive}"
        about = (call.event_type, call.connection.server_id, short(call.name), said)
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
        before, tainted_by = ((), ()) if screen is None else screen.before(call.connection)
        return Event(
            event_id=event_id,
            event_type=call.event_type,
            phase="attempt",
            **places,
            policy_version=self.policy_version,
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
