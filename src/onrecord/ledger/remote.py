# SPDX-License-Identifier: Apache-2.0
"""The writer of a door whose ledger a recorder service keeps.

`append` hands an entry over and returns a ticket at once; many may be under way. The answer says where the
entry stands, and carries the proof that the log still extends what this door has seen (`vouched.py`).

Where the service goes away every ticket under way fails at once, and appending fails until it is back:
what that means for a call is for the guard to say. A thread of its own connects anew. On its return the service
names what it has of this door; the rest goes on the record behind a `gap` event, as with every writer.
This file never writes the log itself: what a service keeps is written by nobody else.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Condition, Lock, Thread

from onrecord.errors import LedgerBusy, LedgerError, LedgerRefused, NotVerified, RecorderAway
from onrecord.event.redacted import Redacted
from onrecord.ledger.appending import Durability
from onrecord.ledger.ledger import DEADLINE_S
from onrecord.ledger.link import Link, can_write_there
from onrecord.ledger.messages import (
    MAX_MESSAGE,
    NOBODY,
    VERSION,
    Append,
    Bye,
    Done,
    Failed,
    Hello,
    encode,
    error_of,
    leaf_of,
    read_answer,
)
from onrecord.ledger.receipt import Receipt
from onrecord.ledger.spool import Spool
from onrecord.ledger.vouched import KEEP_S, Vouched
from onrecord.ledger.writer import anew

UNDER_WAY = 256  # entries without an answer; more wait for the service to catch up
FIRST_NAP_S, LONGEST_NAP_S = 0.05, 1.0  # between two attempts to connect


class RemoteTicket:
    """An entry that was handed over, and the way to wait until it is as durable as it must be."""

    __slots__ = ("_deadline_s", "_receipt", "cond", "durability", "entry", "error", "from_spool", "id")

    def __init__(
        self,
        cond: Condition,
        ticket_id: int,
        entry: Redacted | None,
        durability: Durability,
        deadline_s: float,
        *,
        from_spool: bool,
    ) -> None:
        """`entry` is None for a goodbye. One `from_spool` stays there until it is answered."""
        self.cond = cond
        self.id = ticket_id
        self.entry = entry
        self.durability: Durability = durability
        self.from_spool = from_spool
        self.error: LedgerError | None = None
        self._receipt: Receipt | None = None
        self._deadline_s = deadline_s

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._receipt is not None or self.error is not None

    @property
    def receipt(self) -> Receipt:
        """Where the entry stands, once the service has said so. Raises a LedgerError where it stands nowhere."""
        self.wait()
        assert self._receipt is not None
        return self._receipt

    def wait(self, deadline_s: float | None = None) -> None:
        """Return once the service has answered. Raises a LedgerError where it doesn't in time, or refuses."""
        limit_s = self._deadline_s if deadline_s is None else deadline_s
        with self.cond:
            for _ in range(2):  # in halves, as in `Ticket.wait`
                self.cond.wait_for(lambda: self.settled, limit_s / 2)
            if not self.settled:
                raise LedgerBusy(f"the recorder service did not answer within {limit_s:g} s")
        if self.error is not None:
            raise anew(self.error)

    def settle(self, receipt: Receipt) -> None:
        """Take in where the entry stands. The caller holds `cond`."""
        self._receipt = receipt


class RemoteWriter:
    """Appends for a whole process, through one connection. Threads may share it."""

    def __init__(
        self,
        service: Path,
        vouched: Vouched,
        *,
        gap: Callable[[], Redacted],
        deadline_s: float = DEADLINE_S,
        log: str = "calls",
        remedy: str = "start it with: onrecord recorder run",
    ) -> None:
        """`service` is its socket; `gap` makes the event that reports what waited; `remedy` says how to start it."""
        self._path = service
        self._vouched = vouched
        self.deadline_s = deadline_s
        self._log = log
        self._remedy = remedy
        self._cond = Condition()
        self._sending = Lock()  # ids go out in order
        self._link: Link | None = None
        self._pending: dict[int, RemoteTicket] = {}
        self._adrift: list[RemoteTicket] = []  # under way when the connection broke
        self._error: LedgerError | None = None
        self._session = ("", "")  # wid and token
        self._ids = 0
        self._hurry = False
        self._closing = False
        self.same_account = True  # until we know better
        self._spool = Spool(gap)
        self._thread = Thread(target=self._stay_connected, name="onrecord-remote", daemon=True)
        self._thread.start()

    def append(self, entry: Redacted, durability: Durability = "written", *, urgent: bool = False) -> RemoteTicket:
        """Hand `entry` over and return its ticket. Raises a LedgerError where there is nobody to hand it to."""
        self._await_attempt()
        if self._spool and not urgent:
            self._spool.drain(_Refill(self), deadline_s=self.deadline_s)
        return self.send(entry, durability, urgent=urgent)

    def await_ready(self) -> None:
        """Return once the service has said welcome. Raises a LedgerError where the attempt to meet it failed."""
        self._await_attempt()

    def spool(self, entry: Redacted) -> None:
        """Keep the entry of a harmless call until the service is back, if there is room."""
        self._spool.add(entry)

    def lose(self) -> None:
        """Count an entry that the service will never take."""
        self._spool.lose()

    @property
    def unwritten(self) -> int:
        """How many entries are not on the record yet, or never will be."""
        with self._cond:
            under_way = [*self._pending.values(), *self._adrift]
        return len(self._spool) + sum(each.entry is not None and not each.from_spool for each in under_way)

    def close(self) -> None:
        """Say goodbye once everything is signed. Raises a LedgerError where that cannot be had."""
        try:
            self._try_at_once()
            if self._spool:
                self._spool.drain(_Refill(self), deadline_s=self.deadline_s)
            self._stop_taking()
            self.send(None, "signed").wait(self.deadline_s * 2)
        finally:
            link = self._stop_taking()
            if link is not None:
                link.end()
            self._thread.join(self.deadline_s)
            self._vouched.save()

    def _try_at_once(self) -> None:
        """Connect now, if there is no connection, and not when the next attempt is due. Raises LedgerError."""
        with self._cond:
            if self._link is None:
                self._error, self._hurry = None, True
                self._cond.notify_all()
        self._await_attempt()

    def _stop_taking(self) -> Link | None:
        with self._cond:
            self._closing = True
            self._cond.notify_all()
            return self._link

    def begin_anew(self) -> None:
        """Give the connection up: on the next one the service says what it has of this door."""
        with self._cond:
            link = self._link
        if link is not None:
            link.end()

    def send(
        self,
        entry: Redacted | None,
        durability: Durability,
        *,
        urgent: bool = False,
        from_spool: bool = False,
    ) -> RemoteTicket:
        """Send one message and return its ticket; without an entry it is the goodbye. Raises LedgerError."""
        if not self._sending.acquire(timeout=self.deadline_s):
            raise LedgerBusy("the recorder service takes no more at the moment")
        try:
            self._ids += 1
            ticket = RemoteTicket(self._cond, self._ids, entry, durability, self.deadline_s, from_spool=from_spool)
            line = self._line_of(ticket, urgent=urgent)
            with self._cond:
                link = self._link
                if link is None:
                    raise self._why_not()
                if len(self._pending) >= UNDER_WAY:
                    raise LedgerBusy(f"{UNDER_WAY} entries are under way to the recorder service")
                self._pending[ticket.id] = ticket
            link.send(line, self.deadline_s)
            return ticket
        finally:
            self._sending.release()

    def _line_of(self, ticket: RemoteTicket, *, urgent: bool) -> bytes:
        known = self._vouched.known
        size, root = (known.size, self._vouched.root) if known else (0, "")
        if ticket.entry is None:
            return encode(Bye(id=ticket.id, size=size, root=root))
        event = ticket.entry.event
        line = encode(
            Append(id=ticket.id, durability=ticket.durability, size=size, root=root, urgent=urgent, event=event)
        )
        if len(line) > MAX_MESSAGE:
            raise LedgerError(f"an entry of {len(line)} bytes is longer than a message may be ({MAX_MESSAGE})")
        return line

    def _await_attempt(self) -> None:
        """Return once there is a connection, or the attempt to make one has failed. Raises LedgerError."""
        with self._cond:
            self._cond.wait_for(lambda: self._link or self._error or self._closing, self.deadline_s)
            if self._link is None or self._closing:
                raise self._why_not()

    def _why_not(self) -> LedgerError:
        if self._error is None and self._closing:
            return LedgerError("the recorder is closing")
        return anew(self._error or LedgerBusy(f"the recorder service at {self._path} does not answer"))

    # the thread that connects and listens

    def _stay_connected(self) -> None:
        nap_s = FIRST_NAP_S
        while not self._closing:
            try:
                link = self._connect()
            except LedgerError as e:
                nap_s = LONGEST_NAP_S if isinstance(e, LedgerRefused) else nap_s
                with self._cond:
                    self._error = e
                    self._cond.notify_all()
                    self._cond.wait_for(lambda: self._closing or self._hurry, nap_s)
                    self._hurry = False
                nap_s = min(nap_s * 2, LONGEST_NAP_S)
                continue
            nap_s = FIRST_NAP_S
            self._detach(link, self._listen(link))

    def _connect(self) -> Link:
        wid, token = self._session
        known = self._vouched.known
        hello = Hello(
            version=VERSION,
            log=self._log,
            origin=known.origin if known else "",
            vkey=self._vouched.vkey,
            size=known.size if known else 0,
            root=self._vouched.root,
            wid=wid,
            token=token,
        )
        link = Link(self._path, hello, deadline_s=self.deadline_s, remedy=self._remedy)
        try:
            self._vouched.meet(link.welcome)
        except BaseException:
            link.close()
            raise
        self._session = (link.welcome.wid, link.welcome.token)
        adrift, self._adrift = self._adrift, []
        again = [each.entry for each in adrift if each.entry is not None and not each.from_spool]
        self._spool.put_back(again, recorded=frozenset(link.welcome.recent))
        with self._cond:
            self._link, self._error = link, None
            if self._closing:
                link.end()  # whoever closes has not seen this one
            self.same_account = can_write_there(link)
            self._cond.notify_all()
        return link

    def _listen(self, link: Link) -> LedgerError:
        """Take answers in until the connection ends, and return why it did."""
        while (lines := link.receive(KEEP_S if self._vouched.unsaved else None)) is not None:
            try:
                for line in lines:
                    self._take(line)
            except NotVerified as e:
                return LedgerRefused(f"the recorder service at {self._path} answers with {e}")
            except LedgerError as e:
                return e
            if not lines:
                self._vouched.save()
        return RecorderAway(f"the recorder service at {self._path} went away")

    def _detach(self, link: Link, error: LedgerError) -> None:
        with self._cond:
            self._link, self._error = None, error
            for ticket in self._pending.values():
                ticket.error = error
            self._adrift.extend(self._pending.values())
            self._pending.clear()
            self._cond.notify_all()
            if isinstance(error, LedgerRefused):
                self._cond.wait_for(lambda: self._closing, LONGEST_NAP_S)
        link.close()
        self._vouched.save()

    def _take(self, line: bytes) -> None:
        """Take one answer in. Raises NotVerified and LedgerErrors where it ends the connection."""
        answer = read_answer(line)
        if isinstance(answer, Failed) and answer.id == NOBODY:
            raise error_of(answer)
        if not isinstance(answer, Done | Failed):
            raise NotVerified("a second welcome")
        with self._cond:
            ticket = self._pending.get(answer.id)
        if ticket is None:
            raise NotVerified("an answer to nothing")
        error: LedgerError | None = None
        receipt = Receipt(-1, b"")
        if isinstance(answer, Done):
            receipt = self._receipt_of(ticket, answer)
        else:
            error = error_of(answer)
            self._take_back(ticket, answer, error)
        with self._cond:
            del self._pending[answer.id]
            if error is None:
                ticket.settle(receipt)
            ticket.error = error
            self._cond.notify_all()

    def _receipt_of(self, ticket: RemoteTicket, done: Done) -> Receipt:
        vouched = self._vouched
        leaf = leaf_of(done)
        if done.note:
            vouched.take(done)
        if ticket.durability != "signed" or ticket.entry is None or vouched.known is None:
            return Receipt(done.seq, leaf)
        if vouched.known.size <= done.seq:
            raise LedgerRefused("the recorder service says that an entry is signed, and does not show the signature")
        return Receipt(done.seq, leaf, vouched.note)

    def _take_back(self, ticket: RemoteTicket, answer: Failed, error: LedgerError) -> None:
        """Keep an entry that was refused for later, unless it is on the record, or never will be."""
        if ticket.entry is None or ticket.from_spool or answer.seq >= 0:
            return
        if type(error) is LedgerError:
            self._spool.lose()
        else:
            self._spool.add(ticket.entry)


class _Refill:
    """The way of what waited: one entry after the other, each answered before it leaves the spool."""

    def __init__(self, writer: RemoteWriter) -> None:
        self._writer = writer

    def append(self, entry: Redacted, *, deadline_s: float) -> Receipt:
        """Hand `entry` over and wait for its place. One that the service will never take counts as lost."""
        ticket = self._writer.send(entry, "written", from_spool=True)
        try:
            ticket.wait(deadline_s)
        except LedgerError as e:
            if not ticket.settled:
                self._writer.begin_anew()  # nobody can tell otherwise whether it is on the record
            if type(e) is not LedgerError:
                raise
            self._writer.lose()
            return Receipt(-1, b"")
        return ticket.receipt
