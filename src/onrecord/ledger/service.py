# SPDX-License-Identifier: Apache-2.0
"""The recorder service: takes entries of many doors, and is the one that holds ledger and key.

One thread: gather what the doors have sent, append each entry through the ordinary writer, answer those
that need no more, wait once for the disk and the signature of the group, answer the rest. The writer's
locks are those of every recorder, so a service and embedded writers mix.

A door is believed in what it says of its calls, and in nothing else: its event is decoded and
encoded anew, the kernel says which account and process it came from, place, time and count are the ledger's,
and a door can't state what excuses a change of the record (`event/redacted.py`). With each answer that
follows a new signature a door gets the proof that the log still extends what that door has seen.

What the service says of itself, and the keys, are the caller's business.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from onrecord.errors import LedgerBusy, LedgerError, LedgerRefused, NotVerified
from onrecord.event.event import Event
from onrecord.event.redacted import Redacted, closing_of, received
from onrecord.ledger.growth import Growth
from onrecord.ledger.history import last_note
from onrecord.ledger.listener import Connection, Listener
from onrecord.ledger.messages import (
    NOBODY,
    VERSION,
    Answer,
    Append,
    Bye,
    Done,
    Hello,
    Welcome,
    encode,
    failed,
    known_of,
    read_request,
    text_of,
)
from onrecord.ledger.note import Checkpoint, VerifierKey, open_checkpoint
from onrecord.ledger.peer import may_act_as
from onrecord.ledger.place import Home
from onrecord.ledger.published import read_published
from onrecord.ledger.receipt import Receipt
from onrecord.ledger.sessions import Session, Sessions
from onrecord.ledger.succession import Successions
from onrecord.ledger.writer import Ticket, Writer

TURN_S = 0.5  # the longest that it waits for doors before it looks after what else is due
_NAP_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The log that is served. `read_vkeys` returns the keys whose signatures count, oldest first."""

    home: Home
    name: str
    read_vkeys: Callable[[], Sequence[VerifierKey]]
    uid: int | None


class _Waiting(NamedTuple):
    """A request that is answered when the disk has done its part."""

    connection: Connection
    request: Append | Bye
    ticket: Ticket
    receipt: Receipt | None


class Service:
    """Serves one log to the doors of one listener, in the thread that calls `serve`."""

    def __init__(
        self, log: Log, listener: Listener, writer: Writer, sessions: Sessions, new_id: Callable[[], str]
    ) -> None:
        """The log must have been written to by `writer` before, so that there is a signed checkpoint."""
        self._log = log
        self._folder = log.home.log(log.name)
        self._listener = listener
        self._writer = writer
        self._sessions = sessions
        self._new_id = new_id
        self._vkeys = log.read_vkeys()
        self._growth = Growth(self._folder, self._published())
        self._successions = Successions(self._folder, self._growth)
        self._note: bytes = b""
        self._signed: Checkpoint | None = None
        self._looked_at = 0.0
        self._size = 0  # of the log, as far as this thread has heard
        self._last: dict[str, Ticket] = {}  # of each session
        self._waiting: list[_Waiting] = []
        self._busy: LedgerBusy | None = None  # what kept the group from the ledger's lock: others need not try
        self.calls = 0

    def await_signature(self) -> None:
        """Return once there is a signed tree to show, or it takes too long: a new log has none for a moment."""
        deadline = time.monotonic() + self._writer.deadline_s
        while self._signed is None and time.monotonic() < deadline:
            with suppress(LedgerError):
                self._look_at_signature()
            time.sleep(_NAP_S)

    def serve(self) -> None:
        """Serve until the listener is told to stop. What was received by then is answered."""
        while not self._listener.stopped:
            self._turn(TURN_S)
        self._turn(0)

    def _turn(self, wait_s: float) -> None:
        self._busy = None
        for connection, line in self._listener.turn(wait_s):
            if not connection.fault:
                self._take(connection, line)
        self._settle()
        for connection in self._listener.ended():
            self._part(connection)
        self._look_after()

    def _published(self) -> Checkpoint | None:
        with suppress(OSError, NotVerified):
            return read_published(self._folder, self._vkeys)[1]
        return None

    # one message

    def _take(self, connection: Connection, line: bytes) -> None:
        """Do what a line asks for. One that no door of ours would send ends the connection."""
        try:
            request = read_request(line)
            if isinstance(request, Hello):
                self._welcome(connection, request)
            elif connection.session is None:
                raise NotVerified("the first message is not a hello")
            else:
                self._serve(connection, request, connection.session)
        except NotVerified as e:
            connection.fault = str(e)

    def _serve(self, connection: Connection, request: Append | Bye, session: Session) -> None:
        try:
            self._check_known(connection, request)
            if isinstance(request, Bye):
                self._farewell(connection, request, session)
            else:
                self._append(connection, request, session)
        except LedgerError as e:
            self._answer(connection, failed(request.id, e))

    def _append(self, connection: Connection, request: Append, session: Session) -> None:
        if self._busy is not None:
            raise LedgerBusy(*self._busy.args)
        session.check_room(request.event)
        entry = self._entry_of(connection, request.event)
        urgent = request.urgent and entry.event.phase == "result"  # the reserve of a full disk is for ends
        try:
            ticket = self._writer.append(entry, request.durability, urgent=urgent, hand=session.hand)
        except LedgerBusy as e:
            self._busy = e
            raise
        receipt = ticket.receipt
        self.calls += entry.event.phase == "attempt"
        self._heard(receipt)
        session.note(receipt.seq, request.event)
        self._sessions.save_due(session, self._size)
        self._last[session.hand.wid] = ticket
        if ticket.settled:
            self._answer(connection, self._done(connection, request.id, receipt))
        else:
            self._waiting.append(_Waiting(connection, request, ticket, receipt))

    def _entry_of(self, connection: Connection, event: Event) -> Redacted:
        """Return the entry of a door's event. Raises LedgerError where it isn't a door's to state."""
        uid, pid = connection.peer
        if event.event_type == "recorder_start":  # a door may know that it is worse than we know, not that it is better
            alike = may_act_as(uid, self._log.uid) or event.detail.get("same_account") is not False
            event = replace(event, detail={**event.detail, "same_account": alike})
        try:
            return received(event, peer_uid=uid, peer_pid=pid)
        except ValueError as e:
            raise LedgerError(f"not accepted: {e}") from e

    def _heard(self, receipt: Receipt) -> None:
        self._size = max(self._size, receipt.seq + 1)
        self._growth.expect(receipt.seq, receipt.leaf)

    def _check_known(self, connection: Connection, request: Append | Bye) -> None:
        """Raise LedgerRefused where a door has seen a tree that this log never had.

        On one connection that is at most what it was told last, since answers may be under way.
        """
        told = connection.told
        known = None if told is None else known_of(told.origin, request.size, request.root)
        if told is None or known is None:
            return
        if known.size > told.size or (known.size == told.size and known.root != told.root):
            raise LedgerRefused(f"the door has seen a tree of {known.size} entries that this log does not have")

    # the group

    def _settle(self) -> None:
        """Wait until the group is as durable as was asked for, and answer it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        errors = self._wait(waiting)
        trouble: LedgerError | None = None
        try:
            self._look_at_signature()
        except LedgerError as e:
            trouble = e
        for each, error in zip(waiting, errors, strict=True):
            try:
                self._finish(each, error or trouble)
            except LedgerError as e:
                seq = -1 if each.receipt is None else each.receipt.seq
                self._answer(each.connection, failed(each.request.id, e, seq=seq))

    def _wait(self, waiting: list[_Waiting]) -> list[LedgerError | None]:
        """Return what became of each ticket. The first wait is for the farthest, and settles most of them."""
        deadline = time.monotonic() + self._writer.deadline_s
        errors: list[LedgerError | None] = [None] * len(waiting)
        for at in sorted(range(len(waiting)), key=lambda at: (waiting[at].ticket.durability != "signed", -at)):
            try:
                waiting[at].ticket.wait(max(0.0, deadline - time.monotonic()))
            except LedgerError as e:
                errors[at] = e
        return errors

    def _finish(self, each: _Waiting, error: LedgerError | None) -> None:
        connection, request, ticket, receipt = each
        if error is not None:
            raise error
        if ticket.durability == "signed" and (self._signed is None or self._signed.size <= ticket.receipt.seq):
            raise LedgerBusy("the entry is signed, but the signature can't be read yet")
        self._answer(connection, self._done(connection, request.id, receipt))
        if isinstance(request, Bye):
            self._end(connection)

    def _done(self, connection: Connection, request_id: int, receipt: Receipt | None) -> Done:
        """Return the answer, with the newest signature where the door has not seen it. Raises LedgerRefused."""
        note, path, successions = "", (), ()
        signed, told = self._signed, connection.told
        if signed is not None and (told is None or signed.size > told.size):
            path = self._path(told)
            note = self._note.decode()
            successions = self._successions.since(connection.vkey, self._vkeys)
            connection.told, connection.vkey = signed, str(self._vkeys[-1])
        seq, leaf = (-1, "") if receipt is None else (receipt.seq, receipt.leaf.hex())
        return Done(id=request_id, seq=seq, leaf=leaf, successions=successions, note=note, path=path)

    def _path(self, known: Checkpoint | None) -> tuple[str, ...]:
        return () if known is None else tuple(map(text_of, self._growth.path(known)))

    def _look_at_signature(self) -> None:
        """Take in what was signed last, by whoever writes this log. Raises LedgerError where it doesn't fit."""
        self._looked_at = time.monotonic()
        note = last_note(self._folder.checkpoints)
        if note == self._note or not note:
            return
        signed = self._open(note)
        self._growth.reach(signed)
        if self._signed is None or signed.size >= self._signed.size:
            self._note, self._signed = note, signed
            self._size = max(self._size, signed.size)

    def _open(self, note: bytes) -> Checkpoint:
        try:
            return open_checkpoint(note, self._vkeys)
        except NotVerified:
            self._vkeys = self._log.read_vkeys()  # the key may have been handed over
        try:
            return open_checkpoint(note, self._vkeys)
        except NotVerified as e:
            raise LedgerRefused(f"the newest signature of {self._folder.path} is not ours: {e}") from e

    # doors that come and go

    def _welcome(self, connection: Connection, hello: Hello) -> None:
        """Begin or take up a session. Raises NotVerified where the door speaks another language."""
        if hello.version != VERSION or connection.session is not None:
            raise NotVerified(f"this service speaks version {VERSION} of the protocol, and takes one hello")
        try:
            if hello.log != self._log.name:
                raise LedgerError("this service keeps another log")
            self._look_at_signature()
            if self._signed is None:
                raise LedgerBusy("the log has no signed checkpoint yet")
            if hello.origin not in ("", self._signed.origin):
                raise LedgerRefused(
                    f"the recorder service keeps another log than the door knows: {self._signed.origin}"
                )
            path = self._path(known_of(self._signed.origin, hello.size, hello.root))
            successions = self._successions.since(hello.vkey, self._vkeys)
            session, token = self._session_of(connection, hello)
        except LedgerError as e:
            self._answer(connection, failed(NOBODY, e))
            connection.ended = True
            return
        connection.session, connection.told, connection.vkey = session, self._signed, str(self._vkeys[-1])
        welcome = Welcome(
            version=VERSION,
            log=self._log.name,
            vkeys=tuple(map(str, self._vkeys)),
            wid=session.hand.wid,
            token=token,
            ledger=str(self._folder.path),
            keys=str(self._log.home.keys),
            successions=successions,
            note=self._note.decode(),
            path=path,
            recent=tuple(session.recent),
        )
        self._answer(connection, welcome)

    def _session_of(self, connection: Connection, hello: Hello) -> tuple[Session, str]:
        uid = connection.peer.uid
        session = self._sessions.resume(hello.wid, hello.token, uid=uid) if hello.wid else None
        if session is None:
            return self._sessions.begin(uid=uid, seq=self._size)
        for other in self._listener.connections():
            if other.session is session:  # the door gave it up before we saw that it did
                other.session, other.fault = None, "another connection has taken its place"
        return session, hello.token

    def _farewell(self, connection: Connection, request: Bye, session: Session) -> None:
        """Let the last entries of a door become signed; its session ends with the answer."""
        self._close_open_calls(session, "recorder_left")
        ticket = self._last.get(session.hand.wid)
        if ticket is None:
            self._answer(connection, self._done(connection, request.id, None))
            self._end(connection)
            return
        ticket.durability = "signed"
        self._waiting.append(_Waiting(connection, request, ticket, None))

    def _end(self, connection: Connection) -> None:
        if connection.session is not None:
            self._last.pop(connection.session.hand.wid, None)
            self._sessions.end(connection.session)
            connection.session = None
        self._listener.drop(connection)

    def _part(self, connection: Connection) -> None:
        """Take leave of a connection that ended, or has to."""
        if connection.fault:
            refusal = LedgerError(f"the recorder service refuses the connection: {connection.fault}")
            self._answer(connection, failed(NOBODY, refusal))
        if connection.session is not None:
            self._sessions.lose(connection.session)
        self._listener.drop(connection)

    def _look_after(self) -> None:
        """Do what is due at times: hear of signatures, and close the calls of doors that are gone."""
        with suppress(LedgerError):  # each hello and each group meets it again, and says so
            if time.monotonic() - self._looked_at > TURN_S:
                self._look_at_signature()
        for session in self._sessions.gone():
            with suppress(LedgerError):  # the next turn tries again
                self._close_open_calls(session, "recorder_died")
                self._last.pop(session.hand.wid, None)
                self._sessions.end(session)

    def _close_open_calls(self, session: Session, error_type: str) -> None:
        """Record that nobody knows how the open calls of a door ended. Raises LedgerError."""
        for key, (_, attempt) in list(session.open_calls.items()):
            entry = closing_of(attempt, event_id=self._new_id(), error_type=error_type)
            self._last[session.hand.wid] = ticket = self._writer.append(entry, urgent=True)
            self._heard(ticket.receipt)
            del session.open_calls[key]

    def _answer(self, connection: Connection, answer: Answer) -> None:
        self._listener.send(connection, encode(answer))
