# SPDX-License-Identifier: Apache-2.0
"""Group commit: many threads append, one thread flushes and signs for all of them.

An append returns a `Ticket` as soon as its line is written. Waiting for a ticket waits for as much
durability as was asked for: written, flushed, or signed. What nobody waits for is flushed within
50 ms, and signed and published within half a second all the same.

A ledger that fails is opened again, at most once a second, so that a full disk or a wrong
permission heals when its cause does; one that was rolled back or replaced keeps being refused. A
ticket is for the ledger that it was written with: a later one never vouches for it. Entries of
harmless calls that cannot be written meanwhile wait in the spool, and come onto the record with
the next line that succeeds.

The committing thread also records a heartbeat when nobody has written for a while, and has sealed
segments compressed in a thread of its own.
"""

import math
import time
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import NamedTuple

from onrecord.errors import LedgerBusy, LedgerError, LedgerMoved, LedgerRefused
from onrecord.event.redacted import Redacted
from onrecord.ledger.appending import Durability, Hand
from onrecord.ledger.ledger import DEADLINE_S, Ledger
from onrecord.ledger.spool import Spool
from onrecord.ledger.ticket import Ticket, Waiter

HEARTBEAT_S = 900.0  # a log that nobody writes to says this often that it is alive, so that silence can be proven
FLUSH_S = 0.05  # the longest that a line stays with the operating system alone
PUBLISH_S = 0.5  # the longest that a flushed line stays unsigned; a publication costs some 1.5 ms of file names
RETRY_S = 1.0  # between two attempts to open a ledger that failed


class _Step(NamedTuple):
    """What the committing thread does next."""

    ledger: Ledger | None
    retired: list[Ledger]
    sign: bool
    publish: bool
    beat: bool
    last: bool


class Writer:
    """Appends for a whole process, with one committing thread behind it."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        *,
        gap: Callable[[], Redacted],
        deadline_s: float = DEADLINE_S,
        heartbeat_s: float = HEARTBEAT_S,
        alarm: Callable[[LedgerError], None] | None = None,
    ) -> None:
        """`open_ledger` opens the log for the first time; `gap` makes the event that reports what was spooled.

        `alarm` is told, once and in a thread of its own, that the log is not what it was.
        """
        self._open_ledger = open_ledger
        self.deadline_s = deadline_s
        self._heartbeat_s = heartbeat_s
        self._compressing: Thread | None = None
        self._alarm = alarm
        self._alarming: Thread | None = None
        self._cond = Condition()
        self._ledger: Ledger | None = None
        self._former: Ledger | None = None  # the one that broke last: its successor goes on with its count
        self._retired: list[Ledger] = []  # broken ones, for the committing thread to close: it may be flushing one
        self._tried_at = -math.inf
        self._last_error: LedgerError | None = None
        self._waiters: list[Waiter] = []
        self._appended = self._flushed = self._signed = self._published = 0  # entries
        self._flush_to = self._sign_to = 0  # as far as somebody waits for
        self._note = b""  # the signed one that covers so many
        self._unflushed_at = self._publish_at = 0.0
        self._beat_at = time.monotonic() + heartbeat_s
        self._closing = False
        self._spool = Spool(gap)
        self._thread = Thread(target=self._commit_forever, name="onrecord-writer", daemon=True)
        self._thread.start()

    def append(
        self, entry: Redacted, durability: Durability = "written", *, urgent: bool = False, hand: Hand | None = None
    ) -> Ticket:
        """Write `entry` and return its ticket. Raises a LedgerError where nothing of it was written.

        An `urgent` one may use the reserve of a full disk.
        """
        return self.append_all(((entry, durability),), urgent=urgent, hand=hand)[0]

    def append_all(
        self, asked: Sequence[tuple[Redacted, Durability]], *, urgent: bool = False, hand: Hand | None = None
    ) -> list[Ticket]:
        """As `append`, for several entries that are written together, all or none."""
        if not asked:
            return []
        ledger = self._usable()
        try:
            if not urgent and self._spool:
                self._note_appended(ledger, self._spool.drain(ledger, deadline_s=self.deadline_s))
            entries = [entry for entry, _ in asked]
            receipts = ledger.append_all(entries, deadline_s=self.deadline_s, urgent=urgent, hand=hand)
        except LedgerError as e:
            self._drop_if_broken(ledger, e)
            raise
        self._note_appended(ledger, receipts[-1].seq + 1)
        return [Ticket(self, ledger, receipt, want) for receipt, (_, want) in zip(receipts, asked, strict=True)]

    def await_ready(self) -> None:
        """Open the log, if it is not open. Raises a LedgerError where it cannot be."""
        self._usable()

    def spool(self, entry: Redacted) -> None:
        """Keep the entry of a harmless call until the ledger can be written again, if there is room."""
        self._spool.add(entry)

    @property
    def unwritten(self) -> int:
        """How many entries are not on the record yet, or never will be."""
        return len(self._spool)

    def enlist(self, waiter: Waiter) -> bool:
        """Have `waiter` woken when its entry is durable, or cannot be; False says that it is decided already."""
        with self._cond:
            if self._is_done(waiter) or self._ledger is not waiter.ledger:
                return False
            self._waiters.append(waiter)
            self._flush_to = max(self._flush_to, waiter.seq + 1)
            if waiter.durability == "signed":
                self._sign_to = max(self._sign_to, waiter.seq + 1)
            self._cond.notify_all()  # nobody but the committing thread sleeps on this
            return True

    def conclude(self, waiter: Waiter, limit_s: float) -> bytes:
        """Return the latest signed note where the waiter's entry is durable. Raises a LedgerError where it isn't.

        That is at once where the disk refuses, and otherwise when the limit has passed.
        """
        with self._cond:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if self._is_done(waiter):
                return self._note
            if self._ledger is waiter.ledger and not waiter.failed:
                raise LedgerBusy(f"the disk did not take the entry within {limit_s:g} s")
            raise anew(self._last_error or LedgerError("the log was opened anew before the entry was durable"))

    def _is_done(self, waiter: Waiter) -> bool:
        reached = self._signed if waiter.durability == "signed" else self._flushed
        return self._ledger is waiter.ledger and waiter.seq < reached

    def _wake(self, *, all_of_them: bool = False) -> None:
        """Wake whom the last step has settled; the caller holds the condition."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if self._is_done(waiter):
                waiter.wake()
            elif all_of_them or self._ledger is not waiter.ledger:
                waiter.failed = True
                waiter.wake()
            else:
                self._waiters.append(waiter)

    def close(self) -> None:
        """Flush, sign and close. Raises a LedgerError where the last lines could not be made durable."""
        if self._spool and not self._closing:
            self._drain_at_last()
        with self._cond:
            self._closing = True
            self._cond.notify_all()
        self._thread.join(self.deadline_s * 2)
        if self._alarming is not None:
            self._alarming.join(self.deadline_s * 2)
        if self._thread.is_alive():
            raise LedgerBusy("the last entries are written, but were not signed in time")
        if self._ledger is not None:
            self._ledger.close()
            if self._published < self._appended:
                raise anew(self._last_error or LedgerBusy("the last entries are written, but not signed"))
        elif self._last_error is not None:
            raise anew(self._last_error)

    def _drain_at_last(self) -> None:
        try:
            ledger = self._usable(at_once=True)
            self._note_appended(ledger, self._spool.drain(ledger, deadline_s=self.deadline_s))
        except LedgerError:
            pass  # `unwritten` says what is left

    # the ledger, while it works and while it doesn't

    def _usable(self, *, at_once: bool = False) -> Ledger:
        """Return the ledger, opened anew if it broke; `at_once` says not to wait between two attempts."""
        with self._cond:
            if self._closing:
                raise LedgerError("the recorder is closing")
            if self._ledger is not None:
                return self._ledger
            if self._last_error is not None and time.monotonic() - self._tried_at < RETRY_S and not at_once:
                raise anew(self._last_error)
            try:
                ledger = self._former.again(deadline_s=self.deadline_s) if self._former else self._open_ledger()
            except LedgerError as e:
                self._last_error = e
                self._raise_alarm(e)
                raise
            finally:
                self._tried_at = time.monotonic()  # after the attempt: those who waited for it don't try again
            self._ledger = ledger
            self._flushed = self._signed = self._published = ledger.signed
            self._last_error = None
            self._note_appended(ledger, ledger.size)
            return ledger

    def _raise_alarm(self, error: LedgerError) -> None:
        if self._alarm is not None and isinstance(error, (LedgerMoved, LedgerRefused)):
            self._alarming = Thread(target=self._alarm, args=(error,), name="onrecord-alarm", daemon=True)
            self._alarming.start()
            self._alarm = None

    def _drop_if_broken(self, ledger: Ledger, error: LedgerError) -> None:
        if ledger.usable:
            return
        with self._cond:
            if self._ledger is ledger:
                self._ledger, self._former = None, ledger
                self._retired.append(ledger)
                self._appended = self._flushed = self._signed = self._published = 0
                self._flush_to = self._sign_to = 0
                self._last_error = error
                self._tried_at = time.monotonic()
                self._wake()
                self._cond.notify_all()
        self._raise_alarm(error)

    def _note_appended(self, ledger: Ledger, size: int) -> None:
        with self._cond:
            if self._ledger is not ledger or size <= self._appended:
                return
            if self._appended <= self._flushed:  # else the committing thread knows already
                self._unflushed_at = time.monotonic()
                self._cond.notify_all()
            self._appended = size

    # the committing thread

    def _commit_forever(self) -> None:
        while True:
            step = self._await_step()
            for ledger in step.retired:
                ledger.close()
            if step.ledger is not None:
                try:
                    if step.beat:
                        self._beat(step.ledger)
                    else:
                        self._commit(step.ledger, sign=step.sign, publish=step.publish)
                except Exception as e:  # noqa: BLE001  # the top of a thread: whoever waits must learn of anything
                    known = isinstance(e, LedgerError)
                    self._fail(step.ledger, e if known else LedgerError(f"cannot commit: {type(e).__name__}"))
                    if not step.last:
                        time.sleep(FLUSH_S)  # not a tight loop while a disk is full
            if step.last:
                return

    def _await_step(self) -> _Step:
        with self._cond:
            while not (self._closing or self._retired or self._is_awaited()):
                left_s = self._due_at() - time.monotonic()
                if left_s <= 0:
                    break
                self._cond.wait(None if math.isinf(left_s) else left_s)
            retired, self._retired = self._retired, []
            return _Step(
                ledger=self._ledger,
                retired=retired,
                sign=self._closing or self._sign_to > self._signed,
                publish=self._closing or (self._appended > self._published and time.monotonic() >= self._publish_at),
                beat=not self._closing and not self._is_awaited() and self._appended <= self._published,
                last=self._closing,
            )

    def _is_awaited(self) -> bool:
        return self._flush_to > self._flushed or self._sign_to > self._signed

    def _due_at(self) -> float:
        """Return when to do what nobody waits for."""
        if self._appended <= self._published:
            return math.inf if self._ledger is None else self._beat_at
        if self._appended <= self._flushed:
            return self._publish_at
        return min(self._unflushed_at + FLUSH_S, self._publish_at)

    def _beat(self, ledger: Ledger) -> None:
        self._beat_at = time.monotonic() + self._heartbeat_s
        if ledger.beat(self._heartbeat_s, deadline_s=self.deadline_s):
            self._note_appended(ledger, ledger.size)

    def _compress(self, ledger: Ledger) -> None:
        """Have sealed segments compressed, beside everything else."""
        if self._compressing is None or not self._compressing.is_alive():
            self._compressing = Thread(target=ledger.compress, name="onrecord-compress", daemon=True)
            self._compressing.start()

    def _commit(self, ledger: Ledger, *, sign: bool, publish: bool) -> None:
        if sign:
            self._sign(ledger)
        else:
            self._mark(ledger, flushed=ledger.flush())
        if publish:
            self._mark(ledger, signed=ledger.publish(deadline_s=self.deadline_s), published=True)
            if ledger.rotated and not self._closing:
                self._compress(ledger)

    def _sign(self, ledger: Ledger) -> None:
        try:
            self._mark(ledger, signed=ledger.sign(deadline_s=self.deadline_s))
        except LedgerError:
            if ledger.usable:  # whoever waits for the flush alone gets it
                self._mark(ledger, flushed=ledger.flush())
            raise

    def _mark(self, ledger: Ledger, *, flushed: int = 0, signed: int = 0, published: bool = False) -> None:
        with self._cond:
            if self._ledger is ledger:
                self._flushed = max(self._flushed, flushed, signed)
                if signed:
                    self._signed, self._note = max(self._signed, signed), ledger.note
                if published:
                    self._published = max(self._published, signed)
                    self._publish_at = time.monotonic() + PUBLISH_S
                self._wake()

    def _fail(self, ledger: Ledger, error: LedgerError) -> None:
        self._drop_if_broken(ledger, error)
        with self._cond:
            if self._ledger is ledger or self._ledger is None:
                self._last_error = error
            self._wake(all_of_them=True)


def anew(error: LedgerError) -> LedgerError:
    """Return `error` as a new object: one that is raised twice drags the frames of the first time along."""
    return type(error)(*error.args)
