# SPDX-License-Identifier: Apache-2.0
"""Messages between one client and one server, on the record: what passes, what waits, what is refused.

What is judged is one reading of a message; what is forwarded are the bytes that came, but for what is ours or what
settings ask for (`going.py`): a token for us and the answer to a question of ours are taken out, a trace may be added,
flagged output may be changed or withheld. A call goes through the guard on its way in and its result on the way out;
everything else that has a single reading passes. What reads a resource of ours is answered here (`own_resource.py`).
Toward the client there is nothing but JSON-RPC. No request and no notification is ever sent to the server that the
client did not send, so a server that locks its protocol era on the first request locks the client's. To what a server
asks of the client it may get an answer of ours.

Several threads may be in here: one for each direction, those of the outboxes, the one that sweeps, one that looks at
what waits for an approval, and those in which a policy elsewhere is asked.
This file opens no file and starts no process.
"""

import os
import time
from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

from msgspec.structs import replace

from onrecord.doors import going, protocol, wire
from onrecord.doors.asking import Asking
from onrecord.doors.conversation import Conversation
from onrecord.doors.deciding import Deciding, Key
from onrecord.doors.definitions import told
from onrecord.doors.holding import Holding
from onrecord.doors.own_resource import OwnResource
from onrecord.doors.rounds import Rounds
from onrecord.doors.sides import Asked, Open, Side
from onrecord.doors.threads import Threads
from onrecord.doors.ways import Route, Way
from onrecord.doors.wire import Message, Notification, Request, Response
from onrecord.errors import EndNotRecorded, MessageRefused, NotAuthenticated, NotRecorded
from onrecord.event.call import Call, Outcome, RequestId, Result
from onrecord.event.event import ResultStatus
from onrecord.permits import Held, Permit, Refusal
from onrecord.recorder import Recorder
from onrecord.rules.definitions import Change

_UNKNOWN_NOTICE = "a notification that MCP does not define cannot be decided on"
_NOTHING_OPEN = "an answer to nothing that is open"
_Begun: TypeAlias = Permit | Refusal | Held | bytes  # the last is the answer to a call that was not let in


class Relay:
    """The two directions between one client and one server."""

    def __init__(
        self,
        recorder: Recorder,
        conversation: Conversation,
        rounds: Rounds,
        *,
        call_timeout_s: float,
        say: Callable[[str], None],
        failed: Callable[[Exception], None],
        threads: Threads | None = None,
    ) -> None:
        """`say` tells the person at the terminal; it must never be given a value from a message.

        `failed` is told of a defect of ours in a thread of this relay. Without `threads` it has its own.
        """
        threads = threads or Threads()
        self._guard = guard = recorder.guard
        self._redactor = recorder.redactor
        self._alarm = recorder.alarm
        self._conversation = conversation
        self._asking = Asking(guard, rounds, os.urandom)
        self._call_timeout_s = call_timeout_s
        self._say = say
        self._lock = Lock()
        self._client = Side("client_to_server")
        self._server = Side("server_to_client")
        self._holding = Holding(
            guard, conversation, self._asking, threads.looking, self._make_approved, self._answer, failed=failed
        )
        self._deciding = Deciding[_Begun](threads.deciding, failed)
        self._own = OwnResource(recorder.declared, guard, conversation, take=self.from_server, failed=failed)
        self.calls = 0

    # client to server

    def from_client(self, line: bytes, route: Route) -> None:
        """Take one line from the client."""
        try:
            self.take(wire.decode(line), line, route)
        except MessageRefused as e:
            self.refuse(e, len(line), route)

    def take(self, message: Message, line: bytes, route: Route) -> None:
        """Take a message of the client, which is `line`. Raises MessageRefused for one that is to be refused."""
        match message:
            case Request():
                self._take_request_of_client(message, line, route)
            case Notification():
                self._asking.hear(message)
                if self._guard.enforces and message.method not in protocol.NOTICES:
                    self._drop(_UNKNOWN_NOTICE, len(line), "unknown_notification")
                elif not self._note_cancellation(message, self._client):
                    route.onward.send(going.onward(message, line))
            case Response() if self._asking.answered(message):
                self._holding.wake()
            case Response():
                self._take_answer(message, line, self._server, route)

    def _drop(self, reason: str, size_bytes: int, error_type: str = "") -> None:
        """Record that a message of the client is not forwarded. Nobody is told: it wants no answer."""
        base = replace(self._conversation.base(), error_type=error_type)
        self._guard.refuse_message(base, reason=reason, size_bytes=size_bytes)

    def refuse(self, refusal: MessageRefused, size_bytes: int, route: Route) -> None:
        """Record that a message of the client is not forwarded, and answer it."""
        self._guard.refuse_message(self._conversation.base(), reason=refusal.reason, size_bytes=size_bytes)
        text = f"not forwarded: {refusal.reason}"
        route.back.send(wire.error_line(refusal.request_id, refusal.code, text), last=True)

    def _take_request_of_client(self, request: Request, line: bytes, route: Route) -> None:
        self._conversation.hear_client(request)
        self._asking.hear(request)
        if self._conversation.open():
            self._note_connection("open")
        with self._lock:
            key: Key = ("client_to_server", request.id)
            waits = key in self._holding or key in self._deciding
            if waits or request.id in self._client.calls or request.id in self._client.quiet:
                raise MessageRefused("a request with this id is still open", wire.AMBIGUOUS)
        protocol.check_name(request)
        self._take_request(request, line, self._client, self._own.route(request, route))

    # server to client

    def from_server(self, line: bytes, route: Route) -> None:
        """Take one line from the server."""
        try:
            message = wire.decode(line, lone_surrogates="forgive")
        except MessageRefused as e:
            self.withhold(e, len(line), route)
            return
        match message:
            case Request():
                self._take_request(message, line, self._server, route)
            case Notification():
                self._note_progress(message)
                self._note_changes(self._conversation.hear_notice(message.method))
                if not self._note_cancellation(message, self._server):
                    route.onward.send(line)
            case Response():
                self._take_answer(message, line, self._client, route)

    def withhold(self, refusal: MessageRefused, size_bytes: int, route: Route) -> None:
        """Keep from the client what the server sent with no single reading, and say so."""
        with self._lock:
            call = None if refusal.request_id is None else self._client.answered(refusal.request_id, route.back)
        if call is None:
            reason = f"from the server: {refusal.reason}"
            self._say(f"dropped {size_bytes} bytes {reason}")
            self._guard.refuse_message(self._conversation.base(), reason=reason, size_bytes=size_bytes)
            return
        self._end(call.permit, "failed", "unreadable_result")
        text = f"it ran, but its answer is withheld: {refusal.reason}"
        route.onward.send(wire.error_line(call.request.id, wire.UNREADABLE_RESULT, text), last=True)

    # both ways

    def _take_request(self, request: Request, line: bytes, side: Side, route: Route) -> None:
        size_bytes, taken = len(line), self._asking.take(request, line) if side is self._client else None
        request, line = (taken.request, taken.line) if taken else (request, line)
        onward = going.onward(request, line) if side is self._client else line
        if protocol.event_type_of(request.method) is None:
            with self._lock:
                side.quiet[request.id] = request
            route.onward.send(onward)
            return
        with self._lock:  # what a server asks belongs to one of the calls that it works on, and nobody says to which
            within = [call.permit for call in self._client.calls.values()] if side is self._server else []
        call = self._conversation.call(request, size_bytes, side.direction, taken, route.sender)
        asked = Asked(request, onward, size_bytes, side, taken, route)
        if not self._guard.decides_elsewhere:
            self._begun(self._begin(call, within, request), asked)
            return
        key: Key = (side.direction, request.id)
        begin = lambda: self._begin(call, within, request)  # noqa: E731
        self._deciding.run(key, begin, lambda given, ended_as: self._begun(given, asked, ended_as))

    def _begin(self, call: Call, within: list[Permit], request: Request) -> _Begun:
        try:
            return self._guard.begin(call, within)
        except NotAuthenticated as e:
            return wire.error_line(request.id, wire.NOT_AUTHENTICATED, f"not run: {e}")
        except NotRecorded as e:
            return wire.error_line(request.id, wire.NOT_RECORDED, str(e))

    def _begun(self, given: _Begun, asked: Asked, ended_as: ResultStatus = "") -> None:
        """Go on with a call that was decided on; `ended_as` is what has come of it meanwhile."""
        elsewhere = self._guard.decides_elsewhere  # then nothing may wait here
        if (tell := asked.route.decided) is not None and not isinstance(given, bytes):
            tell(given.attempt)
        if isinstance(given, Permit) and ended_as:
            self._guard.drop(given, ended_as, "not_forwarded")
        elif isinstance(given, Held) and ended_as:
            self._guard.abandon(given, ended_as, "approval_pending", "")
        elif isinstance(given, Permit):
            self._open(given, asked, at_once=not elsewhere)
        elif isinstance(given, Held):
            self._holding.hold(given, asked)
        elif isinstance(given, Refusal) and not ended_as:
            self._answer(given, asked, at_once=not elsewhere)
        elif isinstance(given, bytes) and not ended_as:
            asked.route.back.send((lambda: given) if elsewhere else given, last=True)

    def _answer(self, refusal: Refusal, asked: Asked, *, at_once: bool = True) -> None:
        request, back = asked.request, asked.route.back
        if at_once and refusal.settled:
            back.send(going.refused(refusal, request), last=True)
        else:
            back.send(lambda: going.refused(refusal, request), last=True)

    def _open(self, permit: Permit, asked: Asked, *, at_once: bool = True) -> None:
        """Make a call: forward it as soon as its record is durable, and wait for its answer."""
        request, side, route = asked.request, asked.side, asked.route
        with self._lock:  # before it goes out: the answer may be back at once
            self.calls += 1
            left = side.calls.get(request.id)
            side.calls[request.id] = Open(permit, request, route, time.monotonic() + self._call_timeout_s)
        if left is not None:
            self._end(left.permit, "unknown", "id_reused")

        forwarded = going.forwarded(permit, asked.onward)

        def release() -> bytes | None:
            return self._redeem(permit, asked, forwarded)

        outgoing = release() if at_once and permit.settled else release
        if outgoing is not None:
            route.onward.send(outgoing)

    def client_gone(self) -> None:
        """End the waiting, once all is decided on: nobody is there to be answered. What was asked for stands."""
        self._deciding.drain()
        self._holding.close()

    def _make_approved(self, permit: Permit, asked: Asked) -> None:
        """Make a call that was approved. It goes by the outbox, behind which a cancellation comes."""
        self._open(permit, asked, at_once=False)

    def _redeem(self, permit: Permit, asked: Asked, line: bytes) -> bytes | None:
        """Return the line once its attempt is durable; else answer it and return nothing."""
        try:
            permit.redeem()
        except NotRecorded as e:
            with self._lock:
                asked.side.calls.pop(asked.request.id, None)
            asked.route.back.send(wire.error_line(asked.request.id, wire.NOT_RECORDED, str(e)), last=True)
            return None
        return line

    def _take_answer(self, response: Response, line: bytes, side: Side, route: Route) -> None:
        """Record how a call ended, then hand its answer on to who asked."""
        quiet = call = None
        if response.id is not None:
            with self._lock:
                quiet = side.quiet.pop(response.id, None)
                call = side.answered(response.id, route.back) or side.closed.pop(response.id, None)
        if quiet is not None and side is self._client:
            self._hear_server(quiet, response)
            line = self._own.listed(quiet, response, line)
        if call is None:
            if quiet is not None or response.id is None:
                route.onward.send(line, last=True)
            elif side is self._client:  # who got it would guess what it answers, and the record would not have it
                self.withhold(MessageRefused(_NOTHING_OPEN, wire.AMBIGUOUS), len(line), route)
            else:
                self._drop(_NOTHING_OPEN, len(line))
            return
        result = protocol.result_of(call.request, response, len(line), route.told)
        self._conversation.hear_questions(result)
        if call.cancelled_at is not None and response.error is not None:
            result = Result(status="timed_out" if call.timed_out else "cancelled", size_bytes=len(line))
        try:
            delivery = self._guard.end(call.permit, result)
        except EndNotRecorded as e:
            route.onward.send(wire.error_line(call.request.id, wire.END_NOT_RECORDED, str(e)), last=True)
            return
        if not call.answered:  # a second answer would confuse who asked
            shown = going.shown(delivery.screened, call.request, response, line)
            ready = lambda: going.delivered(delivery, call.request.id, shown)  # noqa: E731
            route.onward.send(shown if delivery.settled else ready, last=True)

    def _end(self, permit: Permit, status: Outcome, error_type: str) -> None:
        """Record the end of a call that the peer did not answer, or not readably."""
        try:
            self._guard.end(permit, Result(status=status, error_type=error_type))
        except EndNotRecorded as e:
            self._say(str(e))

    # what nobody answered

    def sweep(self) -> None:
        """Close the calls that were cancelled, or that nobody answered in time."""
        now = time.monotonic()
        for side in (self._client, self._server):
            with self._lock:
                due = side.take_due(now)
            for call in due:
                self._end(call.permit, *call.ending("timed_out", "no_answer"))
                if call.cancelled_at is not None:
                    continue
                text = f"no answer within {self._call_timeout_s:g} s; the call may still be running, do not retry"
                call.route.back.send(wire.error_line(call.request.id, wire.TIMED_OUT, text), last=True)

    @property
    def is_idle(self) -> bool:
        """Whether no call is open, waits, or is being decided on."""
        return not (self._client.calls or self._server.calls or self._holding or self._deciding)

    def lost(self, request_id: RequestId, status: Outcome, error_type: str, back: Way) -> None:
        """Close a request of the client that the server will not answer, and that nobody here answers.

        `back` is the way on which it came: its id may be that of another request by now.
        """
        with self._lock:
            self._client.quiet.pop(request_id, None)
            call = self._client.calls.get(request_id)
            call = None if call is None or call.route.back is not back else self._client.calls.pop(request_id)
        if call is not None:
            self._end(call.permit, *call.ending(status, error_type))

    def finish(self, why: str) -> None:
        """Close every call that is still open, and tell the client `why` no answer will come."""
        self._deciding.drain("cancelled")
        for asked in self._holding.close():
            gone = wire.error_line(asked.request.id, wire.SERVER_GONE, "not run: the server is gone")
            asked.route.back.send(gone, last=True)
        for side in (self._client, self._server):
            with self._lock:
                left = [*side.calls.values()]
                side.calls.clear()
            for call in left:
                gone_too = "server_exited" if side is self._client else "client_gone"
                self._end(call.permit, *call.ending("unknown", gone_too))
                if side is self._client and call.cancelled_at is None:
                    call.route.back.send(wire.error_line(call.request.id, wire.SERVER_GONE, why), last=True)

    def close(self) -> None:
        """Record that the connection has ended, if it had begun."""
        if self._conversation.is_open:
            self._note_connection("close")

    # what is said beside the calls

    def _note_cancellation(self, notification: Notification, side: Side) -> bool:
        """Note that a call is cancelled, and say whether it was one that waits, of which nobody else has heard."""
        given_up = protocol.given_up(notification)
        return given_up is not None and self._cancel(given_up[0], side, timed_out=given_up[1])

    def cancel(self, request_id: RequestId) -> None:
        """Take it that the client has given its request up, where its transport says so without a message."""
        self._cancel(request_id, self._client, timed_out=False)

    def _cancel(self, request_id: RequestId, side: Side, *, timed_out: bool) -> bool:
        """Note that a call is cancelled, and say whether it was one that waits, or is ours."""
        status: Outcome = "timed_out" if timed_out else "cancelled"
        if self._deciding.cancel(side.direction, request_id, status):
            return True
        waited = self._holding.end(side.direction, request_id, status)
        with self._lock:
            call = None if waited else side.calls.get(request_id)
            if call is not None and call.cancelled_at is None:
                call.cancelled_at = time.monotonic()
                call.timed_out = timed_out
        return waited or (call is not None and call.route.own)

    def _note_progress(self, notification: Notification) -> None:
        if notification.method != "notifications/progress":
            return
        with self._lock:
            self._client.extend(notification.params.get("progressToken"), time.monotonic() + self._call_timeout_s)

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
        event = replace(self._conversation.base(), event_type="connection", action=action)
        self._guard.note(self._redactor.fact(event, self._conversation.told()))
