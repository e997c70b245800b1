# SPDX-License-Identifier: Apache-2.0
"""Messages between one client and one server, on the record: what passes, what waits, what is refused.

Each message is decoded once from a copy; what is forwarded are the bytes that came, but for a token of
ours. A call goes through the guard on its way in and its result on the way out; everything else passes. Toward the
client there is nothing but JSON-RPC. Nothing is ever sent to the server that the client did not
send, so a server that locks its protocol era on the first request locks the client's.

Several threads may be in here: one for each direction, those of the outboxes, and the one that sweeps.
This file opens no file and starts no process.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as with_params
from threading import Lock

from msgspec.structs import replace

from onrecord.doors import protocol, wire
from onrecord.doors.conversation import Conversation
from onrecord.doors.definitions import told
from onrecord.doors.metadata import with_meta
from onrecord.doors.outbox import Outbox
from onrecord.doors.wire import Notification, Request, Response
from onrecord.errors import Denied, EndNotRecorded, MessageRefused, NotAuthenticated, NotRecorded
from onrecord.event.call import Direction, Outcome, RequestId, Result
from onrecord.guard import Guard
from onrecord.permits import Delivery, Permit, Refusal
from onrecord.recorder import Alarm
from onrecord.rules import trace_context
from onrecord.rules.definitions import Change
from onrecord.rules.principal import META_KEY
from onrecord.rules.redact import Redactor
from onrecord.screen import Screened

GRACE_S = 2.0  # how long a cancelled call may still answer before it is closed as cancelled
REMEMBERED = 1_000  # closed calls whose late answers are still recognised


@dataclass(slots=True)
class _Open:
    """A call that waits for its answer."""

    permit: Permit
    request: Request
    expires: float  # by time.monotonic(); a sign of progress moves it
    cancelled_at: float | None = None
    timed_out: bool = False  # by the client's own word
    answered: bool = False  # by us, in place of the peer


@dataclass(slots=True)
class _Side:
    """The requests of one side that wait for the other side's answer."""

    direction: Direction
    asker: Outbox  # the way back to who asked
    answerer: Outbox  # the way to who is asked
    calls: dict[RequestId, _Open] = field(default_factory=dict[RequestId, _Open])
    quiet: dict[RequestId, Request] = field(default_factory=dict[RequestId, Request])
    closed: OrderedDict[RequestId, _Open] = field(default_factory=OrderedDict[RequestId, _Open])


class Relay:
    """The two directions between one client and one server."""

    def __init__(
        self,
        guard: Guard,
        redactor: Redactor,
        conversation: Conversation,
        to_client: Outbox,
        to_server: Outbox,
        *,
        call_timeout_s: float,
        alarm: Alarm,
        say: Callable[[str], None],
    ) -> None:
        """`say` tells the person at the terminal; it must never be given a value from a message.

        `alarm` puts an event on the log `security`.
        """
        self._guard = guard
        self._redactor = redactor
        self._conversation = conversation
        self._to_client = to_client
        self._to_server = to_server
        self._call_timeout_s = call_timeout_s
        self._alarm = alarm
        self._say = say
        self._lock = Lock()
        self._client = _Side("client_to_server", asker=to_client, answerer=to_server)
        self._server = _Side("server_to_client", asker=to_server, answerer=to_client)
        self._opened = False
        self.calls = 0

    # client to server

    def from_client(self, line: bytes) -> None:
        """Take one line from the client."""
        try:
            message = wire.decode(line)
            match message:
                case Request():
                    self._take_request_of_client(message, line)
                case Notification():
                    self._note_cancellation(message, self._client)
                    self._to_server.send(_onward(message, line))
                case Response():
                    self._take_answer(message, line, self._server)
        except MessageRefused as e:
            self.refuse(e, len(line))

    def refuse(self, refusal: MessageRefused, size_bytes: int) -> None:
        """Record that a message of the client is not forwarded, and answer it."""
        self._guard.refuse_message(self._conversation.base(), reason=refusal.reason, size_bytes=size_bytes)
        self._to_client.send(wire.error_line(refusal.request_id, refusal.code, f"not forwarded: {refusal.reason}"))

    def _take_request_of_client(self, request: Request, line: bytes) -> None:
        self._conversation.hear_client(request)
        if not self._opened:
            self._opened = True
            self._note_connection("open")
        with self._lock:
            if request.id in self._client.calls or request.id in self._client.quiet:
                raise MessageRefused("a request with this id is still open", wire.AMBIGUOUS)
        self._take_request(request, line, self._client)

    # server to client

    def from_server(self, line: bytes) -> None:
        """Take one line from the server."""
        try:
            message = wire.decode(line, lone_surrogates="forgive")
        except MessageRefused as e:
            self.withhold(e, len(line))
            return
        match message:
            case Request():
                self._take_request(message, line, self._server)
            case Notification():
                self._note_progress(message)
                self._note_cancellation(message, self._server)
                self._note_changes(self._conversation.hear_notice(message.method))
                self._to_client.send(line)
            case Response():
                self._take_answer(message, line, self._client)

    def withhold(self, refusal: MessageRefused, size_bytes: int) -> None:
        """Keep from the client what the server sent with no single reading, and say so."""
        with self._lock:
            call = None if refusal.request_id is None else self._client.calls.pop(refusal.request_id, None)
        if call is None:
            reason = f"from the server: {refusal.reason}"
            self._say(f"dropped {size_bytes} bytes {reason}")
            self._guard.refuse_message(self._conversation.base(), reason=reason, size_bytes=size_bytes)
            return
        self._end(call, "failed", "unreadable_result")
        text = f"it ran, but its answer is withheld: {refusal.reason}"
        self._to_client.send(wire.error_line(call.request.id, wire.UNREADABLE_RESULT, text))

    # both ways

    def _take_request(self, request: Request, line: bytes, side: _Side) -> None:
        onward = _onward(request, line) if side is self._client else line
        if protocol.event_type_of(request.method) is None:
            with self._lock:
                side.quiet[request.id] = request
            side.answerer.send(onward)
            return
        with self._lock:  # what a server asks belongs to one of the calls that it works on, and nobody says to which
            within = [call.permit for call in self._client.calls.values()] if side is self._server else []
        try:
            permit = self._guard.begin(self._conversation.call(request, len(line), side.direction), within)
        except NotAuthenticated as e:
            side.asker.send(wire.error_line(request.id, wire.NOT_AUTHENTICATED, f"not run: {e}"))
            return
        except NotRecorded as e:
            side.asker.send(wire.error_line(request.id, wire.NOT_RECORDED, str(e)))
            return
        if isinstance(permit, Refusal):
            side.asker.send(_refused(permit, request) if permit.settled else lambda: _refused(permit, request))
            return
        with self._lock:  # before it goes out: the answer may be back at once
            self.calls += 1
            left = side.calls.get(request.id)
            side.calls[request.id] = _Open(permit, request, time.monotonic() + self._call_timeout_s)
        if left is not None:
            self._end(left, "unknown", "id_reused")

        forwarded = _forwarded(permit, onward)

        def release() -> bytes | None:
            return self._redeem(permit, request.id, forwarded, side)

        outgoing = release() if permit.settled else release
        if outgoing is not None:
            side.answerer.send(outgoing)

    def _redeem(self, permit: Permit, request_id: RequestId, line: bytes, side: _Side) -> bytes | None:
        """Return the line once its attempt is durable; else answer it and return nothing."""
        try:
            permit.redeem()
        except NotRecorded as e:
            with self._lock:
                side.calls.pop(request_id, None)
            side.asker.send(wire.error_line(request_id, wire.NOT_RECORDED, str(e)))
            return None
        return line

    def _take_answer(self, response: Response, line: bytes, side: _Side) -> None:
        """Record how a call ended, then hand its answer on to who asked."""
        quiet = call = None
        if response.id is not None:
            with self._lock:
                quiet = side.quiet.pop(response.id, None)
                call = side.calls.pop(response.id, None) or side.closed.pop(response.id, None)
        if quiet is not None and side is self._client:
            self._hear_server(quiet, response)
        if call is None:
            if quiet is None and response.id is not None and side is self._client:
                # the client would have to guess what it answers, and the record would not have it
                self.withhold(MessageRefused("an answer to nothing that is open", wire.AMBIGUOUS), len(line))
            else:
                side.asker.send(line)
            return
        result = protocol.result_of(call.request, response, len(line))
        self._conversation.hear_questions(result)
        if call.cancelled_at is not None and response.error is not None:
            result = Result(status="timed_out" if call.timed_out else "cancelled", size_bytes=len(line))
        try:
            delivery = self._guard.end(call.permit, result)
        except EndNotRecorded as e:
            side.asker.send(wire.error_line(call.request.id, wire.END_NOT_RECORDED, str(e)))
            return
        if not call.answered:  # a second answer would confuse who asked
            shown = _shown(delivery.screened, call.request, response, line)
            side.asker.send(shown if delivery.settled else lambda: _delivered(delivery, call.request.id, shown))

    def _end(self, call: _Open, status: Outcome, error_type: str) -> None:
        """Record the end of a call that the peer did not answer, or not readably."""
        try:
            self._guard.end(call.permit, Result(status=status, error_type=error_type))
        except EndNotRecorded as e:
            self._say(str(e))

    # what nobody answered

    def sweep(self) -> None:
        """Close the calls that were cancelled, or that nobody answered in time."""
        now = time.monotonic()
        for side in (self._client, self._server):
            for call in self._take_due(side, now):
                if call.cancelled_at is not None:
                    self._end(call, "timed_out" if call.timed_out else "cancelled", "")
                    continue
                self._end(call, "timed_out", "no_answer")
                text = f"no answer within {self._call_timeout_s:g} s; the call may still be running, do not retry"
                side.asker.send(wire.error_line(call.request.id, wire.TIMED_OUT, text))

    def _take_due(self, side: _Side, now: float) -> list[_Open]:
        with self._lock:
            due = [
                call
                for call in side.calls.values()
                if now > call.expires or (call.cancelled_at is not None and now > call.cancelled_at + GRACE_S)
            ]
            for call in due:
                call.answered = call.cancelled_at is None
                side.closed[call.request.id] = side.calls.pop(call.request.id)
                if len(side.closed) > REMEMBERED:
                    side.closed.popitem(last=False)
        return due

    def finish(self, why: str) -> None:
        """Close every call that is still open, and tell the client `why` no answer will come."""
        for side in (self._client, self._server):
            with self._lock:
                left = [*side.calls.values()]
                side.calls.clear()
            for call in left:
                if call.cancelled_at is not None:
                    self._end(call, "timed_out" if call.timed_out else "cancelled", "")
                    continue
                self._end(call, "unknown", "server_exited" if side is self._client else "client_gone")
                if side is self._client:
                    self._to_client.send(wire.error_line(call.request.id, wire.SERVER_GONE, why))
        if self._opened:
            self._note_connection("close")

    # what is said beside the calls

    def _note_cancellation(self, notification: Notification, side: _Side) -> None:
        if notification.method != "notifications/cancelled":
            return
        request_id, reason = notification.params.get("requestId"), notification.params.get("reason")
        with self._lock:
            call = side.calls.get(request_id) if isinstance(request_id, (int, str)) else None
            if call is not None and call.cancelled_at is None:
                call.cancelled_at = time.monotonic()
                said = reason.casefold() if isinstance(reason, str) else ""
                call.timed_out = "timed out" in said or "timeout" in said

    def _note_progress(self, notification: Notification) -> None:
        if notification.method != "notifications/progress":
            return
        token = notification.params.get("progressToken")
        with self._lock:
            for call in self._client.calls.values():
                if token is not None and protocol.meta_of(call.request.params).get("progressToken") == token:
                    call.expires = time.monotonic() + self._call_timeout_s

    def _hear_server(self, request: Request, response: Response) -> None:
        self._note_changes(self._conversation.hear_server(request, response))

    def _note_changes(self, changes: list[Change]) -> None:
        """Record what is new about definitions, before the client hears of it."""
        for change in changes:
            event, outside = told(change, self._conversation.base())
            self._guard.note(self._redactor.fact(event, outside))
            if change.alarming:
                alarm = f"tool_definition_{'change' if change.action == 'changed' else change.action}"
                self._alarm(replace(event, event_type="security", action=alarm), outside)

    def _note_connection(self, action: str) -> None:
        known = self._conversation.connection
        event = replace(self._conversation.base(), event_type="connection", action=action)
        said = {
            "client_name": known.client_name,
            "client_version": known.client_version,
            "server_name": known.server_name,
            "server_version": known.server_version,
            "protocol_version": known.protocol_version,
        }
        self._guard.note(self._redactor.fact(event, {key: text for key, text in said.items() if text}))


def _refused(refusal: Refusal, request: Request) -> bytes:
    """Return the answer to a call that must not run, once that is durable."""
    try:
        refusal.redeem()
    except Denied as e:
        tool, modern = request.method == "tools/call", protocol.is_modern(request.params)
        return wire.denied_line(request.id, str(e), tool=tool, modern=modern)


def _forwarded(permit: Permit, line: bytes) -> bytes:
    """Return the line that goes on: the one that came, but for a trace that its attempt says goes with it."""
    attempt = permit.attempt
    if not attempt.trace_propagated:
        return line
    began = trace_context.written(attempt.trace_id, attempt.span_id)
    return with_meta(line, {trace_context.TRACEPARENT: began}, trace_context.unusable(attempt.trace_faults))


def _onward(message: Request | Notification, line: bytes) -> bytes:
    """Return what of a message of the client is handed on: the bytes that came, without a token for us."""
    if META_KEY not in protocol.meta_of(message.params):
        return line
    onward = with_meta(line, {}, (META_KEY,))
    meta = {key: value for key, value in protocol.meta_of(message.params).items() if key != META_KEY}
    if wire.decode(onward) != with_params(message, params={**message.params, "_meta": meta}):
        raise MessageRefused("what is not to be handed on cannot be taken out of it", wire.AMBIGUOUS)
    return onward


def _shown(screened: Screened, request: Request, response: Response, line: bytes) -> bytes:
    """Return the line that the caller gets: the one that came, unless a policy wants another in its place."""
    if screened.withheld:
        modern = isinstance(response.result, dict) and "resultType" in response.result
        return wire.withheld_line(request.id, screened.reason, tool=request.method == "tools/call", modern=modern)
    if screened.body is None:
        return line
    return wire.changed_line(request.id, screened.body.open(), error=response.error is not None)


def _delivered(delivery: Delivery, request_id: RequestId, line: bytes) -> bytes:
    """Return the answer once its record is durable, or the error that stands for it."""
    try:
        delivery.redeem()
    except EndNotRecorded as e:
        return wire.error_line(request_id, wire.END_NOT_RECORDED, str(e))
    return line
